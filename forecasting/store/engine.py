"""Engines of both databases; no message contains a password."""

import difflib
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool, QueuePool

from forecasting.database_url import encoded, sqlite_database
from forecasting.errors import UsageError

BUSY_TIMEOUT_S = 30
"""Seconds that a statement waits for a lock of another process's transaction."""

STATEMENT_TIMEOUT_S = 300
"""Seconds of one statement on Postgres; the longest of a night of 500 symbols takes a few."""

MIGRATION_TIMEOUT_S = 3600
"""The same for a migration, which may rewrite a table."""

_EXPECTED = (
    "Expected a database URL like sqlite:///PATH/forecasting.db or postgresql://USER:PASSWORD@HOST:5432/NAME, with "
    "@ : / ? # in a password percent-encoded (@ is %40)"
)

# The connection of a night's lock is idle during the whole night: with probes each side notices that the other is gone.
_POSTGRES_OPTIONS = {
    "application_name": "forecasting",
    "client_encoding": "utf8",  # a database made under the locale C would be read as bytes
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "tcp_user_timeout": "60000",  # ms until the kernel drops a connection whose packets nobody acknowledges
}
# Whatever the server or the role has set: psycopg reads instants in ISO alone, at extra_float_digits 0 numbers lose
# their last bits, with array_nulls off NULL is a text, and under serializable shards that run side by side fail.
_SESSION_OPTIONS = (
    "-c timezone=UTC -c datestyle=ISO -c extra_float_digits=1 -c array_nulls=on "
    "-c default_transaction_isolation=read\\ committed "
    "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
)


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
    query = {**_POSTGRES_OPTIONS, **parsed.query, "options": _session_options(parsed, migrating)}
    try:
        named = parsed.set(drivername="postgresql+psycopg", query=query)
        # A prepared statement is one session's, which behind a pooler is another program's in the next transaction.
        postgres = sa.create_engine(named, connect_args={"prepare_threshold": None}, **pool)
    except (ArgumentError, ValueError):  # hosts and ports in the options
        raise UsageError(f"{_EXPECTED}; hosts or ports of the one given cannot be used. Correct them.") from None
    sa.event.listen(postgres, "connect", _set_datestyle)
    return postgres


def parse(url: str) -> sa.URL:
    """The parts of `url`.

    Raises:
        UsageError: Not a URL of either database. The message never quotes it: it may contain a password.
    """
    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError):
        raise UsageError(f"{_EXPECTED}; the one given cannot be parsed. Correct it.") from None
    if backend not in ("sqlite", "postgresql"):
        raise UsageError(f"{_EXPECTED}; the one given names another database. Use one of these two.")
    if backend == "sqlite" and parsed.host is None:
        # SQLAlchemy 2.0 takes %XX as part of a path, 2.1 decodes it; here it is decoded by every release.
        parsed = parsed.set(database=sqlite_database(url))
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise UsageError(f"{_EXPECTED}; the one given names no file, and a ledger in memory would be lost at once.")
    if "@" in (parsed.host or ""):
        raise UsageError(f"{_EXPECTED}; the one given has more than one @. Encode those of the password.")
    try:
        (parsed.host or "").encode("idna")
    except UnicodeError:
        raise UsageError(f"{_EXPECTED}; the one given has a host that is no name. Correct it.") from None
    _check_options(parsed, url.partition("?")[2])
    return parsed


def is_sqlite(parsed: sa.URL) -> bool:
    """Whether the URL names a SQLite file."""
    return parsed.get_backend_name() == "sqlite"


def sqlite_path(parsed: sa.URL) -> Path:
    """The absolute path of a SQLite URL's file."""
    return Path(parsed.database or "").absolute()


def aiosqlite_url(path: Path) -> str:
    """The URL of a SQLite file for Prefect, which reads it with the installed SQLAlchemy and not with `parse`."""
    # SQLite itself decodes a file: path. In a plain one SQLAlchemy 2.0 decodes nothing, not even a ?.
    of_file = sa.URL.create("sqlite+aiosqlite", database=f"file:{encoded(path)}", query={"uri": "true"})
    return of_file.render_as_string(hide_password=False)


def place(url: str) -> str:
    """The database's location without secrets, for errors and logs: the path, or name, host and port."""
    parsed = parse(url)
    if is_sqlite(parsed):
        return str(sqlite_path(parsed))
    host = parsed.host or parsed.query.get("host") or "the local socket"
    host = ", ".join(host) if isinstance(host, tuple) else host
    return f"{parsed.database or 'the default one'} on {host}" + (f":{parsed.port}" if parsed.port else "")


def _check_options(parsed: sa.URL, text: str) -> None:
    """Refuse options after `?` that the database does not have or that are given twice.

    Args:
        parsed: The URL.
        text: All that follows its `?`, which may also be the rest of a path, without any option.

    Raises:
        UsageError: Names those that the database has, or the nearest of them. Never another text of the URL: after a ?
            that is not percent-encoded it may be the end of a password.
    """
    if is_sqlite(parsed):
        wrong = sorted(parsed.query) or ([text] if text else [])
    else:
        several = {name for name, value in parsed.query.items() if isinstance(value, tuple)} - {"host", "port"}
        wrong = sorted((parsed.query.keys() - _libpq_options()) | several)
    if wrong:
        names = ", ".join(_known_name(name) for name in wrong[:5])
        allowed = "SQLite takes none" if is_sqlite(parsed) else "each of libpq's once, as sslmode=require"
        raise UsageError(f"{_EXPECTED}, and after ? options of the database ({allowed}); found {names}. Remove them.")


def _known_name(name: str) -> str:
    """The option itself where libpq has it, else the nearest one as a question."""
    if name in _libpq_options():
        return name
    nearest = difflib.get_close_matches(name, _libpq_options(), n=1, cutoff=0.75)
    return f"another ({nearest[0]}?)" if nearest else "another"


@lru_cache(maxsize=1)
def _libpq_options() -> frozenset[str]:
    from psycopg.pq import Conninfo

    return frozenset(option.keyword.decode() for option in Conninfo.get_defaults())


def _session_options(parsed: sa.URL, migrating: bool) -> str:
    """The settings of every session; those of the URL come last, so that they win."""
    statement_s = MIGRATION_TIMEOUT_S if migrating else STATEMENT_TIMEOUT_S
    limits = f"-c lock_timeout={BUSY_TIMEOUT_S}s -c statement_timeout={statement_s}s"
    return f"{_SESSION_OPTIONS} {limits} {parsed.query.get('options', '')}".strip()


def _set_datestyle(connection: DBAPIConnection, _: object) -> None:
    if "PGDATESTYLE" in os.environ:  # libpq sends it apart from the options, over which it wins
        connection.cursor().execute("SET datestyle = ISO")
        connection.commit()


def _sqlite_opener(parsed: sa.URL, migrating: bool) -> Callable[[], sqlite3.Connection]:
    mode = "rwc" if migrating else "rw"  # plain sqlite3.connect would create an empty file for a mistyped path
    uri = f"file:{encoded(sqlite_path(parsed))}?mode={mode}"

    def opened() -> sqlite3.Connection:
        if migrating:  # SQLite itself would create it without the group's write access, whatever the umask
            with suppress(OSError):
                os.close(os.open(sqlite_path(parsed), os.O_CREAT, 0o666))
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
