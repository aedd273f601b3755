"""A ledger on SQLite and one on PostgreSQL that are written by the same steps and must stay equal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from forecasting.errors import ForecastingError
from forecasting.store import read, views
from forecasting.store.connect import reading, transaction
from forecasting.store.schema import metadata


class LedgerPair(NamedTuple):
    """The URLs of two ledgers."""

    sqlite: str
    postgres: str

    def write(self, step: Callable[[sa.Connection], object]) -> object:
        """What a step returns on both, each in a transaction of its own; the name of its error where it was refused."""
        here, there = (_outcome(url, step) for url in self)
        assert here == there
        return here

    def check_tables(self) -> None:
        """Every table has the same rows on both, to the last bit of a float; SQLite has no negative zero."""
        here, there = (_table_rows(url) for url in self)
        for name in metadata.tables:
            assert here[name] == there[name], name

    def check_views(self, symbols: Sequence[str]) -> None:
        """Every view has the same rows on both, of the same types; sums of floats may differ in their last digits."""
        for name in views.VIEWS:
            for symbol in symbols:
                here, there = (_view_rows(url, name, symbol) for url in self)
                pd.testing.assert_frame_equal(here, there, rtol=1e-9, atol=1e-9, obj=name)


def _outcome(url: str, step: Callable[[sa.Connection], object]) -> object:
    try:
        with transaction(url) as connection:
            return step(connection)
    except (IntegrityError, ForecastingError, ValueError) as error:
        return type(error).__name__


def _table_rows(url: str) -> dict[str, list[tuple[Any, ...]]]:
    with reading(url) as connection:
        return {
            name: sorted(tuple(map(_exact, row)) for row in connection.execute(sa.select(table)))
            for name, table in metadata.tables.items()
        }


def _exact(value: object) -> str:
    return repr(value + 0.0 if isinstance(value, float) else value)


def _view_rows(url: str, name: str, symbol: str) -> pd.DataFrame:
    """A view's rows of a symbol, in an order that does not depend on floats."""
    with reading(url) as connection:
        rows = read.view(connection, name, symbol)
    exact = [column for column in rows if rows[column].dtype.kind != "f"]
    order = rows[exact].astype(str).sort_values(exact, kind="stable").index
    return rows.loc[order].reset_index(drop=True)
