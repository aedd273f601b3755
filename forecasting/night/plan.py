"""Which nights are to do, and what is checked before the first of them."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date
from functools import partial
from itertools import chain

from forecasting.errors import BadDataError, UsageError
from forecasting.ingest.event_files import check_events
from forecasting.ingest.sources import Source, plugins
from forecasting.ingest.sources.files import SAMPLE_ENDS, Files
from forecasting.night.models import load_model
from forecasting.night.night import Night, check_closed, make_night, nights_of
from forecasting.night.run_log import delete_leftovers, is_refusal, mark_cut_off, mark_stopped
from forecasting.night.steps.fetch import bars_source
from forecasting.night.steps.preprocess import market_of, missing_closes
from forecasting.night.symbols import each_symbol
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
from forecasting.settings import Settings
from forecasting.store import connect, migrate, read
from forecasting.values import NO_MARKET, source_name
from forecasting.vocabulary import HORIZONS, Clock, Mode

logger = logging.getLogger("forecasting.night")


def planned_nights(
    settings: Settings, *, as_of: date | None, mode: Mode, now: Clock, trigger: str = "run"
) -> list[Night]:
    """The nights to do, each symbol's oldest first.

    Of one that cannot begin, one with the error, as its row has it.
    """
    missed = partial(
        missed_nights,
        as_of=as_of,
        mode=mode,
        now=now,
        trigger=trigger,
    )
    return _planned(
        Night(
            as_of or now().date(),
            settings,
            now,
            mode,
            trigger,
        ),
        missed,
    )


def planned_span(
    settings: Settings, first: date, last: date, *, refit_every: int, now: Clock
) -> list[Night]:
    """The nights of a span, as `planned_nights`; every `refit_every`-th of a symbol has a fit."""

    def spanned(own: Settings) -> list[Night]:
        sessions = between(first, last, own.exchange)
        return nights_of(
            sessions,
            own,
            refit_every=refit_every,
            now=now,
        )

    return _planned(
        Night(
            last,
            settings,
            now,
            trigger="catch-up",
        ),
        spanned,
    )


def _planned(night: Night, nights_of_symbol: Callable[[Settings], list[Night]]) -> list[Night]:
    """The nights of each symbol that are not done; where they cannot begin `night` in their place.

    The caller holds the lock of the nights.
    """
    settings = night.settings
    # A run of a worker may be the first one of another release
    migrate.check_ready(settings.url, writes=False)
    mark_cut_off(settings)
    delete_leftovers(settings)

    def of_symbol(own: Settings) -> list[Night]:
        check_events(settings.events, settings.symbols)
        return nights_of_symbol(own)

    found = each_symbol(settings, of_symbol)
    failed = []
    for name, error in found.errors.items():
        logger.error("%s: %s", name, error)
        own = settings.series[name]
        failed.append(_stopped(replace(night, settings=own, error=error)))
    return not_done([*failed, *chain(*found.values.values())])


def _stopped(night: Night) -> Night:
    """A night that cannot begin, of a session that has closed, which its row says."""
    settings = night.settings
    # Its exchange has no calendar, and so no session that a row could be of
    with suppress(UsageError):
        closed = last_completed(night.now(), settings.exchange)
        night = replace(night, session=min(night.session, closed))
        if is_session(night.session, settings.exchange):
            mark_stopped(night)
    return night


def missed_nights(
    settings: Settings, *, as_of: date | None, mode: Mode, now: Clock, trigger: str = "run"
) -> list[Night]:
    """The nights of one symbol to work off, oldest first.

    The one asked for, or all since the newest finished night.
    """
    if as_of is not None:
        check_session(as_of, settings.exchange, now=now)
        sessions = [as_of]
    else:
        last = newest_session(settings, now=now, unattended=trigger == "schedule")
        sessions = _after_finished(settings, last) or [last]
    next_sessions(sessions[-1], max(HORIZONS), settings.exchange)
    one = partial(
        make_night,
        settings.symbol,
        settings=settings,
        now=now,
        mode=mode,
        trigger=trigger,
    )
    return [one(session) for session in sessions]


def _after_finished(settings: Settings, last: date) -> list[date]:
    """The sessions after the newest finished night of one symbol, up to `last`.

    None before its first.
    """
    # Finished, not forecast: a night that was cut off after its forecasts still owes its scores and
    # its decision.
    with connect.reading(settings.url) as connection:
        newest = read.newest_finished(connection, *settings.key)
    return after(newest, last, settings.exchange) if newest else []


def not_done(nights: Sequence[Night]) -> list[Night]:
    """The nights without those that were worked off to their end before, or are of no session."""
    if not nights:
        return []
    ended = {"id": [night.id for night in nights], "status": ["done", "closed"]}
    with connect.reading(nights[0].url) as connection:
        done = read.values(
            connection,
            "runs",
            "id",
            ended,
        )
    return [night for night in nights if night.id not in done]


def check_nights(settings: Settings, *, as_of: date | None, mode: Mode, now: Clock) -> list[Night]:
    """The nights asked for, done or not.

    Refused, before anything starts, where a mistake in an option stops all.
    """
    check_inputs(settings)

    def check(own: Settings) -> list[Night]:
        missed = missed_nights(
            own,
            as_of=as_of,
            mode=mode,
            now=now,
        )
        if mode == "warm":
            with connect.reading(own.url) as connection:
                newest = read.newest_network(connection, *own.key)
            if newest is None:
                what = f"a fit of {own.full_name}"
                raise UsageError(
                    f"Mode warm starts from {what}; there is none yet. Use mode scratch."
                )
            load_model(newest, own)
        return missed

    found = each_symbol(settings, check)
    refused = [
        is_refusal(settings, settings.series[name].symbol, error)
        for name, error in found.errors.items()
    ]
    # Of a known symbol, rows that are read and cannot be used leave a row in runs: that is the
    # planned night's.
    if not found.values and all(refused):
        found.raise_failed()
    return list(chain(*found.values.values()))


def check_inputs(settings: Settings) -> None:
    """Raise where the ledger, the source or a file cannot be used.

    Forecasts without it would hide a mistake.
    """
    migrate.check_ready(settings.url)
    check_source(settings)
    check_events(settings.events, settings.symbols)
    check_market(settings)


def check_source(settings: Settings) -> Source:
    """The source of the bars; a UsageError where several symbols would get the same ones."""
    source = plugins.source_of(settings.source, cache_dir=settings.yahoo_cache)
    if len(settings.symbols) > 1 and isinstance(source, Files) and not source.names_symbols():
        raise UsageError(
            f"Expected a column symbol in {source.name}, the source of "
            f"{named(settings.symbols, 3)}; found none. Name one symbol, or add the column."
        )
    return source


def check_market(settings: Settings, *, now: Clock | None = None) -> str:
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
    market = market_of(make_night(own.symbol, session, own, now=now))
    if market is None:
        return False
    choice, needed = market
    if newest >= needed:
        return False
    if newest < shift(needed, -FILLED_SESSIONS, choice.exchange):
        missing = missing_closes(choice, needed, newest)
        raise BadDataError(f"{missing} Bring it up to date or choose market none.")
    return True


def checked_span(
    settings: Settings, first: date | None, last: date | None, *, now: Clock
) -> tuple[date, date]:
    """The first and last session to catch up.

    Those given, else from the oldest missed to the newest of all symbols.
    """
    check_inputs(settings)
    newest = each_symbol(settings, lambda own: (own, newest_session(own, now=now)))
    if not newest.values:
        newest.raise_failed()
    each = [own for own, _ in newest.values.values()]
    last = last or min(session for _, session in newest.values.values())
    oldest_missed = chain(*(_after_finished(own, last)[:1] for own in each))
    first = first or min([last, *oldest_missed])
    if not any(between(first, last, own.exchange) for own in each):
        raise UsageError(f"Expected a span with a session in it; found {first} to {last}.")
    newest_exchange = max((own.exchange for own in each), key=partial(last_completed, now()))
    check_closed(last, newest_exchange, now=now)
    return first, last


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


def early_end(nights: Sequence[Night], *, now: Clock) -> str:
    """A sentence about a source that ends before the newest completed session; else empty."""
    newest = {night.symbol: night for night in nights}
    completed = {symbol: last_completed(now(), night.exchange) for symbol, night in newest.items()}
    ends = [
        f"{night.session} of {symbol}"
        for symbol, night in newest.items()
        if night.session < completed[symbol]
    ]
    if not ends:
        return ""
    return (
        f"The source {source_name(nights[0].source)} ends with the session {named(ends, 6)}, "
        f"before the newest completed one, {max(completed.values())}: no such night is live."
    )
