"""Inserts of many rows by the drivers' executemany, with an exact count of the new ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from forecasting.store.frames import Row
from forecasting.store.schema import UtcDateTime, in_utc


def insert(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> int:
    """The number of rows added: those whose key did not exist.

    NaN and NaT become NULL, numpy scalars the Python type. A row whose key exists is left as it is; one that violates a
    check, a foreign key or NOT NULL raises.
    """
    alike: dict[frozenset[str], list[Row]] = {}  # all rows of a statement have the same columns
    for row in rows:
        alike.setdefault(frozenset(row), []).append(plain(row, table))
    statement = _statement(table, connection.dialect.name)
    counted = {"preserve_rowcount": True}  # SQLAlchemy drops an insert's count unless asked
    return sum(connection.execute(statement, some, execution_options=counted).rowcount for some in alike.values())


def plain(row: Row, table: sa.Table) -> Row:
    """The row in the table's types: no NaN or NaT, no numpy types, sessions as dates."""
    makers = _makers(table)
    # NaN and NaT are not equal to themselves.
    return {name: None if value is None or value != value else makers[name](value) for name, value in row.items()}


@lru_cache
def _statement(table: sa.Table, dialect: str) -> sa.Insert:
    make = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return make(table).on_conflict_do_nothing(index_elements=list(table.primary_key.columns))


@lru_cache
def _makers(table: sa.Table) -> dict[str, Callable[[Any], Any]]:
    return {
        column.name: next(make for kind, make in _PLAIN.items() if isinstance(column.type, kind))
        for column in table.columns
    }


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
