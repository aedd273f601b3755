"""What a night knows: its fetch, bars, events and past losses at one instant, the same live and in replay."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pandas as pd

from forecasting.errors import StoreError
from forecasting.pipeline.night import Night
from forecasting.preprocess.features import WARM_UP
from forecasting.preprocess.market import MarketSeries
from forecasting.preprocess.windows import Windows, make_windows
from forecasting.sessions import shift
from forecasting.settings import Settings
from forecasting.store import read
from forecasting.store.connect import Connection


@dataclass(frozen=True)
class Snapshot:
    """The night's inputs as they stood when its fetch was made.

    Attributes:
        fetch_id: The fetch whose bars the night uses.
        data_as_of: When that fetch was made; no later version of a bar is used.
        bars: Current versions then, up to the night's session; columns as `read.bars`.
        events: Columns as `read.events`.
    """

    fetch_id: str
    data_as_of: datetime
    bars: pd.DataFrame
    events: pd.DataFrame


def snapshot_of(connection: Connection, night: Night) -> Snapshot:
    """The snapshot at the night's input fetch.

    Raises:
        StoreError: No fetch has brought the night's session.
    """
    return snapshot_at_fetch(connection, night, input_fetch(connection, night))


def snapshot_at_fetch(connection: Connection, night: Night, fetch: dict[str, Any]) -> Snapshot:
    """Bars and events of the night's symbol, up to its session, as they stood when a row of `fetches` was made."""
    instant, symbol = fetch["fetched_at"], night.symbol
    return Snapshot(
        fetch_id=fetch["id"],
        data_as_of=instant,
        bars=read.bars(connection, symbol, last=night.session, known_at=instant),
        events=read.events(connection, symbol, known_at=instant),
    )


def windows_of(night: Night, snapshot: Snapshot, market: MarketSeries | None) -> Windows:
    """The night's windows, made from its snapshot and the market series at the same instant, and nothing else.

    Raises:
        HistoryError: No bar of the session, or too few sessions to train on.
    """
    return make_windows(
        snapshot.bars,
        snapshot.events,
        origin=night.session,
        target=night.target,
        exchange=night.settings.exchange,
        train_sessions=night.settings.train_sessions,
        market=market,
    )


def data_as_of(connection: Connection, night: Night) -> datetime:
    """The instant of the night's input fetch; that of the newest fetch for a night whose bar has not come.

    Raises:
        StoreError: No fetch has brought any bar.
    """
    try:
        fetch = input_fetch(connection, night)
    except StoreError:
        newest = read.newest_fetch(connection, night.symbol)
        if newest is None:
            raise
        fetch = newest
    instant: datetime = fetch["fetched_at"]
    return instant


def input_fetch(connection: Connection, night: Night) -> dict[str, Any]:
    """The row in `fetches` whose bars the night uses.

    A live night uses its own fetch. A night made up for later uses the last fetch before the next session opened or,
    when there was none, the first that brought its bar with its rolling window: so live and replay read the same rows,
    and a night within a span reads the rows that it would read alone. A replay names the fetch that the night used:
    others may have come before the open.

    Raises:
        StoreError: No fetch has brought the night's session.
    """
    session, settings = night.session, night.settings
    named = read.fetch(connection, night.stored_fetch) if night.stored_fetch else None
    if named is not None:
        return named
    first = first_session(session, settings)
    return read.fetch_as_of(connection, night.symbol, session, first=first, cutoff=night.live_deadline)


def first_session(session: date, settings: Settings) -> date:
    """The oldest session a night at `session` asks for: the training window and what its first row looks back on."""
    return shift(session, -(settings.train_sessions + WARM_UP + 1), settings.exchange)


def past_losses(connection: Connection, night: Night, *, origins: int) -> pd.DataFrame:
    """The losses of the newest `origins` scored origins that the night before this one could score.

    More may be stored: where the night before was made up for late, or is replayed, it has scored the sessions after it
    too. A night that saw these would not decide as one that ran on time.

    Args:
        connection: An open connection.
        night: The night.
        origins: Number of newest scored origins.

    Returns:
        As `read.losses`.
    """
    symbol, target = night.symbol, night.target
    before = read.issued_before(connection, symbol, target, session=night.session)
    last, known_at = before or (date.min, None)
    return read.losses(connection, symbol, target, last=last, origins=origins, known_at=known_at)
