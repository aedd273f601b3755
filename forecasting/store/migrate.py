"""Upgrade and downgrade of the schema and its views, and whether a database is ready."""

import importlib.resources
import re
from contextlib import ExitStack
from functools import cache
from typing import Literal

import sqlalchemy as sa
from sqlalchemy import Connection

from forecasting.errors import StoreError, UsageError
from forecasting.store.connect import (
    begun,
    engine,
    is_sqlite,
    place,
    reading,
    sqlite_path,
    transaction,
)
from forecasting.store.lock import no_run
from forecasting.store.schema import metadata, standing
from forecasting.store.views import VIEWS, text_of
from forecasting.store.write import write_standings
from forecasting.vocabulary import short_id


def upgrade(url: str, revision: str = "head") -> None:
    """Upgrade the schema to `revision` in one transaction, creating a SQLite file and its folder.

    The newest has views; of a database that is there already, views and comments are mended.

    Raises:
        LockedError: The schema would change under a run.
        UsageError: There is no such revision.
    """
    if is_sqlite(url):
        folder = sqlite_path(url).parent
        try:
            # Who can read a ledger's lock can hold it
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"The folder {folder} for the database cannot be created: {error.strerror}. Name "
                "another with FORECASTING_DATA_DIR or FORECASTING_DATABASE_URL, or create it as a "
                "user who can."
            ) from error
    _migrate(url, revision, "upgrade")


def is_missing(url: str) -> bool:
    """Whether a URL names a SQLite database that is not there."""
    return is_sqlite(url) and not sqlite_path(url).exists()


def downgrade(url: str, revision: str) -> None:
    """Downgrade the schema to `revision` (`base`: none), without views, in one transaction."""
    _check_there(url)
    _migrate(url, revision, "downgrade")


def current(url: str) -> str | None:
    """The database's revision; None when it is not migrated."""
    _check_there(url)
    with reading(url) as connection:
        return _revision(connection)


def head() -> str:
    """The newest revision of this code."""
    return _revisions()[0]


_LOCK = "LOCK TABLE alembic_version IN SHARE UPDATE EXCLUSIVE MODE"
_FIRST_LOCK = "SELECT pg_advisory_xact_lock(28832984742453619)"  # "forecas"


_Action = Literal["upgrade", "downgrade"]


def _migrate(url: str, revision: str, action: _Action) -> None:
    with ExitStack() as until_committed, begun(url, engine(url, migrating=True)) as connection:
        if connection.dialect.name == "postgresql":
            # Of two upgrades at once the second waits, then has nothing to do. While there is no
            # table to lock, any role that may connect could hold the lock and stop upgrades.
            first = connection.scalar(sa.text("SELECT to_regclass('alembic_version')")) is None
            connection.execute(sa.text(_FIRST_LOCK if first else _LOCK))
        stored = _revision(connection)
        destination = head() if revision == "head" else revision
        if stored is not None:
            _check_known(url, stored)
            if stored != destination:
                until_committed.enter_context(no_run(url, connection))
        if stored == destination == head() and _has_views(connection):
            return  # made anew, they would wait for every reader
        # SQLite refuses to rebuild a table that a view reads
        grants = _drop_views(connection)
        _run_alembic(connection, revision, action)
        if _revision(connection) == head():
            _complete_standings(connection)
            create_views(connection, grants)


def _complete_standings(connection: Connection) -> None:
    """Sum those of older revisions, which lack a column, anew."""
    scope = sa.select(standing.symbol, standing.target, standing.kind).distinct()
    for each in connection.execute(scope.where(standing.squared_gap.is_(None))).all():
        write_standings(connection, *each)


def _run_alembic(connection: Connection, revision: str, action: _Action) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    scripts = str(importlib.resources.files("migrations"))
    config.set_main_option("script_location", scripts.replace("%", "%%"))
    config.attributes["connection"] = connection
    run = command.upgrade if action == "upgrade" else command.downgrade
    try:
        if not revision:  # of which Alembic only asserts that it is none
            raise CommandError("an empty revision")
        run(config, revision)
    except CommandError as error:
        known = ", ".join(("head", "base", *reversed(_revisions())))
        raise UsageError(
            f"Expected a revision, one of {known} or a step as +1 or -1; found {revision!r}."
        ) from error


@cache
def _revisions() -> list[str]:
    """The revisions of this code, the numbers of the migrations' files, newest first."""
    files = (importlib.resources.files("migrations") / "versions").iterdir()
    return sorted((file.name[:4] for file in files if re.match(r"\d{4}_", file.name)), reverse=True)


def _revision(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.scalar(sa.text("SELECT max(version_num) FROM alembic_version"))


def _check_there(url: str) -> None:
    if is_missing(url):
        raise StoreError(
            f"There is no database at {place(url)}. `forecasting run` creates it, with a first "
            "forecast, `forecasting db upgrade` an empty one; if it should exist already, check "
            "FORECASTING_DATA_DIR and FORECASTING_DATABASE_URL."
        )


def _check_known(url: str, stored: str) -> None:
    if stored not in _revisions():
        raise StoreError(
            f"The database {place(url)} is at revision {stored}, which this code does not have "
            f"(its newest is {head()}). Upgrade forecasting where it is newer; one of 0001 to 0008 "
            "with release 0.2 first (forecasting db upgrade), after a backup; or name another "
            "database, where it is another program's."
        )


def check_ready(url: str, *, writes: bool = True, within_s: int | None = None) -> None:
    """Return if the database is there, at this code's revision and, for who `writes`, writable.

    Raises:
        StoreError: It is not; the error names the command that mends it.
    """
    _check_there(url)
    with transaction(url) if writes else reading(url, within_s=within_s) as connection:
        stored = _revision(connection)
        if stored is None:
            raise StoreError(
                f"The database {place(url)} holds no forecasting tables yet. Run `forecasting db "
                "upgrade` on it first, or name another if it is another program's."
            )
        _check_known(url, stored)
        if stored != head():
            raise StoreError(
                f"The database {place(url)} is at revision {stored}; this code needs {head()}. Run "
                "`forecasting db upgrade`, after a backup."
            )
        if writes:
            # A user without the right is refused here, not within a night. BEGIN IMMEDIATE does not
            # fail: in a file that cannot be written it begins a read-only transaction.
            runs = metadata.tables["runs"]
            connection.execute(sa.update(runs).values(note=runs.c.note).where(sa.false()))


def _has_views(connection: Connection) -> bool:
    """Whether Postgres has these very views and comments, by the digest in a comment."""
    if connection.dialect.name != "postgresql":
        return False
    there = sa.inspect(connection).get_view_names()
    return set(VIEWS) <= set(there) and connection.scalar(_STORED_DIGEST) == _digest()


def _drop_views(connection: Connection) -> list[str]:
    """The GRANT statements that people had issued on the views, which are dropped."""
    grants: list[str] = []
    if connection.dialect.name == "postgresql":
        grants = list(connection.scalars(_GRANTS, {"views": list(VIEWS)}))
    for name in reversed(VIEWS):
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")
    return grants


def create_views(connection: Connection, grants: list[str]) -> None:
    """Create the views and repeat the grants on them; on Postgres with comments, also on tables."""
    for name, view in VIEWS.items():
        connection.exec_driver_sql(f"CREATE VIEW {name} AS {view.select}")
    for grant in grants:
        connection.exec_driver_sql(grant)
    if connection.dialect.name == "postgresql":
        for what, text in meanings(connection).items():
            quoted = text.replace("'", "''").replace("%", "%%")
            connection.exec_driver_sql(f"COMMENT ON {what} IS '{quoted}'", ())
        connection.exec_driver_sql(
            f"COMMENT ON CONSTRAINT alembic_version_pkc ON alembic_version IS '{_digest()}'"
        )


def _digest() -> str:
    texts = [
        str(one.comment) for table in metadata.tables.values() for one in (table, *table.columns)
    ]
    return short_id(*(f"{name} {view}" for name, view in VIEWS.items()), *texts)


def meanings(connection: Connection) -> dict[str, str]:
    """The text of every table, view and column, by what COMMENT ON calls it."""
    texts = {f"VIEW {name}": view.row for name, view in VIEWS.items()}
    for table in metadata.tables.values():
        texts[f"TABLE {table.name}"] = str(table.comment)
        texts |= {f"COLUMN {column}": str(column.comment) for column in table.columns}
    for name in VIEWS:
        for column in sa.inspect(connection).get_columns(name):
            texts[f"COLUMN {name}.{column['name']}"] = text_of(name, column["name"])
    return texts


_STORED_DIGEST = sa.text("""
    SELECT obj_description(oid, 'pg_constraint') FROM pg_constraint
    WHERE conname = 'alembic_version_pkc' AND connamespace = current_schema()::regnamespace
""")
_GRANTS = sa.text("""
    SELECT format('GRANT %s ON %I TO %s', privilege_type, table_name,
        CASE grantee WHEN 'PUBLIC' THEN 'PUBLIC' ELSE quote_ident(grantee) END)
    FROM information_schema.role_table_grants
    WHERE table_schema = current_schema() AND table_name = ANY(:views) AND grantee <> grantor
""")
