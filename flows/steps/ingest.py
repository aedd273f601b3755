"""Bring the stored bars of one symbol up to date: one request, judged, diffed, appended."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from flows import clock
from flows.night import Night, short_id
from flows.steps.run_row import open_run
from forecasting.errors import DataLateError, HistoryError, UsageError
from forecasting.ingest import events as known_events
from forecasting.ingest.bars import check_bars, payload_hash
from forecasting.ingest.revisions import Revision, explain
from forecasting.ingest.sources import EarningsSource, Fetched, Source
from forecasting.ingest.sources.choose import source_of
from forecasting.preprocess.features import WARM_UP
from forecasting.preprocess.windows import FEWEST_ROWS
from forecasting.sessions import shift
from forecasting.settings import Settings
from forecasting.store import database, reads, writes
from forecasting.store.database import Connection

logger = logging.getLogger("forecasting.ingest")


def fetch_and_store(
    night: Night,
    settings: Settings,
    *,
    switch_source: bool = False,
    flow_run_id: str | None = None,
    opens_run: bool = True,
) -> str:
    """The id of the fetch that brought the bars up to the night's session, its row and the run's written together.

    Raises:
        SourceError: The source gave nothing usable.
        DataLateError: Its newest bar is older than the night's session.
        HistoryError: Too few sessions to forecast from.
        UsageError: The symbol's stored bars came from another source.
    """
    source = source_of(night.source, cache_dir=settings.data_dir.absolute() / "yahoo-cache")
    # No transaction is open across the network.
    fetched = source.fetch(night.symbol, first_session(night.session, settings), night.session)
    announced = live_events(source, night, settings)
    with database.transaction(settings.url) as connection:
        revision = judge(connection, fetched, night, settings, switch_source=switch_source)
        fetch_id, fetched_at = fetch_identity(fetched, night, settings), clock.now()
        if opens_run:
            open_run(connection, night, settings, flow_run_id=flow_run_id)
        run_id = night.run_id(settings) if opens_run else None
        writes.add_fetch(connection, fetched, revision, fetch_id=fetch_id, fetched_at=fetched_at, run_id=run_id)
        store_events(connection, night, settings, announced, listed_by=source.name, fetched_at=fetched_at)
    logger.info("fetch %s of %s: %s, newest %s", fetch_id, night.symbol, revision.verdict, night.session)
    return fetch_id


def judge(
    connection: Connection, fetched: Fetched, night: Night, settings: Settings, *, switch_source: bool
) -> Revision:
    """What the fetched bars change about the stored ones, with all that was found wrong with them.

    Raises:
        ForecastingError: They cannot be used; nothing has been written.
    """
    before = reads.newest_fetch(connection, fetched.symbol)
    switched_from = source_switched_from(before, fetched, allowed=switch_source)
    known = reads.bars(connection, night.symbol)
    clean, findings = check_bars(fetched, exchange=settings.exchange, known=known)
    refuse_late(clean, night)
    refuse_short(clean, known, night, settings)
    revision = explain(
        known,
        clean,
        actions=fetched.actions,
        known_actions=reads.actions(connection, night.symbol),
        known_adjustment=(before["adjustment_session"], before["adjustment"])
        if before and before["adjustment"]
        else None,
    )
    if night.session in revision.held:
        raise DataLateError(
            f"{night.symbol}'s bar of {night.session} is held back, not stored: {revision.detail}. "
            "Run again later; the hold ends by itself after a few sessions.",
            next((day for day in reversed(sessions_of(clean)) if day not in revision.held), None),
        )
    if switched_from:
        revision = replace(revision, detail=f"source switched from {switched_from}; {revision.detail}")
    return replace(revision, findings=[*findings, *revision.findings])


def sessions_of(bars: pd.DataFrame) -> list[date]:
    """The sessions of canonical bars as dates, ascending."""
    return [session.date() for session in pd.DatetimeIndex(bars.index)]


def first_session(session: date, settings: Settings) -> date:
    """The oldest session a night at `session` asks for: the training window and what its first row looks back on."""
    return shift(session, -(settings.train_sessions + WARM_UP + 1), settings.exchange)


def fetch_identity(fetched: Fetched, night: Night, settings: Settings) -> str:
    """The fetch's id: the same answer to the same night is the same fetch, however often the night is run."""
    asked = f"{fetched.first_asked}..{fetched.last_asked}"
    return short_id("fetch", fetched.source, fetched.symbol, asked, payload_hash(fetched), night.run_id(settings))


def source_switched_from(before: Mapping[str, Any] | None, fetched: Fetched, *, allowed: bool) -> str:
    """The source of the symbol's stored bars where this fetch is of another, else empty.

    Vendors count volume differently: a symbol keeps its source unless the user says otherwise.

    Raises:
        UsageError: The newest stored fetch came from another source and no switch was asked for.
    """
    if before is None or before["source"] == fetched.source:
        return ""
    if not allowed:
        raise UsageError(
            f"{fetched.symbol}'s stored bars came from {before['source']}; these would come from {fetched.source}. "
            "Volumes differ by vendor, so sources are not mixed by accident: use the same --source, another database, "
            "or --switch-source to allow it; the switch is kept with the fetch."
        )
    return str(before["source"])


def refuse_late(clean: pd.DataFrame, night: Night) -> None:
    """A night without its newest bar is late, not wrong.

    Raises:
        DataLateError: The newest usable bar is older than the night's session.
    """
    newest = clean.index[-1].date() if len(clean) else None
    if newest != night.session:
        raise DataLateError(
            f"{night.symbol} has no usable bar for the session {night.session} yet; {night.source} ends at {newest}. "
            "Run again later, or give --as-of a session that has its bar.",
            newest,
        )


def refuse_short(clean: pd.DataFrame, known: pd.DataFrame, night: Night, settings: Settings) -> None:
    """Say how much history is needed before anything is written.

    Raises:
        HistoryError: Fewer sessions than the shortest trainable window.
    """
    needed = WARM_UP + FEWEST_ROWS
    found = len(clean.index.union(known.index[known.index <= pd.Timestamp(night.session)]))
    if found < needed:
        raise HistoryError(
            f"A forecast of {night.symbol} at {night.session} needs at least {needed} sessions of bars; found {found}. "
            "Use a source with a longer history, or wait."
        )


def store_events(
    connection: Connection,
    night: Night,
    settings: Settings,
    announced: pd.DataFrame,
    *,
    listed_by: str,
    fetched_at: datetime,
) -> None:
    """Add the earnings dates that the night may use, each with the first origin that may know it."""
    usable = listed_events(night.symbol, night.events, exchange=settings.exchange)
    writes.add_events(connection, night.symbol, usable, source=night.events or "bundled", first_seen_at=fetched_at)
    known = reads.events(connection, night.symbol)["session"]
    # A date seen on an earlier night stays known from that night; where a list tells the past, it is the better one.
    past = announced["session"] <= pd.Timestamp(night.session)
    new = announced[~announced["session"].isin(known) & ~(past & (len(usable) > 0))]
    writes.add_events(connection, night.symbol, new, source=listed_by, first_seen_at=fetched_at)


def live_events(source: Source, night: Night, settings: Settings) -> pd.DataFrame:
    """Earnings dates as the source lists them tonight, coming ones known from tonight on; none where it lists none."""
    if not isinstance(source, EarningsSource) or night.events is not None:
        return known_events.reacting(known_events.bundled_events(""), exchange=settings.exchange)
    listed = source.earnings_dates(night.symbol)
    return known_events.reacting(listed, exchange=settings.exchange, seen=night.session)


def listed_events(symbol: str, option: str | None, *, exchange: str) -> pd.DataFrame:
    """The earnings dates of `csv:PATH`, or the bundled ones of the symbol, on the sessions that react to them.

    Raises:
        UsageError: The option is not of the form csv:PATH.
    """
    if option is None:
        return known_events.reacting(known_events.bundled_events(symbol), exchange=exchange)
    kind, _, path = option.partition(":")
    if kind != "csv" or not path:
        raise UsageError(f"--events is csv:PATH, a file with the columns announced and timing; found {option!r}.")
    return known_events.reacting(known_events.read_events_csv(Path(path)), exchange=exchange)
