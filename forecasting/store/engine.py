"""Engines of both databases, and their failures as StoreError; no message contains a password."""

import sqlite3
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError
from sqlalchemy.pool import NullPool, QueuePool

from forecasting.errors import StoreError, UsageError

BUSY_TIMEOUT_S = 30
"""Seconds that a SQLite statement waits for another process's transaction to end."""

# The connection of a night's lock is idle during the whole night: with probes each side notices that the other is gone.
_POSTGRES_OPTIONS = {
    "application_name": "forecasting",
    "client_encoding": "utf8",  # a database made under the locale C would be read as bytes
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "options": "-c timezone=UTC -c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3",
}


@lru_cache(maxsize=16)
def engine(url: str, *, migrating: bool = False, pooled: bool = False) -> sa.Engine:
    """The engine of `url`; it keeps no connection open unless `pooled`.

    Args:
        url: A SQLAlchemy URL, `sqlite:///PATH` or `postgresql://...`.
        migrating: May create the SQLite file, switches it to WAL and leaves foreign keys unchecked, since a table that
            is rebuilt is dropped for a moment.
        pooled: Keeps the newest connection open for the next transaction, until the engine is disposed of.

    Raises:
        UsageError: Not a URL of either database.
    """
    parsed = parse(url)
    pool: dict[str, Any] = {"poolclass": NullPool}
    if pooled:  # the ping detects a server that was restarted in between
        pool = {"poolclass": QueuePool, "pool_size": 1, "max_overflow": -1, "pool_pre_ping": not is_sqlite(parsed)}
    if is_sqlite(parsed):
        sqlite = sa.create_engine("sqlite+pysqlite://", creator=_sqlite_opener(parsed, migrating), **pool)
        sa.event.listen(sqlite, "begin", _begin_sqlite)
        return sqlite
    parsed = parsed.set(drivername="postgresql+psycopg", query={**_POSTGRES_OPTIONS, **parsed.query})
    return sa.create_engine(parsed, **pool)


def parse(url: str) -> sa.URL:
    """The parts of `url`.

    Raises:
        UsageError: Not a URL of either database. The message never quotes it: it may contain a password.
    """
    expected = (
        "Expected a database URL like sqlite:///PATH/forecasting.db or postgresql://USER:PASSWORD@HOST:5432/NAME, with "
        "@ : / ? # in a password percent-encoded (@ is %40)"
    )
    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError):
        raise UsageError(f"{expected}; the one given cannot be parsed. Correct it.") from None
    if backend not in ("sqlite", "postgresql"):
        raise UsageError(f"{expected}; the one given names another database. Use one of these two.")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise UsageError(f"{expected}; the one given names no file, and a ledger in memory would be lost at once.")
    if "@" in (parsed.host or ""):
        raise UsageError(f"{expected}; the one given has more than one @. Encode those of the password.")
    return parsed


def is_sqlite(parsed: sa.URL) -> bool:
    """Whether the URL names a SQLite file."""
    return parsed.get_backend_name() == "sqlite"


def sqlite_path(parsed: sa.URL) -> Path:
    """The absolute path of a SQLite URL's file."""
    return Path(parsed.database or "").absolute()


def place(url: str) -> str:
    """The database's location without secrets, for errors and logs: the path, or name, host and port."""
    parsed = parse(url)
    if is_sqlite(parsed):
        return str(sqlite_path(parsed))
    host = parsed.host or parsed.query.get("host") or "the local socket"
    return f"{parsed.database or 'the default one'} on {host}" + (f":{parsed.port}" if parsed.port else "")


def store_error(url: str, error: DatabaseError) -> Exception:
    """The exception to raise for `error`: a StoreError for a fault of the database, `error` itself for one of ours."""
    if type(error) not in (OperationalError, DatabaseError):  # constraints, types, SQL syntax: faults of our code
        return error
    cause = " ".join(str(error.orig).split()).rstrip(".")
    for secret in _secrets(parse(url)):
        cause = cause.replace(secret, "***")
    what, do = next((words for sign, words in _KNOWN.items() if sign in cause), _OTHER)
    return StoreError(f"The database {place(url)} {what}: {cause}. {do}")


_KNOWN = {
    "readonly database": ("cannot be written", "Give this user write access to the file and to its folder."),
    "database is locked": (
        f"was kept locked for {BUSY_TIMEOUT_S} s by another process",
        "End that process or wait for it, then run again.",
    ),
    "unable to open database file": (
        "cannot be opened",
        "Check that the file exists and that this user may read and write it and its folder.",
    ),
    "file is not a database": ("is not a SQLite file", "Name another file, or move this one away."),
    "is full": ("has no space left", "Free space on that disk, then run again; this step wrote nothing."),
    "connection": ("cannot be reached", "Check that the server runs, and its host, port, name, user and password."),
}
_OTHER = ("refused", "This step wrote nothing; correct the cause and run again.")


def _secrets(parsed: sa.URL) -> list[str]:
    found = [parsed.password, *(parsed.query.get(key) for key in ("password", "sslpassword"))]
    return [str(secret) for secret in found if secret]


def _sqlite_opener(parsed: sa.URL, migrating: bool) -> Callable[[], sqlite3.Connection]:
    mode = "rwc" if migrating else "rw"  # plain sqlite3.connect would create an empty file for a mistyped path
    uri = f"file:{quote(str(sqlite_path(parsed)))}?mode={mode}"

    def opened() -> sqlite3.Connection:
        # isolation_level None: sqlite3's own transactions begin late and never cover DDL; we send BEGIN ourselves.
        # Several threads may use a pooled connection, one after the other: a night's tasks.
        connection = sqlite3.connect(
            uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode = WAL" if migrating else "PRAGMA foreign_keys = ON")
        return connection

    return opened


def _begin_sqlite(connection: sa.Connection) -> None:
    reads = bool(connection.get_execution_options().get("forecasting_reading"))
    connection.exec_driver_sql(f"PRAGMA query_only = {'ON' if reads else 'OFF'}")
    if reads:
        connection.exec_driver_sql("BEGIN")
    else:
        # Taking the write lock first: a transaction that reads and then writes would otherwise fail when another
        # process has written in between, without waiting for the busy timeout.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
