"""Bring the stored bars of each symbol up to date: one request, assessed, diffed, appended.

Its earnings dates too.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from operator import attrgetter

from forecasting.errors import BadDataError, RateLimitedError, SourceError, UnavailableError
from forecasting.ingest import earnings
from forecasting.ingest.sources import Fetched, ManySource, plugins
from forecasting.night.failures import explained
from forecasting.night.night import Night, grouped
from forecasting.night.steps.fetch import Asked, Span, asked_of, fetch
from forecasting.night.steps.preprocess import STORED_NOTHING, first_session, market_night
from forecasting.preprocess.windows import FILLED_SESSIONS
from forecasting.store import connect, read
from forecasting.store.frames import Row
from forecasting.vocabulary import Target

logger = logging.getLogger("forecasting.ingest")

_MARGIN = timedelta(days=60)
"""More than a night needs, so that symbols of other exchanges, whose windows begin some days apart,
share a fetch."""

Refusals = dict[str, SourceError]  # By source, or by a name of those below
_MARKET = "market "  # before its name among the refusals: a series is requested once a round


def ingest(
    nights: Sequence[Night],
    targets: tuple[Target, ...] = (),
    *,
    switch_source: bool = False,
    refusals: Refusals | None = None,
) -> list[Night]:
    """Each night with the fetch that brought its symbol's bars, or with what stopped it.

    One request brings the bars of all nights of a symbol. `targets` are those of the run, else the
    nights': a run that was killed after some of them requests as before. `switch_source` allows
    bars of another source for a symbol that has some. `refusals`, by source: after one none is made
    of it for the symbols that follow.
    """
    refusals = {} if refusals is None else refusals
    spans = [_span(some, targets) for some in grouped(nights, "symbol")]
    fetch_market(spans, refusals, switch_source=switch_source)
    done = fetch_and_store(spans, refusals, switch_source=switch_source)
    newest = {night.symbol: night for night in done}
    return [_with_fetch_of(newest[night.symbol], night) for night in nights]


def _span(nights: Sequence[Night], targets: tuple[Target, ...]) -> Span:
    """The request for the nights of a symbol."""
    by_session = attrgetter("session")
    oldest = min(nights, key=by_session)
    newest = max(nights, key=by_session)
    targets = targets or tuple(dict.fromkeys(night.target for night in nights))
    return Span(newest, first_session(oldest.session, oldest.settings), targets)


def _with_fetch_of(newest: Night, night: Night) -> Night:
    """The night with what the request of its symbol's newest night brought, or its error."""
    if night.id == newest.id:
        return newest
    return replace(night, fetch_id=newest.fetch_id, error=newest.error)


def fetch_market(spans: Sequence[Span], refusals: Refusals, *, switch_source: bool) -> None:
    """Fetch the market series of each span's night, unless all that is needed of it is stored."""
    first = min(span.first for span in spans) - timedelta(days=2 * FILLED_SESSIONS)
    for span in spans:
        market = market_night(span.night)
        if market is None or (name := f"{_MARKET}{market.source} {market.symbol}") in refusals:
            continue
        with connect.reading(market.url) as connection:
            request = read.newest_fetch(connection, market.symbol, with_bars=False)
        if switch_source or not _is_enough(request, market.session, first):
            wanted = Span(market, first - _MARGIN)
            (done,) = fetch_and_store([wanted], {}, switch_source=switch_source)
            refusals[name] = UnavailableError("It was requested a moment ago.")
            if done.error is not None:  # a night goes on without it
                logger.warning("market series %s is not up to date: %s", market.symbol, done.error)


def _is_enough(request: Row | None, session: date, first: date) -> bool:
    if request is None or request["verdict"] in STORED_NOTHING or request["first_asked"] > first:
        return False
    return (request["last_received"] or first) >= session


def fetch_and_store(
    spans: Sequence[Span], refusals: Refusals, *, switch_source: bool
) -> list[Night]:
    """The night of each span, one a symbol, with its fetch or its error.

    A request to a live source that fails leaves a row in `fetches` too: its verdict and the error's
    text.
    """
    asked = dict[str, Asked]()
    done = dict[str, Night]()
    for span in spans:
        night = span.night
        try:
            asked[night.symbol] = asked_of(span, accept=switch_source)
        except Exception as error:  # whatever it is, it is this symbol's alone
            ours = explained(error, now=night.now, settings=night.settings)
            done[night.symbol] = replace(night, error=ours)
    asked = _with_responses(asked, refusals)
    calendar = earnings.calendar_of([request.asking for request in asked.values()])
    for symbol, request in asked.items():
        night = request.night
        if night.source in refusals and request.response is None:
            done[symbol] = replace(night, error=refusals[night.source])
        else:
            done[symbol] = night.then("ingest", partial(fetch, request, calendar))
            if isinstance(refusal := done[symbol].error, RateLimitedError):
                refusals[night.source] = refusal
    return [done[span.night.symbol] for span in spans]


def _with_responses(asked: dict[str, Asked], refusals: Refusals) -> dict[str, Asked]:
    """The same, with the responses of sources that answer for several symbols in one request.

    Refusals are added.
    """
    together: dict[tuple[str, date, date], list[str]] = {}
    for symbol, request in asked.items():
        if isinstance(request.source, ManySource) and request.night.source not in refusals:
            together.setdefault(
                (request.night.source, request.first, request.night.session), []
            ).append(symbol)
    for (name, first, last), symbols in together.items():
        source = asked[symbols[0]].source
        responses: Mapping[str, Fetched | Exception]
        try:
            with plugins.called(source):
                responses = source.fetch_many(symbols, first, last)  # type: ignore[attr-defined]  # a ManySource
        except Exception as error:  # its error is that of each
            responses = dict.fromkeys(symbols, error)
        for symbol in symbols:
            response = responses.get(symbol) or BadDataError(
                f"The source returned nothing of {symbol} among the symbols requested with it. "
                "Check how it writes the symbol."
            )
            asked[symbol] = replace(asked[symbol], response=response)
            if isinstance(response, RateLimitedError):
                refusals[name] = response
    return asked
