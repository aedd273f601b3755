"""The lock of a ledger's nights: one holder at a time, until its process ends, in whatever way."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from forecasting.errors import LockedError, StoreError
from forecasting.store.connect import (
    NIGHTS,
    engine,
    is_sqlite,
    session_name,
    sqlite_path,
    store_error,
    written_under,
)

_REFUSED = (
    "The nights of this ledger are at work in another run ({}). Wait until it has ended, or end "
    "it; a killed process leaves no lock behind."
)
# Longer than the look of `is_held`
_PATIENCE_S = 1.0


@contextmanager
def night_lock(url: str) -> Iterator[None]:
    """A block that holds the lock: the file `DATABASE.lock`, or an advisory lock of Postgres.

    Raises:
        LockedError: Another run holds it.
    """
    if is_sqlite(url):
        with _file_lock(_lock_path(url), _REFUSED):
            yield
        return
    # The lock ends with the transaction, and the transaction with the connection
    with ExitStack() as acquired:
        try:
            connection = acquired.enter_context(engine(url).connect())
            connection.execute(_OF_HOLDER, {"name": session_name()})
            session = _take(connection)
        except DatabaseError as error:
            raise store_error(url, error) from None
        acquired.enter_context(written_under(url, session))
        try:
            yield
        # Also of a run that failed: of a lost connection it would raise in place of the run's own
        # error
        finally:
            with suppress(DatabaseError):
                # Before the connection closes: the server notices a closed one only after a while,
                # and a run started at once would find the lock held.
                connection.rollback()


def is_held(url: str) -> bool | None:
    """Whether a run on this machine or server has the lock; None where that cannot be read."""
    if not is_sqlite(url):
        try:
            with engine(url).connect() as connection:
                return _holder(connection) is not None
        except DatabaseError:
            return None
    path = _lock_path(url)
    try:
        if path.exists():
            with FileLock(path, timeout=0, mode=0o600):
                return False
    except Timeout:
        return True
    except OSError:  # another user's
        return None
    return False


@contextmanager
def no_run(url: str, connection: Connection) -> Iterator[None]:
    """A block in which no nights run, for a change of the schema.

    Raises:
        LockedError: Some do.
    """
    if is_sqlite(url):
        # Without a file no run holds it, and the runs' user could not lock one that another user
        # makes here.
        with night_lock(url) if _lock_path(url).exists() else ExitStack():
            yield
        return
    _take(connection)  # until the transaction ends
    yield


def serve_lock(folder: Path) -> AbstractContextManager[None]:
    """A block in which this process alone serves the data folder's one deployment."""
    refusal = (
        f"Another `forecasting serve` runs on the data folder {folder} ({{}}). Stop it, and start "
        "one for all: `forecasting serve --symbol SYMBOL,SYMBOL --target TARGET,TARGET`."
    )
    return _file_lock(folder / "serve.lock", refusal)


@contextmanager
def _file_lock(path: Path, refusal: str) -> Iterator[None]:
    """A block that holds a lock file, in which is the name of this process."""
    with ExitStack() as acquired:
        try:
            acquired.enter_context(FileLock(path, timeout=_PATIENCE_S, mode=0o600))
            path.write_text(session_name().removeprefix("forecasting, "), encoding="utf-8")
        except Timeout:
            holder = path.read_text(encoding="utf-8") or "process unknown"
            raise LockedError(refusal.replace("{}", holder)) from None
        except OSError as error:
            raise StoreError(
                f"The lock file {path} cannot be opened or written: {error.strerror}. Check its "
                "folder, this user's rights and the disk's space."
            ) from error
        yield


def _lock_path(url: str) -> Path:
    database = sqlite_path(url).resolve()  # by whatever symbolic link it is reached
    return database.with_name(f"{database.name}.lock")


def _take(connection: Connection) -> int:
    """The server's process that has the lock from now on, until the connection's transaction ends.

    Of the transaction, not of the session, which behind a pooler is another program's in the next
    transaction. An advisory one: no VACUUM and no ANALYZE asks for it.
    """
    session = connection.scalar(_TAKEN, {"nights": NIGHTS})
    if session is None:
        raise LockedError(_REFUSED.replace("{}", _holder(connection) or "process unknown"))
    return int(session)


def _holder(connection: Connection) -> str | None:
    return connection.scalar(_HOLDER, {"nights": NIGHTS})


_TAKEN = sa.text(
    "SELECT pg_backend_pid() WHERE pg_try_advisory_xact_lock(:nights, hashtext(current_schema()))"
)
_HOLDER = sa.text(
    "SELECT COALESCE(a.application_name, 'process ' || l.pid) FROM pg_locks l LEFT JOIN "
    "pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted AND l.classid = "
    ":nights AND l.objid = (hashtext(current_schema())::bigint & 4294967295) AND l.database = "
    "(SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1"
)
_OF_HOLDER = sa.text(
    "SELECT set_config('application_name', :name, true), "
    "set_config('idle_in_transaction_session_timeout', '0', true)"
)
