"""Bring the stored bars of each symbol up to date: one request, assessed, diffed, appended; its earnings dates too."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from typing import Any, Literal

from forecasting.errors import BadDataError, DataLateError, ForecastingError, RateLimitedError, SourceError, UsageError
from forecasting.ingest.assessment import Request, StoredBars, assess, assess_market, prices_alone
from forecasting.ingest.bars import nothing_fetched, payload_hash
from forecasting.ingest.earnings import (
    Asking,
    Calendar,
    Change,
    Lists,
    calendar_of,
    changes,
    check_events,
    lists_of_night,
    stale_dates,
)
from forecasting.ingest.revisions import Revision, nothing_changed
from forecasting.ingest.sources import Fetched, ManySource, Source
from forecasting.ingest.sources.edgar import Edgar
from forecasting.ingest.sources.plugins import (
    called,
    fetched_from,
    is_live,
    made_canonical,
    market_source_of,
    source_of,
)
from forecasting.pipeline import plan
from forecasting.pipeline.market import needed_market
from forecasting.pipeline.night import BATCH, Night, by_symbol, in_batches, make_night
from forecasting.pipeline.run_log import open_run, stopped_status
from forecasting.pipeline.second_source import compare_with_witness
from forecasting.pipeline.snapshot import first_session, is_before, ledger_instant
from forecasting.pipeline.symbols import SymbolOutcome, each_symbol
from forecasting.pipeline.unexpected import explained
from forecasting.preprocess.features import WARM_UP
from forecasting.preprocess.windows import MIN_ROWS
from forecasting.sessions import after, ends_soon, is_session, opens_at, today
from forecasting.settings import Settings
from forecasting.store import connect, lock, migrate, read, write
from forecasting.store.connect import Connection
from forecasting.values import source_name
from forecasting.vocabulary import Clock, short_id

logger = logging.getLogger("forecasting.ingest")

Purpose = Literal["night", "ingest", "market"]
"""Why bars are fetched: for a night of their symbol, for themselves, or as market series of others."""

LATE_SESSIONS = 5
"""An exchange closed for a week, at most: a source that is further behind shows a symbol or a clock that is wrong."""


def ingest(
    nights: Sequence[Night], *, switch_source: bool = False, refusals: dict[str, SourceError] | None = None
) -> list[Night]:
    """Each night with the fetch that brought its symbol's bars up to its newest session, or with what stopped it.

    One request brings the bars of all nights of a symbol, oldest first. The market series comes before; the stored bars
    are compared with a second source (FORECASTING_WITNESS) after. `switch_source` allows bars of another source for a
    symbol that has some. `refusals`, by source: after one none is made of it for the symbols that follow.

    An error is a SourceError (no usable response), a DataLateError (the newest bar is older than the night's session),
    a HistoryError (too few sessions) or a UsageError (the stored bars came from another source).
    """
    fetched: dict[str, Night] = {}
    refusals = {} if refusals is None else refusals
    for batch in in_batches(nights, BATCH):
        symbols, oldest = by_symbol(batch), min(night.session for night in batch)
        newest = [of_symbol[-1] for of_symbol in symbols]
        started = time.perf_counter()
        for market, first in needed_market(newest, oldest, switch_source=switch_source):
            (of_market,) = fetch_and_store([(market, first)], switch_source=switch_source, purpose="market")
            if of_market.error is not None:  # a night goes on without it
                logger.warning("market series %s is not up to date: %s", market.symbol, of_market.error)
        done = fetch_and_store(
            [(of_symbol[-1], first_of(of_symbol)) for of_symbol in symbols],
            switch_source=switch_source,
            refusals=refusals,
        )
        compare_with_witness([night for night in done if night.error is None])
        seconds = {"ingest": round((time.perf_counter() - started) / len(done), 3)}
        fetched |= {night.symbol: replace(night, seconds=seconds) for night in done}
    found = []
    for night in nights:
        of = fetched[night.symbol]  # the newest night, whose request brought the bars of all
        seconds = of.seconds if night.id == of.id else {}
        found.append(replace(night, fetch_id=of.fetch_id, seconds=seconds, error=of.error))
    return found


def first_of(nights: Sequence[Night]) -> date:
    """The first day that the bars of a symbol's nights, oldest first, are asked for."""
    return first_session(nights[0].session, nights[0].settings)


def fetch_and_store(
    spans: Sequence[tuple[Night, date]],
    *,
    switch_source: bool = False,
    purpose: Purpose = "night",
    refusals: dict[str, SourceError] | None = None,
) -> list[Night]:
    """Each night with the fetch that brought its bars, or with its error, the row and the run's written together.

    A request to a live source that fails leaves a row in `fetches` too: its verdict and the error's text. Only a night
    opens a run; of a market series no earnings dates are asked. Each night, one a symbol, comes with the first day that
    its bars are asked for; `switch_source` and `refusals` as for `ingest`.
    """
    refusals = {} if refusals is None else refusals
    asked: dict[str, _Asked] = {}
    failed: dict[str, Night] = {}
    for night, first in spans:
        try:
            asked[night.symbol] = _asked(night, first, switch_source=switch_source, purpose=purpose)
        except Exception as error:  # whatever it is, it is this symbol's alone
            failed[night.symbol] = replace(night, error=explained(error, now=night.now, settings=night.settings))
    asked = _with_responses(asked, refusals)
    calendar = calendar_of([one.asking for one in asked.values()]) if purpose != "market" else None
    done = []
    for night, _ in spans:
        if night.symbol in failed:
            done.append(failed[night.symbol])
        elif night.source in refusals and asked[night.symbol].response is None:
            done.append(replace(night, error=refusals[night.source]))
        else:
            done.append(night.then("ingest", partial(_fetch, asked[night.symbol], calendar, purpose)))
            if isinstance(refusal := done[-1].error, RateLimitedError):
                refusals[night.source] = refusal
    return done


@dataclass(frozen=True)
class _Asked:
    """A request, and what is stored of its symbol; `response` is that of a request for several symbols at once."""

    night: Night
    asking: Asking
    source: Source
    first: date
    last: date
    switched_from: str
    bars: StoredBars
    newest_instant: datetime | None
    accept: bool
    response: Fetched | Exception | None = None


@dataclass(frozen=True)
class _Answer:
    """What a request brought and means; with an error, the row of a request that stored nothing."""

    fetched: Fetched
    revision: Revision
    events: list[Change]
    fetched_at: datetime
    error: ForecastingError | None = None
    notes: dict[str, Any] = field(default_factory=dict)


def _asked(night: Night, first: date, *, switch_source: bool, purpose: Purpose) -> _Asked:
    symbol, settings = night.symbol, night.settings
    choice, last = settings.market_choice, night.session
    if purpose == "market" and choice is not None:
        source = market_source_of(choice, cache_dir=settings.yahoo_cache)
    else:
        source = source_of(night.source, cache_dir=settings.yahoo_cache, exchange=settings.exchange)
    with connect.reading(settings.url) as connection:
        newest = read.newest_fetch(connection, symbol)
        if newest is not None and newest["last_asked"] == last:
            # A run that was killed after some of its nights asks for as much again, not for what the others need alone.
            first = min(first, newest["first_asked"])
        adjustment = (newest["adjustment_session"], newest["adjustment"]) if newest and newest["adjustment"] else None
        return _Asked(
            night=night,
            asking=Asking(
                symbol,
                settings.exchange,
                source=source,
                has_file=settings.events is not None,
                session=last,
                stored=read.event_rows(connection, symbol),
                edgar=Edgar(settings.edgar_contact) if settings.edgar_contact else None,
            ),
            source=source,
            first=first,
            last=last,
            switched_from=source_switched_from(newest, source, symbol, allowed=switch_source),
            bars=StoredBars(read.bars(connection, symbol), read.actions(connection, symbol), adjustment),
            newest_instant=read.newest(
                connection, "fetches", "fetched_at", {"symbol": [symbol, *([choice.symbol] if choice else [])]}
            ),
            accept=switch_source,
        )


def _with_responses(asked: dict[str, _Asked], refusals: dict[str, SourceError]) -> dict[str, _Asked]:
    """The same, with the responses of sources that answer for several symbols in one request; refusals are added."""
    together: dict[tuple[str, date, date], list[_Asked]] = {}
    for one in asked.values():
        if isinstance(one.source, ManySource):
            together.setdefault((one.night.source, one.first, one.last), []).append(one)
    for (name, first, last), some in together.items():
        if name in refusals:
            continue
        symbols = [one.night.symbol for one in some]
        responses: Mapping[str, Fetched | Exception]
        try:
            with called(some[0].source):
                responses = some[0].source.fetch_many(symbols, first, last)  # type: ignore[attr-defined]  # ManySource
        except Exception as error:  # its error is that of each
            responses = dict.fromkeys(symbols, error)
        for one in some:
            symbol = one.night.symbol
            response = responses.get(symbol) or BadDataError(
                f"The source returned nothing of {symbol} among the symbols requested with it. Check how it writes the "
                "symbol."
            )
            asked[symbol] = replace(one, response=response)
            if isinstance(response, RateLimitedError):
                refusals[name] = response
    return asked


def _fetch(asked: _Asked, calendar: Calendar | None, purpose: Purpose, night: Night) -> Night:
    """The night with its fetch, once the assessed response has been written; its error where nothing was stored."""
    answer = _request(asked, calendar, purpose)
    with connect.transaction(night.settings.url) as connection:
        fetch_id = _write(connection, asked, answer, purpose)
    if answer.error is not None:
        raise answer.error
    return replace(night, fetch_id=fetch_id)


def _request(asked: _Asked, calendar: Calendar | None, purpose: Purpose) -> _Answer:
    """The assessed response to one request; a SourceError of a file, since no request has left this machine."""
    night, source, exchange = asked.night, asked.source, asked.night.settings.exchange
    try:
        fetched = _response(asked)
    except SourceError as error:
        if not is_live(source):
            raise
        nothing = nothing_fetched(source.name, night.symbol, asked.first, asked.last)
        instant = ledger_instant(asked.newest_instant, night.now())
        return _Answer(nothing, nothing_changed(error.verdict, str(error)), [], instant, error)
    check_clock(fetched, exchange, now=night.now(), index=purpose == "market" or night.symbol.startswith("^"))
    lists = _lists(asked, calendar, fetched) if calendar is not None else None
    request = Request(asked.last, night.source, exchange, WARM_UP + MIN_ROWS, asked.accept)
    if purpose == "market":
        fetched = prices_alone(fetched)
        assessed = assess_market(fetched, request, asked.bars)
    else:
        assessed = assess(fetched, request, asked.bars)
    if assessed.note:
        logger.warning(assessed.note)
    revision, added = assessed.revision, list[Change]()
    if lists is not None:
        added = changes(asked.asking.stored, lists, session=asked.last, exchange=exchange)
        revision = replace(revision, findings=[*revision.findings, *stale_dates(asked.asking, lists)])
    if assessed.error is None:  # with what the user or the operator should see beside the numbers
        switched = f"source switched from {asked.switched_from}; " if asked.switched_from else ""
        note = f". {assessed.note}" if assessed.note else ""
        revision = replace(revision, detail=f"{switched}{revision.detail}{note}")
    return _Answer(
        fetched,
        revision,
        added,
        ledger_instant(asked.newest_instant, night.now()) if lists is None else lists.seen_at,
        _with_clock(assessed.error, asked.last, night),
        {
            "clock": clock_note(asked.newest_instant, now=night.now()),
            "assessment": assessed.note,
            "calendar_end": ends_soon(asked.last, exchange),
        },
    )


def _response(asked: _Asked) -> Fetched:
    if isinstance(asked.response, Exception):
        with called(asked.source):
            raise asked.response
    symbol = asked.night.symbol
    if asked.response is not None:
        return made_canonical(asked.response, asked.source.name, symbol, (asked.first, asked.last))
    return fetched_from(asked.source, symbol, asked.first, asked.last)


def check_clock(fetched: Fetched, exchange: str, *, now: datetime, index: bool = False) -> None:
    """Raise a ForecastingError where the source has a bar of a session that has not opened by this machine's clock.

    Of an `index` a bar of today may come before the open: the VIX is calculated from 03:15 in New York on.
    """
    newest = fetched.newest
    if newest is None or (index and newest <= today(now, exchange)):
        return
    if is_session(newest, exchange) and opens_at(newest, exchange) > now:
        raise ForecastingError(
            f"Expected no bar of a session that has not opened; {fetched.source} has one of {fetched.symbol} at "
            f"{newest}, which opens at {opens_at(newest, exchange):%Y-%m-%d %H:%M} UTC, and this machine's clock is at "
            f"{now:%Y-%m-%d %H:%M} UTC. Correct the clock (timedatectl, date); nothing was stored."
        )


def _with_clock(error: ForecastingError | None, session: date, night: Night) -> ForecastingError | None:
    """The error, and a word on the clock where the source is behind it by more than a holiday or a slow night."""
    if not isinstance(error, DataLateError) or error.newest is None:
        return error
    behind = len(after(error.newest, session, night.settings.exchange))
    if behind <= LATE_SESSIONS:
        return error
    clock = f"{night.now():%Y-%m-%d %H:%M} UTC"
    return DataLateError(
        f"{error} It is {behind} sessions behind: the symbol has stopped trading, or this machine's clock, at {clock}, "
        "is ahead.",
        error.newest,
        error.why,
    )


def clock_note(newest: datetime | None, *, now: datetime) -> str:
    """The run's note on a clock that is, or once was, wrong; empty for a clock that agrees with the ledger."""
    if newest is None or not is_before(now, newest):
        return ""
    note = (
        f"This machine's clock is at {now:%Y-%m-%d %H:%M} UTC, before the newest fetch of the ledger at "
        f"{newest:%Y-%m-%d %H:%M} UTC: it is behind now, or was ahead then. This fetch is stored as the later one, "
        "and forecasts are live again once the clock has passed that instant."
    )
    logger.warning(note)
    return note


def _lists(asked: _Asked, calendar: Calendar, fetched: Fetched) -> Lists:
    """The earnings dates that a night may use, and those that its source lists now, known from its session on."""
    night = asked.night
    seen_at = ledger_instant(asked.newest_instant, night.now())
    volume = fetched.bars["volume"]
    return lists_of_night(asked.asking, calendar, option=night.settings.events, volume=volume, seen_at=seen_at)


def _write(connection: Connection, asked: _Asked, answer: _Answer, purpose: Purpose) -> str:
    """The id of the stored fetch; a file that is only short or ends early leaves no trace."""
    night, is_night = asked.night, purpose == "night"
    failed, live = answer.error is not None, is_live(asked.source)
    if failed and not live and not any(finding.severity == "reject" for finding in answer.revision.findings):
        return ""
    fetch_id = _fetch_id(asked, answer, purpose)
    if is_night and (not failed or not live):  # a live source is asked again before its error counts
        open_run(
            connection,
            night,
            started_at=answer.fetched_at,
            notes={kind: note for kind, note in answer.notes.items() if note and not failed},
        )
        if answer.error is not None:
            # As error, which a later success clears; a note would stay on its page.
            stopped = {"status": stopped_status(answer.error), "error": str(answer.error)}
            write.update_run(connection, night.id, stopped)
    write.add_fetch(
        connection,
        answer.fetched,
        answer.revision,
        fetch_id=fetch_id,
        fetched_at=answer.fetched_at,
        run_id=night.id if is_night else None,
    )
    logger.info("fetch %s of %s: %s", fetch_id, night.symbol, answer.revision.verdict)
    for change in answer.events if not failed else ():
        added = write.add_events(
            connection, night.symbol, change.rows, source=change.source, first_seen_at=answer.fetched_at
        )
        if added:
            logger.info("%d earnings dates of %s from %s", added, night.symbol, source_name(change.source))
    return fetch_id


def _fetch_id(asked: _Asked, answer: _Answer, purpose: Purpose) -> str:
    """The same response to the same night is the same fetch, however often the night is run.

    An ingest before it has another id, because the night's inputs are those known when its own fetch was made; and so
    has a response that the user accepts, which may have been held before. Each request that stored nothing is one of
    its own.
    """
    fetched, night = answer.fetched, asked.night
    parts = ("fetch", fetched.source, fetched.symbol, f"{fetched.first_asked}..{fetched.last_asked}")
    if answer.error is not None:
        run_id = night.id if purpose == "night" else ""
        return short_id(*parts, answer.revision.verdict, answer.fetched_at.isoformat(), run_id)
    of = [*([purpose] if purpose == "ingest" else []), *(["accepted"] if asked.accept else [])]
    return short_id(*parts, payload_hash(fetched), night.id, *of)


def source_switched_from(newest: Mapping[str, Any] | None, source: Source, symbol: str, *, allowed: bool) -> str:
    """The source of the stored bars where this one is another and may be: vendors count volume differently."""
    if newest is None or newest["source"] == source.name:
        return ""
    if not allowed:
        raise UsageError(
            f"{symbol}'s stored bars came from {newest['source']}; these would come from {source.name}. "
            "Volumes differ by vendor, so sources are not mixed by accident: use the same --source, another database, "
            "or --switch-source to allow it; the switch is kept with the fetch."
        )
    return str(newest["source"])


def ingest_only(
    settings: Settings, *, as_of: date | None, switch_source: bool, now: Clock
) -> list[SymbolOutcome[dict[str, Any]]]:
    """The row of the fetch that brought each symbol's bars up to `as_of`, or to its newest session, without a night."""
    migrate.check_ready(settings.url)

    def fetch(own: Settings) -> dict[str, Any]:
        check_events(settings.events, settings.symbols)
        session = as_of or plan.newest_session(own.symbols[0], own, now=now)
        plan.check_session(session, own.exchange, now=now)
        night = make_night(own.symbols[0], session, settings, now=now)
        with lock.night_lock(own.url, "night"):
            (done,) = fetch_and_store([(night, first_of([night]))], switch_source=switch_source, purpose="ingest")
        if done.error is not None:
            raise done.error
        with connect.reading(own.url) as connection:
            return dict(read.row(connection, "fetches", {"id": done.fetch_id}) or {})

    return each_symbol(settings, fetch, now=now)
