"""One request for a symbol's bars and earnings dates: the response is assessed and appended."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, datetime

import pandas as pd

from forecasting.errors import BadDataError, ForecastingError, SourceError, UsageError
from forecasting.ingest import assessment, earnings, revisions
from forecasting.ingest.bars import no_bars, payload_hash
from forecasting.ingest.earnings import Announced
from forecasting.ingest.event_files import OF_YAHOO
from forecasting.ingest.sources import Request, Response, Source, plugins
from forecasting.night.night import Night
from forecasting.night.run_log import open_run
from forecasting.night.steps.preprocess import first_session, ledger_instant
from forecasting.preprocess.windows import BASELINE_SESSIONS
from forecasting.sessions import ends_soon, is_session, opens_at, today
from forecasting.settings import Settings
from forecasting.store import connect, read, write
from forecasting.store.connect import Connection
from forecasting.values import MarketChoice
from forecasting.vocabulary import Clock, Target, short_id

logger = logging.getLogger("forecasting.ingest")

# newest volumes, of a file up to 60 sessions newer than the bars stored of another symbol
_COMPARED = 120
_EQUAL = 60


def bars_source(settings: Settings, *, now: Clock) -> Source:
    """The source of a symbol's bars, under the settings of one symbol."""
    return plugins.source_of(
        settings.source, cache_dir=settings.yahoo_cache, today=today(now(), settings.exchange)
    )


def market_source(settings: Settings, choice: MarketChoice, *, now: Clock) -> Source:
    """The source of a market series."""
    return plugins.source_of(
        choice.source,
        cache_dir=settings.yahoo_cache,
        one_series=choice.has_own_file,
        today=today(now(), choice.exchange),
    )


def as_stored(request: Request, settings: Settings) -> Request:
    """The request, of as many sessions as one that was made for the same night before.

    A UsageError where the stored bars are of another source, which the user has not accepted. A run
    that was killed after some of its nights asks for as much again, not for what the others need
    alone.
    """
    with connect.reading(settings.url) as connection:
        newest = read.newest_fetch(connection, request.symbol)
    if newest is None:
        return request
    if newest.source != request.source and not request.accept:
        raise UsageError(
            f"The stored bars of {request.symbol} came from {newest.source}; these would come "
            f"from {request.source}. Volumes differ by vendor, so sources are not mixed by "
            "accident: use that source (FORECASTING_SOURCE), another database, or once "
            "`forecasting run` with --switch-source; the switch is kept with the fetch."
        )
    if newest.last_asked != request.last:
        return request
    return replace(request, first=min(request.first, newest.first_asked))


def check_bars(night: Night) -> None:
    """Raise what would stop a run with a file's bars.

    Nothing is stored, and nothing requested of a live source.
    """
    source = bars_source(night.settings, now=night.now)
    first = first_session(night.session, night.settings)
    request = as_stored(request_of(night, source, first, (night.target,)), night.settings)
    if plugins.is_live(source):
        return
    response = plugins.response_of(source, request)
    with connect.reading(night.url) as connection:
        revision = _revision(connection, response)
    if revision.error is not None:
        raise revision.error
    if revision.verdict == "held":  # of a night that is done: the next one is stopped
        raise BadDataError(
            f"Bars of {night.symbol} would be held back, not stored: {revision.detail}"
        )


def request_of(
    night: Night,
    source: Source,
    first: date,
    targets: tuple[Target, ...] = (),
    *,
    accept: bool = False,
) -> Request:
    """The request for a night's bars, from a session on; `targets` and `accept` as of Request."""
    return Request(
        source.name,
        night.symbol,
        first,
        night.session,
        night.exchange,
        targets,
        sessions_needed=BASELINE_SESSIONS,
        accept=accept,
    )


def _revision(connection: Connection, response: Response) -> revisions.Revision:
    """What the response changes about the stored bars, and whether its night can use it."""
    request = response.request
    bars = read.bars(connection, request.symbol)
    actions = read.actions(connection, request.symbol)
    revision = assessment.assess(response, revisions.StoredBars(bars, actions))
    if revision.verdict != "first" or request.accept or request.of_index:
        return revision
    newest = revision.versions.set_index("session")["volume"].dropna().tail(_COMPARED)
    other = read.symbol_with(connection, newest, least=_EQUAL, besides=request.symbol)
    return revision if other is None else revisions.nothing_changed(_of_other(request, other))


def _of_other(request: Request, other: str) -> BadDataError:
    """The error of a symbol's first bars, which are another one's."""
    return BadDataError(
        f"Expected bars of {request.symbol} from {request.source}; found those of {other}: its "
        f"stored bars have {_EQUAL} or more of the newest {_COMPARED} volumes. Correct the symbol "
        f"or the source; {assessment.SWITCH} accepts them, as of a company whose symbol has "
        "changed."
    )


def announced_of(
    settings: Settings,
    source: Source,
    exchanges: Mapping[str, str],
    session: date,
    *,
    stored: Callable[[str], pd.DataFrame],
) -> Callable[[str], Announced]:
    """Return a function that says what is announced of a symbol's earnings.

    The dates come from what --events names, else from the source of the bars. Arguments are those
    of `earnings.announced_by`.
    """
    if settings.events == OF_YAHOO:
        source = plugins.source_of(OF_YAHOO, cache_dir=settings.yahoo_cache)
    return earnings.announced_by(settings.events, source, exchanges, session, stored=stored)


def stored_events(url: str, symbol: str) -> pd.DataFrame:
    """Read the stored earnings dates of a symbol."""
    with connect.reading(url) as connection:
        return read.event_rows(connection, symbol)


def fetch(
    night: Night, *, source: Source, request: Request, announced: Callable[[str], Announced]
) -> Night:
    """Request bars, assess the response, write it, and return the night with its fetch.

    If nothing was stored, the error is raised.

    Args:
        night: The night under whose settings the request is made.
        source: The source of the bars.
        request: The request for the bars of the night, or of its market series.
        announced: Returns what is announced of a symbol's earnings.
    """
    try:
        response = plugins.response_of(source, request)
    except SourceError as error:
        if not plugins.is_live(source):  # no request has left this machine
            raise
        response = Response(request, no_bars())
        revision = revisions.nothing_changed(error)
        events = None
    else:
        response, revision, events = _assessed(night, response, announced)
    is_rejected = any(finding.severity == "reject" for finding in revision.findings)
    # A file that is only short or ends early leaves no trace
    if revision.error is not None and not (is_rejected or plugins.is_live(source)):
        raise revision.error
    with connect.transaction(night.url) as connection:
        fetch_id = _write(connection, night, response, revision, events)
    if revision.error is not None:
        raise revision.error
    return replace(night, fetch_id=fetch_id)


def _assessed(
    night: Night, response: Response, announced: Callable[[str], Announced]
) -> tuple[Response, revisions.Revision, pd.DataFrame | None]:
    """A response, of an index its prices alone; what it changes of the bars, and of the events."""
    check_clock(response, now=night.now())
    of_index = response.request.of_index
    if of_index:
        response = assessment.prices_alone(response)
    with connect.reading(night.url) as connection:
        revision = _revision(connection, response)
    if revision.error is not None or of_index:
        return response, revision, None
    return response, *_with_earnings(night, response, revision, announced)


def _with_earnings(
    night: Night,
    response: Response,
    revision: revisions.Revision,
    announced: Callable[[str], Announced],
) -> tuple[revisions.Revision, pd.DataFrame]:
    """The revision with the findings on the symbol's earnings dates, and the dates to add."""
    request = response.request
    of_symbol = announced(request.symbol)
    stored = stored_events(night.url, request.symbol)
    events = earnings.new_events(
        stored,
        of_symbol,
        symbol=request.symbol,
        exchange=request.exchange,
        session=request.last,
        volume=response.bars["volume"],
    )
    known = earnings.joined(stored, events)
    doubts = earnings.doubts(of_symbol, known, request.last, response.bars["volume"])
    return replace(revision, findings=[*revision.findings, *doubts]), events


def check_clock(response: Response, *, now: datetime) -> None:
    """Raise a ForecastingError for a bar of a session that is not yet open by this clock."""
    request = response.request
    newest = response.newest
    is_index = request.of_index or request.symbol.startswith("^")
    # The VIX is calculated from 03:15 on
    if newest is None or (is_index and newest <= today(now, request.exchange)):
        return
    if not is_session(newest, request.exchange):
        return
    opens = opens_at(newest, request.exchange)
    if opens > now:
        raise ForecastingError(
            f"Expected no bar of a session that has not opened; {request.source} has one of "
            f"{request.symbol} at {newest}, which opens at {opens:%Y-%m-%d %H:%M} UTC, and this "
            f"machine's clock is at {now:%Y-%m-%d %H:%M} UTC. Correct the clock (timedatectl, "
            "date); nothing was stored."
        )


def _write(
    connection: Connection,
    night: Night,
    response: Response,
    revision: revisions.Revision,
    events: pd.DataFrame | None,
) -> str:
    """The id of the stored fetch."""
    request = response.request
    choice = night.settings.market_choice
    series = [request.symbol] if choice is None else [request.symbol, choice.symbol]
    newest = read.newest(connection, "fetches", "fetched_at", {"symbol": series})
    fetched_at = ledger_instant(newest, night.now())
    before = read.newest_fetch(connection, request.symbol)
    if revision.error is None and before is not None and before.source != request.source:
        detail = f"source switched from {before.source}; {revision.detail}"
        revision = replace(revision, detail=detail)
    # Of several targets the first's, whichever are left; empty of a market series
    run_id = ""
    for target in request.targets[:1]:
        run_id = replace(night, settings=night.settings.for_target(target)).id
    if run_id and revision.error is None:
        notes = {"calendar_end": ends_soon(request.last, request.exchange)}
        open_run(connection, night, started_at=fetched_at, notes=notes)
    fetch_id = _fetch_id(response, revision, fetched_at, run_id)
    write.add_fetch(
        connection, response, revision, fetch_id=fetch_id, fetched_at=fetched_at, run_id=run_id
    )
    logger.info("fetch %s of %s: %s", fetch_id, request.symbol, revision.verdict)
    if events is not None and len(events):
        added = write.add_frame(
            connection, "events", events, symbol=request.symbol, first_seen_at=fetched_at
        )
        logger.info("%d new earnings dates of %s", added, request.symbol)
    return fetch_id


def _fetch_id(
    response: Response, revision: revisions.Revision, fetched_at: datetime, run_id: str
) -> str:
    """The id of a fetch: the same for the same response to a night, unless it stored nothing."""
    request = response.request
    parts = ["fetch", request.source, request.symbol, f"{request.first}..{request.last}"]
    if revision.error is not None:
        parts += [revision.verdict, fetched_at.isoformat(), run_id]
        return short_id(*parts)
    parts += [payload_hash(response), run_id]
    if request.accept:
        parts.append("accepted")
    return short_id(*parts)
