"""Rows of the future stop every run."""

import pytest

from forecasting.errors import StoreError
from forecasting.store import write
from forecasting.store.connect import transaction
from forecasting.store.future import check_clock
from tests.store.rows import at, bar_rows, fetched, revision, run_row

NOW = at("2024-04-02T10:30")
AHEAD = at("2090-04-02T10:30")
"""Ahead of the server's clock too, which counts on Postgres."""


def a_fetch_ahead(connection):
    bars = bar_rows({"2024-03-07": 81.0})
    about = {"fetch_id": "f1", "fetched_at": AHEAD, "run_id": "r1"}
    write.add_fetch(connection, fetched(bars), revision(bars), **about)


def a_night_ahead(connection):
    write.add(connection, "runs", run_row("r1", "2090-04-02"))


@pytest.mark.parametrize("write_ahead", [a_fetch_ahead, a_night_ahead])
def test_no_run_begins_while_a_request_or_a_night_is_ahead_of_the_clock(database_url, write_ahead):
    check_clock(database_url, NOW)
    with transaction(database_url) as connection:
        write_ahead(connection)
    with pytest.raises(StoreError, match="2090-04-02"):
        check_clock(database_url, NOW)


def test_no_run_begins_by_a_clock_that_is_ahead_of_the_servers(postgres_url):
    check_clock(postgres_url, NOW)
    with pytest.raises(StoreError, match="2090-04-02"):
        check_clock(postgres_url, AHEAD)
