"""Bars and corporate actions as known at any instant."""

from __future__ import annotations

from datetime import date, datetime

import pandas as pd
import sqlalchemy as sa

from forecasting.ingest.splits import rebase
from forecasting.store import tables
from forecasting.store.frames import frame
from forecasting.store.read.splits import all_at, split_factors


def bars(
    connection: sa.Connection,
    symbol: str,
    *,
    first: date | None = None,
    last: date | None = None,
    known_at: datetime | None = None,
) -> pd.DataFrame:
    """One row per session, the newest version known: index session; open, high, low, close, volume, version, settled.

    Args:
        connection: An open connection.
        symbol: Symbol of the bars.
        first: The first session; None for all.
        last: The last session; None for all.
        known_at: An aware instant; bars as they were stored then. None for now.
    """
    table = tables.bar_versions
    columns = [table.c[name] for name in ("session", "open", "high", "low", "close", "volume", "version")]
    is_settled = table.c.settled_at.is_not(None) if known_at is None else table.c.settled_at <= known_at
    settled = sa.case((is_settled, 1), else_=0).label("settled")  # reading every instant takes longer than all the rest
    statement = sa.select(*columns, settled).where(table.c.symbol == symbol)
    if first is not None:
        statement = statement.where(table.c.session >= first)
    if last is not None:
        statement = statement.where(table.c.session <= last)
    if known_at is None:
        statement = statement.where(table.c.superseded_at.is_(None))
    else:
        statement = statement.where(table.c.first_seen_at <= known_at)
    found = frame(connection, statement.order_by(table.c.session, table.c.version))
    return found.drop_duplicates("session", keep="last").set_index("session")  # the highest version comes last


def first_prints(
    connection: sa.Connection, symbol: str, *, first: date, last: date, basis_at: datetime | None = None
) -> pd.DataFrame:
    """The bars as first stored, on one share basis: index session; open, high, low, close, volume; NaN if unknown.

    Args:
        connection: An open connection.
        symbol: Symbol of the bars.
        first: The oldest session.
        last: The newest session.
        basis_at: An aware instant: the share basis that was known then. None for now.
    """
    table, fetch = tables.bar_versions, tables.fetches
    names = ("session", "open", "high", "low", "close", "volume")
    within = (table.c.symbol == symbol, table.c.session >= first, table.c.session <= last)
    basis = (table.c.first_seen_at.label("data_as_of"), fetch.c.first_received)
    statement = sa.select(*(table.c[name] for name in names), *basis).join(fetch, fetch.c.id == table.c.fetch_id)
    found = frame(connection, statement.where(*within).order_by(table.c.session, table.c.version))
    found = found.drop_duplicates("session", keep="first", ignore_index=True)  # the lowest version comes first
    rebased = rebase(found, split_factors(connection, symbol, found, until=all_at(basis_at, found)))
    return rebased.drop(columns=["data_as_of", "first_received"]).set_index("session")


def newest_session(connection: sa.Connection, symbol: str) -> date | None:
    """The newest session whose bar is stored; None without any."""
    table = tables.bar_versions
    newest: date | None = connection.scalar(sa.select(sa.func.max(table.c.session)).where(table.c.symbol == symbol))
    return newest


def actions(connection: sa.Connection, symbol: str) -> pd.DataFrame:
    """Dividends and splits, the newest value of each: columns session, kind, value."""
    table = tables.corporate_actions
    statement = sa.select(table.c.session, table.c.kind, table.c.value).where(table.c.symbol == symbol)
    found = frame(connection, statement.order_by(table.c.session, table.c.kind, table.c.first_seen_at))
    return found.drop_duplicates(["session", "kind"], keep="last", ignore_index=True)
