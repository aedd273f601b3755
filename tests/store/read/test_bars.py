from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forecasting.ingest.actions import make_actions
from forecasting.store import read, write
from forecasting.store.connect import transaction
from tests.store.rows import SYMBOL, at, fetched, revision, store_bars

DAYS = ["2024-03-04", "2024-03-05", "2024-03-06", "2024-03-07", "2024-03-08"]


def volumes(bars: pd.DataFrame) -> dict[str, float]:
    return {day.date().isoformat(): volume for day, volume in bars["volume"].items()}


def test_bars_have_a_session_index_and_the_types_of_the_library(database_url):
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


def test_bars_end_at_the_requested_last_session(database_url):
    with transaction(database_url) as connection:
        store_bars(connection, dict.fromkeys(DAYS, 1.0), seen="2024-03-08T21:00")
        assert list(volumes(read.bars(connection, SYMBOL, last=date(2024, 3, 6)))) == DAYS[:3]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    nights=st.lists(st.dictionaries(st.sampled_from(DAYS), st.integers(0, 9), min_size=1), min_size=1, max_size=6),
    days=st.integers(0, 7),
    minutes=st.sampled_from([-1, 0, 1]),
)
def test_bars_known_at_an_instant_are_the_versions_current_at_it(sqlite_url, nights, days, minutes):
    first = datetime.fromisoformat("2024-04-01T21:00+00:00")
    moment = first + timedelta(days=days, minutes=minutes)
    current: dict[str, tuple[int, int]] = {}
    expected: dict[str, float] = {}
    with transaction(sqlite_url) as connection:
        for night, received in enumerate(nights):
            seen = first + timedelta(days=night)
            changed = {day: volume for day, volume in received.items() if current.get(day, (0, -1))[1] != volume}
            current |= {day: (current.get(day, (0, -1))[0] + 1, volume) for day, volume in changed.items()}
            versions = pd.DataFrame(
                {
                    "session": pd.to_datetime(sorted(changed)),
                    "version": [current[day][0] for day in sorted(changed)],
                    **dict.fromkeys(("open", "high", "low", "close"), 1.0),
                    "volume": [current[day][1] for day in sorted(changed)],
                }
            )
            response = fetched(versions.assign(volume=1.0)) if len(versions) else None
            if response is not None:
                change = revision(versions)
                write.add_fetch(connection, response, change, fetch_id=f"f{night}", fetched_at=seen, run_id=None)
            if seen <= moment:
                expected = {day: float(volume) for day, (_, volume) in current.items()}
        found = volumes(read.bars(connection, SYMBOL, known_at=moment))
        newest = volumes(read.bars(connection, SYMBOL))
        connection.rollback()
    assert found == dict(sorted(expected.items()))
    assert newest == {day: float(volume) for day, (_, volume) in sorted(current.items())}


def test_a_bar_is_settled_only_from_its_settled_at_on(database_url):
    with transaction(database_url) as connection:
        store_bars(connection, {"2024-03-07": 80.0}, seen="2024-03-07T21:00")
        store_bars(connection, {"2024-03-08": 90.0}, seen="2024-03-08T21:00", settled=("2024-03-07",))
        for known_at, settled in (("2024-03-08T20:59", [False]), ("2024-03-08T21:00", [True, False])):
            assert read.bars(connection, SYMBOL, known_at=at(known_at))["settled"].tolist() == settled


def test_an_action_has_its_newest_value(database_url):
    with transaction(database_url) as connection:
        for seen, value in (("2024-03-07T21:00", 0.5), ("2024-03-08T21:00", 0.57)):
            actions = make_actions([("2024-03-06", "dividend", value)])
            store_bars(connection, {seen[:10]: 1.0}, seen=seen, actions=actions)
        assert read.actions(connection, SYMBOL)["value"].tolist() == [0.57]


def test_first_prints_are_the_lowest_versions_within_the_span(database_url):
    with transaction(database_url) as connection:
        store_bars(connection, {"2024-03-06": 1.0, "2024-03-07": 2.0, "2024-03-08": 3.0}, seen="2024-03-08T21:00")
        store_bars(connection, {"2024-03-07": 5.0}, seen="2024-03-09T21:00", version=2)
        found = read.first_prints(connection, SYMBOL, first=date(2024, 3, 7), last=date(2024, 3, 8))
    assert found["volume"].tolist() == [2.0, 3.0]


def test_first_prints_are_on_todays_share_basis(database_url):
    split = make_actions([("2024-03-08", "split", 2.0)])
    with transaction(database_url) as connection:
        store_bars(connection, {"2024-03-06": 50.0, "2024-03-07": 100.0}, seen="2024-03-07T21:00")
        store_bars(connection, {"2024-03-06": 101.0, "2024-03-07": 200.0}, seen="2024-03-08T21:00", version=2)
        store_bars(connection, {"2024-03-08": 210.0}, seen="2024-03-08T21:30", actions=split)
        found = read.first_prints(connection, SYMBOL, first=date(2024, 3, 6), last=date(2024, 3, 8))
        assert len(read.first_prints(connection, SYMBOL, first=date(2024, 4, 1), last=date(2024, 4, 2))) == 0
    assert found["volume"].tolist() == [100.0, 200.0, 210.0]
    assert found["close"].tolist() == [5.5, 5.5, 11.0]
