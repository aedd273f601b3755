from dataclasses import replace
from datetime import date, timedelta
from functools import partial

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forecasting.errors import StoreError
from forecasting.ingest.bars import nothing_fetched
from forecasting.store import read, schema, write
from tests.builders import EVE, LAST
from tests.store.rows import (
    SYMBOL,
    at,
    bar_rows,
    event_frame,
    fetched,
    revision,
    store_bars,
    store_fetch,
)

DAYS = ["2024-03-04", "2024-03-05", "2024-03-06", "2024-03-07", "2024-03-08"]


def volumes(bars):
    return {day.date().isoformat(): volume for day, volume in bars["volume"].items()}


def test_bars_have_a_session_index_and_the_types_of_the_library(connection):
    volumes = {"2024-03-07": 80.0, "2024-03-08": float("nan")}
    store_bars(connection, volumes, seen="2024-03-08T21:00", settled=("2024-03-07",))
    expected = bar_rows(volumes).assign(settled=[True, False]).set_index("session")
    names = ["open", "high", "low", "close", "volume", "version", "settled"]
    pd.testing.assert_frame_equal(read.bars(connection, SYMBOL), expected[names])


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
    first = at("2024-04-01T21:00")
    moment = first + timedelta(days=days, minutes=minutes)
    versions = dict.fromkeys(DAYS, 0)
    current = {}
    expected = {}
    with connection.begin_nested() as example:
        for night, received in enumerate(nights):
            seen = first + timedelta(days=night)
            changed = {day: new for day, new in sorted(received.items()) if current.get(day) != new}
            for day in changed:
                versions[day] += 1
            if changed:
                numbers = [versions[day] for day in changed]
                store_bars(connection, changed, seen=seen.isoformat()[:19], version=numbers)
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
    store_bars(connection, {"2024-03-07": 80.0}, seen="2024-03-07T21:00")
    late = revision(bar_rows({}))
    held = fetched(bar_rows({"2024-03-07": 1.0, "2024-03-08": 2.0}))
    nothing = nothing_fetched("csv:SBUX.csv", SYMBOL, LAST, LAST)
    for minute, verdict in enumerate(schema.NO_BARS):
        response = held if verdict == "late" else nothing
        change = replace(late, verdict=verdict)
        store_fetch(connection, response, change, seen=f"2024-03-08T21:{minute:02}")
    newest = read.newest_fetch(connection, SYMBOL)
    used = partial(read.fetch_as_of, connection, SYMBOL, first=LAST, cutoff=at("2024-03-09"))
    assert newest
    assert newest["id"] == used(EVE)["id"] == "2024-03-07T21:00"
    with pytest.raises(StoreError, match="2024-03-08"):
        used(LAST)


def test_a_past_night_uses_the_first_fetch_that_asked_for_all_its_sessions(connection):
    spans = {"2024-03-08T21:00": "2024-03-06", "2024-03-09T21:00": "2024-03-05"}
    for version, (seen, first) in enumerate(spans.items(), start=1):
        store_bars(connection, {first: 80.0, "2024-03-07": 80.0}, seen=seen, version=version)
    used = partial(read.fetch_as_of, connection, SYMBOL, EVE, cutoff=at("2024-03-07T12:00"))
    found = {day: used(first=date(2024, 3, day))["id"] for day in (6, 5, 4)}
    assert found == {6: "2024-03-08T21:00", 5: "2024-03-09T21:00", 4: "2024-03-08T21:00"}


def test_a_night_uses_the_newest_fetch_in_time_that_has_its_session(connection):
    for version, day in enumerate(("07", "08", "09"), start=1):
        seen = f"2024-03-{day}T21:00"
        store_bars(connection, {"2024-03-07": 80.0}, seen=seen, version=version)
    cutoff = at("2024-03-08T22:00")
    used = read.fetch_as_of(connection, SYMBOL, EVE, first=LAST, cutoff=cutoff)
    assert used["id"] == "2024-03-08T21:00"


def test_a_withdrawn_event_is_valid_for_earlier_origins_and_as_of_earlier_instants(connection):
    old = "2024-05-01"
    new = "2024-05-08"
    rows = [
        (old, "seen", "2024-04-01", "2024-04-02T10:30"),
        (new, "seen", "2024-04-12", "2024-04-13T10:30"),
        (old, "withdrawn", "2024-04-12", "2024-04-13T10:30"),
    ]

    def added(session, rule, known_from, seen):
        event = event_frame(session, rule, known_from=pd.Timestamp(known_from))
        return write.add_events(connection, SYMBOL, event, source="yahoo", first_seen_at=at(seen))

    def dates(known_at):
        found = read.events(connection, SYMBOL, known_at=known_at).drop(columns="kind")
        return found.astype("string").fillna("").to_numpy().tolist()

    assert [added(*row) for row in rows] == [1, 1, 1]
    assert [added(*row) for row in rows[1:]] == [0, 0]  # a night run again
    assert dates(None) == [[old, "2024-04-01", "2024-04-12"], [new, "2024-04-12", ""]]
    assert dates(at("2024-04-10T10:30")) == [[old, "2024-04-01", ""]]
