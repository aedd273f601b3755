"""Rows of the future are refused, and set aside with all that hangs on them, or not at all."""

from datetime import date, timedelta

import pytest

from forecasting.errors import StoreError, UsageError
from forecasting.ingest.bar_rules import Finding
from forecasting.store import future, read, write
from forecasting.store.connect import is_sqlite, reading, sqlite_path, transaction
from forecasting.store.future import check_clock, set_aside
from tests.nights import killed
from tests.store.rows import (
    SYMBOL,
    add_scores,
    at,
    bar_rows,
    event_frame,
    fetched,
    forecast_row,
    model_row,
    part_rows,
    revision,
    run_row,
    score_row,
    total_row,
)
from tests.store.test_write import MARGIN, a_night, every_row

NOW = at("2024-04-02T10:30")
AHEAD = at("2090-04-02T10:30")
"""Ahead of the server's clock too, which counts on Postgres."""


def a_night_ahead(connection):
    """Rows in all tables but metrics by a clock that is ahead, and what they change of others."""
    versions = bar_rows({"2024-03-07": 81.0}, version=2)
    found = Finding(date(2024, 3, 8), "low_volume", "flag", 1.0, "half of usual")
    change = revision(versions, settled=("2024-03-08",), findings=(found,))
    response = fetched(bar_rows({"2024-03-07": 81.0, "2024-03-08": 90.0}))
    write.add_fetch(connection, response, change, fetch_id="f2", fetched_at=AHEAD, run_id="r2")
    write.add_frame(
        connection, "events", event_frame("2024-08-01"), symbol=SYMBOL, first_seen_at=AHEAD
    )
    write.add(connection, "runs", run_row("r2", "2024-03-08", started_at=AHEAD))
    write.add(connection, "models", model_row("m2", created_at=AHEAD))
    write.add(connection, "weights", {"model_id": "m2", "card": "{}", "tensors": b"\0"})
    forecast = forecast_row("m2", "2024-03-08", run_id="r2", fetch_id="f2", issued_at=AHEAD)
    write.add(connection, "forecasts", forecast)
    write.add(connection, "forecast_parts", *part_rows(forecast, usual=50.0))
    write.add(connection, "fallback_margins", MARGIN | {"run_id": "r2"})
    write.add(connection, "total_forecasts", total_row(forecast))
    of_before = forecast_row("m1", "2024-03-07")
    restated = {"bar_version": 2, "scored_at": AHEAD}
    add_scores(connection, [score_row(of_before, **restated), score_row(forecast)])
    write.add(connection, "total_scores", score_row(of_before, **restated), score_row(forecast))


@pytest.fixture
def before(database_url):
    """What was in the ledger before a night by a clock that was ahead."""
    with transaction(database_url) as connection:
        a_night(connection)
        before = every_row(connection)
        a_night_ahead(connection)
    return before


def rows(url):
    with reading(url) as connection:
        return every_row(connection)


def test_a_ledger_is_as_before_once_the_rows_of_the_future_are_set_aside(database_url, before):
    left = rows(database_url)
    same = {name for name in before if left[name] == before[name]}
    assert same == {"corporate_actions", "metrics"}
    with pytest.raises(StoreError):
        check_clock(database_url, NOW)
    said = set_aside(database_url, NOW, is_backed_up=True)
    assert rows(database_url) == before
    check_clock(database_url, NOW)
    if is_sqlite(database_url):
        (copy,) = sqlite_path(database_url).parent.glob("forecasting.db.2024*")
        assert str(copy) in said
        assert rows(f"sqlite:///{copy}") == left
    set_aside(database_url, NOW + timedelta(minutes=1), is_backed_up=True)
    assert rows(database_url) == before


def test_a_kill_while_rows_are_set_aside_leaves_all_of_them(database_url, before, monkeypatch):
    left = rows(database_url)
    monkeypatch.setattr(future, "write_standings", killed)
    with pytest.raises(KeyboardInterrupt):
        set_aside(database_url, NOW, is_backed_up=True)
    assert rows(database_url) == left


def test_a_night_that_began_before_and_ended_by_a_clock_that_was_ahead_is_to_be_completed(
    database_url, before
):
    with transaction(database_url) as connection:
        write.update(connection, "runs", "r1", {"finished_at": AHEAD})
    set_aside(database_url, NOW, is_backed_up=True)
    with reading(database_url) as connection:
        assert list(read.running(connection)) == ["r1"]
    assert rows(database_url)["forecasts"] == before["forecasts"]


@pytest.mark.usefixtures("before")
def test_without_a_backup_or_by_a_clock_that_is_behind_its_newest_bar_nothing_is_set_aside(
    database_url,
):
    left = rows(database_url)
    of_2020 = at("2020-01-01T00:00")
    with pytest.raises(UsageError, match="2024-03-08" if is_sqlite(database_url) else "pg_dump"):
        set_aside(database_url, of_2020, is_backed_up=False)
    assert rows(database_url) == left


def test_no_run_begins_by_a_clock_that_is_ahead_of_the_servers(postgres_url):
    check_clock(postgres_url, NOW)
    with pytest.raises(StoreError, match="2090-04-02"):
        check_clock(postgres_url, AHEAD)
