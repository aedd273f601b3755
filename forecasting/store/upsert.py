"""Inserts of many rows in one statement, with an exact count of the new ones.

SQLAlchemy binds value by value, which takes longer than either database needs to write. Here the values of a column are
converted together and go to SQLite's own executemany or, as one array a column, into a single INSERT on Postgres; its
driver would inspect the type of each value, so arrays are written out here.
"""

# ruff: noqa: S608 - the SQL is built from the tables' own names and types

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from forecasting.store.frames import Row
from forecasting.store.tables import UtcDateTime, in_utc

_POSTGRES: sa.Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped


def insert(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> int:
    """The number of rows added: those whose key did not exist.

    NaN and NaT become NULL, numpy scalars the Python type. A row whose key exists is left as it is; one that violates a
    check, a foreign key or NOT NULL raises.
    """
    return sum(_write(connection, table, alike) for alike in _alike(rows))


def plain(row: Row, table: sa.Table) -> dict[str, Any]:
    """The row in the table's types: no NaN or NaT, no numpy types, sessions as dates."""
    return {name: _plain_values([value], table.c[name].type)[0] for name, value in row.items()}


def _alike(rows: Iterable[Row]) -> list[list[Row]]:
    found: dict[frozenset[str], list[Row]] = {}  # all rows of a statement have the same columns
    for row in rows:
        found.setdefault(frozenset(row), []).append(row)
    return list(found.values())


def _write(connection: sa.Connection, table: sa.Table, rows: list[Row]) -> int:
    names = tuple(rows[0])
    kinds = [table.c[name].type for name in names]
    columns = [_plain_values([row[name] for row in rows], kind) for name, kind in zip(names, kinds, strict=True)]
    statement = _statement(table, names, connection.dialect.name)
    if connection.dialect.name == "postgresql":
        arrays = tuple(_array(values, kind) for values, kind in zip(columns, kinds, strict=True))
        return connection.exec_driver_sql(statement, arrays).rowcount
    texts = [_sqlite_values(values, kind) for values, kind in zip(columns, kinds, strict=True)]
    counted = {"preserve_rowcount": True}  # SQLAlchemy drops an insert's count unless asked
    return connection.exec_driver_sql(statement, list(zip(*texts, strict=True)), execution_options=counted).rowcount


@lru_cache(maxsize=64)
def _statement(table: sa.Table, names: tuple[str, ...], dialect: str) -> str:
    key = ", ".join(column.name for column in table.primary_key.columns)
    source = _unnested(table, names) if dialect == "postgresql" else f"VALUES ({', '.join('?' * len(names))})"
    quoted = ", ".join(f'"{name}"' for name in names)
    return f"INSERT INTO {table.name} ({quoted}) {source} ON CONFLICT ({key}) DO NOTHING"


def _unnested(table: sa.Table, names: Iterable[str]) -> str:
    # TEXT, whatever a column's length: a cast to varchar(n) would truncate a value that the column refuses.
    kinds = [table.c[name].type for name in names]
    types = ["TEXT" if isinstance(kind, sa.String) else kind.compile(_POSTGRES) for kind in kinds]
    return f"SELECT * FROM unnest({', '.join(f'%s::{name}[]' for name in types)})"


def _plain_values(values: list[Any], kind: TypeEngine[Any]) -> list[Any]:
    make = next(make for known, make in _PLAIN.items() if isinstance(kind, known))
    return [None if value is None or value != value else make(value) for value in values]  # NaN and NaT are not equal


def _array(values: list[Any], kind: TypeEngine[Any]) -> str:
    if isinstance(kind, sa.Float):
        texts = ["NULL" if value is None else repr(value) for value in values]
    else:  # few days, instants and names are distinct, and formatting one takes longer than a look-up
        write: Callable[[Any], str] = _quoted if isinstance(kind, sa.String) else str
        written = {value: "NULL" if value is None else write(value) for value in set(values)}
        texts = [written[value] for value in values]
    return "{" + ",".join(texts) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _sqlite_values(values: list[Any], kind: TypeEngine[Any]) -> list[Any]:
    # The texts that SQLAlchemy reads back as instants and dates.
    if isinstance(kind, UtcDateTime):
        return [None if value is None else f"{value:%Y-%m-%d %H:%M:%S.%f}" for value in values]
    if isinstance(kind, sa.Date):
        return [None if value is None else value.isoformat() for value in values]
    return values


def _plain_day(value: object) -> object:
    return value.date() if isinstance(value, datetime) else value


def _plain_text(value: object) -> str:
    text = str(value)
    return text if text.isascii() and "\0" not in text else _NOT_STORABLE.sub("\ufffd", text)


_NOT_STORABLE = re.compile("[\0\ud800-\udfff]")
"""Characters that PostgreSQL, or both databases, refuse: NUL and halves of a surrogate pair."""

_PLAIN: dict[type, Callable[[Any], Any]] = {
    sa.String: _plain_text,
    UtcDateTime: in_utc,
    sa.Date: _plain_day,
    sa.Float: float,
    sa.Boolean: bool,
    sa.Integer: round,
}
