from dataclasses import replace
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forecasting.errors import StoreError
from forecasting.ingest.actions import make_actions
from forecasting.ingest.bars import nothing_fetched
from forecasting.ingest.revisions import Revision
from forecasting.store import read, schema, write
from tests.builders import EVE, LAST
from tests.store.rows import SYMBOL, at, bar_rows, event_frame, fetched, store_bars

DAYS = ["2024-03-04", "2024-03-05", "2024-03-06", "2024-03-07", "2024-03-08"]


def volumes(bars):
    return {day.date().isoformat(): volume for day, volume in bars["volume"].items()}


def test_bars_have_a_session_index_and_the_types_of_the_library(connection):
    volumes = {"2024-03-07": 80.0, "2024-03-08": float("nan")}
    store_bars(connection, volumes, seen="2024-03-08T21:00", settled=("2024-03-07",))
    bars = read.bars(connection, SYMBOL)
    prices = {"open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0}
    expected = pd.DataFrame(
        prices | {"volume": [80.0, np.nan], "version": 1, "settled": [True, False]},
        index=pd.DatetimeIndex(["2024-03-07", "2024-03-08"], name="session").astype(
            "datetime64[ns]"
        ),
    )
    pd.testing.assert_frame_equal(bars, expected)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    nights=st.lists(
        st.dictionaries(st.sampled_from(DAYS), st.integers(0, 9), min_size=1),
        min_size=1,
        max_size=6,
    ),
    days=st.integers(0, 7),
    minutes=st.sampled_from([-1, 0, 1]),
)
def test_bars_known_at_an_instant_are_the_versions_current_at_it(connection, nights, days, minutes):
    first = datetime.fromisoformat("2024-04-01T21:00+00:00")
    moment = first + timedelta(days=days, minutes=minutes)
    versions = dict.fromkeys(DAYS, 0)
    current = {}
    expected = {}
    with connection.begin_nested() as example:
        for night, received in enumerate(nights):
            seen = first + timedelta(days=night)
            changed = {day: float(new) for day, new in received.items() if current.get(day) != new}
            for day in changed:
                versions[day] += 1
            if changed:
                numbers = [versions[day] for day in sorted(changed)]
                brought = dict(sorted(changed.items()))
                store_bars(connection, brought, seen=seen.isoformat()[:19], version=numbers)
            current |= changed
            if seen <= moment:
                expected = dict(current)
        found = volumes(read.bars(connection, SYMBOL, known_at=moment))
        newest = volumes(read.bars(connection, SYMBOL))
        example.rollback()
    assert (found, newest) == (expected, current)


def test_a_bar_is_settled_only_from_its_settled_at_on(connection):
    store_bars(connection, {"2024-03-07": 80.0}, seen="2024-03-07T21:00")
    store_bars(connection, {"2024-03-08": 90.0}, seen="2024-03-08T21:00", settled=("2024-03-07",))
    for known_at, settled in (("2024-03-08T20:59", [False]), ("2024-03-08T21:00", [True, False])):
        assert read.bars(connection, SYMBOL, known_at=at(known_at))["settled"].tolist() == settled


def test_a_request_that_stored_no_bar_is_never_the_newest_fetch(connection):
    late = Revision("late", "no bar yet", bar_rows({}), [], make_actions([]), [])
    held = fetched(bar_rows({"2024-03-07": 1.0, "2024-03-08": 2.0}))
    store_bars(connection, {"2024-03-07": 80.0}, seen="2024-03-07T21:00")
    for verdict in schema.NO_BARS:
        failed = replace(late, verdict=verdict)
        response = (
            held if verdict == "late" else nothing_fetched("csv:SBUX.csv", SYMBOL, LAST, LAST)
        )
        about = {"fetch_id": verdict, "fetched_at": at("2024-03-08T21:00"), "run_id": None}
        write.add_fetch(connection, response, failed, **about)
    newest = read.newest_fetch(connection, SYMBOL)
    used = read.fetch_as_of(connection, SYMBOL, EVE, first=LAST, cutoff=at("2024-03-09T12:00"))
    with pytest.raises(StoreError, match="2024-03-08"):
        read.fetch_as_of(connection, SYMBOL, LAST, first=LAST, cutoff=at("2024-03-09T12:00"))
    assert newest is not None
    assert (newest["id"], used["id"]) == ("2024-03-07T21:00", "2024-03-07T21:00")


def test_a_past_night_uses_the_first_fetch_that_asked_for_all_its_sessions(connection):
    cutoff = at("2024-03-07T12:00")
    spans = {"2024-03-08T21:00": "2024-03-06", "2024-03-09T21:00": "2024-03-05"}
    for version, (seen, first) in enumerate(spans.items(), start=1):
        store_bars(connection, {first: 80.0, "2024-03-07": 80.0}, seen=seen, version=version)
    used = {
        first: read.fetch_as_of(connection, SYMBOL, EVE, first=first, cutoff=cutoff)["id"]
        for first in (date(2024, 3, 6), date(2024, 3, 5), date(2024, 3, 4))
    }
    assert list(used.values()) == ["2024-03-08T21:00", "2024-03-09T21:00", "2024-03-08T21:00"]


def dates(connection, known_at=None):
    frame = read.events(connection, SYMBOL, known_at=at(known_at) if known_at else None)
    return [
        tuple(str(value)[:10] for value in row) for row in frame.drop(columns="kind").to_numpy()
    ]


def test_a_withdrawn_event_is_valid_for_earlier_origins_and_as_of_earlier_instants(connection):
    old = "2024-05-01"
    new = "2024-05-08"
    first = pd.Timestamp("2024-04-01")
    then = pd.Timestamp("2024-04-12")
    rows = [
        (event_frame(old, known_from=first), "2024-04-02T10:30"),
        (event_frame(new, known_from=then), "2024-04-13T10:30"),
        (event_frame(old, "withdrawn", known_from=then), "2024-04-13T10:30"),
    ]
    for _ in range(2):  # a night run again adds nothing
        added = [
            write.add_events(connection, SYMBOL, row, source="yahoo", first_seen_at=at(when))
            for row, when in rows
        ]
        rows = rows[1:]
    assert added == [0, 0]
    assert dates(connection) == [
        ("2024-05-01", "2024-04-01", "2024-04-12"),
        ("2024-05-08", "2024-04-12", "NaT"),
    ]
    assert dates(connection, "2024-04-10T10:30") == [("2024-05-01", "2024-04-01", "NaT")]
