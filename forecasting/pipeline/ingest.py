"""Bring the stored bars of each symbol up to date: one request, assessed, diffed, appended."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from forecasting.errors import ForecastingError, RateLimitedError, UsageError
from forecasting.ids import short_id
from forecasting.ingest.assessment import StoredBars
from forecasting.ingest.bars import payload_hash
from forecasting.ingest.sources import Fetched, Source
from forecasting.ingest.sources.plugins import is_live, market_source_of, source_of
from forecasting.pipeline import shard
from forecasting.pipeline.answers import Answer, Asked, Purpose, StopOn, Stored, request_in_turn
from forecasting.pipeline.night_run import NightRun
from forecasting.pipeline.run_row import open_run, stopped_status
from forecasting.pipeline.shard import Outcome
from forecasting.pipeline.snapshot import first_session
from forecasting.store import read, writes
from forecasting.store.database import Connection
from forecasting.store.frames import Row
from forecasting.store.read import open_stale_dates

logger = logging.getLogger("forecasting.ingest")


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
        stop_on: As for `request_in_turn`.
    """
    asked = shard.given(runs, [_asked(run, last=last, oldest=oldest) for run in runs])
    stored = shard.read_each(
        asked,
        lambda connection, run, span: _read_stored(connection, run, span, switch_source=switch_source, purpose=purpose),
    )
    answers = request_in_turn(stored, purpose=purpose, stop_on=stop_on)
    written = shard.write_each(
        answers,
        lambda connection, run, answer: _write(connection, run, answer, purpose=purpose, accept=switch_source),
    )
    return shard.compute_each(written, _fetch_id)


def _asked(run: NightRun, *, last: date | None, oldest: date | None) -> Asked:
    newest = last or run.spec.session
    return Asked(first_session(min(oldest or newest, newest), run.settings), newest)


def _read_stored(
    connection: Connection, run: NightRun, asked: Asked, *, switch_source: bool, purpose: Purpose
) -> Stored:
    symbol, choice = run.spec.symbol, run.settings.market_choice
    if purpose == "market" and choice is not None:
        source = market_source_of(choice, cache_dir=run.settings.yahoo_cache)
    else:
        own = run.settings.exchange
        source = source_of(run.spec.source, cache_dir=run.settings.yahoo_cache, exchange=own)
    newest = read.newest_fetch(connection, symbol)
    adjustment = (newest["adjustment_session"], newest["adjustment"]) if newest and newest["adjustment"] else None
    return Stored(
        source=source,
        switched_from=source_switched_from(newest, source, symbol, allowed=switch_source),
        bars=StoredBars(read.bars(connection, symbol), read.actions(connection, symbol), adjustment),
        events=read.event_rows(connection, symbol),
        stale=open_stale_dates(connection, symbol) if purpose == "companion" else [],
        newest_instant=read.newest_instant(
            connection, [symbol, *run.settings.companions, *([choice.symbol] if choice else [])]
        ),
        accept=switch_source,
        asked=_as_before(asked, newest),
    )


def _as_before(asked: Asked, newest: Row | None) -> Asked:
    """The span; as long as the newest fetch up to the same session was, where that is longer.

    A run that was killed after some of its nights asks for as much again, not for what the others need alone.
    """
    if newest is None or newest["last_asked"] != asked.last:
        return asked
    return Asked(min(asked.first, newest["first_asked"]), asked.last)


def _write(
    connection: Connection, run: NightRun, answer: Answer, *, purpose: Purpose, accept: bool
) -> str | ForecastingError:
    """The id of the stored fetch, or the error of a request that stored nothing."""
    fetched_at, run_id = answer.fetched_at, run.id if purpose == "night" else None
    failed = answer.error is not None
    if failed and not is_live(answer.source) and not _refused(answer):
        return answer.error or ""
    if failed:
        fetch_id = _failed_id(answer, fetched_at.isoformat(), run_id)
    else:
        fetch_id = _fetched_id(answer.fetched, run, purpose, accept=accept)
    if purpose == "night":
        _open_run(connection, run, answer)
    writes.add_fetch(
        connection, answer.fetched, answer.revision, fetch_id=fetch_id, fetched_at=fetched_at, run_id=run_id
    )
    logger.info("fetch %s of %s: %s", fetch_id, run.spec.symbol, answer.revision.verdict)
    if answer.error is not None:
        return answer.error
    for change in answer.events:
        writes.add_events(connection, run.spec.symbol, change.rows, source=change.source, first_seen_at=fetched_at)
    return fetch_id


def _open_run(connection: Connection, run: NightRun, answer: Answer) -> None:
    """Open the night's row: with its bars, or with the error of a file; a live source is asked again before that."""
    if answer.error is None:
        open_run(connection, run, started_at=answer.fetched_at, note=answer.note)
    elif not is_live(answer.source):
        open_run(connection, run, started_at=answer.fetched_at)
        # As error, which a later success clears; a note would stay on its page.
        stopped = {"status": stopped_status(answer.error), "error": str(answer.error)}
        writes.update_run(connection, run.id, stopped)


def _refused(answer: Answer) -> bool:
    """Whether rows were refused or held back; a file that is only short or ends early leaves no trace."""
    return any(finding.severity == "reject" for finding in answer.revision.findings)


def _fetch_id(run: NightRun, written: str | ForecastingError) -> str:
    if isinstance(written, ForecastingError):
        raise written
    return written


def _fetched_id(fetched: Fetched, run: NightRun, purpose: Purpose, *, accept: bool) -> str:
    """The same answer to the same night is the same fetch, however often the night is run.

    An ingest before it has another id, because the night's inputs are those known when its own fetch was made; and so
    has an answer that the user accepts, which may have been held before.
    """
    asked = f"{fetched.first_asked}..{fetched.last_asked}"
    of = [*([purpose] if purpose == "ingest" else []), *(["accepted"] if accept else [])]
    return short_id("fetch", fetched.source, fetched.symbol, asked, payload_hash(fetched), run.id, *of)


def _failed_id(answer: Answer, instant: str, run_id: str | None) -> str:
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
