"""Locks: each has one holder at a time, and ends with the holder's process, however that ends."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError, OperationalError

from forecasting.errors import LockedError, StoreError
from forecasting.store.connect import (
    LOCK_NOT_AVAILABLE,
    Lock,
    engine,
    is_sqlite,
    kind_of,
    lock_holder,
    session_name,
    sqlite_path,
    store_error,
    written_under,
)

LockName = Literal["night", "backtest"]

LOCKED: dict[LockName, str] = {"night": "night_lock", "backtest": "backtest_lock"}
"""Empty tables: LOCK TABLE needs the right to update, which no reader has."""


@contextmanager
def night_lock(url: str, name: LockName) -> Iterator[None]:
    """A block that holds a lock: the file `DATABASE.NAME.lock` or a table of Postgres.

    Raises:
        LockedError: Another run holds it.
    """
    if is_sqlite(url):
        with _locked_file(_lock_path(url, name), _refusal(name)):
            yield
        return
    # The lock ends with the transaction, and the transaction with the connection
    with ExitStack() as acquired:
        try:
            connection = acquired.enter_context(engine(url).connect())
            connection.execute(_OF_HOLDER, {"name": session_name()})
            _take(connection, url, name)
            session = connection.scalar(sa.text("SELECT pg_backend_pid()"))
        except DatabaseError as error:
            raise store_error(url, error) from None
        acquired.enter_context(written_under(url, Lock(LOCKED[name], session)))
        try:
            yield
        # Also of a run that failed: of a lost connection it would raise in place of the run's own
        # error
        finally:
            with suppress(DatabaseError):
                # Before the connection closes: the server notices a closed one only after a while,
                # and a run started at once would find the lock held.
                connection.rollback()


def is_held(url: str, name: LockName) -> bool | None:
    """Whether a run on this machine or server has the lock; None where that cannot be read."""
    if not is_sqlite(url):
        return bool(lock_holder(url, LOCKED[name]))
    try:  # a system other than Linux has no such list
        return f":{_lock_path(url, name).stat().st_ino} " in Path("/proc/locks").read_text("utf-8")
    except OSError:
        return None


@contextmanager
def no_run(url: str, connection: Connection) -> Iterator[None]:
    """A block in which neither nights nor a backtest run, for a change of the schema.

    Raises:
        LockedError: One of them runs.
    """
    if is_sqlite(url):
        with ExitStack() as acquired:
            for name in LOCKED:
                path = _lock_path(url, name)
                # Without a file no run holds it, and the runs' user could not lock one that another
                # user makes here.
                if path.exists():
                    acquired.enter_context(_locked_file(path, _refusal(name)))
            yield
        return
    for name, table in LOCKED.items():
        if sa.inspect(connection).has_table(table):
            _take(connection, url, name)  # until the transaction ends
    yield


def serve_lock(folder: Path) -> TextIOWrapper:
    """The lock file, open while this process alone serves the data folder's one deployment."""
    refusal = (
        f"Another `forecasting serve` runs on the data folder {folder} ({{}}). Stop it, and start "
        "one for all: `forecasting serve --symbol SYMBOL,SYMBOL --target TARGET,TARGET`."
    )
    return _locked_in(folder, "serve", refusal)


def verify_lock(folder: Path) -> TextIOWrapper:
    """The lock file, open while nights are verified in a folder of the data folder."""
    return _locked_in(
        folder,
        "verify",
        f"Another `verify` runs on the data folder {folder} ({{}}). Wait for its end.",
    )


def _locked_in(folder: Path, name: str, refusal: str) -> TextIOWrapper:
    with suppress(OSError):  # the error of the lock file says what is wrong
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return _locked_file(folder / f"{name}.lock", refusal)


def _locked_file(path: Path, refusal: str) -> TextIOWrapper:
    """The open lock file with the name of this process; closing it releases the lock."""
    import fcntl

    with ExitStack() as opened:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            file = opened.enter_context(os.fdopen(handle, "r+", encoding="utf-8"))
            with suppress(PermissionError):  # another user's
                # Who can read it can lock it; of a release before 0.3 all could
                os.fchmod(handle, 0o600)
            # flock, not lockf: it also excludes a second thread of the same process.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.truncate(0)
            file.write(session_name().removeprefix("forecasting, "))
            file.flush()
        except BlockingIOError:
            # It writes its name as it takes the lock
            since = datetime.fromtimestamp(os.fstat(handle).st_mtime, UTC)
            holder = file.read().strip() or "process unknown"
            named = f"{holder}, since {since:%Y-%m-%d %H:%M} UTC"
            raise LockedError(refusal.replace("{}", named), since) from None
        except OSError as error:
            raise StoreError(
                f"The lock file {path} cannot be opened or written: {error.strerror}. Check its "
                "folder, this user's rights and the disk's space; `forecasting db upgrade` creates "
                "folder and database."
            ) from error
        opened.pop_all()
        return file


def _lock_path(url: str, name: LockName) -> Path:
    database = sqlite_path(url).resolve()  # by whatever symbolic link it is reached
    return database.with_name(f"{database.name}.{name}.lock")


def _take(connection: Connection, url: str, name: LockName) -> None:
    try:
        connection.execute(
            sa.text(f"LOCK TABLE {LOCKED[name]} IN SHARE UPDATE EXCLUSIVE MODE NOWAIT")
        )
    except OperationalError as error:
        if kind_of(error) != LOCK_NOT_AVAILABLE:
            raise
        holder = lock_holder(url, LOCKED[name]).rstrip(".") or "process unknown"
        raise LockedError(_refusal(name).replace("{}", holder)) from None


# Of the transaction, not of the session, which behind a pooler is another program's in the next
# transaction.
_OF_HOLDER = sa.text(
    "SELECT set_config('application_name', :name, true), "
    "set_config('idle_in_transaction_session_timeout', '0', true)"
)


def _refusal(name: str) -> str:
    return (
        f"The lock {name!r} of this database is held by another run ({{}}). Wait until it has "
        "ended, or end it; a killed process leaves no lock behind."
    )
