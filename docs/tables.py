"""docs/tables.md, made of the schema: `python docs/tables.py > docs/tables.md`."""

import sys
import textwrap

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from forecasting.store.migrate import create_views
from forecasting.store.schema import metadata
from forecasting.store.views import VIEWS, text_of

INTRO = """# Tables and views

Every table, view and column of the ledger, made by `python docs/tables.py`. Names are a contract: a new table, view or
column may be added, an existing name keeps its meaning. Sessions are dates, instants are UTC. Units follow the target:
shares for volume, log(high / low) for range. An error is forecast minus actual,
positive when the forecast was too high. Tables marked insert-only never change a row.

Types are those of Postgres; SQLite stores the same values. *key* marks the columns of the primary key, *null* those
that may be NULL. A column that means what it does in an earlier table or view is in the last rows."""
TABLE_HEAD = ["| column | type | meaning |", "| --- | --- | --- |"]
VIEW_HEAD = ["| column | meaning |", "| --- | --- |"]


def document() -> str:
    """The Markdown: an introduction, the contents, and a section a table and a view."""
    tables = list(metadata.tables.values())  # fetched data first, then what is derived
    contents = [
        "Tables: " + ", ".join(f"[{table.name}](#{table.name})" for table in tables) + ".",
        "Views: " + ", ".join(f"[{name}](#{name}-view)" for name in VIEWS) + ".",
    ]
    sections = [
        section(table.name, str(table.comment), TABLE_HEAD, table_rows(table)) for table in tables
    ]
    sections += [
        section(f"{view} (view)", VIEWS[view].row, VIEW_HEAD, view_rows(view, names))
        for view, names in view_columns().items()
    ]
    return "\n\n".join([INTRO, *map(wrapped, contents), *sections]) + "\n"


def section(title: str, text: str, head: list[str], rows: list[str]) -> str:
    """A heading, a paragraph and a table."""
    return "\n".join([f"## {title}", "", wrapped(text), "", *head, *rows])


def table_rows(table: sa.Table) -> list[str]:
    """A row of the columns of one type and meaning; at the end those that mean what they do in an earlier table."""
    earlier = list(metadata.tables.values())
    known = {
        (one.name, one.comment)
        for other in earlier[: earlier.index(table)]
        for one in other.columns
    }
    same = [column for column in table.columns if (column.name, column.comment) in known]
    alike: dict[tuple[str, ...], list[str]] = {}
    for column in table.columns:
        refers = [
            f"-> {key.target_fullname}"
            for key in column.foreign_keys
            if len(table.foreign_keys) < 6
        ]
        marks = ["key"] * column.primary_key + ["null"] * bool(column.nullable) + refers
        if column not in same:
            kind = ", ".join([type_text(column), *marks])
            alike.setdefault((kind, str(column.comment)), []).append(f"`{column.name}`")
    rows = [f"| {', '.join(names)} | {kind} | {text} |" for (kind, text), names in alike.items()]
    names = [f"`{column.name}`{' (key)' if column.primary_key else ''}" for column in same]
    return rows + ([f"| {', '.join(names)} | | as above |"] if same else [])


def view_rows(view: str, columns: list[str]) -> list[str]:
    """A row a column with a meaning of its own, then a row for those of each table or view that has it before."""
    earlier = list(VIEWS)[: list(VIEWS).index(view)]
    first = {
        (name, text): f"[{other}](#{other}-view)"
        for other in reversed(earlier)
        for name, text in VIEWS[other].columns.items()
        if len(text.split()) > 5  # a shorter one is read sooner than looked up
    }
    table = VIEWS[view].table
    rows = []
    same: dict[str, list[str]] = {}
    for name in columns:
        place = first.get((name, text_of(view, name)))
        if name not in VIEWS[view].columns and name in metadata.tables[table].c:
            place = f"[{table}](#{table})"
        if place is None:
            rows.append(f"| `{name}` | {text_of(view, name)} |")
        else:
            same.setdefault(place, []).append(f"`{name}`")
    return rows + [f"| {', '.join(names)} | as in {place} |" for place, names in same.items()]


def view_columns() -> dict[str, list[str]]:
    """The columns of each view in their order, from an empty SQLite database in memory."""
    with sa.create_engine("sqlite://").begin() as connection:
        metadata.create_all(connection)
        create_views(connection, [])
        return {
            name: [one["name"] for one in sa.inspect(connection).get_columns(name)]
            for name in VIEWS
        }


def type_text(column: "sa.Column[object]") -> str:
    """The type of a column in Postgres: varchar(16), double precision, timestamptz."""
    written = column.type.compile(postgresql.dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    return written.lower().replace("timestamp with time zone", "timestamptz")


def wrapped(text: str) -> str:
    """The text in lines of at most 120 characters."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    sys.stdout.write(document())
