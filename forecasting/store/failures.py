"""Failures of both databases as StoreError, with the process that holds a lock; no message contains a password."""

from __future__ import annotations

import os
import re
import socket

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, OperationalError, ProgrammingError

from forecasting.errors import StoreError
from forecasting.store.engine import BUSY_TIMEOUT_S, engine, parse, place

SHORT = 4
"""Characters of a password below which it is masked in its place alone."""


def store_error(url: str, error: DatabaseError) -> Exception:
    """The exception to raise for `error`: a StoreError for a fault of the database, `error` itself for one of ours."""
    state = getattr(error.orig, "sqlstate", None)
    refused_connection = isinstance(error, ProgrammingError) and error.statement is None
    known_type = type(error) in (OperationalError, DatabaseError)
    if not (known_type or refused_connection or state in _KNOWN_STATES):
        return error  # constraints, types, SQL syntax: faults of our code
    # libpq's second line is a question to the reader, which reads as a part of the first once lines are joined.
    lines = [line for line in str(error.orig).splitlines() if not line.rstrip().endswith("?")]
    cause = " ".join(" ".join(lines).split()).rstrip(".")[:500]
    for secret in _secrets(parse(url)):
        cause = masked(cause, secret)
    what, do = _KNOWN_STATES.get(state or "") or next(
        (words for sign, words in _KNOWN.items() if sign in cause), _OTHER
    )
    holder = f" {lock_holder(url)}" if state in _WAITED else ""
    return StoreError(f"The database {place(url)} {what}: {cause}.{holder} {do}")


def masked(text: str, secret: str) -> str:
    """The text without the secret; of a short one, which any word may contain, where a password stands in a URL."""
    if len(secret) >= SHORT:
        return text.replace(secret, "***")
    return re.sub(rf"(?<=[:=]){re.escape(secret)}(?=[@&\s'\"]|$)", "***", text)


def lock_holder(url: str, table: str | None = None) -> str:
    """A sentence that names the session whose lock on a table of the ledger is the strongest; empty without one.

    Args:
        url: Of a Postgres database.
        table: Only locks on this table; else on any, without the night's own.
    """
    wanted = {"table": table, "own": None if table else session_name()}
    try:
        with engine(url).connect() as connection:
            row = connection.execute(_HOLDER, wanted).mappings().first()
    except DatabaseError:
        return "The process that holds the lock cannot be read."
    if row is None:
        return "No other process holds a lock now."
    since = f"since {row['since']}" if row["since"] else "since a time that this role may not read"
    state = row["state"] or "in a state that this role may not read"
    program = row["program"] or "an unnamed program"
    return f"Process {row['pid']} ({program}, role {row['role']}, {state} {since}) holds a lock on {row['table']}."


def session_name() -> str:
    """The name under which a session that holds a lock of this process is shown: process and host, 63 characters."""
    return f"forecasting, process {os.getpid()} on {socket.gethostname()}"[:63]


# The locks of a migration or a program with a transaction of its own come before those of a night.
_HOLDER = sa.text(
    """
    SELECT l.pid, a.application_name AS program, a.usename AS role, a.state, c.relname AS table,
        to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"') AS since
    FROM pg_locks l JOIN pg_class c ON c.oid = l.relation LEFT JOIN pg_stat_activity a USING (pid)
    WHERE l.granted AND l.locktype = 'relation' AND c.relkind IN ('r', 'v')
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND c.relnamespace = current_schema()::regnamespace AND l.pid <> pg_backend_pid()
        AND (c.relname = :table OR CAST(:table AS text) IS NULL)
        AND (a.application_name <> :own OR CAST(:own AS text) IS NULL)
        AND (l.mode <> 'AccessShareLock' OR CAST(:table AS text) IS NULL)
    ORDER BY array_position(ARRAY['AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock',
        'RowExclusiveLock', 'RowShareLock', 'ShareUpdateExclusiveLock', 'AccessShareLock'], l.mode), a.xact_start
    LIMIT 1
    """
)

_FULL = ("has no space left", "Free space on that disk, then run again; this step wrote nothing.")
_NO_MORE = (
    "accepts no more connections",
    "End sessions that nobody needs, or raise its limit (max_connections, CONNECTION LIMIT of the role or database), "
    "then run again: a night takes two, and one for each worker in another process.",
)
_KNOWN = {
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
    "file is not a database": ("is not a SQLite file", "Name another file, or move this one away."),
    "is full": _FULL,
    "No space left": _FULL,
    "too many c": _NO_MORE,  # clients already; connections for the role, or for the database
    "connection slots are reserved": _NO_MORE,
    "unsupported startup parameter": (
        "is reached through a pooler that refuses the settings of a session",
        "Name the database server itself, or let the pooler pass them over (PgBouncer: ignore_startup_parameters = "
        "options), then run again.",
    ),
    "connection": ("cannot be reached", "Check that the server runs, and its host, port, name, user and password."),
}
_OTHER = ("refused", "This step wrote nothing; correct the cause and run again.")
_END = "End that process (SELECT pg_terminate_backend(its number), as its role or a superuser), then run again."
_ENCODING = (
    "cannot store a character in its encoding",
    "Move the ledger to a database in UTF8 (CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0).",
)
_KNOWN_STATES = {
    "55P03": (f"kept this step waiting for a lock, for at most {BUSY_TIMEOUT_S} s", _END),
    "57014": (
        "did not finish a statement in time",
        f"{_END} Without one, look for a slow disk or a server under load.",
    ),
    "42501": (
        "refused",
        "Connect as the writer role, for `forecasting db` as the ledger's owner, who runs deploy/sql/roles.sql again "
        "after an upgrade.",
    ),
    "22P05": _ENCODING,
    "22021": _ENCODING,
}
_WAITED = ("55P03", "57014")


def _secrets(parsed: sa.URL) -> list[str]:
    found = [parsed.password, *(parsed.query.get(key) for key in ("password", "sslpassword"))]
    return [str(secret) for secret in found if secret]
