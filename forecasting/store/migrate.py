"""The schema: its revision, upgrade and downgrade, and whether the database is ready for this code."""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy import Connection

from forecasting.errors import StoreError, UsageError
from forecasting.store import standings
from forecasting.store.database import begun, reading, transaction
from forecasting.store.engine import engine, is_sqlite, parse, place, sqlite_path
from forecasting.store.lock import lock_key
from forecasting.store.tables import metadata, views

if TYPE_CHECKING:
    from alembic.config import Config


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the schema up to `revision`, creating a SQLite file and its folder; the views come with the newest one.

    All of it is one transaction, on both databases. At `revision` already, it only renews the views.

    Raises:
        StoreError: Not reachable or writable, or newer than this code.
        UsageError: No such revision.
    """
    parsed = parse(url)
    if is_sqlite(parsed):
        folder = sqlite_path(parsed).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"The folder {folder} for the database cannot be made: {error.strerror}. "
                "Make it, or name another with FORECASTING_DATA_DIR or --database-url."
            ) from error
    from alembic import command

    _migrate(url, revision, command.upgrade)


def downgrade(url: str, revision: str) -> None:
    """Take the schema back to `revision` (`base` for none), in one transaction; an older one comes without the views.

    Raises:
        StoreError: Not there, not reachable or writable, or newer than this code.
        UsageError: No such revision.
    """
    _check_there(url)
    from alembic import command

    _migrate(url, revision, command.downgrade)


def current(url: str) -> str | None:
    """The revision that the database is at; None when it is not migrated, or a SQLite file not there.

    Raises:
        StoreError: The database cannot be reached.
    """
    parsed = parse(url)
    if is_sqlite(parsed) and not sqlite_path(parsed).exists():
        return None
    with reading(url) as connection:
        return _revision(connection)


def head() -> str:
    """The newest revision that this code knows."""
    return _revisions()[0]


def _migrate(url: str, revision: str, action: Callable[[Config, str], None]) -> None:
    from alembic.util import CommandError

    config = _config()
    with begun(url, engine(url, migrating=True)) as connection:
        if connection.dialect.name == "postgresql":  # two upgrades at once: the second waits, then finds nothing to do
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key("migration")})
        found = _revision(connection)
        if found is not None:
            _check_known(url, found)
        config.attributes["connection"] = connection
        grants = views.drop(connection)  # SQLite refuses to rebuild a table that a view names
        try:
            action(config, revision)
        except CommandError as error:
            raise UsageError(f"No migration to {revision!r}: {error}. `head` and `base` always exist.") from error
        if _revision(connection) == head():
            views.create(connection, grants)
            if found != head():
                standings.rebuild(connection)


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    folder = str(importlib.resources.files("migrations"))
    config.set_main_option("script_location", folder.replace("%", "%%"))
    return config


def _revisions() -> list[str]:
    from alembic.script import ScriptDirectory

    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()]


def _revision(connection: Connection) -> str | None:
    from alembic.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def _check_there(url: str) -> None:
    parsed = parse(url)
    if is_sqlite(parsed) and not sqlite_path(parsed).exists():
        raise StoreError(
            f"There is no database at {sqlite_path(parsed)}. `forecasting db upgrade` makes it; if it should be there "
            "already, check FORECASTING_DATA_DIR and --database-url."
        )


def _check_known(url: str, found: str) -> None:
    if found not in _revisions():
        raise StoreError(
            f"The database {place(url)} is at revision {found}, which this code does not know "
            f"(its newest is {head()}). A newer release has migrated it, or it is another program's. "
            "Upgrade forecasting, or name another database."
        )


def check_ready(url: str) -> None:
    """Nothing, when the database is there, at this code's revision and writable.

    Raises:
        StoreError: It is not there, not reachable, not migrated, older or newer than this code, or not writable.
    """
    _check_there(url)
    with transaction(url) as connection:
        found = _revision(connection)
        if found is None:
            raise StoreError(
                f"The database {place(url)} holds no forecasting tables yet. Run `forecasting db upgrade` on it first."
            )
        _check_known(url, found)
        if found != head():
            raise StoreError(
                f"The database {place(url)} is at revision {found}; this code needs {head()}. "
                "Run `forecasting db upgrade`, after a backup."
            )
        if connection.dialect.name == "postgresql":
            _check_postgres_writable(url, connection)
        else:  # BEGIN IMMEDIATE does not complain: in a file that cannot be written it begins a mere read
            connection.execute(sa.delete(metadata.tables["runs"]).where(sa.false()))


def _check_postgres_writable(url: str, connection: Connection) -> None:
    if connection.scalar(sa.text("SELECT current_setting('transaction_read_only')")) == "on":
        raise StoreError(
            f"The database {place(url)} cannot be written: the server, or this role's session, is read-only. "
            "Connect to the primary, as the writer role."
        )
    needed = [(name, right) for name in metadata.tables for right in ("SELECT", "INSERT")]
    needed += [(name, "UPDATE") for name in ("runs", "bar_versions", "findings", "models", "standings")]
    lacking = [
        f"{right} on {name}"
        for name, right in needed
        if not connection.scalar(sa.select(sa.func.has_any_column_privilege(name, right)))
    ]
    if lacking:
        raise StoreError(
            f"The database {place(url)} cannot be written by this user, who lacks {', '.join(lacking)}. "
            "Connect as the writer role; after an upgrade its owner runs deploy/sql/roles.sql again."
        )
