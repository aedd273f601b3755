"""What came of each symbol: how its newest night ended, and the forecast that is published now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime

from forecasting.pipeline.night import Night
from forecasting.pipeline.publish import symbol_lines
from forecasting.report.night_view import SymbolLine
from forecasting.report.prefect import Artifact, RunTimes, outcome_artifact
from forecasting.report.units import age, quantity
from forecasting.sessions import opens_at
from forecasting.settings import Settings
from forecasting.store import connect, read
from forecasting.store.connect import Connection


def newest_nights(settings: Settings, nights: Sequence[Night] = ()) -> list[SymbolLine]:
    """The newest night of each symbol of the settings, whatever came of it, and the forecast that is published now.

    Args:
        settings: Of the symbols.
        nights: Of this run; one that was refused has no row that says so.
    """
    failed = {night.symbol: night for night in nights if night.error is not None}
    with connect.reading(settings.url) as connection:
        published = [row for row in read.newest_nights(connection) if row["target"] == settings.target]
        of_symbols = [row for row in published if row["symbol"] in settings.symbols]
        lines = {line.symbol: line for line in symbol_lines(connection, of_symbols)}
        owns = [settings.for_symbol(symbol) for symbol in settings.symbols]
        return [_newest(connection, own, lines.get(own.symbols[0]), failed.get(own.symbols[0])) for own in owns]


def outcome_page(settings: Settings, nights: Sequence[SymbolLine], times: RunTimes) -> Artifact:
    """The page of a run on these nights."""
    with connect.reading(settings.url) as connection:
        durations = read.durations(connection, settings.symbols, settings.target)
    return outcome_artifact(nights, durations, times)


def done_sentence(settings: Settings, first: date, last: date) -> str:
    """How many of a span's sessions are done, symbol by symbol."""
    with connect.reading(settings.url) as connection:
        counts = {
            symbol: read.count_done(connection, symbol, settings.target, first=first, last=last)
            for symbol in settings.symbols
        }
    each = ", ".join(f"{symbol} {count}" for symbol, count in counts.items())
    return f"Sessions done between {first} and {last}: {each}."


def completed_sentence(settings: Settings, done: Sequence[str], first: date, last: date) -> str:
    """How many nights a catch-up has done, `done` having one text each; none where all had their forecasts."""
    names = ", ".join(settings.symbols)
    if not done:
        which = f"every session from {first} to {last}" if first < last else f"the session {first}"
        return f"{names}: {which} has its forecasts already; nothing was run."
    return f"{names}: {quantity(len(done), 'night')} completed between {first} and {last}."


def next_night_sentence(settings: Settings, targets: Sequence[str], due: datetime, *, now: datetime) -> str:
    """When the next night of the symbols starts, and which settings change that.

    Args:
        settings: Of the symbols and the schedule.
        targets: What the nights forecast.
        due: The next instant of the schedule, in the schedule's time zone.
        now: The present instant.
    """
    return (
        f"{', '.join(settings.symbols)} {', '.join(targets)}: the next night starts on {due:%A %Y-%m-%d at %H:%M %Z}, "
        f"in {age(now, due)}. FORECASTING_CRON is {settings.cron}, FORECASTING_TIMEZONE {settings.timezone}."
    )


def _newest(connection: Connection, own: Settings, line: SymbolLine | None, failed: Night | None) -> SymbolLine:
    symbol = own.symbols[0]
    run = read.newest_run(connection, symbol, own.target)
    if failed is not None and (run is None or run["status"] == "done"):
        run = {"as_of": failed.session, "status": "failed", "error": str(failed.error), "note": ""}
    if line is None:  # it has no forecast
        return SymbolLine(symbol, own.target, run)
    return replace(line, run=run, opens=opens_at(line.session, own.exchange))
