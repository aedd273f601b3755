from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from forecasting.errors import DataLateError, StoreError
from forecasting.pipeline.night_run import NightRun, NightSpec, night_run
from forecasting.pipeline.retry import Attempt, first_attempt, missing_bar_note, next_attempt, waited_note, waiting_note
from forecasting.pipeline.run_row import (
    close_nights,
    mark_failed,
    mark_late,
    mark_waiting,
    note_bar,
    note_wait,
    open_run,
)
from forecasting.settings import read_settings
from forecasting.store import database, read
from tests.builders import LAST

MORNING = datetime(2024, 3, 9, 10, 30, tzinfo=UTC)
CALENDAR, WITNESS = "The calendar ends soon: pip install --upgrade", "Witness house: nothing was compared."


@pytest.fixture
def waiting(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> tuple[NightRun, Attempt]:
    """A night that waits since one request, as its row says, and its next attempt."""
    monkeypatch.setenv("FORECASTING_DATABASE_URL", sqlite_url)
    settings = read_settings()
    night = NightSpec("SBUX", LAST, "volume", "yahoo")
    attempt = next_attempt(
        first_attempt([night], settings, now=MORNING, unattended=True), DataLateError("No bar."), now=MORNING
    )
    assert attempt is not None
    run = night_run(night, settings, now=lambda: MORNING)
    mark_waiting(run, waiting_note(attempt, run.settings))
    assert noted(run) == ("late", "No bar. Retrying until 09:00 America/New_York.")
    return run, attempt


def noted(run: NightRun) -> tuple[str, str]:
    with database.reading(run.settings.url) as connection:
        row = read.run(connection, run.id)
    assert row is not None
    return row["status"], row["note"]


def store_bars(run: NightRun) -> None:
    """Note what ingest and the witness do, once each."""
    for note in (CALENDAR, WITNESS):
        with database.transaction(run.settings.url) as connection:
            open_run(connection, run, started_at=MORNING, note=note)


def test_a_night_that_waited_keeps_what_was_noted_with_its_bar_and_a_rerun_notes_nothing_twice(
    waiting: tuple[NightRun, Attempt],
) -> None:
    run, attempt = waiting
    waited = waited_note(attempt, run.settings, now=attempt.due)
    assert waited == "Waited for its bar from 05:30 to 05:50 America/New_York; 2 requests."
    for _ in range(2):
        store_bars(run)
        note_wait(run, waited)
        assert noted(run) == ("running", f"{waited} {CALENDAR} {WITNESS}")
    mark_waiting(run, waiting_note(attempt, run.settings))  # run again, it waits again
    store_bars(run)
    note_wait(run, waited)
    assert noted(run) == ("running", f"{waited} {CALENDAR} {WITNESS}")


def test_a_night_whose_process_was_killed_while_it_waited_no_longer_says_so_once_its_bar_is_there(
    waiting: tuple[NightRun, Attempt],
) -> None:
    run, _ = waiting
    store_bars(run)
    assert noted(run) == ("running", f"{CALENDAR} {WITNESS}")


def test_a_night_whose_bar_did_not_come_keeps_what_was_noted_with_its_older_bars_until_it_comes(
    waiting: tuple[NightRun, Attempt],
) -> None:
    run, attempt = waiting
    for hour in (14, 15):  # the second: run again by a process that was killed
        store_bars(run)
        now, error = datetime(2024, 3, 9, hour, tzinfo=UTC), DataLateError("No bar.")
        missing = missing_bar_note(attempt, error, date(2024, 3, 7), run.settings, now=now)
        mark_late(run, missing)
        assert noted(run) == ("late", f"{missing} {CALENDAR} {WITNESS}")
    store_bars(run)
    with database.transaction(run.settings.url) as connection:
        note_bar(connection, run)
    later = "The bar of 2024-03-08 was not available by 10:00 America/New_York; its bar came later."
    assert noted(run) == ("running", f"{later} {CALENDAR} {WITNESS}")


def test_a_run_that_fails_after_another_completed_its_night_leaves_it_done(
    waiting: tuple[NightRun, Attempt],
) -> None:
    run, _ = waiting  # its lock was lost with the connection, and the other run began
    lost = StoreError("The database cannot be reached.")
    mark_failed(run, lost)
    assert noted(run)[0] == "failed"
    close_nights([run])
    mark_failed(run, lost)
    assert noted(run)[0] == "done"
