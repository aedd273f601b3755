"""Runs: one row a night."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pandas as pd
import sqlalchemy as sa

from forecasting.store import tables
from forecasting.store.frames import Row, first_row, frame


def run(connection: sa.Connection, run_id: str) -> Row | None:
    """The row of table runs; None when there is none."""
    return first_row(connection, sa.select(tables.runs).where(tables.runs.c.id == run_id))


def done_among(connection: sa.Connection, run_ids: Sequence[str]) -> list[str]:
    """Those of the ids whose runs are done."""
    table = tables.runs
    return list(connection.scalars(sa.select(table.c.id).where(table.c.id.in_(run_ids), table.c.status == "done")))


def market_of_run(connection: sa.Connection, run_id: str | None) -> str:
    """The symbol of the market series that a run used; empty without one, or without such a run."""
    run, fetch = tables.runs, tables.fetches
    found = sa.select(fetch.c.symbol).join(run, run.c.market_fetch == fetch.c.id).where(run.c.id == run_id)
    return connection.scalar(found) or ""


def newest_finished(connection: sa.Connection, symbol: str, target: str) -> date | None:
    """The newest session whose night is done; None before the first."""
    table = tables.runs
    wanted = (table.c.symbol == symbol, table.c.target == target, table.c.status == "done")
    found: date | None = connection.scalar(sa.select(sa.func.max(table.c.as_of)).where(*wanted))
    return found


def done_before(connection: sa.Connection, run: Row) -> Row | None:
    """The newest night before that of a row that is done, a row of table runs; None before the first."""
    table = tables.runs
    wanted = (table.c.symbol == run["symbol"], table.c.target == run["target"], table.c.status == "done")
    earlier = (table.c.as_of < run["as_of"]) | (
        (table.c.as_of == run["as_of"]) & (table.c.started_at < run["started_at"])
    )
    newest = sa.select(table).where(*wanted, earlier).order_by(table.c.as_of.desc(), table.c.started_at.desc()).limit(1)
    return first_row(connection, newest)


def newest_run(connection: sa.Connection, symbol: str, target: str) -> Row | None:
    """The run of the newest session, whatever came of it, a row of table runs; None before the first."""
    table = tables.runs
    wanted = (table.c.symbol == symbol, table.c.target == target)
    newest = sa.select(table).where(*wanted).order_by(table.c.as_of.desc(), table.c.started_at.desc()).limit(1)
    return first_row(connection, newest)


def running(connection: sa.Connection) -> list[str]:
    """The ids of runs with status running, of any symbol and target, oldest session first."""
    return list(connection.scalars(sa.select(tables.runs.c.id).where(tables.RUNNING).order_by(tables.runs.c.as_of)))


def not_done(connection: sa.Connection) -> list[str]:
    """The ids of all runs that have not come to their end, of any symbol and target."""
    return list(connection.scalars(sa.select(tables.runs.c.id).where(tables.runs.c.status != "done")))


def done_nights(connection: sa.Connection, symbol: str, target: str, session: date) -> list[Row]:
    """The finished nights of one session, whatever their source and settings, rows of table runs, oldest first."""
    table = tables.runs
    wanted = (table.c.symbol == symbol, table.c.target == target, table.c.as_of == session, table.c.status == "done")
    found = connection.execute(sa.select(table).where(*wanted).order_by(table.c.started_at, table.c.id)).mappings()
    return [dict(row) for row in found]


def count_done(connection: sa.Connection, symbol: str, target: str, *, first: date, last: date) -> int:
    """The number of sessions of a span whose night is done."""
    table = tables.runs
    wanted = (table.c.symbol == symbol, table.c.target == target, table.c.status == "done")
    span = (table.c.as_of >= first, table.c.as_of <= last)
    counted = sa.select(sa.func.count(sa.distinct(table.c.as_of))).where(*wanted, *span)
    return int(connection.scalar(counted) or 0)


def finished_runs(connection: sa.Connection, symbol: str, target: str, *, settings_hash: str) -> list[Row]:
    """The finished nights under some settings, oldest session first, rows of table runs.

    Each with `issued_at` and `fetch_id` of its forecasts, and `fetched_at`, the instant of the newest fetch that it
    made itself; None for a night of a span, whose newest night makes the fetch of all.
    """
    table, made, fetches = tables.runs, tables.forecasts, tables.fetches
    columns = (sa.func.min(made.c[name]).label(name) for name in ("issued_at", "fetch_id"))
    of_symbol = sa.select(made.c.run_id, *columns).where(made.c.symbol == symbol, made.c.target == target)
    issued = of_symbol.group_by(made.c.run_id).subquery()
    instant = sa.func.max(fetches.c.fetched_at).label("fetched_at")
    fetched = (
        sa.select(fetches.c.run_id, instant).where(fetches.c.symbol == symbol).group_by(fetches.c.run_id).subquery()
    )
    done = (
        sa.select(table, issued.c.issued_at, issued.c.fetch_id, fetched.c.fetched_at)
        .join(issued, issued.c.run_id == table.c.id)
        .outerjoin(fetched, fetched.c.run_id == table.c.id)
        .where(table.c.symbol == symbol, table.c.target == target, table.c.settings_hash == settings_hash)
        .where(table.c.status == "done")
    )
    return [dict(row) for row in connection.execute(done.order_by(table.c.as_of, table.c.started_at)).mappings()]


def unfinished_run(connection: sa.Connection, symbol: str, target: str, *, after: date) -> Row | None:
    """The run of the newest session after `after` if it is late or failed, a row of table runs; else None."""
    table = tables.runs
    wanted = (table.c.symbol == symbol, table.c.target == target, table.c.as_of > after)
    newest = sa.select(table).where(*wanted).order_by(table.c.as_of.desc(), table.c.started_at.desc()).limit(1)
    found = first_row(connection, newest)
    return found if found is not None and found["status"] in ("late", "failed") else None


def durations(connection: sa.Connection, symbols: Sequence[str], target: str) -> pd.DataFrame:
    """The rows of view night_durations for a target and any of the symbols, a row a symbol and step."""
    table = sa.table("night_durations", sa.column("symbol"), sa.column("target"))
    wanted = (table.c.symbol.in_(symbols), table.c.target == target)
    return frame(connection, sa.select(sa.text("*")).select_from(table).where(*wanted))
