"""The night's lock: one holder at a time, released when the holder's process ends, however it ends."""

import hashlib
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError

from forecasting.errors import LockedError, StoreError
from forecasting.store.engine import engine, is_sqlite, parse, sqlite_path, store_error


@contextmanager
def night_lock(url: str, name: str) -> Iterator[None]:
    """A block that holds the lock `name` of this database; it is released with the process, however that ends.

    Postgres: an advisory lock on a connection of its own. SQLite: a lock on the file `DATABASE.NAME.lock` beside it;
    the file remains, and a file alone locks nothing.

    Raises:
        LockedError: Another process holds it; raised at once, without waiting.
        StoreError: The database cannot be reached, or the lock file cannot be written.
    """
    held = _file_lock(url, name) if is_sqlite(parse(url)) else _advisory_lock(url, name)
    with held:
        yield


def lock_key(name: str) -> int:
    """The number of the lock `name` among the advisory locks of a Postgres database."""
    return int.from_bytes(hashlib.sha256(f"forecasting {name}".encode()).digest()[:7])


@contextmanager
def _file_lock(url: str, name: str) -> Iterator[None]:
    import fcntl

    database = sqlite_path(parse(url))
    with _lock_file(database.with_name(f"{database.name}.{re.sub(r'[^A-Za-z0-9._-]', '_', name)}.lock")) as handle:
        try:
            # flock, not lockf: it also excludes a second thread of the same process.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _locked(name, handle.read()) from None
        handle.truncate(0)
        handle.write(_holder())
        handle.flush()
        yield  # closing the file releases the lock


def _lock_file(path: os.PathLike[str]) -> TextIOWrapper:
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+", encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"The lock file {path} cannot be opened: {error.strerror}. Check that its folder exists and that this "
            "user may write it; `forecasting db upgrade` creates folder and database."
        ) from error


@contextmanager
def _advisory_lock(url: str, name: str) -> Iterator[None]:
    key = {"key": lock_key(name)}
    try:
        connection = engine(url).execution_options(isolation_level="AUTOCOMMIT").connect()
    except DatabaseError as error:
        raise store_error(url, error) from None
    with connection:  # the lock ends with the connection
        connection.execute(_NAME_HOLDER, {"text": f"forecasting, {_holder()}"[:63]})
        if not connection.scalar(sa.text("SELECT pg_try_advisory_lock(:key)"), key):
            raise _locked(name, str(connection.scalar(_WHO_HOLDS, key) or ""))
        try:
            yield
        finally:
            # Released before the connection closes: the server notices a closed one only after a while, and a run
            # started at once would find the lock held.
            connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), key)


_NAME_HOLDER = sa.text("SELECT set_config('application_name', :text, false)")
_WHO_HOLDS = sa.text(
    "SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE locktype = 'advisory' AND granted "
    "AND (classid::bigint << 32) + objid::bigint = :key "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def _holder() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _locked(name: str, holder: str) -> LockedError:
    return LockedError(
        f"The lock {name!r} of this database is held by another run ({holder.strip() or 'process unknown'}). "
        "Wait until it has ended, or end it; a killed process leaves no lock behind."
    )
