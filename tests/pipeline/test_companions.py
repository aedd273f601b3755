"""Nights with companion symbols, without Prefect: on a file of several symbols and on the stand-in for Yahoo."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from flows import clock
from flows.terminal.start import start_night
from forecasting.pipeline.companions import companion_runs
from forecasting.pipeline.night_run import NightSpec, night_run
from forecasting.pipeline.night_steps import bring_up_to_date
from forecasting.sessions import closes_at
from forecasting.settings import Settings, read_settings
from forecasting.store import database
from forecasting.vocabulary import Mode
from tests.builders import LAST, random_bars, write_yahoo_csv
from tests.nights import ON_BOTH_DATABASES, counts, forget_derived_rows
from tests.yahoo_stand_in import StandIn, asked_here

pytestmark = pytest.mark.usefixtures("plain_flows")

NAMES = "model_id, origin_session, horizon, q05, q10, q25, q50, q75, q90, q95"


def select(columns: str, table: str) -> list[tuple[object, ...]]:
    with database.reading(read_settings().url) as connection:
        return [tuple(row) for row in connection.execute(sa.text(f"SELECT {columns} FROM {table}"))]


def night(as_of: date | None = None, mode: Mode = "scratch") -> None:
    start_night(as_of=as_of, mode=mode, switch_source=False)


def taught_by() -> list[list[str]]:
    """The companions of each network, oldest first."""
    found = select("companion_fetches", "models WHERE name = 'lstm' ORDER BY trained_to")
    return [sorted(json.loads(str(text))) if text else [] for (text,) in found]


@pytest.fixture
def companions(night_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two companions; nothing ships, as for an older origin, so theirs is the only base, and it is not judged."""
    monkeypatch.setenv("FORECASTING_COMPANIONS", "AAA,BBB")
    monkeypatch.setattr("forecasting.train.starting_weights.pretrained_for", lambda windows, own: None)
    monkeypatch.setattr("forecasting.train.starting_weights.MAX_LOSS_RATIO_COMPANIONS", np.inf)


@pytest.fixture
def file_of_many(companions: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """TEST, AAA, BBB and a BBBB that ends a session early, in one Parquet file."""
    frames = []
    for seed, name in enumerate(("TEST", "AAA", "BBB", "BBBB")):
        path = tmp_path / f"{name}-alone.csv"
        write_yahoo_csv(random_bars(days=650, seed=seed, last=LAST).iloc[: -1 if name == "BBBB" else None], path)
        frames.append(pd.read_csv(path, parse_dates=["Date"]).assign(Symbol=name))
    pd.concat(frames, ignore_index=True).to_parquet(tmp_path / "many.parquet")
    monkeypatch.setenv("FORECASTING_SOURCE", f"parquet:{tmp_path / 'many.parquet'}")
    return tmp_path / "many.parquet"


@pytest.fixture
def yahoo(companions: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Yahoo with seeded bars of SBUX and both companions."""
    monkeypatch.setenv("FORECASTING_SOURCE", "yahoo")
    monkeypatch.setenv("FORECASTING_SYMBOLS", "SBUX")
    with asked_here(StandIn(random_bars(days=650, seed=3, last=LAST)), monkeypatch.setattr) as served:
        for seed, name in enumerate(("AAA", "BBB")):
            served.add(name, random_bars(days=650, seed=seed, last=LAST))
        yield served


def on_the_morning_after(served: StandIn, monkeypatch: pytest.MonkeyPatch, session: date) -> None:
    moment = closes_at(session) + timedelta(hours=13, minutes=30)
    monkeypatch.setattr(clock, "now", lambda: moment)
    served.today = session


def live(served: StandIn, monkeypatch: pytest.MonkeyPatch, session: date) -> None:
    """The night of `session`, on the morning after its close."""
    on_the_morning_after(served, monkeypatch, session)
    night()


@ON_BOTH_DATABASES
def test_a_night_learns_from_its_companions_and_forecasts_the_symbol_alone(file_of_many: Path) -> None:
    night(LAST)
    bars = dict(select("symbol, count(*)", "bars GROUP BY symbol"))
    assert set(bars) == {"TEST", "AAA", "BBB"}
    assert bars["AAA"] == bars["TEST"]
    assert select("DISTINCT symbol", "forecasts") == [("TEST",)]
    ((scope, base, fetched),) = select("scope, base, companion_fetches", "models WHERE name = 'lstm'")
    fetches = dict(select("symbol, id", "fetches"))
    assert (scope, base) == ("panel", "companions")
    assert json.loads(str(fetched)) == {name: fetches[name] for name in ("AAA", "BBB")}
    assert select("note", "runs") == [("",)]


def test_the_same_night_run_twice_asks_no_companion_again(file_of_many: Path) -> None:
    night(LAST)
    before = counts()
    night(LAST)
    assert counts() == before


def test_companions_that_are_unknown_or_late_are_left_out_and_the_run_says_so(
    file_of_many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORECASTING_COMPANIONS", "NOSUCH,BBBB,AAA,TEST")
    night(LAST)
    assert taught_by() == [["AAA"]]
    ((status, note),) = select("status, note", "runs")
    why = f"without a bar of {LAST} or enough sessions before it"  # BBBB has hundreds of them, but is late
    assert (status, note) == ("done", f"Companions left out, {why}: NOSUCH, BBBB.")


def test_companions_change_the_settings_hash_and_none_leave_it_as_it_was() -> None:
    plain, some = Settings(), Settings(companions=("AAA", "BBB"))
    assert plain.forecast_fields().keys() == {"target", "train_sessions", "seed", "members", "exchange"}
    assert len({plain.hash, some.hash, Settings(companions=("AAA",)).hash}) == 3


@pytest.mark.slow
def test_nights_made_up_for_learn_from_the_same_companions_as_nights_lived(
    yahoo: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On the second morning the source fails at the first companion; later it is fetched, yet it was not known then.

    Of a close, whose forecast is told by companions' ranges even where they teach the network nothing.
    """
    monkeypatch.setenv("FORECASTING_TARGET", "close")
    first, second = date(2024, 3, 6), date(2024, 3, 7)
    live(yahoo, monkeypatch, first)
    yahoo.fail("500", "500")
    live(yahoo, monkeypatch, second)
    of_second = f"bars WHERE session = '{second}' AND symbol IN ('AAA', 'BBB') ORDER BY symbol"
    assert select("symbol", of_second) == []
    on_the_morning_after(yahoo, monkeypatch, LAST)
    bring_up_to_date([night_run(NightSpec("SBUX", LAST, "close", "yahoo"), read_settings(), now=clock.now)])
    assert select("symbol", of_second) == [("AAA",), ("BBB",)]
    assert taught_by() == [["AAA", "BBB"], []]
    assert [bool(note) for (note,) in select("note", "runs WHERE status = 'done' ORDER BY as_of")] == [False, True]
    lived = sorted(select(NAMES, "forecasts"), key=str)
    forget_derived_rows()
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path / "elsewhere"))
    moment = closes_at(LAST) + timedelta(days=30)
    monkeypatch.setattr(clock, "now", lambda: moment)
    night(first)
    night(second)
    assert taught_by() == [["AAA", "BBB"], []]
    assert sorted(select(NAMES, "forecasts"), key=str) == lived


def test_a_source_that_refuses_a_companion_is_not_asked_for_the_next_and_the_night_goes_on(
    yahoo: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    yahoo.fail("500", "500")
    live(yahoo, monkeypatch, LAST)
    asked = [line for line in yahoo.requests if "chart" in line]
    assert (any("AAA" in line for line in asked), any("BBB" in line for line in asked)) == (True, False)
    assert (select("status", "runs"), select("DISTINCT kind", "forecasts")) == ([("done",)], [("live",)])
    assert not [line for line in yahoo.requests if "earnings" in line and "SBUX" not in line]


def test_a_companion_without_a_suffix_is_not_on_the_exchange_of_a_symbol_with_one() -> None:
    settings = Settings(source="yahoo", symbols=("SBUX", "VOD.L"), companions=("MCD", "BARC.L"))
    found = {}
    for symbol in settings.symbols:
        run = night_run(NightSpec(symbol, LAST, "volume", "yahoo"), settings, now=lambda: closes_at(LAST))
        found[symbol] = [(one.spec.symbol, one.settings.exchange) for one in companion_runs(run)]
    assert found == {"SBUX": [("MCD", "XNYS")], "VOD.L": [("BARC.L", "XLON")]}
