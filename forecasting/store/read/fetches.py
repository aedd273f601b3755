"""Fetches: the newest, and the one whose bars a night uses."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime

import sqlalchemy as sa

from forecasting.errors import StoreError
from forecasting.store import tables
from forecasting.store.frames import Row, first_row


def newest_fetch(connection: sa.Connection, symbol: str, *, known_at: datetime | None = None) -> Row | None:
    """The newest fetch of the symbol that stored bars, a row of table fetches; None before the first.

    Args:
        connection: An open connection.
        symbol: Symbol of the bars.
        known_at: An aware instant: the newest one then. None for now.
    """
    return first_row(connection, _newest_with_bars(symbol, known_at))


def fetch_of_run(connection: sa.Connection, symbol: str, run_id: str) -> Row | None:
    """The newest fetch of the symbol that stored bars and that a night made, a row of table fetches; None if none."""
    return first_row(connection, _newest_with_bars(symbol, None).where(tables.fetches.c.run_id == run_id))


def fetch(connection: sa.Connection, fetch_id: str) -> Row | None:
    """The row of table fetches; None when there is none."""
    return first_row(connection, sa.select(tables.fetches).where(tables.fetches.c.id == fetch_id))


def issued_fetch(connection: sa.Connection, symbol: str, target: str, session: date) -> Row | None:
    """The fetch that the newest forecasts of a session's night were made from, a row of table fetches; None if none."""
    fetches, forecasts = tables.fetches, tables.forecasts
    wanted = (forecasts.c.symbol == symbol, forecasts.c.target == target, forecasts.c.origin_session == session)
    joined = sa.select(fetches).join(forecasts, forecasts.c.fetch_id == fetches.c.id).where(*wanted)
    return first_row(connection, joined.order_by(forecasts.c.issued_at.desc(), fetches.c.id).limit(1))


def newest_request(connection: sa.Connection, symbol: str, *, known_at: datetime | None = None) -> Row | None:
    """As `newest_fetch`, whether it stored bars or not."""
    return first_row(connection, _newest(symbol, known_at))


def newest_instant(connection: sa.Connection, symbols: Collection[str]) -> datetime | None:
    """The newest instant at which any of these symbols was fetched, with bars or without; None before the first."""
    table = tables.fetches
    newest: datetime | None = connection.scalar(
        sa.select(sa.func.max(table.c.fetched_at)).where(table.c.symbol.in_(symbols))
    )
    return newest


def fetch_as_of(connection: sa.Connection, symbol: str, session: date, *, first: date, cutoff: datetime) -> Row:
    """The fetch whose bars a night at `session` uses, a row of table fetches.

    The newest fetch with the session's bar up to `cutoff`, the last moment for a live forecast. Without one, the first
    fetch with that bar that asked for the sessions from `first` on; a fetch for a later night asked for fewer of them.
    Without such a one, the first fetch with that bar. In both of these cases fetches of nights come first: no market
    series is fetched before an `ingest` alone.

    Args:
        connection: An open connection.
        symbol: Symbol of the bars.
        session: The night's session.
        first: The oldest session that the night needs.
        cutoff: An aware instant.

    Raises:
        StoreError: No stored fetch reaches the session.
    """
    table = tables.fetches
    reaching = sa.select(table).where(table.c.symbol == symbol, table.c.last_received >= session)
    reaching = reaching.where(table.c.verdict.not_in(tables.NO_BARS))  # a bar that was held back was received too
    in_time = reaching.where(table.c.fetched_at <= cutoff).order_by(table.c.fetched_at.desc(), table.c.id.desc())
    late = reaching.order_by(table.c.run_id.is_(None), table.c.fetched_at, table.c.id)
    found = first_row(connection, in_time) or first_row(connection, late.where(table.c.first_asked <= first))
    found = found or first_row(connection, late)
    if found is None:
        raise StoreError(
            f"Expected a fetch of {symbol} that reaches the session {session}; found none. Run ingest first."
        )
    return found


def _newest(symbol: str, known_at: datetime | None) -> sa.Select[tuple[object, ...]]:
    """The rows of a symbol, newest first."""
    table = tables.fetches
    rows = sa.select(table).where(table.c.symbol == symbol)
    rows = rows if known_at is None else rows.where(table.c.fetched_at <= known_at)
    return rows.order_by(table.c.fetched_at.desc(), table.c.id.desc())


def _newest_with_bars(symbol: str, known_at: datetime | None) -> sa.Select[tuple[object, ...]]:
    return _newest(symbol, known_at).where(tables.fetches.c.verdict.not_in(tables.NO_BARS))
