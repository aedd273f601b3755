from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forecasting.errors import StoreError
from forecasting.ingest.actions import make_actions
from forecasting.ingest.bars import nothing_fetched
from forecasting.ingest.revisions import Revision
from forecasting.store import read, tables, writes
from forecasting.store.database import transaction
from forecasting.store.read import unscored_forecasts
from tests.store.rows import (
    SYMBOL,
    TARGET,
    at,
    bar_rows,
    fetched,
    forecast_row,
    model_row,
    revision,
    run_row,
    start,
    store_bars,
)

EVENT_COLUMNS = ["session", "kind", "known_from", "withdrawn_from"]
LAST_DAY = date(2024, 3, 8)
DAYS = ["2024-03-04", "2024-03-05", "2024-03-06", "2024-03-07", "2024-03-08"]


def volumes(bars: pd.DataFrame) -> dict[str, float]:
    return {day.date().isoformat(): volume for day, volume in bars["volume"].items()}


def test_bars_come_as_the_rest_of_the_library_wants_them(database_url):
    with transaction(database_url) as connection:
        store_bars(
            connection,
            {"2024-03-07": 80.0, "2024-03-08": float("nan")},
            seen="2024-03-08T21:00",
            settled=("2024-03-07",),
        )
        bars = read.bars(connection, SYMBOL)
    expected = pd.DataFrame(
        {
            "open": 10.0,
            "high": 12.0,
            "low": 9.0,
            "close": 11.0,
            "volume": [80.0, np.nan],
            "version": 1,
            "settled": [True, False],
        },
        index=pd.DatetimeIndex(["2024-03-07", "2024-03-08"], name="session").astype("datetime64[ns]"),
    )
    pd.testing.assert_frame_equal(bars, expected)


def test_an_empty_ledger_gives_empty_frames_of_the_same_types(database_url):
    with transaction(database_url) as connection:
        bars = read.bars(connection, SYMBOL)
        assert read.actions(connection, SYMBOL).empty
        assert read.events(connection, SYMBOL).columns.tolist() == EVENT_COLUMNS
        assert read.newest_fetch(connection, SYMBOL) is None
        assert read.run(connection, "r1") is None
        assert read.champion(connection, SYMBOL, TARGET) is None
        assert read.models(connection, SYMBOL, TARGET) == []
        assert read.newest_finished(connection, SYMBOL, TARGET) is None
        assert read.forecasts(connection, SYMBOL, TARGET).empty
        assert read.past_forecasts(connection, SYMBOL, TARGET, origin=date(2024, 3, 8), limit=5).empty
        assert unscored_forecasts(connection, SYMBOL, "range", last=date(2024, 3, 8)).empty
        store_bars(connection, {"2024-03-08": 1.0}, seen="2024-03-08T21:00")
        pd.testing.assert_series_equal(bars.dtypes, read.bars(connection, SYMBOL).dtypes)


def test_a_request_that_stored_no_bar_is_nobody_s_newest_fetch(database_url):
    late = Revision("late", "no bar yet", bar_rows({}), [], make_actions([]), [])
    held = fetched(bar_rows({"2024-03-07": 1.0, "2024-03-08": 2.0}))
    with transaction(database_url) as connection:
        store_bars(connection, {"2024-03-07": 80.0}, seen="2024-03-07T21:00")
        for verdict in tables.NO_BARS:
            failed = replace(late, verdict=verdict)
            told = held if verdict == "late" else nothing_fetched("csv:SBUX.csv", SYMBOL, LAST_DAY, LAST_DAY)
            writes.add_fetch(connection, told, failed, fetch_id=verdict, fetched_at=at("2024-03-08T21:00"), run_id=None)
        newest = read.newest_fetch(connection, SYMBOL)
        knowing = read.fetch_as_of(connection, SYMBOL, date(2024, 3, 7), cutoff=at("2024-03-09T12:00"))
        with pytest.raises(StoreError, match="2024-03-08"):
            read.fetch_as_of(connection, SYMBOL, LAST_DAY, cutoff=at("2024-03-09T12:00"))
    assert newest is not None
    assert (newest["id"], knowing["id"]) == ("2024-03-07T21:00", "2024-03-07T21:00")


def test_bars_end_at_the_last_session_asked_for(database_url):
    with transaction(database_url) as connection:
        store_bars(connection, dict.fromkeys(DAYS, 1.0), seen="2024-03-08T21:00")
        assert list(volumes(read.bars(connection, SYMBOL, last=date(2024, 3, 6)))) == DAYS[:3]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    nights=st.lists(st.dictionaries(st.sampled_from(DAYS), st.integers(0, 9), min_size=1), min_size=1, max_size=6),
    asked=st.integers(0, 7),
    minutes=st.sampled_from([-1, 0, 1]),
)
def test_bars_as_known_then_are_what_was_current_then(sqlite_url, nights, asked, minutes):
    first = datetime.fromisoformat("2024-04-01T21:00+00:00")
    moment = first + timedelta(days=asked, minutes=minutes)
    current: dict[str, tuple[int, int]] = {}
    expected: dict[str, float] = {}
    with transaction(sqlite_url) as connection:
        for night, told in enumerate(nights):
            seen = first + timedelta(days=night)
            fresh = {day: volume for day, volume in told.items() if current.get(day, (0, -1))[1] != volume}
            current |= {day: (current.get(day, (0, -1))[0] + 1, volume) for day, volume in fresh.items()}
            versions = pd.DataFrame(
                {
                    "session": pd.to_datetime(sorted(fresh)),
                    "version": [current[day][0] for day in sorted(fresh)],
                    **dict.fromkeys(("open", "high", "low", "close"), 1.0),
                    "volume": [current[day][1] for day in sorted(fresh)],
                }
            )
            brought = fetched(versions.assign(volume=1.0)) if len(versions) else None
            if brought is not None:
                change = revision(versions)
                writes.add_fetch(connection, brought, change, fetch_id=f"f{night}", fetched_at=seen, run_id=None)
            if seen <= moment:
                expected = {day: float(volume) for day, (_, volume) in current.items()}
        found = volumes(read.bars(connection, SYMBOL, known_at=moment))
        newest = volumes(read.bars(connection, SYMBOL))
        connection.rollback()
    assert found == dict(sorted(expected.items()))
    assert newest == {day: float(volume) for day, (_, volume) in sorted(current.items())}


def test_a_bar_counts_as_settled_only_from_when_it_was(database_url):
    with transaction(database_url) as connection:
        store_bars(connection, {"2024-03-07": 80.0}, seen="2024-03-07T21:00")
        store_bars(connection, {"2024-03-08": 90.0}, seen="2024-03-08T21:00", settled=("2024-03-07",))
        for known_at, settled in (("2024-03-08T20:59", [False]), ("2024-03-08T21:00", [True, False])):
            assert read.bars(connection, SYMBOL, known_at=at(known_at))["settled"].tolist() == settled


def test_an_action_has_its_newest_value_and_the_one_known_then(database_url):
    with transaction(database_url) as connection:
        for seen, value in (("2024-03-07T21:00", 0.5), ("2024-03-08T21:00", 0.57)):
            actions = make_actions([("2024-03-06", "dividend", value)])
            store_bars(connection, {seen[:10]: 1.0}, seen=seen, actions=actions)
        assert read.actions(connection, SYMBOL)["value"].tolist() == [0.57]
        assert read.actions(connection, SYMBOL, known_at=at("2024-03-08T20:00"))["value"].tolist() == [0.5]


def test_the_champion_is_the_winner_of_the_newest_promotion(database_url):
    def promote(connection: sa.Connection, id: str, winner: str, when: str) -> None:
        row = {"id": id, "symbol": SYMBOL, "target": TARGET, "session": date(2024, 3, 8), "challenger": winner}
        row |= {"winner": winner, "origins": 0, "reason": "", "trigger": "night", "decided_at": at(when)}
        writes.add_promotion(connection, row)

    with transaction(database_url) as connection:
        for id in ("m1", "m2"):
            writes.add_model(connection, model_row(id, created_at=at(f"2024-03-0{id[1]}")))
        promote(connection, "p1", "m2", "2024-03-08T22:00")
        promote(connection, "p2", "m1", "2024-03-08T22:01")
        champion = read.champion(connection, SYMBOL, TARGET)
        assert champion is not None
        assert champion["id"] == "m1"
        assert read.champion(connection, SYMBOL, "close") is None
        assert [model["id"] for model in read.models(connection, SYMBOL, TARGET)] == ["m2", "m1"]


def test_forecasts_carry_the_name_of_their_model(database_url):
    with transaction(database_url) as connection:
        start(connection, origins=("2024-03-06", "2024-03-07"), models=("lstm", "ridge"))
        rows = [forecast_row("lstm", "2024-03-06"), forecast_row("lstm", "2024-03-07")]
        writes.add_forecasts(connection, [*rows, forecast_row("ridge", "2024-03-07", role="baseline")])
        found = read.forecasts(connection, SYMBOL, TARGET, origin=date(2024, 3, 7))
        assert found["model"].tolist() == ["ridge", "lstm"]
        assert len(read.forecasts(connection, SYMBOL, TARGET)) == 3
    assert found["target_session"].tolist() == [pd.Timestamp("2024-03-08")] * 2
    assert found["issued_at"].tolist() == [pd.Timestamp("2024-03-07T22:00Z")] * 2


def test_the_newest_finished_night_is_one_that_was_worked_off_to_its_end(database_url):
    with transaction(database_url) as connection:
        for as_of, status in (("2024-03-05", "done"), ("2024-03-06", "done"), ("2024-03-07", "running")):
            writes.start_run(connection, run_row(as_of, as_of, status=status))
        assert read.newest_finished(connection, SYMBOL, TARGET) == date(2024, 3, 6)
        assert read.newest_finished(connection, SYMBOL, "close") is None


def test_calibration_sees_one_row_per_origin_and_horizon_of_the_networks_line(database_url):
    def said(model: str, origin: str, horizon: int = 1, **changed: object) -> dict[str, object]:
        label = json.dumps(changed.pop("label", origin))
        return forecast_row(model, origin, horizon, calibration=label, **changed)

    with transaction(database_url) as connection:
        start(connection, origins=("2024-03-04", "2024-03-05", "2024-03-06"), models=("lstm", "lstm:2", "ridge"))
        writes.add_forecasts(
            connection,
            [
                said("lstm", "2024-03-04"),
                said("lstm", "2024-03-04", 2),
                said("lstm", "2024-03-04", kind="replay", label="not first", issued_at=at("2024-03-09")),
                said("ridge", "2024-03-05", status="fallback"),
                said("lstm:2", "2024-03-05", role="challenger"),
                said("lstm", "2024-03-06", kind="replay", label="issued first"),
                said("lstm:2", "2024-03-06", kind="replay", label="issued last", issued_at=at("2024-03-09")),
                said("lstm", "2024-03-06", 2, label="target too late"),
            ],
        )
        found = read.past_forecasts(connection, SYMBOL, TARGET, origin=date(2024, 3, 7), limit=10)
        newest = read.past_forecasts(connection, SYMBOL, TARGET, origin=date(2024, 3, 7), limit=1)
    told = [(str(row.origin_session.date()), row.horizon, json.loads(row.calibration)) for row in found.itertuples()]
    assert told == [("2024-03-04", 1, "2024-03-04"), ("2024-03-04", 2, "2024-03-04"), ("2024-03-06", 1, "issued last")]
    assert newest["horizon"].tolist() == [2, 1]
    assert found["split_factor"].tolist() == [1.0] * 3


def test_a_view_is_read_with_the_types_of_the_tables(database_url):
    with transaction(database_url) as connection:
        store_bars(connection, {"2024-03-08": 100.0}, seen="2024-03-08T21:00")
        found = read.view(connection, "bars", SYMBOL)
        assert read.view(connection, "bars", "KO").empty
    assert found["session"].tolist() == [pd.Timestamp("2024-03-08")]
    assert found["first_seen_at"].tolist() == [pd.Timestamp("2024-03-08T21:00Z")]
    assert found["settled"].tolist() == [False]
    assert tables.bar_versions.c.volume.name in found
