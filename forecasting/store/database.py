"""Transactions on the ledger's database, SQLite or Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError, DataError, IntegrityError

from forecasting.errors import StoreError
from forecasting.store.connect import engine, is_sqlite, parse, store_error
from forecasting.store.lock import LockName, night_lock, serve_lock

__all__ = [
    "Connection",  # what every function of the store takes; callers name it without importing SQLAlchemy
    "LockName",
    "begun",
    "kept_open",
    "night_lock",
    "reading",
    "savepoint",
    "serve_lock",
    "transaction",
]


@contextmanager
def transaction(url: str) -> Iterator[Connection]:
    """A connection whose writes are committed together when the block ends, or rolled back when it fails.

    Raises:
        StoreError: The database cannot be reached, is locked, full or not writable.
    """
    with begun(url, _opened(url)) as connection:
        yield connection


@contextmanager
def reading(url: str, *, within_s: int | None = None) -> Iterator[Connection]:
    """A read-only connection that sees one state of the database throughout the block.

    Args:
        url: The database.
        within_s: Seconds that a statement may wait for a lock; on Postgres, where a reader waits.

    Raises:
        StoreError: The database cannot be reached.
    """
    sqlite = is_sqlite(parse(url))
    options = (
        {"forecasting_reading": True} if sqlite else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    )
    with begun(url, _opened(url).execution_options(**options)) as connection:
        if within_s is not None and not sqlite:
            # A second more for the statement, so that the error of a wait for a lock is the lock's.
            for limit, seconds in (("lock_timeout", within_s), ("statement_timeout", within_s + 1)):
                connection.execute(_LIMIT, {"limit": limit, "value": f"{seconds}s"})
        yield connection


@contextmanager
def savepoint(connection: Connection) -> Iterator[None]:
    """A block of a transaction whose writes alone are undone when it fails.

    Raises:
        StoreError: The database refused a row.
    """
    try:
        with connection.begin_nested():
            yield
    except (IntegrityError, DataError) as error:
        cause = " ".join(str(error.orig).split()).rstrip(".")
        raise StoreError(f"The database refused a row: {cause}. This step wrote nothing for it.") from error


@contextmanager
def kept_open(url: str) -> Iterator[None]:
    """A block whose transactions share one connection, closed at its end.

    A new connection costs Postgres a process; and SQLite writes its log back into the file whenever the last one
    closes, at some five waits for the disk, where a commit takes one or two. A block within another shares its own.
    """
    if url in _kept:
        yield
        return
    _kept[url] = engine(url, pooled=True)
    try:
        yield
    finally:
        _kept.pop(url).dispose()


_LIMIT = sa.text("SELECT set_config(:limit, :value, true)")
_kept: dict[str, sa.Engine] = {}  # by URL, while a block keeps its connection


def _opened(url: str) -> sa.Engine:
    return _kept.get(url) or engine(url)


@contextmanager
def begun(url: str, opened: sa.Engine) -> Iterator[Connection]:
    """A transaction on `opened`, the engine of `url`, whose failures are raised as StoreError."""
    try:
        with opened.begin() as connection:
            yield connection
    except DatabaseError as error:
        ours = store_error(url, error)
        if ours is error:
            raise
        raise ours from (error if error.statement else None)  # the long trace of a failed connect adds nothing
