"""Bring the stored bars of one symbol up to date: one request, judged, diffed, appended."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from flows import clock
from flows.night import Night, short_id
from flows.steps.run_row import open_run
from forecasting.errors import DataLateError, HistoryError, SourceError, UsageError
from forecasting.ingest import events as known_events
from forecasting.ingest.bars import check_bars, payload_hash
from forecasting.ingest.revisions import Revision, explain, nothing_changed
from forecasting.ingest.sources import EarningsSource, Fetched, Source, nothing_fetched
from forecasting.ingest.sources.choose import is_live, source_of
from forecasting.preprocess.features import WARM_UP
from forecasting.preprocess.windows import FEWEST_ROWS
from forecasting.sessions import shift
from forecasting.settings import Settings
from forecasting.store import database, reads, writes
from forecasting.store.coming import coming_events
from forecasting.store.database import Connection

logger = logging.getLogger("forecasting.ingest")

Purpose = Literal["night", "ingest", "companion"]
"""What bars are brought for: a night of their symbol, nothing else yet, or for another symbol's night to learn from."""


def fetch_and_store(
    night: Night,
    settings: Settings,
    *,
    newest: date | None = None,
    switch_source: bool = False,
    flow_run_id: str | None = None,
    purpose: Purpose = "night",
) -> str:
    """The id of the fetch that brought the bars up to the night's session, its row and the run's written together.

    Up to the session `newest` instead where that is given, for a night that goes on without its own bar.
    A request to a live source that ends otherwise leaves a row in `fetches` too: its verdict and the error's words.
    A bare ingest and a companion open no run; a companion is asked for bars alone.

    Raises:
        SourceError: The source gave nothing usable.
        DataLateError: Its newest bar is older than the night's session.
        HistoryError: Too few sessions to forecast from.
        UsageError: The symbol's stored bars came from another source.
    """
    source = source_of(night.source, cache_dir=settings.data_dir.absolute() / "yahoo-cache")
    run_id = night.run_id(settings) if purpose == "night" else None
    with database.reading(settings.url) as connection:
        before = reads.newest_fetch(connection, night.symbol)
        switched_from = source_switched_from(before, source, night.symbol, allowed=switch_source)
    # No transaction is open across the network.
    reached = replace(night, session=newest or night.session)
    fetched = ask(source, reached, settings, run_id=run_id)
    announced = live_events(source, reached, settings, asked=purpose != "companion")
    with database.transaction(settings.url) as connection:
        revision, trouble = judge(connection, fetched, reached, settings)
        if trouble is None:
            if purpose == "night":
                open_run(connection, night, settings, flow_run_id=flow_run_id)
            if switched_from:
                revision = replace(revision, detail=f"source switched from {switched_from}; {revision.detail}")
            fetch_id, fetched_at = fetch_identity(fetched, night, settings), clock.now()
            writes.add_fetch(connection, fetched, revision, fetch_id=fetch_id, fetched_at=fetched_at, run_id=run_id)
            store_events(connection, reached, settings, announced, listed_by=source.name, fetched_at=fetched_at)
        elif is_live(source):
            add_failed(connection, fetched, revision, run_id=run_id)
    if trouble is not None:
        raise trouble
    logger.info("fetch %s of %s: %s, newest %s", fetch_id, night.symbol, revision.verdict, reached.session)
    return fetch_id


def ask(source: Source, night: Night, settings: Settings, *, run_id: str | None) -> Fetched:
    """What the source brings up to the night's session; a live source's failure is kept before it is raised.

    Raises:
        SourceError: It gave nothing usable.
    """
    first = first_session(night.session, settings)
    try:
        return source.fetch(night.symbol, first, night.session)
    except SourceError as error:
        if is_live(source):
            nothing = nothing_fetched(source.name, night.symbol, first, night.session)
            with database.transaction(settings.url) as connection:
                add_failed(connection, nothing, nothing_changed(error.verdict, str(error)), run_id=run_id)
        raise


def add_failed(connection: Connection, fetched: Fetched, revision: Revision, *, run_id: str | None) -> None:
    """Write the row of a request that stored nothing; each instant is a request of its own."""
    fetched_at = clock.now()
    asked = f"{fetched.first_asked}..{fetched.last_asked}"
    parts = (fetched.source, fetched.symbol, asked, revision.verdict, fetched_at.isoformat(), run_id or "")
    fetch_id = short_id("fetch", *parts)
    writes.add_fetch(connection, fetched, revision, fetch_id=fetch_id, fetched_at=fetched_at, run_id=run_id)
    logger.info("fetch %s of %s: %s, nothing stored", fetch_id, fetched.symbol, revision.verdict)


def judge(
    connection: Connection, fetched: Fetched, night: Night, settings: Settings
) -> tuple[Revision, DataLateError | HistoryError | None]:
    """What the fetched bars change about the stored ones, with all that was found wrong with them.

    Where they cannot carry the night, the second is the error that says why, and the first changes nothing.
    """
    before = reads.newest_fetch(connection, fetched.symbol)
    known = reads.bars(connection, night.symbol)
    clean, findings = check_bars(fetched, exchange=settings.exchange, known=known)
    trouble = lateness(clean, night) or shortness(clean, known, night)
    if trouble is not None:
        return nothing_changed(trouble.verdict, str(trouble), findings), trouble
    revision = explain(
        known,
        clean,
        actions=fetched.actions,
        known_actions=reads.actions(connection, night.symbol),
        known_adjustment=(before["adjustment_session"], before["adjustment"])
        if before and before["adjustment"]
        else None,
    )
    revision = replace(revision, findings=[*findings, *revision.findings])
    if night.session in revision.held:
        held = DataLateError(
            f"{night.symbol}'s bar of {night.session} is held back, not stored: {revision.detail}. "
            "Run again later; the hold ends by itself after a few sessions.",
            next((day for day in reversed(sessions_of(clean)) if day not in revision.held), None),
        )
        return nothing_changed(held.verdict, str(held), revision.findings), held
    return revision, None


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


def source_switched_from(before: Mapping[str, Any] | None, source: Source, symbol: str, *, allowed: bool) -> str:
    """The source of the symbol's stored bars where this one is another, else empty.

    Vendors count volume differently: a symbol keeps its source unless the user says otherwise.

    Raises:
        UsageError: The newest stored fetch came from another source and no switch was asked for.
    """
    if before is None or before["source"] == source.name:
        return ""
    if not allowed:
        raise UsageError(
            f"{symbol}'s stored bars came from {before['source']}; these would come from {source.name}. "
            "Volumes differ by vendor, so sources are not mixed by accident: use the same --source, another database, "
            "or --switch-source to allow it; the switch is kept with the fetch."
        )
    return str(before["source"])


def lateness(clean: pd.DataFrame, night: Night) -> DataLateError | None:
    """The error of a night without its newest bar, which is late, not wrong; None when it is there."""
    newest = clean.index[-1].date() if len(clean) else None
    if newest == night.session:
        return None
    return DataLateError(
        f"{night.symbol} has no usable bar for the session {night.session} yet; {night.source} ends at {newest}. "
        "Run again later, or give --as-of a session that has its bar.",
        newest,
    )


def shortness(clean: pd.DataFrame, known: pd.DataFrame, night: Night) -> HistoryError | None:
    """The error of fewer sessions than the shortest trainable window; None when there are enough."""
    needed = WARM_UP + FEWEST_ROWS
    found = len(clean.index.union(known.index[known.index <= pd.Timestamp(night.session)]))
    if found >= needed:
        return None
    return HistoryError(
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
    """Add the earnings dates that the night may use, with the first origin that may know each; withdraw moved ones."""
    usable = listed_events(night.symbol, night.events, exchange=settings.exchange)
    writes.add_events(connection, night.symbol, usable, source=night.events or "bundled", first_seen_at=fetched_at)
    stored = reads.events(connection, night.symbol)
    known = stored.loc[stored["withdrawn_from"].isna(), "session"]
    # A date seen on an earlier night stays known from that night; where a list tells the past, it is the better one.
    past = announced["session"] <= pd.Timestamp(night.session)
    new = announced[~announced["session"].isin(known) & ~(past & (len(usable) > 0))]
    coming = coming_events(connection, night.symbol, source=listed_by, after=night.session)
    moved = known_events.withdrawn(coming, announced, session=night.session, exchange=settings.exchange)
    for rows in (new, moved):
        writes.add_events(connection, night.symbol, rows, source=listed_by, first_seen_at=fetched_at)


def live_events(source: Source, night: Night, settings: Settings, *, asked: bool) -> pd.DataFrame:
    """Earnings dates as the source lists them tonight, coming ones known from tonight on; none unless `asked`."""
    if not asked or not isinstance(source, EarningsSource) or night.events is not None:
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
