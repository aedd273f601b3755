"""Bring the stored bars of each symbol up to date: one request, assessed, diffed, appended.

The same request brings its earnings dates.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from operator import attrgetter

from forecasting.errors import (
    BadDataError,
    DataLateError,
    NoBarError,
    RateLimitedError,
    UnavailableError,
    explained,
)
from forecasting.ingest.sources import Request, Source
from forecasting.night.night import Night, grouped
from forecasting.night.steps.fetch import (
    announced_of,
    as_stored,
    bars_source,
    fetch,
    market_source,
    request_of,
    stored_events,
)
from forecasting.night.steps.preprocess import (
    STORED_NOTHING,
    first_session,
    market_of,
    no_session,
)
from forecasting.preprocess.windows import FILLED_SESSIONS
from forecasting.sessions import after
from forecasting.settings import Settings
from forecasting.store import connect, read
from forecasting.store.connect import Connection
from forecasting.store.rows import FetchRow
from forecasting.targets import TARGETS
from forecasting.values import MarketChoice, source_name

logger = logging.getLogger("forecasting.ingest")

Wanted = tuple[Night, Source, Request]
"""A request to a source, and the night under whose settings it is made."""

_MARGIN = timedelta(days=60)
"""More than a night needs, so that symbols of other exchanges, whose windows begin some days apart,
share a fetch."""

ENDED_SESSIONS = 20
"""Sessions for which other symbols of a source have bars, and one has none, until it has ended."""


def ingest(nights: Sequence[Night]) -> list[Night]:
    """Each night with the fetch that brought its symbol's bars, or with what stopped it.

    One request brings the bars of all nights of a symbol. A source that does not respond is
    requested once more at once; one that has the bars of older nights alone is requested for these.
    """
    done = _requested(nights)
    done = _again(done, lambda night: isinstance(night.error, UnavailableError))
    done = _again(done, _has_come)
    return [_with_stored_bar(night) for night in done]


def _again(nights: Sequence[Night], is_again: Callable[[Night], bool]) -> list[Night]:
    """The nights, some of which are requested again."""
    again = [replace(night, error=None) for night in nights if is_again(night)]
    ended = {night.id: night for night in _requested(again)}
    return [ended.get(night.id, night) for night in nights]


def _has_come(night: Night) -> bool:
    """Whether a night has its bar, but its symbol's newest night has not."""
    late = night.error
    return (
        isinstance(late, DataLateError) and late.newest is not None and night.session <= late.newest
    )


def _with_stored_bar(night: Night) -> Night:
    """The night, without the error of a request that it does not need, or as of `_without_bar`.

    It needs none where its bar is stored, as in a run that was killed after the bar had come.
    """
    needless = (UnavailableError, RateLimitedError, DataLateError)
    if isinstance(night.error, needless) and _is_stored(night):
        return replace(night, error=None)
    if isinstance(night.error, DataLateError | BadDataError):
        return _without_bar(night, night.error)
    return night


def _without_bar(night: Night, error: DataLateError | BadDataError) -> Night:
    """The night, closed where its session was none or the bars of its symbol have ended.

    A session without a bar that has newer ones is no session.
    """
    with connect.reading(night.url) as connection:
        newest = read.newest(connection, "bar_versions", "session", {"symbol": night.symbol})
        ended = bars_ended(connection, night.settings)
    if newest is not None and isinstance(error, DataLateError):
        if newest > night.session:
            return replace(night, error=no_session(night))
        if error.why:  # A bar came, and is held back
            return night
    return replace(night, error=NoBarError(f"{ended} {error}")) if ended else night


def bars_ended(connection: Connection, own: Settings) -> str:
    """What to do about a symbol whose bars have ended, as of a delisted company; else empty.

    They have where those of another symbol of its source are ENDED_SESSIONS newer.
    """
    newest = read.newest(connection, "bar_versions", "session", {"symbol": own.symbol})
    of_source = {"source": source_name(own.source)}
    others = read.newest(connection, "fetches", "last_received", of_source)
    if newest is None or others is None:
        return ""
    if len(after(newest, others, own.exchange)) < ENDED_SESSIONS:
        return ""
    return (
        f"No bar of {own.symbol} for {ENDED_SESSIONS} sessions, since {newest}: take it from "
        "FORECASTING_SYMBOLS; its history stays."
    )


def _is_stored(night: Night) -> bool:
    """Whether the night's bar is stored, with the values that its target needs."""
    session = night.session
    with connect.reading(night.url) as connection:
        bars = read.bars(connection, night.symbol, first=session, last=session)
    return len(bars.dropna(subset=[*TARGETS[night.target].columns])) > 0


def _requested(nights: Sequence[Night]) -> list[Night]:
    """Each night with the fetch of one request a symbol, or with its error.

    It is of all targets of the run: one that was killed after some of them requests as before.
    """
    wanted = dict[str, Wanted]()
    done = dict[str, Night]()
    for some in grouped(nights, "symbol"):
        newest = max(some, key=attrgetter("session"))
        of_run = newest.targets or tuple(dict.fromkeys(night.target for night in some))
        try:
            source = bars_source(newest.settings, now=newest.now)
            request = request_of(newest, source, _first(some), of_run, accept=newest.switch_source)
            request = as_stored(request, newest.settings)
            wanted[newest.symbol] = (newest, source, request)
        except Exception as error:  # whatever it is, it is this symbol's alone
            done[newest.symbol] = replace(newest, error=explained(error))
    done |= fetch_and_store(wanted)
    return [_with_fetch_of(done[night.symbol], night) for night in nights]


def _first(nights: Sequence[Night]) -> date:
    """The oldest session that the nights of a symbol ask for."""
    oldest = min(nights, key=attrgetter("session"))
    return first_session(oldest.session, oldest.settings)


def _with_fetch_of(newest: Night, night: Night) -> Night:
    """The night with what the request of its symbol's newest night brought, or its error."""
    if night.id == newest.id:
        return newest
    return replace(night, fetch_id=newest.fetch_id, error=newest.error)


def fetch_market(nights: Sequence[Night]) -> None:
    """Fetch the market series of the nights of a run, unless all that is needed of it is stored.

    It comes before the bars of the nights, whose fetch fixes what is known of it.
    """
    spans: dict[MarketChoice, tuple[Night, date, date]] = {}
    for some in grouped(nights, "symbol"):
        newest = max(some, key=attrgetter("session"))
        market = market_of(newest)
        if market is not None:
            choice, last = market
            first = _first(some) - timedelta(days=2 * FILLED_SESSIONS)
            _, first_before, last_before = spans.get(choice, (newest, first, last))
            spans[choice] = (newest, min(first, first_before), max(last, last_before))
    for choice, (night, first, last) in spans.items():
        with connect.reading(night.url) as connection:
            stored = read.newest_fetch(connection, choice.symbol, with_bars=False)
        if night.switch_source or not _is_enough(stored, last, first):
            _fetch_series(night, choice, first - _MARGIN, last)


def _fetch_series(night: Night, choice: MarketChoice, first: date, last: date) -> None:
    """Fetch a market series; a night goes on without it, so a failure is only logged."""

    def fetched(night: Night) -> Night:
        source = market_source(night.settings, choice, now=night.now)
        request = Request(
            source.name,
            choice.symbol,
            first,
            last,
            choice.exchange,
            accept=night.switch_source,
            of_index=True,
        )
        request = as_stored(request, night.settings)
        return fetch_and_store({choice.symbol: (night, source, request)})[choice.symbol]

    error = night.then("ingest", fetched).error
    if error is not None:
        logger.warning("market series %s is not up to date: %s", choice.symbol, error)


def _is_enough(request: FetchRow | None, session: date, first: date) -> bool:
    if request is None or request.verdict in STORED_NOTHING or request.first_asked > first:
        return False
    return (request.last_received or first) >= session


def fetch_and_store(wanted: Mapping[str, Wanted]) -> dict[str, Night]:
    """Make each request, store the response, and return the nights by symbol with fetch or error.

    A failed request to a live source leaves a row in `fetches` too, with the error's text. Once a
    source has refused a request, in this run or an earlier one, the other symbols skip it.
    """
    if not wanted:
        return {}
    refusals = _pauses(wanted)
    some_night, some_source, _ = next(iter(wanted.values()))
    newest = max(request.last for _, _, request in wanted.values())
    announced = announced_of(
        some_night.settings,
        some_source,
        {symbol: request.exchange for symbol, (_, _, request) in wanted.items()},
        newest,
        stored=partial(stored_events, some_night.url),
    )
    done = {}
    for symbol, (night, source, request) in wanted.items():
        if source.name in refusals:
            done[symbol] = replace(night, error=refusals[source.name])
            continue
        work = partial(fetch, source=source, request=request, announced=announced)
        done[symbol] = night.then("ingest", work)
        if isinstance(refusal := done[symbol].error, RateLimitedError):
            refusals[source.name] = refusal
    return done


def _pauses(wanted: Mapping[str, Wanted]) -> dict[str, RateLimitedError]:
    """The refusals of sources that are left alone, by name: a request now would extend them."""
    refusals = {}
    nights = {source.name: night for night, source, _ in wanted.values()}
    for name, night in nights.items():
        with connect.reading(night.url) as connection:
            until = read.paused_until(connection, name)
        if until is not None and until > night.now():
            refusals[name] = RateLimitedError(
                f"{name} has refused requests and is left alone until {until:%Y-%m-%d %H:%M} UTC: "
                "an earlier request would extend that. The next run after it goes on."
            )
    return refusals
