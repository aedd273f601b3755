"""Forecasts, scores and bar versions partitioned by year, for a ledger on Postgres that has outgrown its memory.

Every key already holds a session, so that no key, no statement and no view changes; a year that nobody reads leaves the
cache, is vacuumed alone, and can be detached. Rows of years without a partition of their own are in the default one,
`forecasts_later`; running this again gives those years theirs.
"""

from collections.abc import Iterable

import sqlalchemy as sa

from forecasting.errors import UsageError
from forecasting.store.database import begun
from forecasting.store.engine import engine, is_sqlite, parse
from forecasting.store.lock import no_run
from forecasting.store.tables import comments, metadata, views

SESSION_OF = {"bar_versions": "session", "forecasts": "origin_session", "scores": "origin_session"}
"""The partitioned tables, each after those it refers to, and the date in its key that gives the year."""

_REFERENCE = next(key for key in metadata.tables["scores"].foreign_key_constraints)
"""From scores to forecasts: a table that is referred to can be neither replaced nor lose a partition."""


def partition(url: str) -> dict[str, list[int]]:
    """Give every past year of each table a partition, in one transaction; the years made, by table.

    It locks the tables and rewrites a table that was in one piece: run it between nights, with the disk space of a
    second copy. What people may read and write, comments and views stay.

    Raises:
        UsageError: The ledger is on SQLite, which has no partitions.
        StoreError: The database is not reachable, or its user does not own the tables.
        LockedError: Nights or a backtest run.
    """
    if is_sqlite(parse(url)):
        raise UsageError(
            "Expected a ledger on Postgres; found one on SQLite, which has no partitions. Nothing was changed: leave "
            "it as it is, or name a ledger on Postgres with --database-url."
        )
    with begun(url, engine(url, migrating=True)) as connection, no_run(url, connection):
        view_grants = views.drop(connection)
        connection.execute(sa.schema.DropConstraint(_REFERENCE))
        made = {name: _partition(connection, name) for name in SESSION_OF}
        connection.execute(sa.schema.AddConstraint(_REFERENCE))
        views.create(connection, view_grants)
        comments.write(connection)
    return made


def _partition(connection: sa.Connection, name: str) -> list[int]:
    """The years of a table that have got a partition now."""
    whole = connection.scalar(_KIND, {"name": name}) == "r"
    rest = f"{name}_before" if whole else f"{name}_later"
    if whole:
        grants = list(connection.scalars(_GRANTS, {"name": name}))
        _set_aside(connection, name, rest)
        _partitioned(metadata.tables[name]).create(connection)
        _run(connection, grants)
    stored = sa.table(rest, sa.column(SESSION_OF[name], sa.Date))
    years = sorted(
        connection.scalars(sa.select(sa.extract("year", stored.c[SESSION_OF[name]]).cast(sa.Integer)).distinct())
    )
    if not whole and not years:
        return []
    if not whole:
        _run(connection, [f"ALTER TABLE {name} DETACH PARTITION {rest}", f"ALTER TABLE {rest} RENAME TO {name}_before"])
        _run(connection, _without_indexes(connection, f"{name}_before"))
    columns = ", ".join(column.name for column in metadata.tables[name].columns)
    _run(connection, [_of_year(name, year) for year in years])
    _run(
        connection,
        [
            f"CREATE TABLE {name}_later PARTITION OF {name} DEFAULT",
            f"INSERT INTO {name} ({columns}) SELECT {columns} FROM {name}_before",  # noqa: S608 - names of the schema
            f"DROP TABLE {name}_before",
            f"ANALYZE {name}",
        ],
    )
    return years


def _of_year(name: str, year: int) -> str:
    return f"CREATE TABLE {name}_{year} PARTITION OF {name} FOR VALUES FROM ('{year}-01-01') TO ('{year + 1}-01-01')"


def _partitioned(table: sa.Table) -> sa.Table:
    """The table as the metadata have it, without rows of its own and without the reference that is added at the end."""
    others = sa.MetaData(naming_convention=metadata.naming_convention)
    copies = {one.name: one.to_metadata(others) for one in metadata.sorted_tables}
    copy = copies[table.name]
    copy.dialect_options["postgresql"]["partition_by"] = f"RANGE ({SESSION_OF[table.name]})"
    copy.constraints = {one for one in copy.constraints if one.name != _REFERENCE.name}
    return copy


def _set_aside(connection: sa.Connection, name: str, kept: str) -> None:
    """Rename the table and drop what the new one needs the names of; its rows are copied and it is dropped."""
    _run(connection, [f"ALTER TABLE {name} RENAME TO {kept}"])
    _run(connection, _without_indexes(connection, kept))


def _without_indexes(connection: sa.Connection, table: str) -> list[str]:
    made = sa.inspect(connection)
    key = made.get_pk_constraint(table)["name"]
    indexes = [index["name"] for index in made.get_indexes(table)]
    return [f"ALTER TABLE {table} DROP CONSTRAINT {key}", *(f"DROP INDEX {index}" for index in indexes)]


def _run(connection: sa.Connection, statements: Iterable[str]) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement)


_KIND = sa.text("SELECT relkind FROM pg_class WHERE relname = :name AND relnamespace = current_schema()::regnamespace")

_GRANTS = sa.text(
    """
    SELECT format('GRANT %s%s ON %I TO %s', acl.privilege_type, COALESCE(' (' || quote_ident(acl.attname) || ')', ''),
        :name, CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END)
    FROM (
        SELECT NULL AS attname, c.relowner, (aclexplode(c.relacl)).* FROM pg_class c
        WHERE c.relname = :name AND c.relnamespace = current_schema()::regnamespace
        UNION ALL
        SELECT a.attname, c.relowner, (aclexplode(a.attacl)).* FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relname = :name AND c.relnamespace = current_schema()::regnamespace
    ) acl
    WHERE acl.grantee <> acl.relowner
    """
)
"""What others may do with a table and with single columns of it, to be repeated on the new one."""
