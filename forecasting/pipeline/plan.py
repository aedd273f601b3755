"""Which nights are to do, and in words why there are none."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta

from forecasting.errors import ForecastingError, UsageError
from forecasting.pipeline.night_run import NightRun, NightSpec, check_closed
from forecasting.sessions import between, is_session, last_completed, next_sessions, span, today
from forecasting.settings import Settings
from forecasting.store import database, read
from forecasting.vocabulary import Clock, Mode

logger = logging.getLogger("forecasting.night")


def planned_nights(
    settings: Settings, *, as_of: date | None, mode: Mode, now: Clock
) -> tuple[list[list[NightSpec]], list[ForecastingError]]:
    """Each symbol's nights, oldest first, and the error of each symbol that has none."""
    nights: list[list[NightSpec]] = []
    failed: list[ForecastingError] = []
    for symbol in settings.symbols:
        try:
            nights.append(missed_nights(symbol, settings.for_symbol(symbol), as_of=as_of, mode=mode, now=now))
        except ForecastingError as error:  # one symbol's error is not the next one's
            logger.error("%s: %s", symbol, error)
            failed.append(error)
    return nights, failed


def missed_nights(symbol: str, settings: Settings, *, as_of: date | None, mode: Mode, now: Clock) -> list[NightSpec]:
    """The nights to work off, oldest first: the one asked for, or every session since the newest finished night.

    Finished, not forecast: a night that was cut off after its forecasts still owes its scores and its decision.

    Raises:
        UsageError: `as_of` is no trading session.
    """
    if as_of is not None:
        check_session(as_of, settings.exchange, now=now)
        return [_spec(symbol, as_of, settings, mode=mode, trigger="run")]
    last = newest_session(symbol, settings, now=now)
    with database.reading(settings.url) as connection:
        finished = read.newest_finished(connection, symbol, settings.target)
    missed = between(finished, last, settings.exchange)[1:] if finished else []
    return [_spec(symbol, session, settings, mode=mode, trigger="schedule") for session in missed or [last]]


def nights_of_span(symbol: str, settings: Settings, first: date, last: date, *, refit_every: int) -> list[NightSpec]:
    """One night a session, every `refit_every`-th with a fit; counted from `first`, so that a second start agrees.

    A night of a session that has not closed is refused when its `NightRun` is made.
    """
    return [
        _spec(symbol, session, settings, mode="auto" if place % refit_every == 0 else "skip", trigger="catch-up")
        for place, session in enumerate(between(first, last, settings.exchange))
    ]


def oldest_missed(each: Sequence[Settings], last: date) -> date:
    """The first session after the newest finished night of the symbol that is furthest behind, or `last` itself.

    Args:
        each: The settings of each symbol, as `Settings.for_symbol` makes them.
        last: Newest session.
    """
    with database.reading(each[0].url) as connection:
        finished = [(read.newest_finished(connection, own.symbols[0], own.target), own.exchange) for own in each]
    return min([last, *(next_sessions(session, 1, exchange)[0] for session, exchange in finished if session)])


def check_session(day: date, exchange: str, *, now: Clock) -> None:
    """Refuse a day that is not traded, and a session that has not closed.

    Raises:
        UsageError: Names the day and the session before it, or the newest one that has closed.
    """
    first, last = span(exchange)
    if not first <= day <= last:
        raise UsageError(
            f"Expected a session of {exchange} between {first} and {last}, found {day}. Name one of these."
        )
    if not is_session(day, exchange):
        before = between(max(first, day - timedelta(days=30)), day, exchange)[-1]
        raise UsageError(
            f"--as-of names a trading session of {exchange}; {day} is a {day:%A} on which it does not trade. "
            f"The session before it is {before}."
        )
    check_closed(day, exchange, now=now)


def newest_session(symbol: str, settings: Settings, *, now: Clock) -> date:
    """The newest session a night may work on: the newest completed one, or the newest of a file that ends before it."""
    from forecasting.ingest.sources.choose import newest_session as newest_in_file
    from forecasting.ingest.sources.choose import source_of

    source = source_of(settings.source, cache_dir=settings.data_dir.absolute() / "yahoo-cache")
    completed, held = last_completed(now(), settings.exchange), newest_in_file(source, symbol)
    if held is not None and held > completed:
        logger.warning("%s has rows of %s up to %s; those after %s are not used", source.name, symbol, held, completed)
    return completed if held is None else min(held, completed)


def newest_named(symbol: str, source: str | None, settings: Settings, *, now: Clock) -> date:
    """The session a night without as_of will end with, for its name; a broken source fails later, with its error."""
    try:
        return newest_session(symbol, settings.model_copy(update={"source": source or settings.source}), now=now)
    except ForecastingError:
        return last_completed(now(), settings.exchange)


def nights_with_bars(nights: Sequence[NightSpec], newest: date, settings: Settings) -> list[NightSpec]:
    """Those that have their bar, oldest first; where none has, the night of `newest` unless it was done before."""
    kept = [night for night in nights if night.session <= newest]
    if kept:
        return kept
    with database.reading(settings.url) as connection:
        finished = read.newest_finished(connection, nights[-1].symbol, nights[-1].target)
    return [] if finished is not None and newest <= finished else [replace(nights[-1], session=newest)]


def newest_stored(night: NightSpec, settings: Settings) -> date | None:
    """The newest session up to the night's whose bar is stored; None when there is none."""
    with database.reading(settings.url) as connection:
        bars = read.bars(connection, night.symbol, last=night.session)
    return bars.index[-1].date() if len(bars) else None


def is_done(run: NightRun) -> bool:
    """Whether this very night was worked off to its end before."""
    with database.reading(run.settings.url) as connection:
        row = read.run(connection, run.id)
    return row is not None and row["status"] == "done"


def nothing_new(newest: Mapping[str, date], settings: Settings, *, now: Clock) -> str:
    """The reason that a night had nothing to do, holidays named; `newest` is the newest session there is, by symbol."""
    sessions = dict.fromkeys((day, settings.exchange_of(symbol)) for symbol, day in newest.items())
    if len(sessions) == 1:
        done = f"the newest session there is, {next(iter(sessions))[0]}, was already done."
    else:
        each = " and ".join(f"{day} of {exchange}" for day, exchange in sessions)
        done = f"the newest sessions there are, {each}, were already done."
    closed = [(exchange, closed_since(day, exchange, now=now)) for day, exchange in sessions]
    holidays = [
        f"{exchange} was closed on {', '.join(f'{day:%A} {day}' for day in days)}." for exchange, days in closed if days
    ]
    return " ".join(["Nothing new:", done, *holidays])


def closed_since(newest: date, exchange: str, *, now: Clock) -> list[date]:
    """The weekdays after `newest` and before today on which the exchange did not trade: holidays.

    None when `newest` is over ten days old, as in a file: then no holiday is the reason.
    """
    away = (today(now(), exchange) - newest).days
    days = [newest + timedelta(days=ahead) for ahead in range(1, away)] if away <= 10 else []
    return [day for day in days if day.weekday() < 5 and not is_session(day, exchange)]


def _spec(symbol: str, session: date, settings: Settings, *, mode: Mode, trigger: str) -> NightSpec:
    return NightSpec(symbol, session, settings.target, settings.source, settings.events, mode, trigger)
