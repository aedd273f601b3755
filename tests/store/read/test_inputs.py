from dataclasses import replace
from datetime import date, timedelta
from functools import partial

import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forecasting.errors import StoreError
from forecasting.ingest.bar_rules import Finding
from forecasting.ingest.bars import no_bars
from forecasting.ingest.sources import Request, Response
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
    nothing = Response(Request("csv:SBUX.csv", SYMBOL, LAST, LAST), no_bars())
    for minute, verdict in enumerate(schema.NO_BARS):
        response = held if verdict == "late" else nothing
        change = replace(late, verdict=verdict)
        store_fetch(connection, response, change, seen=f"2024-03-08T21:{minute:02}")
    newest = read.newest_fetch(connection, SYMBOL)
    used = partial(read.fetch_as_of, connection, SYMBOL, first=LAST, cutoff=at("2024-03-09"))
    assert newest
    assert newest.id == used(EVE).id == "2024-03-07T21:00"
    with pytest.raises(StoreError, match="2024-03-08"):
        used(LAST)


def test_a_past_night_uses_the_first_fetch_that_asked_for_all_its_sessions(connection):
    spans = {"2024-03-08T21:00": "2024-03-06", "2024-03-09T21:00": "2024-03-05"}
    for version, (seen, first) in enumerate(spans.items(), start=1):
        store_bars(connection, {first: 80.0, "2024-03-07": 80.0}, seen=seen, version=version)
    used = partial(read.fetch_as_of, connection, SYMBOL, EVE, cutoff=at("2024-03-07T12:00"))
    found = {day: used(first=date(2024, 3, day)).id for day in (6, 5, 4)}
    assert found == {6: "2024-03-08T21:00", 5: "2024-03-09T21:00", 4: "2024-03-08T21:00"}


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
        return write.add_frame(connection, "events", event, symbol=SYMBOL, first_seen_at=at(seen))

    def dates(known_at):
        found = read.events(connection, SYMBOL, known_at=known_at).drop(columns="kind")
        return found.astype("string").fillna("").to_numpy().tolist()

    assert [added(*row) for row in rows] == [1, 1, 1]
    assert [added(*row) for row in rows[1:]] == [0, 0]  # a night run again
    assert dates(None) == [[old, "2024-04-01", "2024-04-12"], [new, "2024-04-12", ""]]
    assert dates(at("2024-04-10T10:30")) == [[old, "2024-04-01", ""]]


def store_other(connection, volumes, *, seen, symbol="KO", **changed):
    """A fetch of another symbol, of the same evenings."""
    response = fetched(bar_rows(volumes), symbol)
    store_fetch(connection, response, revision(bar_rows(volumes), **changed), seen=seen)


def test_the_newest_fetch_is_of_its_symbol_up_to_an_instant_and_of_a_run(connection):
    for version, seen in enumerate(("2024-03-07T21:00", "2024-03-08T21:00"), start=1):
        store_bars(connection, {"2024-03-07": 80.0}, seen=seen, version=version)
    store_other(connection, {"2024-03-07": 80.0}, seen="2024-03-09T21:00")
    write.update(connection, "fetches", "2024-03-07T21:00", {"run_id": "r"})

    def newest(**asked):
        found = read.newest_fetch(connection, SYMBOL, **asked)
        return found and found.id

    assert newest() == newest(known_at=at("2024-03-08T21:00")) == "2024-03-08T21:00"
    assert newest(known_at=at("2024-03-08T20:59")) == newest(run_id="r") == "2024-03-07T21:00"
    asked = {"first": EVE, "cutoff": at("2024-03-08T21:00")}
    assert read.fetch_as_of(connection, SYMBOL, EVE, **asked).id == "2024-03-08T21:00"
    with pytest.raises(StoreError):
        read.fetch_as_of(connection, SYMBOL, LAST, **asked)


def test_bars_and_the_symbol_that_shares_their_volumes_are_each_of_one_symbol(connection):
    store_bars(connection, {"2024-03-06": 1.0, "2024-03-07": 2.0}, seen="2024-03-07T21:00")
    store_other(connection, {"2024-03-07": 2.0, "2024-03-08": 3.0}, seen="2024-03-08T21:00")
    bars = read.bars(connection, SYMBOL)
    assert volumes(bars) == {"2024-03-06": 1.0, "2024-03-07": 2.0}
    assert volumes(read.bars(connection, SYMBOL, first=EVE, last=EVE)) == {"2024-03-07": 2.0}
    shared = partial(read.symbol_with, connection, bars["volume"])
    assert shared(least=1, besides=SYMBOL) == "KO"
    assert shared(least=2, besides="KO") == SYMBOL
    assert shared(least=2, besides=SYMBOL) is None


def test_a_finding_is_shown_from_its_fetch_until_the_one_that_clears_it(connection):
    zero = Finding(EVE, "zero_volume", "flag", 0.0, "No volume.")
    high = Finding(LAST, "above_high", "reject", 9.0, "Above the high.")
    nights = {"07": (zero,), "08": (high,), "09": ()}
    for version, (day, found) in enumerate(nights.items(), start=1):
        seen = f"2024-03-{day}T21:00"
        changed = {"version": version, "findings": found}
        store_bars(connection, {"2024-03-07": 80.0}, seen=seen, **changed)
    other = {"seen": "2024-03-08T22:00", "findings": (replace(zero, session=LAST),)}
    store_other(connection, {"2024-03-07": 80.0}, **other)
    cleared = sa.update(schema.findings).where(schema.finding.rule == "zero_volume")
    cleared = cleared.where(schema.finding.symbol == SYMBOL)
    connection.execute(cleared.values(cleared_at=at("2024-03-08T21:00")))
    shown = {day: [*read.findings(connection, f"2024-03-{day}T21:00")["rule"]] for day in nights}
    assert shown == {"07": ["zero_volume"], "08": ["above_high"], "09": ["above_high"]}

    def flagged(*, symbol=SYMBOL, first=EVE, minute=0):
        known_at = at("2024-03-07T21:00") - timedelta(minutes=minute)
        rules = ["zero_volume", "above_high"]
        asked = {"first": first, "last": LAST, "known_at": known_at}
        return read.newest_flag(connection, symbol, rules, **asked)

    assert flagged() == (EVE, "zero_volume")
    assert flagged(first=LAST) is flagged(minute=1) is flagged(symbol="KO") is None
    asked = {"first": EVE, "last": LAST, "known_at": at("2024-03-10")}
    rules = ["zero_volume", "above_high"]
    assert read.newest_flag(connection, SYMBOL, rules, **asked) == (EVE, "zero_volume")


def test_actions_are_of_one_symbol_and_a_dividend_changes_no_share_basis(connection):
    store_bars(connection, {"2024-03-07": 80.0}, seen="2024-03-07T21:00")
    action = {"session": EVE, "first_seen_at": at("2024-03-07T21:00")}
    action |= {"fetch_id": "2024-03-07T21:00", "value": 4.0}
    rows = [
        action | {"symbol": symbol, "kind": kind}
        for symbol, kind in ((SYMBOL, "dividend"), (SYMBOL, "split"), ("KO", "split"))
    ]
    restated = rows[1] | {"value": 5.0, "first_seen_at": at("2024-03-08T21:00")}
    write.add(connection, "corporate_actions", *rows, restated)
    found = read.actions(connection, SYMBOL)[["kind", "value"]].to_numpy().tolist()
    assert found == [["dividend", 4.0], ["split", 5.0]]


def test_event_rows_are_those_seen_by_an_instant(connection):
    for session, seen in (("2024-03-10", "2024-03-01"), ("2024-06-03", "2024-03-02")):
        write.add_frame(
            connection, "events", event_frame(session), symbol=SYMBOL, first_seen_at=at(seen)
        )
    asked = partial(read.event_rows, connection, SYMBOL)
    assert [len(asked(known_at=at(f"2024-03-0{day}"))) for day in (1, 2)] == [1, 2]
    assert len(asked(known_at=at("2024-02-29"))) == 0
