"""Bring the stored bars of each symbol up to date: one request, assessed, diffed, appended."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from typing import Any, Literal, cast

import pandas as pd

from forecasting.errors import (
    BadDataError,
    DataLateError,
    ForecastingError,
    RateLimitedError,
    SourceError,
    UsageError,
)
from forecasting.ids import short_id
from forecasting.ingest import events as earnings
from forecasting.ingest.assessment import Assessment, Request, StoredBars, assess
from forecasting.ingest.bars import nothing_fetched, payload_hash
from forecasting.ingest.event_history import Change, Lists, changes
from forecasting.ingest.market_bars import assess_market, prices_alone
from forecasting.ingest.revisions import Revision, nothing_changed
from forecasting.ingest.sources import EarningsSource, Fetched, ManySource, Source
from forecasting.ingest.sources.choose import is_live, market_source_of, source_of
from forecasting.pipeline import shard
from forecasting.pipeline.ledger_clock import check_clock, clock_note, ledger_instant, name_clock
from forecasting.pipeline.night_run import NightRun
from forecasting.pipeline.run_row import open_run
from forecasting.pipeline.shard import Outcome
from forecasting.pipeline.snapshot import first_session
from forecasting.preprocess.features import WARM_UP
from forecasting.preprocess.windows import MIN_ROWS
from forecasting.store import read, writes
from forecasting.store.database import Connection
from forecasting.store.frames import Row

logger = logging.getLogger("forecasting.ingest")

Purpose = Literal["night", "ingest", "companion", "market"]
"""Why bars are fetched: for a night of their symbol, for themselves, as training data or as market series of others."""

StopOn = tuple[type[SourceError], ...]


@dataclass(frozen=True)
class _Asked:
    """The oldest and the newest session that are requested."""

    first: date
    last: date


@dataclass(frozen=True)
class _Stored:
    """What is stored of the symbol, and what is requested beside it."""

    source: Source
    switched_from: str
    bars: StoredBars
    events: pd.DataFrame
    newest_instant: datetime | None
    accept: bool
    asked: _Asked
    answer: Fetched | SourceError | None = None  # of a request for several symbols


@dataclass(frozen=True)
class _Answer:
    """What a request brought and means; with an error, the row of a request that stored nothing."""

    source: Source
    fetched: Fetched
    revision: Revision
    events: list[Change]
    fetched_at: datetime
    error: ForecastingError | None = None
    note: str = ""


def fetch_and_store(
    runs: Sequence[NightRun],
    *,
    last: date | None = None,
    oldest: date | None = None,
    switch_source: bool = False,
    purpose: Purpose = "night",
    stop_on: StopOn = (RateLimitedError,),
) -> list[Outcome[str]]:
    """The id of the fetch that brought each night's bars up to its session, its row and the run's written together.

    A request to a live source that fails leaves a row in `fetches` too: its verdict and the error's text. Only a night
    opens a run; of companions and market series no earnings dates are asked. An outcome's error is a SourceError (no
    usable answer), DataLateError (the newest bar is older than the night's session), HistoryError (too few sessions) or
    UsageError (the stored bars came from another source).

    Args:
        runs: The nights, one a symbol.
        last: The newest session to fetch instead of each night's own, for a night that continues without its own bar.
        oldest: The oldest night's session, where several nights work on one fetch: it spans the rolling window of each.
        switch_source: Allow bars of another source for a symbol that has some.
        purpose: Of the fetch.
        stop_on: After such an error the other nights' requests are not made: they end with the same error.
    """
    asked = shard.given(runs, [_asked(run, last=last, oldest=oldest) for run in runs])
    stored = shard.read_each(
        asked,
        lambda connection, run, span: _read_stored(connection, run, span, switch_source=switch_source, purpose=purpose),
    )
    answers = _request_in_turn(_asked_at_once(stored), purpose=purpose, stop_on=stop_on)
    written = shard.write_each(
        answers, lambda connection, run, answer: _write(connection, run, answer, purpose=purpose)
    )
    return shard.compute_each(written, _fetch_id)


def _asked(run: NightRun, *, last: date | None, oldest: date | None) -> _Asked:
    newest = last or run.spec.session
    return _Asked(first_session(min(oldest or newest, newest), run.settings), newest)


def _read_stored(
    connection: Connection, run: NightRun, asked: _Asked, *, switch_source: bool, purpose: Purpose
) -> _Stored:
    symbol, choice = run.spec.symbol, run.settings.market_choice
    cache_dir = run.settings.data_dir.absolute() / "yahoo-cache"
    if purpose == "market" and choice is not None:
        source = market_source_of(choice, cache_dir=cache_dir)
    else:
        source = source_of(run.spec.source, cache_dir=cache_dir)
    newest = read.newest_fetch(connection, symbol)
    adjustment = (newest["adjustment_session"], newest["adjustment"]) if newest and newest["adjustment"] else None
    return _Stored(
        source=source,
        switched_from=source_switched_from(newest, source, symbol, allowed=switch_source),
        bars=StoredBars(read.bars(connection, symbol), read.actions(connection, symbol), adjustment),
        events=read.event_rows(connection, symbol),
        newest_instant=read.newest_instant(
            connection, [symbol, *run.settings.companions, *([choice.symbol] if choice else [])]
        ),
        accept=switch_source,
        asked=_as_before(asked, newest),
    )


def _as_before(asked: _Asked, newest: Row | None) -> _Asked:
    """The span; as long as the newest fetch up to the same session was, where that is longer.

    A run that was killed after some of its nights asks for as much again, not for what the others need alone.
    """
    if newest is None or newest["last_asked"] != asked.last:
        return asked
    return _Asked(min(asked.first, newest["first_asked"]), asked.last)


def _asked_at_once(stored: Sequence[Outcome[_Stored]]) -> list[Outcome[_Stored]]:
    """The same, with the responses of sources that answer for several symbols in one request."""
    answers: dict[str, Fetched | SourceError] = {}
    of_request: dict[tuple[str, _Asked], list[Outcome[_Stored]]] = {}
    for one in stored:
        if one.error is None and isinstance(one.get().source, ManySource):
            of_request.setdefault((one.get().source.name, one.get().asked), []).append(one)
    for (_, asked), some in of_request.items():
        answers |= _many(cast(ManySource, some[0].get().source), [one.run.spec.symbol for one in some], asked)
    return shard.compute_each(stored, lambda run, one: replace(one, answer=answers.get(run.spec.symbol)))


def _many(source: ManySource, symbols: list[str], asked: _Asked) -> dict[str, Fetched | SourceError]:
    try:
        found = source.fetch_many(symbols, asked.first, asked.last)
    except SourceError as error:
        return dict.fromkeys(symbols, error)
    return {symbol: found.get(symbol) or BadDataError(_NOT_AMONG.format(symbol=symbol)) for symbol in symbols}


_NOT_AMONG = (
    "The source returned nothing of {symbol} among the symbols requested with it. Check how it writes the symbol."
)


def _response(symbol: str, stored: _Stored) -> Fetched:
    if isinstance(stored.answer, SourceError):
        raise stored.answer
    return stored.answer or stored.source.fetch(symbol, stored.asked.first, stored.asked.last)


def _request_in_turn(
    stored: Sequence[Outcome[_Stored]], *, purpose: Purpose, stop_on: StopOn
) -> list[Outcome[_Answer]]:
    answers: list[Outcome[_Answer]] = []
    refused: dict[str, ForecastingError] = {}
    for one in stored:
        name = one.run.spec.source
        if one.error is not None or name in refused:
            answers.append(Outcome(one.run, error=one.error or refused[name]))
            continue
        answer = shard.attempt(one.run, partial(_request, one.run, one.get(), purpose=purpose))
        answers.append(answer)
        error = answer.error or (answer.value.error if answer.value else None)
        if isinstance(error, stop_on):
            refused[name] = error
    return answers


def _request(run: NightRun, stored: _Stored, *, purpose: Purpose) -> _Answer:
    """The assessed answer to one request.

    Raises:
        SourceError: A file cannot be used: nothing left this machine, so no row is kept.
    """
    source, spec, settings = stored.source, run.spec, run.settings
    first, session = stored.asked.first, stored.asked.last
    try:
        fetched = _response(spec.symbol, stored)
    except SourceError as error:
        if not is_live(source):
            raise
        nothing = nothing_fetched(source.name, spec.symbol, first, session)
        instant = ledger_instant(stored.newest_instant, run.now())
        return _Answer(source, nothing, nothing_changed(error.verdict, str(error)), [], instant, error)
    check_clock(fetched, settings.exchange, now=run.now())
    lists = Lists(
        usable=earnings.usable_events(spec.symbol, spec.events, exchange=settings.exchange),
        listed=_listed_events(run, source, session, requested=purpose in ("night", "ingest")),
        usable_source=spec.events or "bundled",
        listed_source=source.name,
        seen_at=ledger_instant(stored.newest_instant, run.now()),
    )
    request = Request(session, spec.source, settings.exchange, WARM_UP + MIN_ROWS, stored.accept)
    fetched = prices_alone(fetched) if purpose == "market" else fetched
    assessed = (assess_market if purpose == "market" else assess)(fetched, request, stored.bars)
    added = changes(stored.events, lists, session=session, exchange=settings.exchange)
    revision = _with_switch(assessed, stored.switched_from)
    if assessed.note:
        logger.warning(assessed.note)
    note = f"{clock_note(stored.newest_instant, now=run.now())} {assessed.note}".strip()
    return _Answer(source, fetched, revision, added, lists.seen_at, name_clock(assessed.error, session, run), note)


def _listed_events(run: NightRun, source: Source, session: date, *, requested: bool) -> pd.DataFrame:
    """Earnings dates as the source lists them now, coming ones known from now on; none unless `requested`."""
    exchange = run.settings.exchange
    if not requested or not isinstance(source, EarningsSource) or run.spec.events is not None:
        return earnings.reacting(earnings.bundled_events(""), exchange=exchange)
    return earnings.reacting(source.earnings_dates(run.spec.symbol), exchange=exchange, seen=session)


def _with_switch(assessed: Assessment, switched_from: str) -> Revision:
    """The revision, its detail with what the user or the operator should see beside the numbers."""
    revision = assessed.revision
    if assessed.error is not None:
        return revision
    switched = f"source switched from {switched_from}; " if switched_from else ""
    note = f". {assessed.note}" if assessed.note else ""
    return replace(revision, detail=f"{switched}{revision.detail}{note}")


def _write(connection: Connection, run: NightRun, answer: _Answer, *, purpose: Purpose) -> str | ForecastingError:
    """The id of the stored fetch, or the error of a request that stored nothing."""
    fetched_at, run_id = answer.fetched_at, run.id if purpose == "night" else None
    failed = answer.error is not None
    if failed and not is_live(answer.source) and not _refused(answer):
        return answer.error or ""
    fetch_id = _failed_id(answer, fetched_at.isoformat(), run_id) if failed else _fetched_id(answer.fetched, run)
    if purpose == "night" and not failed:
        open_run(connection, run, started_at=fetched_at, note=answer.note)
    elif purpose == "night" and not is_live(answer.source):
        # A live source is asked again, and its row written when that ends; a file is read once.
        open_run(connection, run, started_at=fetched_at)
        status = "late" if isinstance(answer.error, DataLateError) else "failed"
        # As error, which a later success clears; a note would stay on its page.
        writes.update_run(connection, run.id, {"status": status, "error": str(answer.error)})
    writes.add_fetch(
        connection, answer.fetched, answer.revision, fetch_id=fetch_id, fetched_at=fetched_at, run_id=run_id
    )
    logger.info("fetch %s of %s: %s", fetch_id, run.spec.symbol, answer.revision.verdict)
    if answer.error is not None:
        return answer.error
    for change in answer.events:
        writes.add_events(connection, run.spec.symbol, change.rows, source=change.source, first_seen_at=fetched_at)
    return fetch_id


def _refused(answer: _Answer) -> bool:
    """Whether rows were refused or held back; a file that is only short or ends early leaves no trace."""
    return any(finding.severity == "reject" for finding in answer.revision.findings)


def _fetch_id(run: NightRun, written: str | ForecastingError) -> str:
    if isinstance(written, ForecastingError):
        raise written
    return written


def _fetched_id(fetched: Fetched, run: NightRun) -> str:
    """The same answer to the same night is the same fetch, however often the night is run."""
    asked = f"{fetched.first_asked}..{fetched.last_asked}"
    return short_id("fetch", fetched.source, fetched.symbol, asked, payload_hash(fetched), run.id)


def _failed_id(answer: _Answer, instant: str, run_id: str | None) -> str:
    """Each request that stored nothing is one of its own."""
    fetched = answer.fetched
    asked = f"{fetched.first_asked}..{fetched.last_asked}"
    return short_id("fetch", fetched.source, fetched.symbol, asked, answer.revision.verdict, instant, run_id or "")


def source_switched_from(newest: Mapping[str, Any] | None, source: Source, symbol: str, *, allowed: bool) -> str:
    """The source of the symbol's stored bars where this one is another, else empty.

    Vendors count volume differently: a symbol keeps its source unless the user asks for a switch.

    Raises:
        UsageError: The newest stored fetch came from another source and no switch was asked for.
    """
    if newest is None or newest["source"] == source.name:
        return ""
    if not allowed:
        raise UsageError(
            f"{symbol}'s stored bars came from {newest['source']}; these would come from {source.name}. "
            "Volumes differ by vendor, so sources are not mixed by accident: use the same --source, another database, "
            "or --switch-source to allow it; the switch is kept with the fetch."
        )
    return str(newest["source"])
