from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from forecasting.pipeline.outcomes import (
    completed_sentence,
    done_sentence,
    newest_nights,
    next_night_sentence,
    outcome_page,
)
from forecasting.report.prefect import RunTimes
from forecasting.settings import Settings
from forecasting.store import connect
from forecasting.store.schema import metadata
from tests.pipeline.test_ledger_frames import fill, settings_of
from tests.store.rows import SYMBOL, run_row


def test_each_symbol_has_its_newest_night_whatever_came_of_it_and_the_published_forecast(sqlite_url: str) -> None:
    fill(sqlite_url)
    failed = run_row("r9", "2024-03-08", symbol="BAD", status="failed", error="no rows of BAD", note="")
    with connect.transaction(sqlite_url) as connection:
        connection.execute(metadata.tables["runs"].insert().values(failed))
    done, bad, new = newest_nights(settings_of(sqlite_url, SYMBOL, "BAD", "NEW"))
    assert (bad.symbol, bad.status, bad.reason, bad.tomorrow) == ("BAD", "failed", "no rows of BAD", None)
    assert (new.symbol, new.status, new.run) == ("NEW", "no night yet", None)
    assert (done.symbol, done.status, done.opens) == (SYMBOL, "done", datetime(2024, 3, 11, 13, 30, tzinfo=UTC))
    assert done.tomorrow is not None
    assert (done.tomorrow["target_session"].date(), done.tomorrow["q50"]) == (date(2024, 3, 11), 100.0)


def test_the_page_of_a_run_has_the_usual_durations_of_its_symbols_alone(sqlite_url: str) -> None:
    fill(sqlite_url)
    with connect.transaction(sqlite_url) as connection:
        connection.execute(metadata.tables["runs"].update().values(seconds_train=2.0))
        other = run_row("r9", "2024-03-08", symbol="OTHER", note="", seconds_train=500.0)
        connection.execute(metadata.tables["runs"].insert().values(other))
    settings, now = settings_of(sqlite_url), datetime(2024, 3, 8, 22, 0, tzinfo=UTC)
    page = outcome_page(settings, newest_nights(settings), RunTimes(now, now, now))
    assert page.key == "outcomes-volume"
    rows = [line.replace("\N{NO-BREAK SPACE}", " ") for line in str(page.body).splitlines()]
    assert "| train | 2.0 s | 2.0 s | 2.0 s |  |" in rows


def test_the_sessions_done_are_counted_by_symbol_within_the_span(sqlite_url: str) -> None:
    settings = settings_of(sqlite_url, SYMBOL, "BAD")
    nights = [run_row("r1", "2024-03-05"), run_row("r2", "2024-03-06"), run_row("r3", "2024-03-08")]
    nights += [run_row("r4", "2024-03-06", source="yahoo"), run_row("r5", "2024-03-06", symbol="BAD", status="failed")]
    with connect.transaction(sqlite_url) as connection:
        connection.execute(metadata.tables["runs"].insert(), [{"note": "", **night} for night in nights])
    shown = done_sentence(settings, date(2024, 3, 5), date(2024, 3, 7))
    assert shown == "Sessions done between 2024-03-05 and 2024-03-07: SBUX 2, BAD 0."


def test_the_next_night_is_named_with_its_time_zone_and_the_settings_that_change_it(sqlite_url: str) -> None:
    due = datetime(2024, 3, 12, 5, 30, tzinfo=ZoneInfo("America/New_York"))
    shown = next_night_sentence(settings_of(sqlite_url, SYMBOL, "MSFT"), due, now=due - timedelta(hours=7))
    assert shown == (
        "SBUX, MSFT volume: the next night starts on Tuesday 2024-03-12 at 05:30 EDT, in 7 h. "
        "FORECASTING_CRON is 30 5-8 * * 2-6, FORECASTING_TIMEZONE America/New_York."
    )


def test_a_catch_up_without_work_says_so() -> None:
    settings, span = Settings(symbols=(SYMBOL, "MSFT")), (date(2024, 3, 7), date(2024, 3, 8))
    assert completed_sentence(settings, [], *span) == (
        "SBUX, MSFT: every session from 2024-03-07 to 2024-03-08 has its forecasts already; nothing was run."
    )
    assert completed_sentence(settings, [], span[0], span[0]) == (
        "SBUX, MSFT: the session 2024-03-07 has its forecasts already; nothing was run."
    )
    assert completed_sentence(settings, ["x"], *span) == (
        "SBUX, MSFT: 1 night completed between 2024-03-07 and 2024-03-08."
    )
    assert "SBUX, MSFT: 4 nights completed" in completed_sentence(settings, ["x"] * 4, *span)
