"""Query results as rows, or as frames in the types that the library computes with."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy import Connection, func
from sqlalchemy.sql.expression import ColumnCollection
from sqlalchemy.types import TypeEngine

from forecasting.store.rows import TABLES
from forecasting.store.schema import FORECAST_KEY, UtcDateTime, metadata

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")

Row = dict[str, object]
"""Values by column, of whatever table."""

Columns = ColumnCollection[str, Any]
"""The columns of a table or subquery, by name: `bar.session`."""

_DATES = (
    "origin_date",
    "target_end_date",
    "from_session",
    "to_session",
    "first_night",
    "last_night",
    "expected_report",
)
# A view's columns have no type of their own; they take that of the table column of the same name,
# or are listed here.
_OF_VIEWS: dict[str, TypeEngine[Any]] = {
    **{column.name: column.type for table in metadata.sorted_tables for column in table.columns},
    **dict.fromkeys(("settled", "ahead", "counts"), sa.Boolean()),
    **dict.fromkeys(_DATES, sa.Date()),
    **dict.fromkeys(("usual", "change_percent"), sa.Double()),
}
_CONVERTED = {
    name: kind
    for name, kind in _OF_VIEWS.items()
    if isinstance(kind, sa.Date | sa.Boolean | UtcDateTime)
}
_WHOLE = {
    "horizon",
    "version",
    "bar_version",
    "n",
    "window_sessions",
    "better",
    "step_order",
    "cost_ratio",
    "place",
}
"""Whole numbers that are never NULL; other numbers become floats."""


def frame(
    connection: Connection, statement: sa.Select[Any], values: Mapping[str, object] | None = None
) -> pd.DataFrame:
    """The statement's rows in its order, with these values of its parameters.

    Dates are naive midnights, instants aware UTC, numbers floats but for `_WHOLE`.
    """
    kinds = {column.name: column.type for column in statement.selected_columns}
    return _frame(connection.execute(statement, values), kinds)


def view(connection: Connection, name: str, where: Mapping[str, object]) -> pd.DataFrame:
    """The rows of a view or table whose columns have these values."""
    condition = " AND ".join(f"{column} = :{column}" for column in where)
    return view_frame(connection, name, condition, where)


def view_frame(
    connection: Connection, view: str, condition: str, values: Mapping[str, object]
) -> pd.DataFrame:
    """The rows of `view_result` as a frame."""
    return _frame(view_result(connection, view, condition, values), _OF_VIEWS)


def view_result(
    connection: Connection, view: str, condition: str, values: Mapping[str, object]
) -> sa.CursorResult[Any]:
    """The rows of a view under a condition in SQL, whose values have the type of their column.

    Of a list the condition is `column IN :name`.
    """
    query = sa.text(f"SELECT * FROM {view} WHERE {condition}")  # noqa: S608 - both are of this package's code
    typed = (
        sa.bindparam(name, value, _OF_VIEWS.get(name), expanding=isinstance(value, list))
        for name, value in values.items()
    )
    return connection.execute(query.bindparams(*typed).columns(**_CONVERTED))


def rows(connection: Connection, statement: sa.Select[Any]) -> list[Row]:
    """The statement's rows in its order."""
    return [dict(row) for row in connection.execute(statement).mappings()]


def records(connection: Connection, kind: type[Record], statement: sa.Select[Any]) -> list[Record]:
    """The statement's rows as dataclasses, each field the column of its name."""
    return records_of(kind, connection.execute(statement))


def records_of(kind: type[Record], result: sa.CursorResult[Any]) -> list[Record]:
    """The rows of a result as dataclasses, each field the column of its name."""
    names = [field.name for field in fields(kind)]
    return [kind(**{name: row[name] for name in names}) for row in result.mappings()]


def first_record(
    connection: Connection, kind: type[Record], statement: sa.Select[Any]
) -> Record | None:
    """The first of `records`; None when the statement has no row."""
    return next(iter(records(connection, kind, statement.limit(1))), None)


def stored(
    connection: Connection,
    kind: type[Record],
    where: Mapping[str, object],
    *,
    order: Sequence[str] = (),
) -> Record | None:
    """The first row of a kind whose columns have these values; None when there is none."""
    return first_record(connection, kind, _chosen(TABLES[kind], where, order))


def all_stored(
    connection: Connection, kind: type[Record], where: Mapping[str, object]
) -> list[Record]:
    """All rows of a kind whose columns have these values."""
    return records(connection, kind, _chosen(TABLES[kind], where))


def row(
    connection: Connection, table: str, where: Mapping[str, object], *, order: Sequence[str] = ()
) -> sa.Row[Any] | None:
    """The first row of a table whose columns have these values, read at once; None without any."""
    return connection.execute(_chosen(table, where, order).limit(1)).first()


def values(
    connection: Connection, table: str, column: str, where: Mapping[str, object]
) -> list[Any]:
    """The distinct values of a column in such rows, ascending."""
    chosen = _chosen(table, where, [column]).with_only_columns(metadata.tables[table].c[column])
    return list(connection.scalars(chosen.distinct()))


def newest(connection: Connection, table: str, column: str, where: Mapping[str, object]) -> Any:  # noqa: ANN401 - as the column
    """The largest value of a column in such rows; None without any."""
    largest = func.max(metadata.tables[table].c[column])
    return connection.scalar(_chosen(table, where).with_only_columns(largest))


def _chosen(table: str, where: Mapping[str, object], order: Sequence[str] = ()) -> sa.Select[Any]:
    of = metadata.tables[table].c
    equal = (
        of[name].in_(value) if isinstance(value, list) else of[name] == value
        for name, value in where.items()
    )
    return sa.select(metadata.tables[table]).where(*equal).order_by(*map(sa.text, order))


def of_series(
    row: Columns, symbol: str | sa.BindParameter[str], target: str | sa.BindParameter[str]
) -> tuple[sa.ColumnElement[bool], ...]:
    """The conditions that a row is of a symbol and target."""
    return row.symbol == symbol, row.target == target


def same_forecast(row: Columns, other: Columns) -> sa.ColumnElement[bool]:
    """The condition that two rows are of one forecast."""
    return sa.and_(*(row[name] == other[name] for name in FORECAST_KEY))


def kind_rank(kind: sa.ColumnElement[str]) -> sa.Case[int]:
    """A sort key: live forecasts before late ones before replays."""
    return sa.case({"live": 0, "late": 1}, value=kind, else_=2)


def best_first(forecast: Columns) -> tuple[sa.ColumnElement[Any], ...]:
    """Sort keys: the kinds as by `kind_rank`, of each the last issued first."""
    return kind_rank(forecast.kind), forecast.issued_at.desc()


def python_strings() -> AbstractContextManager[None]:
    """A block in which new frames have Python's strings: Arrow's cost a warm night 10% more CPU."""
    return pd.option_context("mode.string_storage", "python")


def _frame(result: sa.CursorResult[Any], kinds: dict[str, TypeEngine[Any]]) -> pd.DataFrame:
    names = list(result.keys())
    columns: list[list[Any]] = [[] for _ in names]
    # Some at a time: garbage collection goes through all rows that are held at once
    for some in result.partitions(500):
        for column, values in zip(columns, zip(*some, strict=True), strict=True):
            column += values
    typed = (
        _typed(values, _dtype(values, name, kinds.get(name)))
        for name, values in zip(names, columns, strict=True)
    )
    return pd.DataFrame(dict(zip(names, typed, strict=True)))


def _typed(values: list[Any], dtype: Any) -> Any:  # noqa: ANN401 - of pandas
    # A Series of each column takes five times as long; without one texts would not stay objects
    return pd.Series(values, dtype=dtype) if dtype is object else pd.array(values, dtype=dtype)


def _dtype(values: list[Any], name: str, kind: TypeEngine[Any] | None) -> Any:  # noqa: ANN401 - of pandas
    if isinstance(kind, sa.Date):
        return "datetime64[ns]"
    if isinstance(kind, UtcDateTime):
        return "datetime64[us, UTC]"
    if isinstance(kind, sa.Boolean):
        return object if None in values else bool
    if name in _WHOLE:
        return np.int64
    types = set(map(type, values))
    # By its column, but `error` of scores is a text in runs; or by its values
    is_number = isinstance(kind, sa.Float | sa.Integer) and str not in types
    return np.float64 if is_number or float in types else object
