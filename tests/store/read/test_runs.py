from __future__ import annotations

from datetime import date

from forecasting.store import read, writes
from forecasting.store.database import transaction
from tests.store.rows import SYMBOL, TARGET, run_row


def test_the_newest_finished_night_is_the_newest_that_is_done(database_url):
    with transaction(database_url) as connection:
        for as_of, status in (("2024-03-05", "done"), ("2024-03-06", "done"), ("2024-03-07", "running")):
            writes.start_run(connection, run_row(as_of, as_of, status=status))
        assert read.newest_finished(connection, SYMBOL, TARGET) == date(2024, 3, 6)
        assert read.newest_finished(connection, SYMBOL, "close") is None
