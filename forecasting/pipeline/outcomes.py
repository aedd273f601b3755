"""What came of each symbol: how its newest night ended, and the forecast that is published now."""

from __future__ import annotations

from datetime import date, datetime

from forecasting.errors import StoreError
from forecasting.report.json_text import rounded
from forecasting.report.night_text import age
from forecasting.settings import Settings
from forecasting.store import database, read
from forecasting.store.database import Connection


def outcome_rows(settings: Settings) -> list[dict[str, object]]:
    """A row a symbol of the settings, those whose newest night is not done before the others."""
    with database.reading(settings.url) as connection:
        rows = [_row(connection, symbol, settings.target) for symbol in settings.symbols]
    return sorted(rows, key=lambda row: row["status"] == "done")


def done_sentence(settings: Settings, first: date, last: date) -> str:
    """How many of a span's sessions are done, symbol by symbol."""
    with database.reading(settings.url) as connection:
        counts = {
            symbol: read.count_done(connection, symbol, settings.target, first=first, last=last)
            for symbol in settings.symbols
        }
    each = ", ".join(f"{symbol} {count}" for symbol, count in counts.items())
    return f"Sessions done between {first} and {last}: {each}."


def next_night_sentence(settings: Settings, due: datetime, *, now: datetime) -> str:
    """When the next night of the symbols starts, and which settings change that.

    Args:
        settings: Of the symbols and the schedule.
        due: The next instant of the schedule, in the schedule's time zone.
        now: The present instant.
    """
    return (
        f"{', '.join(settings.symbols)} {settings.target}: the next night starts on {due:%A %Y-%m-%d at %H:%M %Z}, in "
        f"{age(now, due)}. FORECASTING_CRON is {settings.cron}, FORECASTING_TIMEZONE {settings.timezone}."
    )


def _row(connection: Connection, symbol: str, target: str) -> dict[str, object]:
    run = read.newest_run(connection, symbol, target)
    row: dict[str, object] = {
        "symbol": symbol,
        "night": str(run["as_of"]) if run else "",
        "status": run["status"] if run else "no night yet",
        "reason": (run["error"] or run["note"]) if run else "",
    }
    try:
        published = read.published(connection, symbol, target).iloc[0]
    except StoreError:  # it has no forecast
        return row | {"forecast_for": "", "median": "", "low_80": "", "high_80": "", "published": ""}
    return row | {
        "forecast_for": f"{published['target_session']:%Y-%m-%d}",
        "median": rounded(float(published["q50"])),
        "low_80": rounded(float(published["q10"])),
        "high_80": rounded(float(published["q90"])),
        "published": f"{published['kind']}, {published['status']}",
    }
