"""Transactions on both databases, their engines, and failures as StoreError.

No message contains a password.
"""

import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection as Connection  # what every function of the store takes
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError, ProgrammingError
from sqlalchemy.pool import NullPool, QueuePool

from forecasting.errors import StoreError, UsageError
from forecasting.settings import encoded, sqlite_database

BUSY_TIMEOUT_S = 30
"""Seconds that a statement waits for a lock of another process's transaction."""

_STATEMENT_TIMEOUT_S = 300  # on Postgres; the longest of a night of 500 symbols takes a few
_MIGRATION_TIMEOUT_S = 3600  # it may rewrite a table

_EXPECTED = (
    "Expected a database URL like sqlite:///PATH/forecasting.db or "
    "postgresql://USER:PASSWORD@HOST:5432/NAME, with "
    "@ : / ? # in a password percent-encoded (@ is %40)"
)

# The connection of a night's lock is idle during the whole night: with probes each side notices
# that the other is gone.
_POSTGRES_OPTIONS = {
    "application_name": "forecasting",
    "client_encoding": "utf8",  # a database made under the locale C would be read as bytes
    "connect_timeout": "10",
    "keepalives_idle": "30",
    # Ms until the kernel drops a connection whose packets nobody acknowledges
    "tcp_user_timeout": "60000",
}
# Whatever the server or the role has set: psycopg reads instants in ISO alone, at
# extra_float_digits 0 numbers lose their last bits, and under serializable shards that run side by
# side fail.
_SESSION_OPTIONS = (
    "-c timezone=UTC -c datestyle=ISO -c extra_float_digits=1 "
    "-c default_transaction_isolation=read\\ committed "
    "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
)


class Lock(NamedTuple):
    """A lock on Postgres: its table, and the number of the server's process that serves the session which has it."""

    table: str
    session: int


_IS_HELD = sa.text(
    "SELECT true FROM pg_locks WHERE pid = :session AND relation = CAST(:table AS regclass) AND "
    "granted LIMIT 1"
)
_locks: dict[str, tuple[Lock, ...]] = {}  # by URL

_LIMIT = sa.text("SELECT set_config(:limit, :value, true)")
_kept: dict[str, sa.Engine] = {}  # by URL, while a block keeps its connection


@contextmanager
def transaction(url: str) -> Iterator[Connection]:
    """A connection whose writes are committed together when the block ends.

    A StoreError where the database fails.

    So it is where the lock under which this process writes was lost; see `written_under`.
    """
    with begun(url, _kept.get(url) or engine(url)) as connection:
        for lock in _locks.get(url, ()):
            if not connection.scalar(_IS_HELD, lock._asdict()):
                raise StoreError(
                    f"The session with the lock of this run, process {lock.session} of the "
                    f"database {place(url)}, has "
                    "ended, and another run may have begun: this one writes nothing more. Run "
                    "again."
                )
        yield connection


@contextmanager
def written_under(url: str, *locks: Lock) -> Iterator[None]:
    """A block whose transactions are refused once the session of one of these locks has ended."""
    _locks[url] = (*locks_of(url), *locks)
    try:
        yield
    finally:
        _locks[url] = tuple(lock for lock in locks_of(url) if lock not in locks)


def locks_of(url: str) -> tuple[Lock, ...]:
    """The locks under which this process writes.

    None on SQLite, where a lock ends with its process alone.
    """
    return _locks.get(url, ())


@contextmanager
def reading(url: str, *, within_s: int | None = None) -> Iterator[Connection]:
    """A read-only connection to one state of the database.

    On Postgres a statement waits `within_s` for a lock.
    """
    options: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    before = _written_at(parse(url))
    if is_sqlite(parse(url)):
        options = {"forecasting_reading": True}
        within_s = None
    with begun(url, (_kept.get(url) or engine(url)).execution_options(**options)) as connection:
        if within_s is not None:
            # A second more for the statement, so that the error of a wait for a lock is the lock's.
            for limit, seconds in (("lock_timeout", within_s), ("statement_timeout", within_s + 1)):
                connection.execute(_LIMIT, {"limit": limit, "value": f"{seconds}s"})
        yield connection
    if before is not None and before != _written_at(parse(url)):
        raise StoreError(
            f"The database {place(url)} was written while it was read without locks. Run again."
        )


@contextmanager
def kept_open(url: str) -> Iterator[None]:
    """A block whose transactions share one connection, closed at its end.

    A block within another shares its own.
    """
    # Without locks its pages would grow old
    if url in _kept or _written_at(parse(url)) is not None:
        yield
        return
    _kept[url] = engine(url, pooled=True)
    try:
        yield
    finally:
        _kept.pop(url).dispose()


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
        # The long trace of a failed connect adds nothing
        raise ours from (error if error.statement else None)


@lru_cache(maxsize=16)
def engine(url: str, *, migrating: bool = False, pooled: bool = False) -> sa.Engine:
    """The engine of a URL; `pooled` keeps its newest connection open, `migrating` may create the SQLite file."""
    parsed = parse(url)
    pool: dict[str, Any] = {"poolclass": NullPool}
    if pooled:  # the ping detects a server that was restarted in between
        pool = {
            "poolclass": QueuePool,
            "pool_size": 1,
            "max_overflow": -1,
            "pool_pre_ping": not is_sqlite(parsed),
        }
    if is_sqlite(parsed):
        sqlite = sa.create_engine(
            "sqlite+pysqlite://", creator=_sqlite_opener(parsed, migrating), **pool
        )
        sa.event.listen(sqlite, "begin", _begin_sqlite)
        return sqlite
    statement_s = _MIGRATION_TIMEOUT_S if migrating else _STATEMENT_TIMEOUT_S
    limits = f"-c lock_timeout={BUSY_TIMEOUT_S}s -c statement_timeout={statement_s}s"
    # Those of the URL win
    options = f"{_SESSION_OPTIONS} {limits} {parsed.query.get('options', '')}".strip()
    query = {**_POSTGRES_OPTIONS, **parsed.query, "options": options}
    try:
        named = parsed.set(drivername="postgresql+psycopg", query=query)
        # A prepared statement is one session's, which behind a pooler is another program's in the
        # next transaction.
        return sa.create_engine(named, connect_args={"prepare_threshold": None}, **pool)
    except (ArgumentError, ValueError):  # hosts and ports in the options
        raise UsageError(
            f"{_EXPECTED}; hosts or ports of the one given cannot be used. Correct them."
        ) from None


def parse(url: str) -> sa.URL:
    """The parts of a URL; UsageError where it is of neither database, which never quotes it.

    It may have a password.
    """
    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError):
        raise UsageError(f"{_EXPECTED}; the one given cannot be parsed. Correct it.") from None
    if backend not in ("sqlite", "postgresql"):
        raise UsageError(
            f"{_EXPECTED}; the one given names another database. Use one of these two."
        )
    if backend == "sqlite" and parsed.host is None:
        # SQLAlchemy 2.0 takes %XX as part of a path, 2.1 decodes it; here it is decoded by every
        # release.
        parsed = parsed.set(database=sqlite_database(url))
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise UsageError(
            f"{_EXPECTED}; the one given names no file, and a ledger in memory would be lost at "
            "once."
        )
    if "@" in (parsed.host or ""):
        raise UsageError(
            f"{_EXPECTED}; the one given has more than one @. Encode those of the password."
        )
    # No message quotes an option: after a ? that is not percent-encoded it may be the end of a
    # password, or of a path.
    if is_sqlite(parsed) and "?" in url:
        raise UsageError(f"{_EXPECTED}, and nothing after ? (SQLite takes none). Remove it.")
    several = {name for name, value in parsed.query.items() if isinstance(value, tuple)} - {
        "host",
        "port",
    }
    if several or (not is_sqlite(parsed) and parsed.query.keys() - _libpq_options()):
        raise UsageError(
            f"{_EXPECTED}, and after ? each of libpq's options once, as sslmode=require. Remove "
            "others."
        )
    return parsed


def is_sqlite(parsed: sa.URL) -> bool:
    """Whether the URL names a SQLite file."""
    return parsed.get_backend_name() == "sqlite"


def sqlite_path(parsed: sa.URL) -> Path:
    """The absolute path of a SQLite URL's file."""
    return Path(parsed.database or "").absolute()


def place(url: str) -> str:
    """The database's location without secrets, for errors and logs.

    The path, or name, host and port.
    """
    parsed = parse(url)
    if is_sqlite(parsed):
        return str(sqlite_path(parsed))
    host = parsed.host or parsed.query.get("host") or "the local socket"
    host = ", ".join(host) if isinstance(host, tuple) else host
    return f"{parsed.database or 'the default one'} on {host}" + (
        f":{parsed.port}" if parsed.port else ""
    )


@lru_cache(maxsize=1)
def _libpq_options() -> frozenset[str]:
    from psycopg.pq import Conninfo

    return frozenset(option.keyword.decode() for option in Conninfo.get_defaults())


def _written_at(parsed: sa.URL) -> int | None:
    """When (ns) a SQLite file was last written, if nobody has it open and this user may create no file beside it."""
    path = sqlite_path(parsed).resolve()
    idle = is_sqlite(parsed) and path.exists() and not path.with_name(f"{path.name}-wal").exists()
    return path.stat().st_mtime_ns if idle and not os.access(path.parent, os.W_OK) else None


def _sqlite_opener(parsed: sa.URL, migrating: bool) -> Callable[[], sqlite3.Connection]:
    # Plain sqlite3.connect would create an empty file for a mistyped path
    mode = "rwc" if migrating else "rw"

    def opened() -> sqlite3.Connection:
        # SQLite itself would create it without the group's write access, whatever the umask
        if migrating:
            with suppress(OSError):
                os.close(os.open(sqlite_path(parsed), os.O_CREAT, 0o666))
        # isolation_level None: sqlite3's own transactions begin late and never cover DDL; we send
        # BEGIN ourselves. Several threads may use a pooled connection, one after the other: a
        # night's tasks.
        uri = f"file:{encoded(sqlite_path(parsed))}?mode={mode}&immutable={int(_written_at(parsed) is not None)}"
        connection = sqlite3.connect(
            uri,
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        # A migration rebuilds tables that foreign keys refer to.
        connection.execute("PRAGMA journal_mode = WAL" if migrating else "PRAGMA foreign_keys = ON")
        return connection

    return opened


def _begin_sqlite(connection: sa.Connection) -> None:
    reads = bool(connection.get_execution_options().get("forecasting_reading"))
    connection.exec_driver_sql(f"PRAGMA query_only = {'ON' if reads else 'OFF'}")
    # Taking the write lock first: a transaction that reads and then writes would otherwise fail
    # when another process has written in between, without waiting for the busy timeout.
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def store_error(url: str, error: DatabaseError) -> Exception:
    """The exception to raise for `error`: a StoreError for a fault of the database, `error` itself for one of ours."""
    state = getattr(error.orig, "sqlstate", None) or ""
    refused_connection = isinstance(error, ProgrammingError) and error.statement is None
    if not (
        type(error) in (OperationalError, DatabaseError) or refused_connection or state in _KNOWN
    ):
        return error  # constraints, types, SQL syntax: faults of our code
    # libpq's second line is a question to the reader, which reads as a part of the first once lines
    # are joined.
    lines = [line for line in str(error.orig).splitlines() if not line.rstrip().endswith("?")]
    cause = " ".join(" ".join(lines).split()).rstrip(".")[:500]
    parsed = parse(url)
    for secret in (
        parsed.password,
        *(parsed.query.get(key) for key in ("password", "sslpassword")),
    ):
        cause = cause.replace(str(secret), "***") if secret else cause
    what, do = next(
        (words for sign, words in _KNOWN.items() if sign == state or sign in cause), _OTHER
    )
    holder = (
        f" {lock_holder(url) or 'No other process holds a lock now.'}" if state in _WAITED else ""
    )
    return StoreError(f"The database {place(url)} {what}: {cause}.{holder} {do}")


def lock_holder(url: str, table: str = "") -> str:
    """A sentence on the session whose lock on a table, or on any without the night's own, is strongest; else empty."""
    try:
        with engine(url).connect() as connection:
            held = connection.scalar(_HOLDER, {"table": table, "own": session_name()})
    except DatabaseError:
        return "The process that holds the lock cannot be read."
    return held or ""


def session_name() -> str:
    """The name under which a session that holds a lock of this process is shown.

    Process and host, 63 characters.
    """
    return f"forecasting, process {os.getpid()} on {socket.gethostname()}"[:63]


# The locks of a migration or a program with a transaction of its own come before those of a night.
# State and time of another role's session are hidden from most.
_HOLDER = sa.text(
    """
    SELECT format('Process %s (%s, role %s, %s since %s) holds a lock on %s.', l.pid,
        COALESCE(NULLIF(a.application_name, ''), 'an unnamed program'), a.usename, COALESCE(a.state, 'state hidden'),
        COALESCE(to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'), 'a hidden time'), c.relname)
    FROM pg_locks l JOIN pg_class c ON c.oid = l.relation LEFT JOIN pg_stat_activity a USING (pid)
    WHERE l.granted AND l.locktype = 'relation' AND c.relkind IN ('r', 'v')
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND c.relnamespace = current_schema()::regnamespace AND l.pid <> pg_backend_pid()
        AND CASE CAST(:table AS text) WHEN '' THEN a.application_name IS DISTINCT FROM :own
            ELSE c.relname = :table AND l.mode <> 'AccessShareLock' END
    ORDER BY array_position(ARRAY['AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock',
        'RowExclusiveLock', 'RowShareLock', 'ShareUpdateExclusiveLock', 'AccessShareLock'], l.mode), a.xact_start
    LIMIT 1
    """
)

_END = (
    "End that process (SELECT pg_terminate_backend(its number), as its role or a superuser), "
    "then run again."
)
_WAITED = ("55P03", "57014")
_NO_MORE = (
    "accepts no more connections",
    "End sessions that nobody needs, or raise its limit (max_connections, CONNECTION LIMIT of the "
    "role or database), "
    "then run again: a night takes two, and one for each worker in another process.",
)
_UNREACHED = (
    "cannot be reached",
    "Check that the server runs, and its host, port, name, user and password.",
)
_KNOWN = {  # by the state of PostgreSQL, else by words of the cause
    "55P03": (f"kept this step waiting for a lock, for at most {BUSY_TIMEOUT_S} s", _END),
    "57014": (
        "did not finish a statement in time",
        f"{_END} Without one, look for a slow disk or a server under load.",
    ),
    "42501": (
        "refused",
        "Connect as the writer role, for `forecasting db` as the ledger's owner, who runs "
        "deploy/sql/roles.sql again "
        "after an upgrade.",
    ),
    "25006": (
        "cannot be written",
        "Connect to the primary, as the writer role, in a session that is not read-only.",
    ),
    "readonly database": (
        "cannot be written",
        "Give this user write access to the file, its -wal and -shm, and its folder.",
    ),
    "database is locked": (
        f"was kept locked for {BUSY_TIMEOUT_S} s by another process",
        "End that process or wait for it, then run again.",
    ),
    "unable to open database file": (
        "cannot be opened",
        "Check that the file exists and that this user may read and write it and its folder.",
    ),
    "malformed": (
        "is damaged",
        "Move file, -wal and -shm away and restore a backup; `sqlite3 FILE .recover` reads what is "
        "left of them.",
    ),
    "file is not a database": ("is not a SQLite file", "Name another file, or move this one away."),
    "too many c": _NO_MORE,  # clients already; connections for the role, or for the database
    "connection slots are reserved": _NO_MORE,
    "resolve host": _UNREACHED,
    "connection": _UNREACHED,
}
_OTHER = ("refused", "This step wrote nothing; correct the cause and run again.")
