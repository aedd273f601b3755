"""A backtest is the nights of a catch-up.

What they publish, of which span, and of several symbols.
"""

import json
from contextlib import contextmanager
from datetime import date
from functools import partial

import numpy as np
import pandas as pd
import pytest

from flows import clock
from flows.progress import Work
from forecasting.audit import backtest as backtests
from forecasting.audit.backtest import BacktestSpec, backtest
from forecasting.audit.run_backtest import backtest_spec, run_each
from forecasting.audit.series import load_series
from forecasting.evaluate import drift
from forecasting.night.steps import train
from forecasting.predict import combine, fallback
from forecasting.preprocess.windows import MarketSeries
from forecasting.sessions import between
from forecasting.settings import Settings, read_settings
from forecasting.vocabulary import QUANTILE_COLUMNS
from tests.builders import no_events, random_bars, scaled, set_small_fits
from tests.nights import night, rows

pytestmark = pytest.mark.slow

BARS = random_bars(days=560, seed=8)
SMALL = Settings(symbols=("TEST",))
VIX = pd.Series(np.linspace(12.0, 30.0, len(BARS)), index=BARS.index)
REPORTS = ("2022-11-28", "2023-02-27", "2023-05-30", "2023-08-28", "2023-11-27", "2024-02-27")


def spec(first, last, *, refit_every=21, settings=SMALL):
    """Origins by their place from the end of BARS."""
    return BacktestSpec(settings, BARS.index[first].date(), BARS.index[last].date(), refit_every)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    set_small_fits(monkeypatch.setattr, 300)


@pytest.fixture
def soon(monkeypatch):
    """Calibration after three origins, comparison with the best baseline after six, drift after
    seven sessions."""
    monkeypatch.setattr(combine, "MIN_FORECASTS", 3)
    monkeypatch.setattr(fallback, "MIN_ORIGINS", 6)
    for name, value in (("MIN_REFERENCE", 4), ("MIN_WATCHED", 3), ("LIMIT", 1.0)):
        monkeypatch.setattr(drift, name, value)


@pytest.mark.usefixtures("plain_flows", "soon")
def test_a_fit_every_session_publishes_what_nights_do_to_the_bit(night_folder, monkeypatch):
    """The network's own forecasts, then a baseline's in their place, then its own again.

    A report every quarter.
    """
    # Whatever the network loses, it is behind once six origins are scored, and on the night after a
    # fallback it is not.
    monkeypatch.setattr(fallback, "TOLERANCE", -1.0)
    monkeypatch.setattr(fallback, "ENTER", -np.inf)
    monkeypatch.setattr(fallback, "LEAVE", np.inf)
    monkeypatch.setattr(train, "SCRATCH_EVERY", 5)
    reports = night_folder.parent / "reports.csv"
    reports.write_text("announced,timing\n" + "".join(f"{day},amc\n" for day in REPORTS))
    monkeypatch.setenv("FORECASTING_EVENTS", f"csv:{reports}")
    settings = read_settings().for_symbol("TEST")
    bars, events, _ = load_series(settings, last=None, now=clock.now)
    sessions = between(bars.index[-18].date(), bars.index[-6].date())
    for session in sessions:
        night(session)
    result = backtest(
        bars, events, spec=BacktestSpec(settings, sessions[0], sessions[-1], refit_every=1)
    )
    for table, issued in (
        ("forecasts", result.issued),
        ("total_forecasts", result.totals[0][:, 1:]),
    ):
        published = pd.DataFrame(rows(table, role="published"))
        in_order = published.sort_values(["origin_session", "horizon"])
        quantiles = in_order[list(QUANTILE_COLUMNS)].to_numpy()
        np.testing.assert_array_equal(issued, quantiles.reshape(issued.shape))
    modes = [row["mode"] for row in rows("runs")]
    counts = {
        "network": 12,
        "fallback": 1,
        "warm": modes.count("warm"),
        "scratch": modes.count("scratch"),
        "refused": 0,
    }
    assert result.nights == counts
    assert any(row["mode_kind"] == "drift" for row in rows("runs"))


@pytest.mark.parametrize("market", [None, VIX])
def test_no_forecast_changes_when_bars_or_market_closes_after_its_origin_do(market):
    later = (
        None
        if market is None
        else MarketSeries(market.where(BARS.index <= BARS.index[-10], market * 2.0))
    )
    altered = scaled(BARS, 2.0, slice(-9, None))
    same = None if market is None else MarketSeries(market)
    before = backtest(BARS, no_events(), spec=spec(-14, -10, refit_every=2), market=same)
    after = backtest(altered, no_events(), spec=spec(-14, -10, refit_every=2), market=later)
    np.testing.assert_array_equal(before.issued, after.issued)
    for name, quantiles in before.baselines.items():
        np.testing.assert_array_equal(quantiles, after.baselines[name], err_msg=name)
    assert before.nights["scratch"] + before.nights["warm"] == 3


def test_a_session_without_a_bar_is_no_origin_and_between_fits_the_newest_forecasts():
    """As live: a night waits for its bar, and one that never comes leaves no forecast."""
    missing = BARS.index[-13]
    seen = []
    result = backtest(
        BARS.drop(missing),
        no_events(),
        spec=spec(-16, -8),
        progress=lambda words, ended: seen.append(ended),
    )
    assert result.origins.tolist() == [day.date() for day in BARS.index[-16:-7] if day != missing]
    assert np.isnan(result.actual).sum() == 3  # of the three origins before it
    assert result.nights == {"network": 8, "fallback": 0, "warm": 0, "scratch": 1, "refused": 0}
    assert seen == [1] * 8


SYMBOLS = {"AAA": 560, "BBB": 200, "CCC": 560}  # BBB has too few sessions to forecast from


@pytest.fixture
def settings(sqlite_url, tmp_path, monkeypatch):
    parts = [
        random_bars(days=days, seed=seed).assign(symbol=name)
        for seed, (name, days) in enumerate(SYMBOLS.items())
    ]
    pd.concat(parts).rename_axis("date").reset_index().to_parquet(tmp_path / "panel.parquet")
    monkeypatch.undo()  # in processes side by side fits are not small
    chosen = {
        "DATA_DIR": f"{tmp_path / 'data'}",
        "DATABASE_URL": sqlite_url,
        "SOURCE": f"parquet:{tmp_path / 'panel.parquet'}",
        "MARKET": "none",
        "SYMBOLS": ",".join(SYMBOLS),
    }
    for name, value in chosen.items():
        monkeypatch.setenv(f"FORECASTING_{name}", value)
    return read_settings()


def test_symbols_side_by_side_have_the_figures_that_each_has_alone(settings, tmp_path):
    documents = []
    kept = []
    shown = []

    @contextmanager
    def bar(unit, total):
        work = Work(unit, total, tmp_path / "notes")
        work.file.write_text("")
        yield work.advance
        work.look(work.file.read_text().splitlines())
        shown.append((work.done, work.total))

    for count in (1, 2):
        out = tmp_path / f"{count}.json"
        spec_of = partial(
            backtest_spec, first=date(2024, 2, 12), last=date(2024, 2, 20), refit_every=6
        )
        found = run_each(
            settings, spec_of, store=True, workers=count, now=clock.now, bar=bar, out=out
        )
        assert ([*found.values], [*found.errors]) == (["AAA", "CCC"], ["BBB"])
        assert "found 200" in str(found.errors["BBB"])
        documents.append(
            [{**one, "seconds": 0} for one in json.loads(out.read_text(encoding="utf-8"))]
        )
        kept.append([{**row, "run_id": ""} for row in rows("metrics")])
    assert documents[0] == documents[1]
    assert {str(document["symbol"]) for document in documents[1]} == {"AAA", "CCC"}
    assert kept[0] == kept[1] != []
    assert shown == [(12, 12), (12, 12)]  # nights of two symbols, in one process and in two


def test_a_backtest_without_days_is_of_the_newest_nights(monkeypatch):
    monkeypatch.setattr(backtests, "NEWEST_NIGHTS", 7)
    found = backtests.origins_of(BARS, BacktestSpec(SMALL))
    assert [found[0], found[-1], len(found)] == [*BARS.index[[-8, -2]].date, 7]
    until = BacktestSpec(SMALL, last=BARS.index[-20].date())
    assert [*backtests.origins_of(BARS, until)] == [*BARS.index[-26:-19].date]
    since = BacktestSpec(SMALL, first=BARS.index[-4].date())
    assert [*backtests.origins_of(BARS, since)] == [*BARS.index[-4:-1].date]
