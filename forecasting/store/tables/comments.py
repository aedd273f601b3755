"""The comments on every table, view and column in Postgres; SQLite has none."""

import sqlalchemy as sa

from forecasting.store.tables import metadata, views

Place = tuple[str, str]
"""A table or view, and its column; an empty column for the table or view itself."""


def write(connection: sa.Connection) -> int:
    """The number of comments written on Postgres: those that differ from the meanings; after the views are created.

    A comment that is in place is not written again: COMMENT ON waits for nights that hold a lock on the table.
    """
    if connection.dialect.name != "postgresql":
        return 0
    found = stored(connection)
    changed = [(place, text) for place, text in wanted(connection).items() if found.get(place) != text]
    for (relation, column), text in changed:
        what = (
            f"COLUMN {relation}.{column}" if column else f"{'VIEW' if relation in views.VIEWS else 'TABLE'} {relation}"
        )
        quoted = text.replace("'", "''")
        statement = f"COMMENT ON {what} IS '{quoted}'".replace("%", "%%")
        connection.execute(sa.DDL(statement))  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    return len(changed)


def wanted(connection: sa.Connection) -> dict[Place, str]:
    """The text of every table, view and column."""
    found = {}
    for table in metadata.tables.values():
        found[table.name, ""] = str(table.comment)
        found |= {(table.name, column.name): str(column.comment) for column in table.columns}
    made = sa.inspect(connection)
    for name, view in views.VIEWS.items():
        found[name, ""] = view.row
        found |= {(name, one["name"]): views.text_of(name, one["name"]) for one in made.get_columns(name)}
    return found


def stored(connection: sa.Connection) -> dict[Place, str]:
    """The comments that the schema has."""
    return {(relation, column): text for relation, column, text in connection.execute(_STORED)}


_STORED = sa.text(
    "SELECT c.relname, COALESCE(a.attname, ''), d.description FROM pg_description d "
    "JOIN pg_class c ON c.oid = d.objoid AND d.classoid = 'pg_class'::regclass "
    "LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0 "
    "WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v')"
)
