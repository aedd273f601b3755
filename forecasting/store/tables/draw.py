"""The schema for docs/tables.md: the tables with their references in Mermaid, which GitHub draws, and the views."""

import re

import sqlalchemy as sa

from forecasting.store.tables import meanings, metadata, views
from forecasting.store.tables.types import type_text

_TABLES = """\
A box is a table with its primary key (PK) and the columns that refer to another table: FK and a solid line where the
database enforces it, a dotted line where it does not."""

# As arrows, eleven views of eight tables cross each other beyond reading.
_VIEWS = "| view | reads |\n| --- | --- |"


def schema() -> str:
    """The Markdown of the section: the drawing, then a row a view with the tables and views it reads."""
    rows = [f"| `{name}` | {', '.join(f'`{source}`' for source in sources(name))} |" for name in views.VIEWS]
    drawing = "\n".join(["```mermaid", *table_lines(), "```"])
    return "\n\n".join(["## The schema", _TABLES, drawing, "\n".join([_VIEWS, *rows])])


def table_lines() -> list[str]:
    """A box a table, with its key and the columns that refer to another table, and a line a reference."""
    lines = ["erDiagram"]
    for table in metadata.tables.values():
        lines += [f"    {table.name} {{", *_column_lines(table), "    }"]
    for table in metadata.tables.values():
        lines += _reference_lines(table)
    return lines


def sources(view: str) -> list[str]:
    """The tables and views that a view reads, by name."""
    select = views.VIEWS[view].select
    own = set(re.findall(r"(\w+)(?: \([^()]*\))? AS \(", select))  # its common table expressions
    read = set(re.findall(r"\b(?:FROM|JOIN)\s+(\w+)", select)) - own
    return sorted(read & {*metadata.tables, *views.VIEWS})


def _column_lines(table: sa.Table) -> list[str]:
    named = _ids_in_texts(table)
    lines = []
    for column in table.columns:
        marks = ["PK"] * column.primary_key + ["FK"] * bool(column.foreign_keys)
        if marks or column.name in named:
            lines.append(f"        {type_text(column)} {column.name} {', '.join(marks)}".rstrip())
    return lines


def _reference_lines(table: sa.Table) -> list[str]:
    kept = [
        f"    {key.referred_table.name} ||--o{{ {table.name} : {_label(key)}"
        for key in sorted(table.foreign_key_constraints, key=lambda key: list(key.column_keys))
    ]
    columns: dict[str, list[str]] = {}
    for column, referred in _ids_in_texts(table).items():
        columns.setdefault(referred, []).append(column)
    return kept + [f'    {referred} |o..o{{ {table.name} : "{", ".join(names)}"' for referred, names in columns.items()]


def _label(key: sa.ForeignKeyConstraint) -> str:
    return key.column_keys[0] if len(key.column_keys) == 1 else '"its whole key"'


def _ids_in_texts(table: sa.Table) -> dict[str, str]:
    """Table that a column refers to, by column, where no constraint keeps it but the column's text says so."""
    found = {}
    for column in table.columns:
        referred = re.search(r"\ban id of `(\w+)`", meanings.text_of(table.name, column.name))
        if referred and not column.foreign_keys:
            found[column.name] = referred[1]
    return found
