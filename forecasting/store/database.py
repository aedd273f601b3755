"""Transactions on the ledger's database, SQLite or Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError, DataError, IntegrityError

from forecasting.errors import StoreError
from forecasting.store.engine import engine, is_sqlite, parse, store_error
from forecasting.store.lock import night_lock

if TYPE_CHECKING:
    pass

__all__ = [
    "Connection",  # what every function of the store takes; callers name it without importing SQLAlchemy
    "begun",
    "kept_open",
    "night_lock",
    "reading",
    "savepoint",
    "transaction",
]


@contextmanager
def transaction(url: str) -> Iterator[Connection]:
    """A connection whose writes are kept together when the block ends, or not at all.

    Raises:
        StoreError: The database cannot be reached, is locked, full or not writable.
    """
    with begun(url, _opened(url)) as connection:
        yield connection


@contextmanager
def reading(url: str) -> Iterator[Connection]:
    """A connection that sees one state of the database throughout the block and cannot write.

    Raises:
        StoreError: The database cannot be reached.
    """
    options = (
        {"forecasting_reading": True}
        if is_sqlite(parse(url))
        else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    )
    with begun(url, _opened(url).execution_options(**options)) as connection:
        yield connection


@contextmanager
def savepoint(connection: Connection) -> Iterator[None]:
    """Within a transaction, a block whose writes are kept with the rest or, where it fails, undone alone.

    Raises:
        StoreError: The database refused a row.
    """
    try:
        with connection.begin_nested():
            yield
    except (IntegrityError, DataError) as error:
        cause = " ".join(str(error.orig).split()).rstrip(".")
        raise StoreError(f"The database refused a row: {cause}. Nothing of this step was kept for it.") from error


@contextmanager
def kept_open(url: str) -> Iterator[None]:
    """Transactions of the block share a connection, which closes with it.

    A new one costs Postgres a process; and SQLite puts its log back into the file whenever the last one closes, at some
    five waits for the disk, where a commit is one or two.
    """
    _kept[url] = engine(url, pooled=True)
    try:
        yield
    finally:
        _kept.pop(url).dispose()


_kept: dict[str, sa.Engine] = {}  # by URL, for as long as a block keeps its connection


def _opened(url: str) -> sa.Engine:
    return _kept.get(url) or engine(url)


@contextmanager
def begun(url: str, opened: sa.Engine) -> Iterator[Connection]:
    """A transaction on `opened`, the engine of `url`, whose failures are StoreErrors."""
    try:
        with opened.begin() as connection:
            yield connection
    except DatabaseError as error:
        told = store_error(url, error)
        if told is error:
            raise
        raise told from (error if error.statement else None)  # a failed connect has a long trace that says no more
