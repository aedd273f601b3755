from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from forecasting.errors import StoreError
from forecasting.ingest.actions import make_actions
from forecasting.ingest.bars import nothing_fetched
from forecasting.ingest.revisions import Revision
from forecasting.store import read, schema, write
from forecasting.store.connect import transaction
from tests.store.rows import SYMBOL, at, bar_rows, fetched, store_bars

LAST_DAY = date(2024, 3, 8)


def test_a_request_that_stored_no_bar_is_never_the_newest_fetch(database_url):
    late = Revision("late", "no bar yet", bar_rows({}), [], make_actions([]), [])
    held = fetched(bar_rows({"2024-03-07": 1.0, "2024-03-08": 2.0}))
    with transaction(database_url) as connection:
        store_bars(connection, {"2024-03-07": 80.0}, seen="2024-03-07T21:00")
        for verdict in schema.NO_BARS:
            failed = replace(late, verdict=verdict)
            response = held if verdict == "late" else nothing_fetched("csv:SBUX.csv", SYMBOL, LAST_DAY, LAST_DAY)
            write.add_fetch(
                connection, response, failed, fetch_id=verdict, fetched_at=at("2024-03-08T21:00"), run_id=None
            )
        newest = read.newest_fetch(connection, SYMBOL)
        used = read.fetch_as_of(connection, SYMBOL, date(2024, 3, 7), first=LAST_DAY, cutoff=at("2024-03-09T12:00"))
        with pytest.raises(StoreError, match="2024-03-08"):
            read.fetch_as_of(connection, SYMBOL, LAST_DAY, first=LAST_DAY, cutoff=at("2024-03-09T12:00"))
    assert newest is not None
    assert (newest["id"], used["id"]) == ("2024-03-07T21:00", "2024-03-07T21:00")


def test_a_past_night_uses_the_first_fetch_that_asked_for_all_its_sessions(database_url):
    cutoff, spans = at("2024-03-07T12:00"), {"2024-03-08T21:00": "2024-03-06", "2024-03-09T21:00": "2024-03-05"}
    with transaction(database_url) as connection:
        for version, (seen, first) in enumerate(spans.items(), start=1):
            store_bars(connection, {first: 80.0, "2024-03-07": 80.0}, seen=seen, version=version)
        used = {
            first: read.fetch_as_of(connection, SYMBOL, date(2024, 3, 7), first=first, cutoff=cutoff)["id"]
            for first in (date(2024, 3, 6), date(2024, 3, 5), date(2024, 3, 4))
        }
    assert list(used.values()) == ["2024-03-08T21:00", "2024-03-09T21:00", "2024-03-08T21:00"]
