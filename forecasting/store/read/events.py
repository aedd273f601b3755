"""Events: their rows as first seen, and when each is valid."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import pandas as pd
import sqlalchemy as sa

from forecasting.ingest.event_history import COLUMNS, drop_moved, validity_intervals
from forecasting.store import tables
from forecasting.store.frames import frame

_VALID = ["session", "kind", "known_from", "withdrawn_from"]


def events(connection: sa.Connection, symbol: str, *, known_at: datetime | None = None) -> pd.DataFrame:
    """Events as last seen: columns session, kind, known_from, withdrawn_from (NaT: still valid).

    Origins from known_from on may use an event, those from withdrawn_from on no longer. An announcement that moved is
    stored under each of its sessions; only its newest session counts, unless the source withdrew the other.
    """
    return _valid(event_rows(connection, symbol, known_at=known_at))


def events_of_symbols(connection: sa.Connection, symbols: Collection[str]) -> dict[str, pd.DataFrame]:
    """By symbol, what `events` returns, from one statement; without symbols that have no event."""
    table = tables.events
    statement = sa.select(table.c.symbol, *(table.c[name] for name in COLUMNS)).where(table.c.symbol.in_(symbols))
    rows = frame(connection, statement.order_by(table.c.symbol, table.c.first_seen_at, table.c.session))
    return {str(symbol): _valid(own) for symbol, own in rows.groupby("symbol")}


def event_rows(connection: sa.Connection, symbol: str, *, known_at: datetime | None = None) -> pd.DataFrame:
    """Rows of table events without the symbol, ascending by first_seen_at and session; with known_at, as of then."""
    table = tables.events
    statement = sa.select(*(table.c[name] for name in COLUMNS)).where(table.c.symbol == symbol)
    if known_at is not None:
        statement = statement.where(table.c.first_seen_at <= known_at)
    return frame(connection, statement.order_by(table.c.first_seen_at, table.c.session))


def _valid(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one symbol, in the order in which they were first seen, as `events` returns them."""
    if rows.empty:  # as of most symbols of a file; a fifth of the time of a line of `show`
        return rows.assign(withdrawn_from=rows["known_from"])[_VALID]
    valid = drop_moved(validity_intervals(rows))
    in_order = valid.sort_values(["session", "kind", "known_from"], ignore_index=True)
    return in_order[_VALID]
