"""Rows of the future: a clock was ahead when they were stored, or it is behind now.

No run takes them off by itself: by a clock that is behind, as after a dead battery, the whole
ledger is of the future.
"""

import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from forecasting.conditions import Condition
from forecasting.errors import StoreError, UsageError
from forecasting.store.connect import is_sqlite, reading, sqlite_path, transaction
from forecasting.store.frames import newest
from forecasting.store.lock import no_run
from forecasting.store.migrate import check_ready
from forecasting.store.schema import fetches, metadata, run, runs, score, standings
from forecasting.store.write import write_standings

_A_DAY = timedelta(days=1)  # Rows that are ahead by less are soon of the past by themselves
_STORED = ("fetched_at", "first_seen_at", "started_at", "created_at", "issued_at", "scored_at")
_FILLED_IN = ("superseded_at", "settled_at", "cleared_at", "finished_at")


def rows_ahead(connection: Connection, now: datetime) -> Condition | None:
    """What is of more than a day after the ledger's clock, and what to do; None without any."""
    at = _clock(connection, now)
    session = newest(connection, "runs", "as_of", {}) or date.min
    fetched = newest(connection, "fetches", "fetched_at", {}) or now
    last = max(fetched, datetime.combine(session, time(), UTC), now)
    if last <= at + _A_DAY:
        return None
    nights, requests = (
        connection.scalar(sa.select(sa.func.count()).where(_is_after(table, at)))
        for table in (runs, fetches)
    )
    reason = (
        f"It is {at:%Y-%m-%d %H:%M} UTC by this machine's clock, with Postgres by the server's. "
        f"The ledger has rows of after that (nights: {nights}, requests: {requests}), or this "
        f"machine's clock is ahead: up to {last:%Y-%m-%d %H:%M} UTC. Either a clock is wrong now: "
        "set it right (timedatectl), and run again. Or one was ahead then: `forecasting db "
        "set-aside` takes those rows, and all that hangs on them, off the ledger."
    )
    return Condition("future", {"reason": reason})


def check_clock(url: str, now: datetime) -> None:
    """Raise a StoreError where a ledger has `rows_ahead`."""
    with reading(url) as connection:
        ahead = rows_ahead(connection, now)
    if ahead is not None:
        raise StoreError(str(ahead.values["reason"]))


def set_aside(url: str, now: datetime, *, is_backed_up: bool) -> str:
    """A sentence on where the rows of after the clock are, once they are off the ledger.

    Args:
        url: The ledger's.
        now: This machine's clock, which counts on SQLite.
        is_backed_up: Whether a person has a backup; of SQLite a copy is made beside the file.

    Raises:
        UsageError: The clock is behind its newest bar, or there is no backup. Nothing was done.
        LockedError: A run is at work.
        StoreError: There is no such ledger, or it is of another revision.
    """
    check_ready(url)
    copy = "your backup"
    with transaction(url) as connection, no_run(url, connection):
        at = _clock(connection, now)
        bar = newest(connection, "bar_versions", "session", {})
        if bar and bar > at.date():
            raise UsageError(
                f"Expected a clock of after the newest bar, of {bar}; found {at:%Y-%m-%d %H:%M} "
                "UTC. It is behind now: set it right (timedatectl)."
            )
        if is_sqlite(url):
            copy = f"{sqlite_path(url)}.{at:%Y-%m-%dT%H%M%S}"
            with closing(sqlite3.connect(sqlite_path(url))) as ledger:
                ledger.execute("VACUUM INTO ?", [copy])
        elif not is_backed_up:
            raise UsageError("Expected --backed-up, once `pg_dump --format custom` has made one.")
        _delete_after(connection, at)
    return (
        f"The rows of after {at:%Y-%m-%d %H:%M} UTC are in {copy} alone now. The next run makes up "
        "for them."
    )


def _clock(connection: Connection, now: datetime) -> datetime:
    """The instant by a ledger's clock: its server's on Postgres, this machine's on SQLite."""
    if connection.dialect.name == "sqlite":
        return now
    return connection.execute(sa.select(sa.func.now())).scalar_one()


def _delete_after(connection: Connection, at: datetime) -> None:
    """Delete the rows stored after an instant, and undo what was filled in after it."""
    # The next run completes them, as those that were killed
    connection.execute(sa.update(runs).where(run.finished_at > at).values(status="running"))
    for table in reversed(metadata.sorted_tables):  # rows before those that they refer to
        for column in table.columns:
            if column.name in _FILLED_IN:
                connection.execute(sa.update(table).where(column > at).values({column: None}))
        connection.execute(sa.delete(table).where(_is_after(table, at)))
    connection.execute(sa.delete(standings))
    scopes = sa.select(*score["symbol", "target", "kind"]).distinct()
    for scope in connection.execute(scopes).all():
        write_standings(connection, *scope)


def _is_after(table: sa.Table, at: datetime) -> sa.ColumnElement[bool]:
    """The condition that a row was stored after an instant, or refers to such a row."""
    conditions = [column > at for column in table.columns if column.name in _STORED]
    for key in table.foreign_key_constraints:
        same = [element.parent == element.column for element in key.elements]
        conditions.append(sa.exists().where(*same, _is_after(key.referred_table, at)))
    return sa.or_(sa.false(), *conditions)
