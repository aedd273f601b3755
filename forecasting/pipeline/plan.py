"""Which nights are to do."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from itertools import chain, cycle
from pathlib import Path

from forecasting.errors import ForecastingError, StoreError, UsageError
from forecasting.ingest.earnings import check_events
from forecasting.ingest.sources.files import check_regular
from forecasting.pipeline.interrupted import delete_leftovers, delete_weights_without_row, mark_cut_off
from forecasting.pipeline.models import check_champion
from forecasting.pipeline.night import Night, check_closed, make_night
from forecasting.pipeline.run_log import is_refusal, mark_stopped
from forecasting.pipeline.second_source import witness_of
from forecasting.pipeline.symbols import each_symbol, raise_failed, values_of
from forecasting.pipeline.unexpected import explained
from forecasting.sessions import after, between, is_session, last_completed, newest_up_to, next_sessions, span
from forecasting.settings import Settings
from forecasting.store import connect, migrate, read
from forecasting.vocabulary import HORIZONS, Clock, Mode

logger = logging.getLogger("forecasting.night")


def planned_nights(
    settings: Settings, *, as_of: date | None, mode: Mode, now: Clock, trigger: str = "run"
) -> list[Night]:
    """The nights to do, each symbol's oldest first; a symbol without has one with its error, which its row has too.

    The caller holds the lock of the nights: those that were cut off are marked first.

    Raises:
        StoreError: The database cannot be read, or is at another revision, which is every symbol's failure.
    """
    _begin(settings, now=now)
    nights = []
    for symbol in settings.symbols:
        own = settings.for_symbol(symbol)
        try:
            check_events(settings.events, settings.symbols)
            nights += missed_nights(symbol, own, as_of=as_of, mode=mode, now=now, trigger=trigger)
        except Exception as error:  # whatever it is, it is this symbol's alone
            ours = explained(error, now=now, settings=own)
            logger.error("%s: %s", symbol, ours)
            nights.append(_without_night(own, ours, as_of=as_of, mode=mode, now=now, trigger=trigger))
    return not_done(nights)


def check_nights(settings: Settings, *, as_of: date | None, mode: Mode, now: Clock) -> None:
    """Refuse nights of which none can begin, before anything starts.

    Bars that cannot be used leave a row in `runs`; a mistake in an option or a setting leaves nothing.

    Raises:
        ForecastingError: The database is not ready; or for every symbol, `as_of` is no session of its exchange, its
            bars cannot be used, or mode warm has no champion. UsageError: The witness cannot be used, or the file of
            earnings dates or of the market series is not there. BadDataError: The earnings dates cannot be read.
    """
    migrate.check_ready(settings.url)
    witness_of(settings)
    _check_files(settings)

    def check(own: Settings) -> None:
        missed_nights(own.symbols[0], own, as_of=as_of, mode=mode, now=now)
        if mode == "warm":
            check_champion(own.symbols[0], own)

    checked = each_symbol(settings, check, now=now)
    if any(outcome.error is None for outcome in checked):
        return
    for outcome in checked:
        if outcome.error is not None and not isinstance(outcome.error, UsageError):
            _without_night(settings.for_symbol(outcome.symbol), outcome.error, as_of=as_of, mode=mode, now=now)
    raise_failed(checked)


def _check_files(settings: Settings) -> None:
    """Refuse a named file that is not there, and earnings dates that cannot be read.

    A night goes on without the market series, which a typing error hides.
    """
    for option, text in (("--events", settings.events), ("--market", settings.market)):
        form, colon, path = (text or "").partition(":")
        if colon and form in ("csv", "parquet"):
            check_regular(Path(path), f"{option} {form}:PATH")
    check_events(settings.events, settings.symbols)  # also where all is done, whose forecasts would hide a mistake


def missed_nights(
    symbol: str, settings: Settings, *, as_of: date | None, mode: Mode, now: Clock, trigger: str = "run"
) -> list[Night]:
    """The nights to work off, oldest first: the one asked for, or every session since the newest finished night.

    Finished, not forecast: a night that was cut off after its forecasts still owes its scores and its decision.

    Raises:
        UsageError: `as_of` is no trading session.
        ForecastingError: The calendar of the exchange ends before the sessions that are to be forecast.
    """
    if as_of is not None:
        check_session(as_of, settings.exchange, now=now)
        sessions = [as_of]
    else:
        last = newest_session(symbol, settings, now=now, unattended=trigger == "schedule")
        with connect.reading(settings.url) as connection:
            finished = read.newest_finished(connection, symbol, settings.target)
        missed = after(finished, last, settings.exchange) if finished else []
        sessions = missed or [last]
    next_sessions(sessions[-1], max(HORIZONS), settings.exchange)
    return [make_night(symbol, session, settings, now=now, mode=mode, trigger=trigger) for session in sessions]


def planned_span(settings: Settings, first: date, last: date, *, refit_every: int, now: Clock) -> list[Night]:
    """The nights of a span, each symbol's oldest first, every `refit_every`-th with a fit; a symbol without as above.

    Counted from `first`, so that a second start agrees. No row keeps the errors.
    """
    _begin(settings, now=now)
    check_events(settings.events, settings.symbols)
    nights = []
    for symbol in settings.symbols:
        own = settings.for_symbol(symbol)
        try:
            modes: list[Mode] = ["auto", *["skip"] * (refit_every - 1)]  # type: ignore[list-item]  # of two literals
            nights += [
                make_night(symbol, session, own, now=now, mode=mode, trigger="catch-up")
                for session, mode in zip(between(first, last, own.exchange), cycle(modes))
            ]
        except Exception as error:  # as above
            nights.append(Night(symbol, last, own, now, error=explained(error, now=now, settings=own)))
    return not_done(nights)


def finished(settings: Settings, *, as_of: date | None, mode: Mode, now: Clock) -> list[str]:
    """The ids of the first symbol's nights that `planned_nights` leaves out, since they are done."""
    own = settings.for_symbol(settings.symbols[0])
    nights = missed_nights(own.symbols[0], own, as_of=as_of, mode=mode, now=now)
    left = {night.id for night in not_done(nights)}
    return [night.id for night in nights if night.id not in left]


def not_done(nights: Sequence[Night]) -> list[Night]:
    """The nights without those that were worked off to their end before."""
    if not nights:
        return []
    with connect.reading(nights[0].settings.url) as connection:
        done = set(read.done_among(connection, [night.id for night in nights]))
    return [night for night in nights if night.id not in done]


def checked_span(settings: Settings, first: date | None, last: date | None, *, now: Clock) -> tuple[date, date]:
    """The first and last session to catch up: those given, else from the oldest missed to the newest of all symbols.

    Raises:
        ForecastingError: The database is not ready, no symbol's bars can be used, one of the two is no closed session,
            or `last` is before `first`.
    """
    migrate.check_ready(settings.url)
    newest = each_symbol(settings, lambda own: newest_session(own.symbols[0], own, now=now), now=now)
    each = [settings.for_symbol(outcome.symbol) for outcome in newest if outcome.error is None]
    if not each:
        raise_failed(newest)
    last = last or min(values_of(newest))
    first = first or oldest_missed(each, last)
    for day in (first, last):
        own = next((own for own in each if is_session(day, own.exchange)), each[0])
        check_session(day, own.exchange, now=now)
    if first > last:
        raise UsageError(f"Invalid --from {first}: expected a session before --to {last}, or the same one.")
    return first, last


def oldest_missed(each: Sequence[Settings], last: date) -> date:
    """The first session after the newest finished night of the symbol that is furthest behind, or `last` itself.

    Args:
        each: The settings of each symbol, as `Settings.for_symbol` makes them.
        last: Newest session.
    """
    with connect.reading(each[0].url) as connection:
        finished = [(read.newest_finished(connection, own.symbols[0], own.target), own.exchange) for own in each]
    missed = [after(session, last, exchange)[:1] for session, exchange in finished if session]
    return min([last, *chain.from_iterable(missed)])


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
        before = min(newest_up_to(day, exchange), last_completed(now(), exchange))
        raise UsageError(
            f"Expected a trading session of {exchange}, found {day}, a {day:%A} on which it does not trade. "
            f"The newest one before it that has closed is {before}."
        )
    check_closed(day, exchange, now=now)


def newest_session(symbol: str, settings: Settings, *, now: Clock, unattended: bool = False) -> date:
    """The newest session a night may work on: the newest completed one, or the newest of a file that ends before it.

    An unattended night waits for the newest completed one, for a file that ends before it is a feed that is late.
    A file whose last day is no session, as of another exchange or a market without weekends, ends the session before.
    """
    from forecasting.ingest.sources.plugins import newest_session as newest_in_file
    from forecasting.ingest.sources.plugins import source_of

    source = source_of(settings.source, cache_dir=settings.yahoo_cache)
    completed = last_completed(now(), settings.exchange)
    if unattended and settings.source != "sample":  # which ends in 2018, and is no feed
        return completed
    held = newest_in_file(source, symbol)
    if held is not None and held > completed:
        logger.warning("%s has rows of %s up to %s; those after %s are not used", source.name, symbol, held, completed)
    return completed if held is None else newest_up_to(min(held, completed), settings.exchange)


def _begin(settings: Settings, *, now: Clock) -> None:
    migrate.check_ready(settings.url, writes=False)  # a run of a worker may be the first one of another release
    mark_cut_off(settings)
    delete_leftovers(settings, now=now)
    delete_weights_without_row(settings)


def _without_night(
    own: Settings, error: ForecastingError, *, as_of: date | None, mode: Mode, now: Clock, trigger: str = "run"
) -> Night:
    """The night, with its error, that the symbol of `own` has in place of one that can begin; its row keeps the error.

    Without `as_of` that is the night after its newest finished one. There is no row where there is no such session.
    """
    if isinstance(error, StoreError):
        raise error
    symbol, session = own.symbols[0], as_of or now().date()
    night = Night(symbol, session, own, now, mode, trigger, own.source, error=error)
    try:
        closed = last_completed(now(), own.exchange)
    except UsageError:  # its exchange has no calendar, and so no session that a row could be of
        return night
    if as_of is None:
        with connect.reading(own.url) as connection:
            finished = read.newest_finished(connection, symbol, own.target)
        session = next(iter(after(finished, closed, own.exchange)), closed) if finished else closed
    night = replace(night, session=session)
    is_refused = trigger == "run" and is_refusal(night, error)
    if is_session(session, own.exchange) and session <= closed and not is_refused:
        mark_stopped(night, error)
    return night
