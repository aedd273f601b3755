"""One request for the bars of a symbol: its response is assessed, diffed and appended.

With the symbol's earnings dates.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from itertools import chain

import pandas as pd

from forecasting.errors import BadDataError, ForecastingError, SourceError, UsageError
from forecasting.ingest import assessment, earnings, revisions
from forecasting.ingest.bars import nothing_fetched, payload_hash
from forecasting.ingest.earnings import Announced
from forecasting.ingest.event_files import OF_YAHOO
from forecasting.ingest.sources import Fetched, Source, plugins
from forecasting.night.night import Night
from forecasting.night.run_log import open_run
from forecasting.night.steps.preprocess import first_session, is_before, ledger_instant
from forecasting.preprocess.windows import BASELINE_SESSIONS
from forecasting.sessions import ends_soon, is_session, opens_at, today
from forecasting.settings import Settings
from forecasting.store import connect, read, write
from forecasting.store.connect import Connection
from forecasting.store.frames import Row
from forecasting.targets import TARGETS
from forecasting.vocabulary import Target, short_id

logger = logging.getLogger("forecasting.ingest")

# newest volumes, of a file up to 60 sessions newer than the bars stored of another symbol
_COMPARED = 120
_EQUAL = 60


@dataclass(frozen=True)
class Span:
    """What one request asks for: the sessions from `first` on up to the night's."""

    night: Night
    first: date
    targets: tuple[Target, ...] = ()  # of the run; none of a request for no night


@dataclass(frozen=True)
class Asked:
    """A request, and what is stored of its symbol."""

    night: Night  # of the newest session that is asked for
    targets: tuple[Target, ...]  # as of its Span
    source: Source  # of the bars
    events: pd.DataFrame  # stored earnings dates
    first: date
    switched_from: str  # the source of the stored bars, where it is another one
    accept: bool  # whether the user has accepted another source, and with it another history
    bars: revisions.StoredBars
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


def asked_of(span: Span, *, accept: bool) -> Asked:
    """The request of a span, and what is stored of its symbol; `accept` as of Asked."""
    night = span.night
    symbol = night.symbol
    settings = night.settings
    choice = settings.market_choice
    source = plugins.source_of(
        night.source,
        cache_dir=settings.yahoo_cache,
        one_series=night.trigger == "market" and choice is not None and choice.has_own_file,
        today=today(night.now(), settings.exchange),
    )
    series = [symbol] if choice is None else [symbol, choice.symbol]
    with connect.reading(settings.url) as connection:
        newest = read.newest_fetch(connection, symbol) or Row()
        events = read.event_rows(connection, symbol)
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
    first = span.first
    if newest.get("last_asked") == night.session:
        # A run that was killed after some of its nights asks for as much again, not for what the
        # others need alone.
        first = min(first, newest["first_asked"])
    return Asked(
        night=night,
        targets=span.targets,
        source=source,
        events=events,
        first=first,
        switched_from=switched_from,
        accept=accept,
        bars=revisions.StoredBars(bars, actions),
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
    span = Span(night, first_session(night.session, night.settings), (night.target,))
    asked = asked_of(span, accept=False)
    if plugins.is_live(asked.source):
        return
    revision = _revision(asked, _response(asked))
    if revision.error is not None:
        raise revision.error
    if revision.verdict == "held":  # of a night that is done: the next one is stopped
        raise BadDataError(
            f"Bars of {night.symbol} would be held back, not stored: {revision.detail}"
        )


def _revision(asked: Asked, fetched: Fetched) -> revisions.Revision:
    """What the response changes about the stored bars, and whether the night can use it."""
    night = asked.night
    request = assessment.Request(
        session=night.session,
        exchange=night.exchange,
        sessions_needed=BASELINE_SESSIONS,
        accept=asked.accept,
        columns=tuple(chain.from_iterable(TARGETS[one].columns for one in asked.targets)),
        of_index=night.trigger == "market",
    )
    revision = assessment.assess(fetched, request, asked.bars)
    if revision.verdict != "first" or request.accept or request.of_index:
        return revision
    newest = revision.versions.set_index("session")["volume"].dropna().tail(_COMPARED)
    with connect.reading(night.url) as connection:
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


def announced_of(
    settings: Settings, source: Source, symbols: Sequence[str], session: date
) -> Callable[[str], Announced]:
    """What --events names, else the source of the bars, has announced of each symbol's earnings."""
    if settings.events == OF_YAHOO:
        source = plugins.source_of(OF_YAHOO, cache_dir=settings.yahoo_cache)
    return earnings.announced_by(settings.events, source, symbols, session)


def fetch(asked: Asked, announced: Callable[[str], Announced], night: Night) -> Night:
    """The night with its fetch, once the assessed response has been written.

    Its error where nothing was stored.
    """
    try:
        fetched = _response(asked)
    except SourceError as error:
        if not plugins.is_live(asked.source):  # no request has left this machine
            raise
        nothing = nothing_fetched(
            asked.source.name,
            night.symbol,
            asked.first,
            night.session,
        )
        at = ledger_instant(asked.newest_instant, night.now())
        answer = _Answer(nothing, revisions.nothing_changed(error), at)
    else:
        answer = _assessed(asked, fetched, announced)
    with connect.transaction(night.url) as connection:
        fetch_id = _write(connection, asked, answer)
    if answer.revision.error is not None:
        raise answer.revision.error
    return replace(night, fetch_id=fetch_id)


def _response(asked: Asked) -> Fetched:
    """What the source returns, or has returned, for the symbol; raises its error."""
    source = asked.source
    symbol = asked.night.symbol
    last = asked.night.session
    if asked.response is None:
        return plugins.fetched_from(
            source,
            symbol,
            asked.first,
            last,
        )
    if isinstance(asked.response, Exception):
        with plugins.called(source):
            raise asked.response
    return plugins.as_requested(
        asked.response,
        source,
        symbol,
        (asked.first, last),
    )


def _assessed(asked: Asked, fetched: Fetched, announced: Callable[[str], Announced]) -> _Answer:
    """What the response changes, its earnings dates, and what people should see of it."""
    night = asked.night
    now = night.now()
    is_market = night.trigger == "market"
    check_clock(
        fetched,
        night.exchange,
        now=now,
        index=is_market or night.symbol.startswith("^"),
    )
    seen_at = ledger_instant(asked.newest_instant, now)
    if is_market:
        fetched = assessment.prices_alone(fetched)
    revision = _revision(asked, fetched)
    events = None
    if not is_market:
        of_symbol = announced(night.symbol)
        events = earnings.new_events(
            asked.events,
            of_symbol,
            symbol=night.symbol,
            exchange=night.exchange,
            session=night.session,
            volume=fetched.bars["volume"],
        )
        known = earnings.joined(asked.events, events)
        doubts = earnings.doubts(of_symbol, known, night.session)
        revision = replace(revision, findings=[*revision.findings, *doubts])
    if revision.error is not None:
        return _Answer(fetched, revision, seen_at)
    if asked.switched_from:
        detail = f"source switched from {asked.switched_from}; {revision.detail}"
        revision = replace(revision, detail=detail)
    return _Answer(
        fetched,
        revision,
        seen_at,
        events,
        notes=_notes(asked, now),
    )


def _notes(asked: Asked, now: datetime) -> dict[str, str]:
    newest = asked.newest_instant
    clock = ""
    if newest is not None and is_before(now, newest):
        clock = (
            f"This machine's clock is at {now:%Y-%m-%d %H:%M} UTC, before the newest fetch of the "
            f"ledger at {newest:%Y-%m-%d %H:%M} UTC: no forecast is live until it has passed that "
            "instant."
        )
        logger.warning(clock)
    night = asked.night
    return {"clock": clock, "calendar_end": ends_soon(night.session, night.exchange)}


def check_clock(fetched: Fetched, exchange: str, *, now: datetime, index: bool = False) -> None:
    """Raise a ForecastingError for a bar of a session that is not yet open by this clock."""
    newest = fetched.newest
    # The VIX is calculated from 03:15 on
    if newest is None or (index and newest <= today(now, exchange)):
        return
    if is_session(newest, exchange) and (opens := opens_at(newest, exchange)) > now:
        raise ForecastingError(
            f"Expected no bar of a session that has not opened; {fetched.source} has one of "
            f"{fetched.symbol} at {newest}, which opens at {opens:%Y-%m-%d %H:%M} UTC, and this "
            f"machine's clock is at {now:%Y-%m-%d %H:%M} UTC. Correct the clock (timedatectl, "
            "date); nothing was stored."
        )


def _write(connection: Connection, asked: Asked, answer: _Answer) -> str:
    """The id of the stored fetch; a file that is only short or ends early leaves no trace."""
    night = asked.night
    is_rejected = any(finding.severity == "reject" for finding in answer.revision.findings)
    is_short = answer.revision.error is not None and not is_rejected
    if is_short and not plugins.is_live(asked.source):
        return ""
    # Empty of a fetch for itself or of a market series, which are of no night.
    run_id = asked.run_id if asked.targets else ""
    if run_id and answer.revision.error is None:
        open_run(
            connection,
            night,
            started_at=answer.fetched_at,
            notes=answer.notes,
        )
    fetch_id = _fetch_id(asked, answer, run_id)
    write.add_fetch(
        connection,
        answer.fetched,
        answer.revision,
        fetch_id=fetch_id,
        fetched_at=answer.fetched_at,
        run_id=run_id,
    )
    logger.info(
        "fetch %s of %s: %s",
        fetch_id,
        night.symbol,
        answer.revision.verdict,
    )
    if answer.events is not None and len(answer.events):
        added = write.add_events(
            connection, night.symbol, answer.events, first_seen_at=answer.fetched_at
        )
        logger.info("%d new earnings dates of %s", added, night.symbol)
    return fetch_id


def _fetch_id(asked: Asked, answer: _Answer, run_id: str) -> str:
    """The same for the same response to a night; each that stored nothing has its own."""
    fetched = answer.fetched
    span = f"{fetched.first_asked}..{fetched.last_asked}"
    parts = ["fetch", fetched.source, fetched.symbol, span]
    if answer.revision.error is not None:
        parts += [answer.revision.verdict, answer.fetched_at.isoformat(), run_id]
        return short_id(*parts)
    parts += [payload_hash(fetched), asked.run_id]
    if asked.accept:
        parts.append("accepted")
    return short_id(*parts)
