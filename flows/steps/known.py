"""What was known at a night's session: the fetch it rests on, the bars and the events, the same live and in replay."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from flows.night import Night
from forecasting.errors import StoreError
from forecasting.preprocess.windows import Windows, make_windows
from forecasting.sessions import opens_at, shift
from forecasting.settings import Settings
from forecasting.store import lineage, reads
from forecasting.store.database import Connection


@dataclass(frozen=True)
class KnownThen:
    """The night's inputs.

    Attributes:
        fetch_id: The fetch it rests on.
        data_as_of: When that fetch was made; no later version of a bar is used.
        bars: Current versions then, up to the night's session; columns as `reads.bars`.
        events: Columns session, kind, known_from.
    """

    fetch_id: str
    data_as_of: datetime
    bars: pd.DataFrame
    events: pd.DataFrame


def known_then(connection: Connection, night: Night, settings: Settings) -> KnownThen:
    """The inputs of a night.

    A live night knows its own fetch. A night made up for later knows the last fetch before the next session opened or,
    when there was none, the first that brought its bar: so live and replay read the same rows.
    """
    return known_by(connection, night, resting_fetch(connection, night, settings))


def known_by(connection: Connection, night: Night, fetch: dict[str, Any]) -> KnownThen:
    """Bars and events of the night's symbol, up to its session, as they stood when a row of `fetches` was made."""
    instant = fetch["fetched_at"]
    return KnownThen(
        fetch_id=fetch["id"],
        data_as_of=instant,
        bars=reads.bars(connection, night.symbol, last=night.session, known_at=instant),
        events=reads.events(connection, night.symbol, known_at=instant),
    )


def windows_then(night: Night, known: KnownThen, settings: Settings) -> Windows:
    """The night's windows, made of what it knows and nothing else.

    Raises:
        HistoryError: No bar of the session, or too little to learn from.
    """
    return make_windows(
        known.bars,
        known.events,
        origin=night.session,
        target=night.target,
        exchange=settings.exchange,
        train_sessions=settings.train_sessions,
    )


def known_at(connection: Connection, night: Night, settings: Settings) -> datetime:
    """The instant of the fetch that the night rests on: what was stored later, the night does not know.

    A night whose bar has not come rests on what was brought last.

    Raises:
        StoreError: Nothing was ever brought.
    """
    try:
        fetch = resting_fetch(connection, night, settings)
    except StoreError:
        newest = reads.newest_fetch(connection, night.symbol)
        if newest is None:
            raise
        fetch = newest
    instant: datetime = fetch["fetched_at"]
    return instant


def resting_fetch(connection: Connection, night: Night, settings: Settings) -> dict[str, Any]:
    """The row in `fetches` that the night rests on.

    Raises:
        StoreError: No fetch has brought the night's session.
    """
    return lineage.knowing_fetch(connection, night.symbol, night.session, cutoff=cutoff_of(night, settings))


def cutoff_of(night: Night, settings: Settings) -> datetime:
    """The last moment for a live forecast: the open of the session after the night's."""
    return opens_at(shift(night.session, 1, settings.exchange), settings.exchange)
