"""Point-in-time snapshot of a night's inputs: its fetch, bars and events, the same live and in replay."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pandas as pd

from forecasting.errors import StoreError
from forecasting.pipeline.night_run import NightRun
from forecasting.preprocess.features import WARM_UP
from forecasting.preprocess.market import MarketSeries
from forecasting.preprocess.windows import Windows, make_windows
from forecasting.sessions import opens_at, shift
from forecasting.settings import Settings
from forecasting.store import read
from forecasting.store.database import Connection


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


def snapshot_of(connection: Connection, run: NightRun) -> Snapshot:
    """The snapshot at the night's input fetch.

    Raises:
        StoreError: No fetch has brought the night's session.
    """
    return snapshot_at_fetch(connection, run, input_fetch(connection, run))


def snapshot_at_fetch(connection: Connection, run: NightRun, fetch: dict[str, Any]) -> Snapshot:
    """Bars and events of the night's symbol, up to its session, as they stood when a row of `fetches` was made."""
    instant, symbol = fetch["fetched_at"], run.spec.symbol
    return Snapshot(
        fetch_id=fetch["id"],
        data_as_of=instant,
        bars=read.bars(connection, symbol, last=run.spec.session, known_at=instant),
        events=read.events(connection, symbol, known_at=instant),
    )


def windows_of(run: NightRun, snapshot: Snapshot, market: MarketSeries | None) -> Windows:
    """The night's windows, made from its snapshot and the market series at the same instant, and nothing else.

    Raises:
        HistoryError: No bar of the session, or too few sessions to train on.
    """
    return make_windows(
        snapshot.bars,
        snapshot.events,
        origin=run.spec.session,
        target=run.spec.target,
        exchange=run.settings.exchange,
        train_sessions=run.settings.train_sessions,
        market=market,
    )


def data_as_of(connection: Connection, run: NightRun) -> datetime:
    """The instant of the night's input fetch; that of the newest fetch for a night whose bar has not come.

    Raises:
        StoreError: No fetch has brought any bar.
    """
    try:
        fetch = input_fetch(connection, run)
    except StoreError:
        newest = read.newest_fetch(connection, run.spec.symbol)
        if newest is None:
            raise
        fetch = newest
    instant: datetime = fetch["fetched_at"]
    return instant


def input_fetch(connection: Connection, run: NightRun) -> dict[str, Any]:
    """The row in `fetches` whose bars the night uses.

    A live night uses its own fetch. A night made up for later uses the last fetch before the next session opened or,
    when there was none, the first that brought its bar with its rolling window: so live and replay read the same rows,
    and a night within a span reads the rows that it would read alone. A replay names the fetch that the night used:
    others may have come before the open.

    Raises:
        StoreError: No fetch has brought the night's session.
    """
    session, settings = run.spec.session, run.settings
    named = None if run.fetch_id is None else read.fetch(connection, run.fetch_id)
    if named is not None:
        return named
    first = first_session(session, settings)
    return read.fetch_as_of(connection, run.spec.symbol, session, first=first, cutoff=live_deadline(run))


def first_session(session: date, settings: Settings) -> date:
    """The oldest session a night at `session` asks for: the training window and what its first row looks back on."""
    return shift(session, -(settings.train_sessions + WARM_UP + 1), settings.exchange)


def live_deadline(run: NightRun) -> datetime:
    """The last moment for a live forecast: the open of the session after the night's."""
    return opens_at(shift(run.spec.session, 1, run.settings.exchange), run.settings.exchange)
