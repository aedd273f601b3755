"""Bring the stored bars of each symbol up to date: one request, assessed, diffed, appended.

Its earnings dates too. Afterwards a second source is compared (night/second_source.py).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial
from itertools import chain
from operator import attrgetter

import pandas as pd

from forecasting.errors import (
    BadDataError,
    ForecastingError,
    RateLimitedError,
    SourceError,
    UnavailableError,
    UsageError,
)
from forecasting.ingest import announced_days, assessment, earnings, revisions
from forecasting.ingest.bar_rules import Finding
from forecasting.ingest.bars import nothing_fetched, payload_hash
from forecasting.ingest.event_files import OF_YAHOO
from forecasting.ingest.sources import Fetched, ManySource, Source, plugins
from forecasting.night.failures import explained
from forecasting.night.night import Night, by_symbol
from forecasting.night.run_log import open_run, stopped_status
from forecasting.night.second_source import compare_with_witness
from forecasting.night.steps.preprocess import (
    STORED_NOTHING,
    first_session,
    is_before,
    ledger_instant,
    market_night,
)
from forecasting.preprocess.windows import BASELINE_SESSIONS, FILLED_SESSIONS
from forecasting.sessions import ends_soon, is_session, opens_at, today
from forecasting.settings import Settings
from forecasting.store import connect, read, write
from forecasting.store.connect import Connection
from forecasting.store.frames import Row
from forecasting.targets import TARGETS
from forecasting.values import source_name
from forecasting.vocabulary import Target, short_id

logger = logging.getLogger("forecasting.ingest")

_MARGIN = timedelta(days=60)
"""More than a night needs, so that symbols of other exchanges, whose windows begin some days apart,
share a fetch."""

Refusals = dict[str, SourceError]  # By source, or by a name of those below
# newest volumes, of a file up to 60 sessions newer than the bars stored of another symbol
_COMPARED = 120
_EQUAL = 60
_MARKET = "market "  # before its name among the refusals: a series is requested once a round


@dataclass(frozen=True)
class Span:
    """What one request asks for: the sessions from `first` on up to the night's."""

    night: Night
    first: date
    targets: tuple[Target, ...] = ()  # of the run; none of a request for no night


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
    spans = [_span(some, targets) for some in by_symbol(nights)]
    oldest = min(night.session for night in nights)
    requested = [span.night for span in spans]
    fetch_market(
        requested,
        oldest,
        refusals,
        switch_source=switch_source,
    )
    done = fetch_and_store(spans, refusals, switch_source=switch_source)
    compare_with_witness([night for night in done if night.error is None], refusals)
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


def fetch_market(
    nights: Sequence[Night], oldest: date, refusals: Refusals, *, switch_source: bool
) -> None:
    """Fetch the market series of each night, unless it is stored from `oldest` on."""
    series = {
        market.id: (market, night)
        for night in nights
        if (market := market_night(night)) is not None
    }
    for market, night in series.values():
        first = first_session(min(oldest, night.session), night.settings) - timedelta(
            days=2 * FILLED_SESSIONS
        )
        with connect.reading(night.settings.url) as connection:
            request = read.newest_fetch(connection, market.symbol, with_bars=False)
        name = f"{_MARKET}{market.source} {market.symbol}"
        if name not in refusals and (switch_source or not _is_enough(request, market, first)):
            span = Span(market, first - _MARGIN)
            (done,) = fetch_and_store([span], {}, switch_source=switch_source)
            refusals[name] = UnavailableError("It was requested a moment ago.")
            if done.error is not None:  # a night goes on without it
                logger.warning("market series %s is not up to date: %s", market.symbol, done.error)


def _is_enough(request: Row | None, market: Night, first: date) -> bool:
    if request is None or request["last_asked"] < market.session or request["first_asked"] > first:
        return False
    return (
        request["verdict"] not in STORED_NOTHING
        and (request["last_received"] or first) >= market.session
    )


def fetch_and_store(
    spans: Sequence[Span], refusals: Refusals, *, switch_source: bool
) -> list[Night]:
    """The night of each span, one a symbol, with its fetch or its error.

    A request to a live source that fails leaves a row in `fetches` too: its verdict and the error's
    text.
    """
    asked = dict[str, _Asked]()
    done = dict[str, Night]()
    for span in spans:
        night = span.night
        try:
            asked[night.symbol] = _asked(span, accept=switch_source)
        except Exception as error:  # whatever it is, it is this symbol's alone
            done[night.symbol] = replace(
                night, error=explained(error, now=night.now, settings=night.settings)
            )
    asked = _with_responses(asked, refusals)
    calendar = earnings.calendar_of([request.asking for request in asked.values()])
    for symbol, request in asked.items():
        night = request.night
        if night.source in refusals and request.response is None:
            done[symbol] = replace(night, error=refusals[night.source])
        else:
            done[symbol] = night.then("ingest", partial(_fetch, request, calendar))
            if isinstance(refusal := done[symbol].error, RateLimitedError):
                refusals[night.source] = refusal
    return [done[span.night.symbol] for span in spans]


@dataclass(frozen=True)
class _Asked:
    """A request, and what is stored of its symbol."""

    night: Night  # of the newest session that is asked for
    targets: tuple[Target, ...]  # as of its Span
    source: Source  # of the bars
    asking: earnings.Asking
    first: date
    switched_from: str  # the source of the stored bars, where it is another one
    accept: bool  # whether the user has accepted another source, and with it another history
    bars: revisions.StoredBars
    # The announced ones that are stored, each with its source
    days: Mapping[announced_days.Day, str]
    newest_instant: datetime | None
    response: Fetched | Exception | None = None  # of a request for several symbols at once

    @property
    def run_id(self) -> str:
        """The id of the run that requests: of several targets the first's, whichever are left."""
        night = self.night
        for target in self.targets[:1]:
            night = replace(night, settings=night.settings.for_target(target))
        return night.id


@dataclass(frozen=True)
class _Answer:
    """What a request brought and means; with an error, the row of a request that stored nothing."""

    fetched: Fetched
    revision: revisions.Revision
    fetched_at: datetime
    events: pd.DataFrame | None = None  # rows to add, with column source
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_short(self) -> bool:
        """Whether it cannot be used, and no row of it was rejected."""
        severities = [finding.severity for finding in self.revision.findings]
        return self.revision.error is not None and "reject" not in severities


def _asked(span: Span, *, accept: bool) -> _Asked:
    night = span.night
    first = span.first
    symbol = night.symbol
    settings = night.settings
    choice = settings.market_choice
    source = plugins.source_of(
        night.source,
        cache_dir=settings.yahoo_cache,
        exchange=settings.exchange,
        one_series=night.trigger == "market" and choice is not None and choice.has_own_file,
        today=today(night.now(), settings.exchange),
    )
    series = [symbol] if choice is None else [symbol, choice.symbol]
    with connect.reading(settings.url) as connection:
        newest = read.newest_fetch(connection, symbol) or Row()
        events = read.event_rows(connection, symbol)
        days = read.announced_days(connection, symbol)
        bars = read.bars(connection, symbol)
        actions = read.actions(connection, symbol)
        newest_instant = read.newest(
            connection,
            "fetches",
            "fetched_at",
            {"symbol": series},
        )
    switched_from = _switched_from(
        newest,
        source,
        symbol,
        accept=accept,
    )
    if newest.get("last_asked") == night.session:
        # A run that was killed after some of its nights asks for as much again, not for what the
        # others need alone.
        first = min(first, newest["first_asked"])
    dates = events[events["kind"] == "earnings"].reset_index(drop=True)
    return _Asked(
        night=night,
        targets=span.targets,
        source=source,
        asking=asking_of(
            settings,
            symbol,
            source,
            night.session,
            stored=dates,
        ),
        first=first,
        switched_from=switched_from,
        accept=accept,
        bars=revisions.StoredBars(bars, actions),
        days=days,
        newest_instant=newest_instant,
    )


def _switched_from(newest: Row, source: Source, symbol: str, *, accept: bool) -> str:
    """The source of the stored bars where it is another, which a user accepts; else empty."""
    before = str(newest.get("source", source.name))
    if before == source.name:
        return ""
    if not accept:
        raise UsageError(
            f"The stored bars of {symbol} came from {before}; these would come from {source.name}. "
            "Volumes differ by vendor, so sources are not mixed by accident: use that source "
            "(FORECASTING_SOURCE), another database, or once `forecasting run` with "
            "--switch-source; the switch is kept with the fetch."
        )
    return before


def check_bars(night: Night) -> None:
    """Raise what would stop a run with a file's bars.

    Nothing is stored, and nothing requested of a live source.
    """
    asked = _asked(_span([night], ()), accept=False)
    if plugins.is_live(asked.source):
        return
    fetched = plugins.fetched_from(
        asked.source,
        night.symbol,
        asked.first,
        night.session,
    )
    revision = _revision(asked, fetched)
    if revision.error is not None:
        raise revision.error
    if revision.verdict == "held":  # of a night that is done: the next one is stopped
        raise BadDataError(
            f"Bars of {night.symbol} would be held back, not stored: {revision.detail}"
        )


def _revision(asked: _Asked, fetched: Fetched) -> revisions.Revision:
    """What the response changes about the stored bars, and whether the night can use it."""
    night = asked.night
    request = assessment.Request(
        session=night.session,
        exchange=night.settings.exchange,
        sessions_needed=BASELINE_SESSIONS,
        accept=asked.accept,
        columns=tuple(chain.from_iterable(TARGETS[one].columns for one in asked.targets)),
        of_index=night.trigger == "market",
    )
    revision = assessment.assess(fetched, request, asked.bars)
    if revision.verdict != "first" or request.accept or request.of_index:
        return revision
    newest = revision.versions.set_index("session")["volume"].dropna().tail(_COMPARED)
    with connect.reading(night.settings.url) as connection:
        other = read.symbol_with(
            connection,
            newest,
            least=_EQUAL,
            besides=night.symbol,
        )
    return revision if other is None else revisions.nothing_changed(_of_other(fetched, other))


def _of_other(fetched: Fetched, other: str) -> BadDataError:
    """The error of a symbol's first bars, which are another one's."""
    return BadDataError(
        f"Expected bars of {fetched.symbol} from {fetched.source}; found those of {other}: its "
        f"stored bars have {_EQUAL} or more of the newest {_COMPARED} volumes. Correct the symbol "
        f"or the source; {assessment.SWITCH} accepts them, as of a company whose symbol has "
        "changed."
    )


def asking_of(
    settings: Settings, symbol: str, source: Source, session: date, *, stored: pd.DataFrame
) -> earnings.Asking:
    """What is asked for the earnings dates of a symbol up to a session."""
    file = settings.events
    if file == OF_YAHOO:
        file = None
        source = plugins.source_of(
            "yahoo", cache_dir=settings.yahoo_cache, exchange=settings.exchange
        )
    return earnings.Asking(
        symbol,
        settings.exchange,
        source,
        file=file,
        session=session,
        stored=stored,
    )


def _with_days(events: pd.DataFrame, asked: _Asked) -> pd.DataFrame:
    """The rows to add, with those of the announced days of the file of events."""
    asking = asked.asking
    if asking.file is None:
        return events
    days = announced_days.days_in_force(asked.days, asking.file, asking.symbol)
    traded = pd.DatetimeIndex(asked.bars.bars.index)
    announced_days.check_no_bar(days, set(traded.date), symbol=asking.symbol)
    new = announced_days.new_days(asked.days, days, session=asking.session)
    withdrawn = announced_days.withdrawn_days(
        asked.days,
        days,
        source=asking.file,
        session=asking.session,
    )
    rows = [events, *(some.assign(source=asking.file) for some in (new, withdrawn))]
    full = [some for some in rows if len(some)]
    return pd.concat(full, ignore_index=True) if full else events


def _with_responses(asked: dict[str, _Asked], refusals: Refusals) -> dict[str, _Asked]:
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


def _fetch(asked: _Asked, calendar: earnings.Calendar, night: Night) -> Night:
    """The night with its fetch, once the assessed response has been written.

    Its error where nothing was stored.
    """
    source = asked.source
    last = night.session
    response = asked.response
    try:
        if isinstance(response, Exception):
            with plugins.called(source):
                raise response
        if response is None:
            fetched = plugins.fetched_from(
                source,
                night.symbol,
                asked.first,
                last,
            )
        else:
            fetched = plugins.as_requested(
                response,
                source,
                night.symbol,
                (asked.first, last),
            )
    except SourceError as error:
        if not plugins.is_live(source):  # no request has left this machine
            raise
        nothing = nothing_fetched(
            source.name,
            night.symbol,
            asked.first,
            last,
        )
        answer = _Answer(
            nothing,
            revisions.nothing_changed(error),
            ledger_instant(asked.newest_instant, night.now()),
        )
    else:
        answer = _assessed(asked, fetched, calendar)
    with connect.transaction(night.settings.url) as connection:
        fetch_id = _write(connection, asked, answer)
    if answer.revision.error is not None:
        raise answer.revision.error
    return replace(night, fetch_id=fetch_id)


def _assessed(asked: _Asked, fetched: Fetched, calendar: earnings.Calendar) -> _Answer:
    """What the response changes, its earnings dates, and what people should see of it."""
    night = asked.night
    asking = asked.asking
    now = asked.night.now()
    newest = asked.newest_instant
    session = night.session
    exchange = night.settings.exchange
    is_market = night.trigger == "market"
    check_clock(
        fetched,
        exchange,
        now=now,
        index=is_market or night.symbol.startswith("^"),
    )
    seen_at = ledger_instant(newest, now)
    events = None
    doubts = list[Finding]()
    if is_market:
        fetched = assessment.prices_alone(fetched)
    revision = _revision(asked, fetched)
    if not is_market:
        lists = earnings.lists_of_night(asking, calendar, volume=fetched.bars["volume"])
        events = _with_days(earnings.changes(asking, lists), asked)
        doubts = earnings.doubts_of_lists(asking, lists)
    revision = replace(revision, findings=[*revision.findings, *doubts])
    if revision.error is not None:
        return _Answer(fetched, revision, seen_at)
    switched = f"source switched from {asked.switched_from}; " if asked.switched_from else ""
    clock = ""
    if newest is not None and is_before(now, newest):
        clock = (
            f"This machine's clock is at {now:%Y-%m-%d %H:%M} UTC, before the newest fetch of the "
            f"ledger at {newest:%Y-%m-%d %H:%M} UTC: no forecast is live until it has passed that "
            "instant."
        )
        logger.warning(clock)
    notes = {"clock": clock, "calendar_end": ends_soon(session, exchange)}
    return _Answer(
        fetched,
        replace(revision, detail=f"{switched}{revision.detail}"),
        seen_at,
        events=events,
        notes={kind: note for kind, note in notes.items() if note},
    )


def check_clock(fetched: Fetched, exchange: str, *, now: datetime, index: bool = False) -> None:
    """Raise a ForecastingError for a bar of a session that is not yet open by this clock."""
    newest = fetched.newest
    # The VIX is calculated from 03:15 on
    if newest is None or (index and newest <= today(now, exchange)):
        return
    if is_session(newest, exchange) and opens_at(newest, exchange) > now:
        raise ForecastingError(
            f"Expected no bar of a session that has not opened; {fetched.source} has one of "
            f"{fetched.symbol} at {newest}, which opens at "
            f"{opens_at(newest, exchange):%Y-%m-%d %H:%M} UTC, and this machine's clock is at "
            f"{now:%Y-%m-%d %H:%M} UTC. Correct the clock (timedatectl, date); nothing was stored."
        )


def _write(connection: Connection, asked: _Asked, answer: _Answer) -> str:
    """The id of the stored fetch; a file that is only short or ends early leaves no trace."""
    night = asked.night
    is_file = not plugins.is_live(asked.source)
    if is_file and answer.is_short:
        return ""
    # Empty of a fetch for itself or of a market series, which are of no night.
    run_id = asked.run_id if asked.targets else ""
    fetch_id = _fetch_id(asked, answer, run_id)
    at = answer.fetched_at
    if run_id:
        _write_run(
            connection,
            night,
            answer,
            is_file=is_file,
        )
    write.add_fetch(
        connection,
        answer.fetched,
        answer.revision,
        fetch_id=fetch_id,
        fetched_at=at,
        run_id=run_id,
    )
    logger.info(
        "fetch %s of %s: %s",
        fetch_id,
        night.symbol,
        answer.revision.verdict,
    )
    if answer.events is not None:
        _write_events(
            connection,
            night.symbol,
            answer.events,
            at,
        )
    return fetch_id


def _write_run(connection: Connection, night: Night, answer: _Answer, *, is_file: bool) -> None:
    """Open the night's row; a live source is requested again before its error counts."""
    error = answer.revision.error
    if error is None or is_file:
        open_run(
            connection,
            night,
            started_at=answer.fetched_at,
            notes=answer.notes,
        )
    if error is not None and is_file:
        # As error, which a later success clears; a note would stay on its page.
        stopped = {"status": stopped_status(error), "error": str(error)}
        write.update(
            connection,
            "runs",
            night.id,
            stopped,
        )


def _write_events(
    connection: Connection, symbol: str, events: pd.DataFrame, seen_at: datetime
) -> None:
    for source, some in events.groupby("source", sort=False):
        added = write.add_events(
            connection,
            symbol,
            some,
            source=str(source),
            first_seen_at=seen_at,
        )
        if added:
            name = source_name(str(source))
            logger.info(
                "%d earnings dates of %s from %s",
                added,
                symbol,
                name,
            )


def _fetch_id(asked: _Asked, answer: _Answer, run_id: str) -> str:
    """The same for the same response to a night; each that stored nothing has its own."""
    fetched = answer.fetched
    night = asked.night
    span = f"{fetched.first_asked}..{fetched.last_asked}"
    parts = ["fetch", fetched.source, fetched.symbol, span]
    if answer.revision.error is not None:
        parts += [answer.revision.verdict, answer.fetched_at.isoformat(), run_id]
        return short_id(*parts)
    parts += [payload_hash(fetched), asked.run_id]
    if night.trigger == "ingest":
        parts.append("ingest")
    if asked.accept:
        parts.append("accepted")
    return short_id(*parts)
