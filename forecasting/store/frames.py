"""Query results as frames, in the types that the library computes with, or as one row."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.types import TypeEngine

from forecasting.store.tables import UtcDateTime, metadata

# A view's columns have no type on SQLite; they take that of the table column of the same name, or are listed here.
_TYPE_OF: dict[str, TypeEngine[Any]] = {
    **{column.name: column.type for table in metadata.sorted_tables for column in table.columns},
    **dict.fromkeys(("settled", "ahead"), sa.Boolean()),
    **dict.fromkeys(("origin_date", "target_end_date", "from_session", "to_session"), sa.Date()),
    **dict.fromkeys(("first_night", "last_night"), sa.Date()),
}
_CONVERTED = (sa.Date, sa.Boolean, UtcDateTime)
_WHOLE = {
    "horizon",
    "version",
    "bar_version",
    "n",
    "window_sessions",
    "better",
    "step_order",
    "cost_ratio",
}  # never NULL; other numbers become floats


def frame(connection: sa.Connection, statement: sa.Select[Any]) -> pd.DataFrame:
    """The statement's rows in its order: dates as naive midnights, instants as aware UTC, numbers as floats.

    Raises:
        ValueError: A text of SQLite's that is no day or instant, where one is expected.
    """
    result = connection.execute(statement)
    names = list(result.keys())
    columns = list(zip(*_driver_rows(result), strict=True)) or [()] * len(names)
    renamed = {one.name: one.type for one in statement.selected_columns if isinstance(one.type, _CONVERTED)}
    kinds = {name: _TYPE_OF.get(name, renamed.get(name)) for name in names}
    return pd.DataFrame({name: _typed(values, name, kinds[name]) for name, values in zip(names, columns, strict=True)})


def _driver_rows(result: sa.CursorResult[Any]) -> list[tuple[Any, ...]]:
    # As the driver has them: SQLAlchemy converts a value at a time, which took half of a night with a year of scores.
    cursor = result.cursor
    rows: list[tuple[Any, ...]] = [] if cursor is None else list(cursor.fetchall())
    result.close()
    return rows


@contextmanager
def python_strings() -> Iterator[None]:
    """Within the block, strings of new frames are Python's objects; the values are the same.

    Arrow's, pandas' default, serve long columns: those of a night and the names of its columns are short, and a warm
    night of 12 symbols took a tenth more CPU by them.
    """
    with pd.option_context("mode.string_storage", "python"):
        yield


Row = dict[str, Any]
"""One row of a table: column names, and values as SQLAlchemy returns or accepts them."""


def first_row(connection: sa.Connection, statement: sa.Select[Any]) -> Row | None:
    """The statement's first row; None when it has none."""
    found = connection.execute(statement).mappings().first()
    return None if found is None else dict(found)


def kind_rank(kind: sa.ColumnElement[str]) -> sa.Case[int]:
    """A sort key: live forecasts before late ones before replays."""
    return sa.case({"live": 0, "late": 1}, value=kind, else_=2)


def _typed(values: tuple[Any, ...], name: str, kind: TypeEngine[Any] | None) -> NDArray[Any] | pd.Index | pd.Series:
    if isinstance(kind, sa.Date):
        _check_texts(values, {len("2024-03-08")}, "a day")
        return np.array(values, dtype="datetime64[D]").astype("datetime64[ns]")  # ten times as fast as to_datetime
    if isinstance(kind, UtcDateTime):
        are_texts = _check_texts(values, {len("2024-03-08 10:00:00"), len("2024-03-08 10:00:00.000000")}, "an instant")
        naive = values if are_texts else [_naive(value) for value in values]
        return pd.DatetimeIndex(np.array(naive, dtype="datetime64[us]"), tz=UTC)
    if name in _WHOLE:
        return np.array(values, dtype=np.int64)
    if isinstance(kind, sa.Boolean):
        return pd.Series(
            [None if value is None else bool(value) for value in values], dtype=object if None in values else bool
        )
    if _is_number(values, kind):
        return np.array(values, dtype=np.float64)
    return pd.Series(values, dtype=object)


def _check_texts(values: tuple[Any, ...], lengths: set[int], what: str) -> bool:
    """Whether the values are SQLite's texts; NumPy also takes numbers, years and words for a day."""
    kinds = set(map(type, values))
    known = [value for value in values if value is not None] if type(None) in kinds else values
    kinds -= {type(None)}
    if kinds & {str, int, float, bytes} and not (kinds == {str} and set(map(len, known)) <= lengths):
        raise ValueError(f"Expected {what} in each row, as this program writes it; found another value.")
    return kinds == {str}


def _is_number(values: tuple[Any, ...], kind: TypeEngine[Any] | None) -> bool:
    if isinstance(kind, sa.Float | sa.Integer):  # but `error`, a number in scores, is a text in runs
        return not isinstance(next((value for value in values if value is not None), None), str)
    return float in set(map(type, values))


def _naive(value: datetime | None) -> datetime | None:
    return None if value is None else value.astimezone(UTC).replace(tzinfo=None)
