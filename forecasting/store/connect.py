"""Transactions on both databases, their engines, and failures as StoreError without secrets."""

import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection as Connection  # what every function of the store takes
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError
from sqlalchemy.pool import NullPool, QueuePool

from forecasting.errors import StoreError, UsageError
from forecasting.values import encoded, sqlite_database

BUSY_TIMEOUT_S = 30
"""Seconds that a statement waits for a lock of another process's transaction."""

_STATEMENT_TIMEOUT_S = 300  # on Postgres; the longest of a night of 500 symbols takes a few
_MIGRATION_TIMEOUT_S = 3600  # it may rewrite a table

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
# extra_float_digits 0 numbers lose their last bits, and under serializable batches that run side by
# side fail.
_SESSION_OPTIONS = (
    "-c timezone=UTC -c datestyle=ISO -c extra_float_digits=1 -c "
    "default_transaction_isolation=read\\ committed -c tcp_keepalives_idle=30 -c "
    "tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
)


NIGHTS = 1_852_403_569  # the key of the nights' lock on Postgres, beside its schema

_IS_HELD = sa.text(
    "SELECT true FROM pg_locks WHERE locktype = 'advisory' AND classid = :nights AND pid = "
    ":session AND granted LIMIT 1"
)
_holders: dict[str, int] = {}  # by URL: the server's process that has the lock of this run

_LIMITS = sa.text(
    "SELECT set_config('lock_timeout', :lock, true), set_config('statement_timeout', :statement, "
    "true)"
)
_kept: dict[str, sa.Engine] = {}  # by URL, while a block keeps its connection


@contextmanager
def transaction(url: str) -> Iterator[Connection]:
    """A connection whose writes are committed together when the block ends.

    Raises:
        StoreError: The database fails, or a lock under which this process writes was lost; see
            `written_under`.
    """
    with begun(url, _kept.get(url, engine(url))) as connection:
        session = lock_of(url)
        if session is not None and not connection.scalar(
            _IS_HELD, {"nights": NIGHTS, "session": session}
        ):
            raise StoreError(
                f"The session with the lock of this run, process {session} of the database "
                f"{place(url)}, has ended, and another run may have begun: this one writes nothing "
                "more. Run again."
            )
        yield connection


@contextmanager
def written_under(url: str, session: int | None) -> Iterator[None]:
    """A block whose transactions are refused once the session with the nights' lock has ended."""
    before = dict(_holders)
    if session is not None:
        _holders[url] = session
    try:
        yield
    finally:
        _holders.clear()
        _holders.update(before)


def lock_of(url: str) -> int | None:
    """The session with the lock under which this process writes.

    None on SQLite, whose lock ends with the process.
    """
    return _holders.get(url)


@contextmanager
def reading(url: str, *, within_s: int | None = None) -> Iterator[Connection]:
    """A read-only connection to one state of the database.

    Args:
        url: The database.
        within_s: On Postgres, seconds that a statement waits for a lock; None for BUSY_TIMEOUT_S.

    Raises:
        StoreError: The database fails, or was written while it was read without locks.
    """
    before = _written_at(url)
    options: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    if is_sqlite(url):
        options = {"forecasting_reading": True}
    with begun(url, _kept.get(url, engine(url)).execution_options(**options)) as connection:
        if within_s is not None and not is_sqlite(url):
            # A second more for the statement, so that the error of a wait for a lock is the lock's.
            connection.execute(_LIMITS, {"lock": f"{within_s}s", "statement": f"{within_s + 1}s"})
        yield connection
    if before is not None and before != _written_at(url):
        raise StoreError(
            f"The database {place(url)} was written while it was read without locks. Run again."
        )


@contextmanager
def kept_open(url: str) -> Iterator[None]:
    """A block whose transactions share one connection, also with a block around it."""
    # Without locks its pages would grow old
    if url in _kept or _written_at(url) is not None:
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
    """The engine of a URL.

    Args:
        url: The database.
        migrating: Whether it may create the SQLite file, and its statements may take an hour.
        pooled: Whether its newest connection stays open.

    Raises:
        UsageError: The URL is of neither database.
    """
    pool: dict[str, Any] = {"poolclass": NullPool}
    if pooled:  # the ping detects a server that was restarted in between
        pool = {"poolclass": QueuePool, "pool_size": 1, "max_overflow": -1, "pool_pre_ping": True}
    if is_sqlite(url):
        opener = _sqlite_opener(url, migrating)
        sqlite = sa.create_engine("sqlite+pysqlite://", creator=opener, **pool)
        sa.event.listen(sqlite, "begin", _begin_sqlite)
        return sqlite
    parsed = parse(url)
    statement_s = _MIGRATION_TIMEOUT_S if migrating else _STATEMENT_TIMEOUT_S
    limits = f"-c lock_timeout={BUSY_TIMEOUT_S}s -c statement_timeout={statement_s}s"
    # Those of the URL win
    options = f"{_SESSION_OPTIONS} {limits} {parsed.query.get('options', '')}".strip()
    query = {**_POSTGRES_OPTIONS, **parsed.query, "options": options}
    named = parsed.set(drivername="postgresql+psycopg", query=query)
    # A prepared statement is one session's, which behind a pooler is another program's in the next
    # transaction.
    return sa.create_engine(named, connect_args={"prepare_threshold": None}, **pool)


@lru_cache(maxsize=16)
def parse(url: str) -> sa.URL:
    """The parts of a URL.

    Raises:
        UsageError: It is of neither database. The URL is not quoted: it may have a password.
    """
    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError):
        backend = ""
    if backend == "sqlite":
        # SQLAlchemy 2.0 takes %XX as part of a path, 2.1 decodes it; here every release decodes it.
        path = sqlite_database(url)
        if path not in ("", ":memory:") and "?" not in url:
            return parsed.set(database=path)
    if backend in ("postgresql", "postgres") and _is_of_libpq(parsed):
        return parsed
    # No message quotes an option: after a ? that is not percent-encoded it may be the end of a
    # path, or of a password.
    raise UsageError(
        "Expected a database URL: of a file, like sqlite:///PATH/forecasting.db, with nothing "
        "after ? (SQLite takes none); or like postgresql://USER:PASSWORD@HOST:5432/NAME, with @ : "
        "/ ? # in a password percent-encoded (@ is %40), and after ? each of libpq's options "
        "once, as sslmode=require. Correct the one given."
    )


def _is_of_libpq(parsed: sa.URL) -> bool:
    """Whether host and options are such as libpq takes; an unencoded password may run into them."""
    from psycopg.pq import Conninfo

    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    return "@" not in str(parsed.host) and parsed.query.keys() <= known


def is_sqlite(url: str) -> bool:
    """Whether the URL names a SQLite file."""
    return parse(url).get_backend_name() == "sqlite"


def sqlite_path(url: str) -> Path:
    """The absolute path of a SQLite URL's file."""
    return Path(str(parse(url).database)).absolute()


def place(url: str) -> str:
    """The location without secrets, for errors and logs: the path, or name, host and port."""
    if is_sqlite(url):
        return str(sqlite_path(url))
    parsed = parse(url)
    host = parsed.host or parsed.query.get("host", "the local socket")
    if isinstance(host, tuple):
        host = ", ".join(host)
    port = f":{parsed.port}" if parsed.port else ""
    return f"{parsed.database or 'the default one'} on {host}{port}"


def _written_at(url: str) -> int | None:
    """When (ns) a SQLite file was last written, if it is read without locks; else None.

    It is where nobody has it open and this user can create no file beside it.
    """
    if not is_sqlite(url):
        return None
    path = sqlite_path(url).resolve()
    is_open = path.with_name(f"{path.name}-wal").exists()
    if is_open or not path.exists() or os.access(path.parent, os.W_OK):
        return None
    return path.stat().st_mtime_ns


def _sqlite_opener(url: str, migrating: bool) -> Callable[[], sqlite3.Connection]:
    path = sqlite_path(url)
    # Plain sqlite3.connect would create an empty file for a mistyped path
    mode = "rwc" if migrating else "rw"

    def opened() -> sqlite3.Connection:
        # SQLite itself would create it without the group's write access, whatever the umask
        if migrating:
            with suppress(OSError):
                os.close(os.open(path, os.O_CREAT, 0o666))
        # isolation_level None: sqlite3's own transactions begin late and never cover DDL; we send
        # BEGIN ourselves. Several threads may use a pooled connection, one after the other: a
        # night's tasks.
        without_locks = int(_written_at(url) is not None)
        connection = sqlite3.connect(
            f"file:{encoded(path)}?mode={mode}&immutable={without_locks}",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        if not migrating:  # which rebuilds tables that foreign keys refer to
            connection.execute("PRAGMA foreign_keys = ON")
            return connection
        # Of two upgrades at once SQLite refuses one without waiting; the other does it for both
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")
        return connection

    return opened


def _begin_sqlite(connection: Connection) -> None:
    reads = bool(connection.get_execution_options().get("forecasting_reading"))
    connection.exec_driver_sql(f"PRAGMA query_only = {'ON' if reads else 'OFF'}")
    # Taking the write lock first: a transaction that reads and then writes would otherwise fail
    # when another process has written in between, without waiting for the busy timeout.
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def store_error(url: str, error: DatabaseError) -> Exception:
    """The error to raise: a StoreError for a fault of the database, `error` for one of our code."""
    kind = error_kind(error)
    of_database = type(error) in (OperationalError, DatabaseError) or kind in _KNOWN
    if error.statement is not None and not of_database:
        return error  # constraints, types, SQL syntax
    what, do = _KNOWN.get(kind, _OTHER)
    sentences = [f"The database {place(url)} {what}: {_cause(url, error)}.", do]
    if kind in _WAITED:
        sentences.insert(1, lock_holder(url) or "No other process holds a lock now.")
    return StoreError(" ".join(sentences))


def error_kind(error: DatabaseError) -> str | int:
    """The state of PostgreSQL, empty where there is no connection, or the code of SQLite."""
    if isinstance(error.orig, sqlite3.Error):
        return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # without the extension
    return getattr(error.orig, "sqlstate", None) or ""


def _cause(url: str, error: DatabaseError) -> str:
    # libpq's second line is a question to the reader, which reads as a part of the first once lines
    # are joined.
    lines = [line for line in str(error.orig).splitlines() if not line.rstrip().endswith("?")]
    cause = " ".join(" ".join(lines).split()).rstrip(".")[:500]
    parsed = parse(url)
    options = parsed.query
    for secret in (parsed.password, options.get("password"), options.get("sslpassword")):
        if secret:
            cause = cause.replace(str(secret), "***")
    return cause


def lock_holder(url: str) -> str:
    """A sentence on the session with the strongest lock on a table, but for the night's own.

    Empty without one.
    """
    try:
        with engine(url).connect() as connection:
            holder = connection.scalar(_HOLDER, {"own": session_name()})
    except DatabaseError:
        return "The process that holds the lock cannot be read."
    return holder or ""


def session_name() -> str:
    """The process and host under which the locks of this process are shown, 63 characters."""
    return f"forecasting, process {os.getpid()} on {socket.gethostname()}"[:63]


# The locks of a migration or a program with a transaction of its own come before those of a night.
# State and time of another role's session are hidden from most.
_HOLDER = sa.text(
    """
    SELECT format('Process %s (%s, role %s, %s since %s) holds a lock on %s.', l.pid,
        COALESCE(NULLIF(a.application_name, ''), 'an unnamed program'), a.usename,
        COALESCE(a.state, 'state hidden'),
        COALESCE(to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'),
            'a hidden time'), c.relname)
    FROM pg_locks l JOIN pg_class c ON c.oid = l.relation LEFT JOIN pg_stat_activity a USING (pid)
    WHERE l.granted AND l.locktype = 'relation' AND c.relkind IN ('r', 'v')
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND c.relnamespace = current_schema()::regnamespace AND l.pid <> pg_backend_pid()
        AND a.application_name IS DISTINCT FROM :own
    ORDER BY array_position(ARRAY['AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock',
        'ShareLock', 'RowExclusiveLock', 'RowShareLock', 'ShareUpdateExclusiveLock',
        'AccessShareLock'], l.mode), a.xact_start
    LIMIT 1
    """
)

_END = (
    "End that process (SELECT pg_terminate_backend(its number), as its role or a superuser), then "
    "run again."
)
LOCK_NOT_AVAILABLE = "55P03"
_WAITED = (LOCK_NOT_AVAILABLE, "57014")
_UNREACHED = (
    "cannot be reached",
    "Check that the server runs and accepts connections (a night takes two, and one for each "
    "worker in another process), and its host, port, name, user and password.",
)
_KNOWN: dict[str | int, tuple[str, str]] = {
    "": _UNREACHED,
    **dict.fromkeys(("57P01", "57P02", "57P03"), _UNREACHED),  # it shuts down, or starts
    LOCK_NOT_AVAILABLE: (
        f"kept this step waiting for a lock, for at most {BUSY_TIMEOUT_S} s",
        _END,
    ),
    "57014": (
        "did not finish a statement in time",
        f"{_END} Without one, look for a slow disk or a server under load.",
    ),
    "42501": (
        "refused",
        "Connect as the writer role, for `forecasting db` as the ledger's owner, who runs "
        "deploy/sql/roles.sql again after an upgrade.",
    ),
    "25006": (
        "cannot be written",
        "Connect to the primary, as the writer role, in a session that is not read-only.",
    ),
    sqlite3.SQLITE_READONLY: (
        "cannot be written",
        "Give this user write access to the file, its -wal and -shm, and its folder.",
    ),
    sqlite3.SQLITE_BUSY: (
        f"was kept locked for {BUSY_TIMEOUT_S} s by another process",
        "End that process or wait for it, then run again.",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "cannot be opened",
        "Check that the file exists and that this user may read and write it and its folder.",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "is damaged",
        "Move file, -wal and -shm away and restore a backup; `sqlite3 FILE .recover` reads what is "
        "left of them.",
    ),
    sqlite3.SQLITE_NOTADB: ("is not a SQLite file", "Name another file, or move this one away."),
}
_OTHER = ("refused", "This step wrote nothing; correct the cause and run again.")
