from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flows import clock
from forecasting.audit.backtest import load_series
from forecasting.backtests import nights
from forecasting.backtests.nights import replay_nights
from forecasting.backtests.walk_forward import BacktestSpec, all_windows, backtest
from forecasting.evaluate import decisions, drift
from forecasting.evaluate.scores import dollar_volume_r2
from forecasting.predict import combine, fallback
from forecasting.sessions import between
from forecasting.settings import Settings, read_settings
from forecasting.train import gate
from forecasting.vocabulary import MEDIAN, QUANTILE_COLUMNS
from tests.builders import no_events, random_bars, scaled
from tests.nights import night, rows

BARS = random_bars(days=600, seed=11)
REPORTS = ("2022-11-28", "2023-02-27", "2023-05-30", "2023-08-28", "2023-11-27", "2024-02-27")
SETTINGS = Settings(symbols=("TEST",), members=1, train_sessions=300, scratch_every=4)


def windows_over(bars, settings=SETTINGS, events=None):
    return all_windows(bars, no_events() if events is None else events, settings)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibration after three origins, comparison with the best baseline after six, drift after seven sessions."""
    monkeypatch.setattr(combine, "MIN_FORECASTS", 3)
    monkeypatch.setattr(decisions, "MIN_ORIGINS", 6)
    for name, value in (("MIN_REFERENCE", 4), ("MIN_WATCHED", 3), ("LIMIT", 1.0)):
        monkeypatch.setattr(drift, name, value)


@pytest.mark.slow
@pytest.mark.usefixtures("plain_flows", "soon")
def test_the_replayed_nights_publish_what_nights_with_a_ledger_do_to_the_bit(
    night_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network's own forecasts, then a baseline's in their place, then its own again.

    A report every quarter.
    """
    # Whatever the network loses, it is behind once six origins are scored, and on the night after a
    # fallback it is not.
    monkeypatch.setattr(fallback, "TOLERANCE", -1.0)
    monkeypatch.setattr(fallback, "ENTER", -np.inf)
    monkeypatch.setattr(fallback, "LEAVE", np.inf)
    monkeypatch.setenv("FORECASTING_SCRATCH_EVERY", "5")
    reports = night_folder.parent / "reports.csv"
    reports.write_text("announced,timing\n" + "".join(f"{day},amc\n" for day in REPORTS))
    monkeypatch.setenv("FORECASTING_EVENTS", f"csv:{reports}")
    settings = read_settings().for_symbol("TEST")
    bars, events, _ = load_series(settings, last=None, now=clock.now)
    windows = windows_over(bars, settings, events)
    last = windows.origins[-6].item()
    sessions = between(windows.origins[-18].item(), last)
    for session in sessions:
        night(session)
    replayed = replay_nights(
        windows, np.searchsorted(windows.origins, np.array(sessions, "datetime64[D]")), settings
    )
    published = [row for row in rows("forecasts") if row["role"] == "champion"]
    of = {(str(row["origin_session"])[:10], row["horizon"]): row for row in published}
    for at, session in enumerate(sessions):
        own = [of[str(session), horizon] for horizon in range(1, 6)]
        np.testing.assert_array_equal(
            replayed.issued[at], [[row[name] for name in QUANTILE_COLUMNS] for row in own]
        )
        assert {row["status"] for row in own} == {replayed.published[at].status}
    made = [
        (row["mode"], row["mode_reason"])
        for row in sorted(rows("runs"), key=lambda row: str(row["as_of"]))
    ]
    assert made == [(mode.method, mode.reason) for mode in replayed.modes]
    assert [reason for _, reason in made if reason.startswith("drift: ")]
    assert [one.status for one in replayed.published] == [*["ok"] * 11, "fallback", "ok"]


def test_no_published_forecast_changes_when_bars_after_its_origin_do():
    at = len(windows_over(BARS)) - 10 + np.arange(3)
    settings = SETTINGS.model_copy(update={"scratch_every": 2})
    altered = scaled(BARS, 2.0, slice(-6, None))
    before, after = (replay_nights(windows_over(bars), at, settings) for bars in (BARS, altered))
    np.testing.assert_array_equal(before.issued, after.issued)
    assert before.counts() == {"network": 3, "fallback": 0, "warm": 1, "scratch": 2, "refused": 0}


def test_a_refused_fit_is_never_published_and_the_next_goes_on_from_the_champion(monkeypatch):
    at = len(windows_over(BARS)) - 12 + np.arange(4)
    sound = replay_nights(windows_over(BARS), at[[0, 1, 3]], SETTINGS)
    fits: list[object] = []

    def refuse_third(fitted, windows, **given):
        fits.append(fitted)
        verdict = gate.examine(fitted, windows, **given)
        return replace(verdict, refused="on purpose") if len(fits) == 3 else verdict

    monkeypatch.setattr(nights, "examine", refuse_third)
    refused = replay_nights(windows_over(BARS), at, SETTINGS)
    assert refused.counts()["refused"] == 1
    # The night after goes on from the second night's fit, as if the third had not been; its factors
    # are of more nights.
    np.testing.assert_array_equal(refused.network[3][:, MEDIAN], sound.network[2][:, MEDIAN])
    fits.clear()
    in_its_place = replay_nights(
        windows_over(BARS), at, SETTINGS.model_copy(update={"max_model_age": 1})
    )
    np.testing.assert_array_equal(in_its_place.network[:3], refused.network[:3])
    # The champion is two sessions old: the fourth fit is published
    assert in_its_place.counts() == refused.counts()
    assert (in_its_place.network[3] != refused.network[3]).all()


def test_without_a_champion_the_default_baseline_is_published(monkeypatch):
    monkeypatch.setattr(gate, "other_training", lambda *facts, **more: "on purpose")
    replayed = replay_nights(
        windows_over(BARS), len(windows_over(BARS)) - 12 + np.arange(2), SETTINGS
    )
    assert [one.forecaster for one in replayed.published] == ["ridge", "ridge"]
    np.testing.assert_array_equal(replayed.issued, replayed.baselines["ridge"])
    assert np.isnan(replayed.network).all()
    assert [mode.method for mode in replayed.modes] == ["scratch", "scratch"]


def test_a_backtest_as_published_has_the_figures_of_both():
    first = BARS.index[-16].date()
    last = BARS.index[-9].date()
    spec = BacktestSpec("TEST", first, last, refit_every=4, settings=SETTINGS, as_published=True)
    result = backtest(BARS, no_events(), spec=spec)
    document = result.document()
    published = document["as_published"]
    assert published["overall"].keys() == document["overall"].keys()
    assert sum(published["nights"][name] for name in ("network", "fallback")) == document["origins"]
    gained = 1 - published["overall"]["pinball"] / document["overall"]["pinball"]
    assert published["skill_vs_alone"] == pytest.approx(gained)
    assert result.dollars is not None and result.nights is not None
    for part, issued in ((document, result.issued), (published, result.nights.issued)):
        assert part["overall"]["r2_dollar_volume"] == dollar_volume_r2(
            result.dollars, issued[..., MEDIAN]
        )
    assert {row["scope"] for row in result.metric_rows()} == {"backtest", "published"}
