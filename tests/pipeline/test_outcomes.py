from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from forecasting.pipeline.outcomes import done_sentence, next_night_sentence, outcome_rows
from forecasting.settings import Settings
from forecasting.store import database
from forecasting.store.tables import metadata
from tests.pipeline.test_ledger_frames import fill, settings_of
from tests.store.rows import SYMBOL, run_row


def test_each_symbol_has_a_row_with_its_newest_night_and_the_failed_ones_come_first(sqlite_url: str) -> None:
    fill(sqlite_url)
    settings: Settings = settings_of(sqlite_url, SYMBOL, "BAD", "NEW")
    failed = run_row("r9", "2024-03-08", symbol="BAD", status="failed", error="no rows of BAD", note="")
    with database.transaction(sqlite_url) as connection:
        connection.execute(metadata.tables["runs"].insert().values(failed))
    bad, new, done = outcome_rows(settings)
    assert (bad["symbol"], bad["status"], bad["reason"], bad["median"]) == ("BAD", "failed", "no rows of BAD", "")
    assert (new["symbol"], new["status"], new["night"]) == ("NEW", "no night yet", "")
    assert (done["symbol"], done["status"], done["median"]) == (SYMBOL, "done", 100.0)
    assert {tuple(row) for row in (bad, new)} == {tuple(done)}


def test_the_sessions_done_are_counted_by_symbol_within_the_span(sqlite_url: str) -> None:
    settings = settings_of(sqlite_url, SYMBOL, "BAD")
    nights = [run_row("r1", "2024-03-05"), run_row("r2", "2024-03-06"), run_row("r3", "2024-03-08")]
    nights += [run_row("r4", "2024-03-06", source="yahoo"), run_row("r5", "2024-03-06", symbol="BAD", status="failed")]
    with database.transaction(sqlite_url) as connection:
        connection.execute(metadata.tables["runs"].insert(), [{"note": "", **night} for night in nights])
    shown = done_sentence(settings, date(2024, 3, 5), date(2024, 3, 7))
    assert shown == "Sessions done between 2024-03-05 and 2024-03-07: SBUX 2, BAD 0."


def test_the_next_night_is_named_with_its_time_zone_and_the_settings_that_change_it(sqlite_url: str) -> None:
    due = datetime(2024, 3, 12, 5, 30, tzinfo=ZoneInfo("America/New_York"))
    shown = next_night_sentence(settings_of(sqlite_url, SYMBOL, "MSFT"), due, now=due - timedelta(hours=7))
    assert shown == (
        "SBUX, MSFT volume: the next night starts on Tuesday 2024-03-12 at 05:30 EDT, in 7 h. "
        "FORECASTING_CRON is 30 5 * * 2-6, FORECASTING_TIMEZONE America/New_York."
    )
