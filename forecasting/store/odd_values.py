"""Odd values of a SQLite ledger: SQLite stores a text in a column of numbers, and a row that names a missing one.

Postgres refuses them. A row of this program has none; one that somebody wrote by hand, or a damaged file, may.
"""

from typing import Any, get_args

import sqlalchemy as sa

from forecasting.exchanges import NEWEST_DAY, OLDEST_DAY
from forecasting.store import database
from forecasting.store.engine import is_sqlite, parse
from forecasting.store.tables import metadata
from forecasting.store.tables.types import UtcDateTime
from forecasting.vocabulary import HORIZONS, Kind, Role, Stage, Target

_LARGEST = 1e30
_DO = "Restore the database from a backup, or correct that row."

_SETS: dict[str, tuple[object, ...]] = {
    "horizon": HORIZONS,
    "kind": (*get_args(Kind), "dividend", "split", "earnings"),
    "role": get_args(Role),
    "stage": get_args(Stage),
    "target": get_args(Target),
}
"""By column, what it may hold; of other columns the type alone is checked."""


def odd_value(url: str) -> str:
    """A sentence that names the table, column and row of one such value; empty without one, or on Postgres.

    Raises:
        StoreError: The database cannot be read.
    """
    if not is_sqlite(parse(url)):
        return ""
    with database.reading(url) as connection:
        for table in metadata.sorted_tables:
            for column in table.columns:
                found = connection.execute(_query(table, column)).first()
                if found is not None:
                    key = ", ".join(f"{name} {value!r:.30}" for name, value in found._mapping.items() if name != "odd")
                    return (
                        f"Expected {_expected(column)} in column {column.name} of table {table.name}; found "
                        f"{found.odd!r:.60} in the row of {key}. {_DO}"
                    )
        lost = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    return (
        f"Expected a row of table {lost[2]} for each that table {lost[0]} names; one is missing. {_DO}" if lost else ""
    )


def _query(table: sa.Table, column: "sa.Column[object]") -> sa.Select[Any]:
    """The first odd value of a column, and its row's key, as SQLite has them: without the conversion of their types."""
    keys = [sa.type_coerce(key, sa.types.NullType()).label(key.name) for key in table.primary_key.columns]
    raw = sa.type_coerce(column, sa.types.NullType())
    columns: list[Any] = [raw.label("odd"), *keys]
    return sa.select(*columns).where(raw.is_not(None), _is_odd(column, raw)).limit(1)


def _is_odd(column: "sa.Column[object]", raw: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    kind = sa.func.typeof(raw)
    if isinstance(column.type, sa.Date):
        outside = sa.or_(raw < str(OLDEST_DAY.replace(year=1900)), raw > str(NEWEST_DAY))
        return sa.or_(kind != "text", sa.func.coalesce(sa.func.date(raw), "") != raw, outside)
    if isinstance(column.type, UtcDateTime):
        second, rest = sa.func.substr(raw, 1, len("2024-03-08 10:00:00")), sa.func.substr(raw, 20)
        micros = sa.or_(rest == "", rest.op("GLOB")("." + "[0-9]" * 6))
        return sa.or_(kind != "text", sa.func.coalesce(sa.func.datetime(second), "none") != second, ~micros)
    if isinstance(column.type, sa.Boolean):
        return raw.not_in((0, 1))
    if isinstance(column.type, sa.Integer):
        return sa.or_(kind != "integer", *_not_in_set(column, raw))
    if isinstance(column.type, sa.Float):
        return sa.or_(kind.not_in(("real", "integer")), sa.func.abs(raw) > _LARGEST)
    return sa.or_(kind != "text", *_not_in_set(column, raw))


def _not_in_set(column: "sa.Column[object]", raw: sa.ColumnElement[Any]) -> list[sa.ColumnElement[bool]]:
    return [raw.not_in(_SETS[column.name])] if column.name in _SETS else []


def _expected(column: "sa.Column[object]") -> str:
    if isinstance(column.type, sa.Date):
        return "a day like 2024-03-08"
    if isinstance(column.type, UtcDateTime):
        return "an instant like 2024-03-08 10:00:00.000000"
    if column.name in _SETS:
        return f"one of {', '.join(map(str, _SETS[column.name]))}"
    if isinstance(column.type, sa.Boolean):
        return "0 or 1"
    whole = isinstance(column.type, sa.Integer)
    return "a whole number" if whole else "a number" if isinstance(column.type, sa.Float) else "a text"
