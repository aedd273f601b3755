"""What a night has: its fetch, bars, events and past losses at one instant, the same live and in replay."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd

from forecasting.errors import StoreError
from forecasting.pipeline.night import Night
from forecasting.preprocess.features import WARM_UP, MarketSeries
from forecasting.preprocess.windows import Windows, make_windows
from forecasting.sessions import opens_at, shift
from forecasting.settings import Settings
from forecasting.store import read
from forecasting.store.connect import Connection

_TOLERANCE = timedelta(minutes=5)  # between two machines that write to one ledger


def ledger_instant(newest: datetime | None, now: datetime) -> datetime:
    """The instant of a write: now, but always after the newest instant of the ledger.

    What was known at a fetch is every row that an earlier one has stored. A clock that once was ahead would hide its
    rows from the nights after it, and from their replay.
    """
    return now if newest is None else max(now, newest + timedelta(microseconds=1))


def is_before(now: datetime, newest: datetime | None) -> bool:
    """Whether the clock is before the newest instant of the ledger by more than two machines differ."""
    return newest is not None and now < newest - _TOLERANCE


def windows_of(night: Night, bars: pd.DataFrame, events: pd.DataFrame, market: MarketSeries | None) -> Windows:
    """The night's windows, made from what was stored at one instant, and nothing else."""
    return make_windows(
        bars,
        events,
        origin=night.session,
        target=night.target,
        exchange=night.settings.exchange,
        train_sessions=night.settings.train_sessions,
        market=market,
    )


def data_as_of(connection: Connection, night: Night) -> datetime:
    """The instant of the night's input fetch; that of the newest fetch for a night whose bar has not come."""
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
    """The row in `fetches` whose bars the night uses; a StoreError where none has brought its session.

    A live night uses its own fetch. A night made up for later uses the last fetch before the next session opened or,
    when there was none, the first that brought its bar with its rolling window: so live and replay read the same rows,
    and a night within a span reads the rows that it would read alone. A replay names the fetch that the night used.
    """
    session, settings = night.session, night.settings
    named = read.row(connection, "fetches", {"id": night.stored_fetch}) if night.stored_fetch else None
    if named is not None:
        return named
    cutoff = opens_at(shift(session, 1, settings.exchange), settings.exchange)  # the last moment for a live forecast
    first = first_session(session, settings)
    return read.fetch_as_of(connection, night.symbol, session, first=first, cutoff=cutoff)


def first_session(session: date, settings: Settings) -> date:
    """The oldest session a night at `session` asks for: the training window and what its first row looks back on."""
    return shift(session, -(settings.train_sessions + WARM_UP + 1), settings.exchange)


def past_losses(connection: Connection, night: Night, *, origins: int) -> pd.DataFrame:
    """The losses of the newest `origins` scored origins that the night before this one could score.

    More may be stored: where the night before was made up for late, or is replayed, it has scored the sessions after it
    too. A night that saw these would not decide as one that ran on time. Columns as `read.losses`.
    """
    symbol, target = night.symbol, night.target
    before = read.issued_before(connection, symbol, target, session=night.session)
    last, known_at = before or (date.min, None)
    return read.losses(connection, symbol, target, last=last, origins=origins, known_at=known_at)
