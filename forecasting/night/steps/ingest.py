"""Bring the stored bars of each symbol up to date: one request, assessed, diffed, appended.

Its earnings dates too.
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
    RateLimitedError,
    SourceError,
    StoreError,
    UnavailableError,
    explained,
)
from forecasting.ingest.sources import Fetched, ManySource, plugins
from forecasting.night.night import Night, grouped
from forecasting.night.steps.fetch import Asked, Span, announced_of, asked_of, fetch
from forecasting.night.steps.preprocess import (
    STORED_NOTHING,
    first_session,
    input_fetch,
    market_night,
    no_session,
)
from forecasting.preprocess.windows import FILLED_SESSIONS
from forecasting.store import connect, read
from forecasting.store.frames import Row
from forecasting.values import source_name
from forecasting.vocabulary import Target

logger = logging.getLogger("forecasting.ingest")

_MARGIN = timedelta(days=60)
"""More than a night needs, so that symbols of other exchanges, whose windows begin some days apart,
share a fetch."""

Refusals = dict[str, SourceError]  # by source


def ingest(
    nights: Sequence[Night],
    targets: tuple[Target, ...] = (),
    switch_source: bool = False,
) -> list[Night]:
    """Each night with the fetch that brought its symbol's bars, or with what stopped it.

    One request brings the bars of all nights of a symbol. A source that does not respond is
    requested once more at once; one that has the bars of older nights alone is requested for these.

    Args:
        nights: Those of some symbols, each symbol's oldest first.
        targets: Those of the run, else the nights': a run that was killed after some of them
            requests as before.
        switch_source: Allow bars of another source for a symbol that has some.
    """
    request = partial(_requested, targets=targets, switch_source=switch_source)
    done = request(nights)
    done = _again(done, request, lambda night: isinstance(night.error, UnavailableError))
    done = _again(done, request, _has_come)
    return [_with_stored_bar(night) for night in done]


def _again(
    nights: Sequence[Night],
    request: Callable[[Sequence[Night]], list[Night]],
    is_again: Callable[[Night], bool],
) -> list[Night]:
    """The nights, some of which are requested again."""
    again = [replace(night, error=None) for night in nights if is_again(night)]
    ended = {night.id: night for night in request(again)} if again else {}
    return [ended.get(night.id, night) for night in nights]


def _has_come(night: Night) -> bool:
    """Whether a night has its bar, but its symbol's newest night has not."""
    late = night.error
    return (
        isinstance(late, DataLateError) and late.newest is not None and night.session <= late.newest
    )


def _with_stored_bar(night: Night) -> Night:
    """The night, without the error of a request that it does not need.

    Its bar is stored where a run was killed after it had come. A session without a bar that has
    newer ones is no session.
    """
    needs_none = isinstance(night.error, UnavailableError | RateLimitedError)
    if not needs_none and not isinstance(night.error, DataLateError):
        return night
    with connect.reading(night.url) as connection:
        stored = read.newest(connection, "bar_versions", "session", {"symbol": night.symbol})
        if needs_none and _is_stored(connection, night):
            return replace(night, error=None)
    if not needs_none and stored is not None and stored > night.session:
        return replace(night, error=no_session(night))
    return night


def _is_stored(connection: connect.Connection, night: Night) -> bool:
    try:
        input_fetch(connection, night.settings, night.session)
    except StoreError:
        return False
    return True


def _requested(
    nights: Sequence[Night], *, targets: tuple[Target, ...], switch_source: bool
) -> list[Night]:
    """Each night with the fetch of one request a symbol, or with its error."""
    spans = [_span(some, targets) for some in grouped(nights, "symbol")]
    done = fetch_and_store(spans, _pauses(nights), switch_source=switch_source)
    newest = {night.symbol: night for night in done}
    return [_with_fetch_of(newest[night.symbol], night) for night in nights]


def _pauses(nights: Sequence[Night]) -> Refusals:
    """The refusals of sources that are not requested yet: an earlier request would extend them."""
    refusals = Refusals()
    for source, night in {night.source: night for night in nights}.items():
        name = source_name(source)
        with connect.reading(night.url) as connection:
            until = read.paused_until(connection, name)
        if until is not None and until > night.now():
            refusals[source] = RateLimitedError(
                f"{name} has refused requests and is left alone until {until:%Y-%m-%d %H:%M} UTC: "
                "an earlier request would extend that. The next run after it goes on."
            )
    return refusals


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


def fetch_market(nights: Sequence[Night], *, switch_source: bool) -> None:
    """Fetch the market series of the nights of a run, unless all that is needed of it is stored.

    It comes before the bars of the nights, whose fetch fixes what is known of it.
    """
    spans = [_span(some, ()) for some in grouped(nights, "symbol")]
    wanted: dict[tuple[str, str], Span] = {}
    for span in spans:
        market = market_night(span.night)
        if market is not None:
            first = span.first - timedelta(days=2 * FILLED_SESSIONS)
            series = (market.source, market.symbol)
            before = wanted.get(series, Span(market, first))
            newest = max(before.night, market, key=attrgetter("session"))
            wanted[series] = Span(newest, min(before.first, first))
    for span in wanted.values():
        market = span.night
        with connect.reading(market.url) as connection:
            request = read.newest_fetch(connection, market.symbol, with_bars=False)
        if switch_source or not _is_enough(request, market.session, span.first):
            asked = replace(span, first=span.first - _MARGIN)
            (done,) = fetch_and_store([asked], _pauses([market]), switch_source=switch_source)
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
            ours = explained(error)
            done[night.symbol] = replace(night, error=ours)
    asked = _with_responses(asked, refusals)
    if not asked:
        return [done[span.night.symbol] for span in spans]
    one = next(iter(asked.values()))
    newest = max(request.night.session for request in asked.values())
    announced = announced_of(one.night.settings, one.source, list(asked), newest)
    for symbol, request in asked.items():
        night = request.night
        if night.source in refusals and request.response is None:
            done[symbol] = replace(night, error=refusals[night.source])
        else:
            done[symbol] = night.then("ingest", partial(fetch, request, announced))
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
