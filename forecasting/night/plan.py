"""Which nights are to do, and what is checked before the first of them."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date
from itertools import chain

from forecasting.errors import BadDataError, UsageError
from forecasting.ingest.event_files import check_events
from forecasting.ingest.sources import Source, plugins
from forecasting.ingest.sources.files import SAMPLE_ENDS, Files
from forecasting.night.night import Night, RunOptions, check_closed, nights_of
from forecasting.night.run_log import is_refusal, mark_cut_off, mark_stopped
from forecasting.night.steps.fetch import bars_source
from forecasting.night.steps.preprocess import market_of, missing_closes
from forecasting.night.steps.rivals import has_more
from forecasting.plain_text import named
from forecasting.preprocess.windows import FILLED_SESSIONS
from forecasting.sessions import (
    NEWEST_DAY,
    after,
    between,
    is_session,
    last_completed,
    newest_up_to,
    next_sessions,
    shift,
    today,
)
from forecasting.settings import Settings, each_symbol
from forecasting.store import connect, future, migrate, read
from forecasting.values import NO_MARKET, source_name
from forecasting.vocabulary import HORIZONS, Clock

logger = logging.getLogger("forecasting.night")


def planned_nights(settings: Settings, options: RunOptions, *, now: Clock) -> list[Night]:
    """The nights to do, each symbol's oldest first.

    A symbol whose nights cannot begin has one night with the error, which its row in table runs has
    too. A night that is done is among them for its rivals alone, where one has forecast more since.
    The caller holds the lock of the nights.
    """
    # A scheduled run may be the first one of another release
    migrate.check_ready(settings.url, writes=False)
    future.check_clock(settings.url, now())
    mark_cut_off(settings)

    def of_symbol(own: Settings) -> list[Night]:
        check_events(settings.events, settings.symbols)
        return nights_of(sessions_of_run(own, options, now=now), own, options, now=now)

    found = each_symbol(settings, of_symbol)
    day = options.last or now().date()
    failed = []
    for name, error in found.errors.items():
        logger.error("%s: %s", name, error)
        own = settings.series[name]
        failed.append(_stopped(Night(day, own, now, trigger=options.trigger, error=error)))
    planned = [
        replace(night, targets=settings.targets)
        for night in [*failed, *chain(*found.values.values())]
    ]
    left = not_done(planned)
    last = {night.key: night.session for night in left}
    marked = [replace(night, is_last=night.session == last[night.key]) for night in left]
    return marked + [
        replace(night, is_for_rivals=True) for night in planned if _has_more(night, left)
    ]


def _has_more(night: Night, left: Sequence[Night]) -> bool:
    """Whether a rival has more of a night that is not `left`."""
    return night not in left and any(
        has_more(night, *rival) for rival in night.settings.rivals.items()
    )


def _stopped(night: Night) -> Night:
    """A night that cannot begin, once its row in table runs says so; its session has closed."""
    settings = night.settings
    # Its exchange has no calendar, and so no session that a row could be of
    with suppress(UsageError):
        closed = last_completed(night.now(), settings.exchange)
        night = replace(night, session=min(night.session, closed))
        if is_session(night.session, settings.exchange):
            mark_stopped(night)
    return night


def sessions_of_run(own: Settings, options: RunOptions, *, now: Clock) -> list[date]:
    """The sessions of one symbol's nights, oldest first; without a span those that were missed."""
    last = newest_of_run(own, options, now=now)
    next_sessions(last, max(HORIZONS), own.exchange)  # which the calendar must have
    if options.first is not None:
        return between(options.first, last, own.exchange)
    # Finished, not forecast: a night that was cut off after its forecasts still owes its scores.
    with connect.reading(own.url) as connection:
        done = own.columns | {"status": "done"}
        newest = read.newest(connection, "runs", "as_of", done)
    missed = after(newest, last, own.exchange) if newest else []
    return missed or [last]


def newest_of_run(own: Settings, options: RunOptions, *, now: Clock) -> date:
    """The newest session of one symbol's nights; a UsageError for one that has none."""
    last = options.last
    if last is None:
        return newest_session(own, now=now, unattended=options.trigger == "schedule")
    if last == options.first:
        check_session(last, own.exchange, now=now)
    session = newest_up_to(last, own.exchange)
    unclosed = after(last_completed(now(), own.exchange), session, own.exchange)
    check_closed(min([*unclosed, session]), own.exchange, now=now)
    return session


def not_done(nights: Sequence[Night]) -> list[Night]:
    """The nights without those that were worked off to their end before, or are of no session."""
    if not nights:
        return []
    ended = {"id": [night.id for night in nights], "status": ["done", "closed"]}
    with connect.reading(nights[0].url) as connection:
        done = read.values(connection, "runs", "id", ended)
    return [night for night in nights if night.id not in done]


def check_options(settings: Settings, options: RunOptions, *, now: Clock) -> dict[str, date]:
    """The newest session of each symbol's nights, before anything is written.

    Raises:
        ForecastingError: A mistake in an option, a source or a file stops every night.
    """
    check_source(settings)
    check_events(settings.events, settings.symbols)
    check_market_source(settings)
    each = settings.for_target(settings.target)
    found = each_symbol(each, lambda own: newest_of_run(own, options, now=now))
    # Of a known symbol, rows that are read and cannot be used leave a row in runs: that is the
    # planned night's.
    refused = [is_refusal(settings, *named) for named in found.errors.items()]
    if not found.values and all(refused):
        found.raise_failed()
    first = options.first
    spans = [
        between(first, last, settings.exchange_of(symbol))
        for symbol, last in found.values.items()
        if first is not None
    ]
    if spans and not any(spans):
        raise UsageError(
            f"Expected a span with a session in it; found {first} to "
            f"{options.last or max(found.values.values())}."
        )
    return found.values


def check_source(settings: Settings) -> Source:
    """The source of the bars; a UsageError where several symbols would get the same ones."""
    source = plugins.source_of(settings.source, cache_dir=settings.yahoo_cache)
    if len(settings.symbols) > 1 and isinstance(source, Files) and not source.names_symbols():
        raise UsageError(
            f"Expected a column symbol in {source.name}, the source of "
            f"{named(settings.symbols, 3)}; found none. Name one symbol, or add the column."
        )
    return source


def check_market_source(settings: Settings, *, now: Clock | None = None) -> str:
    """The market series and its source, or `none`; with `now` its file has closes for the nights.

    Raises:
        BadDataError: A file has no closes of the series, or ends too long before a night.
    """
    choice = settings.market_choice
    if choice is None:
        return NO_MARKET
    source = plugins.source_of(
        choice.source,
        cache_dir=settings.yahoo_cache,
        one_series=choice.has_own_file,
        today=NEWEST_DAY if now is None else today(now(), choice.exchange),
    )
    newest = plugins.newest_session(source, choice.symbol)
    state = f"up to {newest}" if newest else "(no request made)"
    if newest is not None and now is not None:
        each = [settings.for_symbol(symbol) for symbol in settings.symbols]
        ends = [_ends_early(newest, own, now=now) for own in each]
        if any(ends):
            state = f"up to {newest}, filled forward"
    return f"{choice.symbol} of {source.name} {state}"


def _ends_early(newest: date, own: Settings, *, now: Clock) -> bool:
    """Whether a series ends before a symbol's newest night; a BadDataError if long before."""
    # Any other source may be a file that has ended too, and is checked by itself.
    session = SAMPLE_ENDS if own.source == "sample" else last_completed(now(), own.exchange)
    market = market_of(Night(session, own, now))
    if market is None:
        return False
    choice, needed = market
    if newest >= needed:
        return False
    if newest < shift(needed, -FILLED_SESSIONS, choice.exchange):
        missing = missing_closes(choice, needed, newest)
        raise BadDataError(f"{missing} Bring it up to date or choose market none.")
    return True


def check_session(day: date, exchange: str, *, now: Clock) -> None:
    """Raise a UsageError for a day that is not traded, and for a session that has not closed."""
    if not is_session(day, exchange):
        before = min(newest_up_to(day, exchange), last_completed(now(), exchange))
        raise UsageError(
            f"Expected a trading session of {exchange}, found {day}, a {day:%A} on which "
            f"it does not trade. The newest one before it that has closed is {before}."
        )
    check_closed(day, exchange, now=now)


def newest_session(settings: Settings, *, now: Clock, unattended: bool = False) -> date:
    """The newest session of one symbol's nights.

    The newest completed one, or of a file that ends before it its newest.

    For an unattended run it is the newest completed one: a file that ends before is late.
    """
    symbol = settings.symbol
    exchange = settings.exchange
    at = now()
    source = bars_source(settings, now=now)
    completed = last_completed(at, exchange)
    if unattended and settings.source != "sample":  # which ends in 2018, and is no feed
        return completed
    held = plugins.newest_session(source, symbol)
    return completed if held is None else newest_up_to(min(held, completed), exchange)


def early_end(settings: Settings, newest: Mapping[str, date], *, now: Clock) -> str:
    """A sentence about a source that ends before the newest completed session; else empty.

    `newest` has each symbol's newest session.
    """
    completed = {name: last_completed(now(), settings.exchange_of(name)) for name in newest}
    ends = [
        f"{session} of {symbol}"
        for symbol, session in newest.items()
        if session < completed[symbol]
    ]
    if not ends:
        return ""
    return (
        f"The source {source_name(settings.source)} ends with the session {named(ends, 6)}, "
        f"before the newest completed one, {max(completed.values())}: no such night is live."
    )
