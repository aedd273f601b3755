"""Bulk loading of an empty, migrated ledger: executemany on SQLite, COPY on Postgres.

Rows are inserted night by night, with keys and indexes in place, so that pages fill and scatter as in years of nights.
Foreign keys are not checked, and SQLite does not wait for the disk.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv
import sqlalchemy as sa
from ledger_rows import Columns, Values
from sqlalchemy.engine.interfaces import DBAPIConnection

from forecasting.store.engine import engine
from forecasting.store.tables.types import UtcDateTime


class Sink(Protocol):
    """Inserts the rows of one table."""

    def __call__(self, table: sa.Table, columns: Columns) -> int:
        """The number of rows added."""
        ...


@contextmanager
def loading(url: str) -> Iterator[Sink]:
    """A sink in one transaction, without checks of foreign keys.

    On Postgres the user must be a superuser.
    """
    opened = engine(url, migrating=True)  # SQLite: foreign keys are not checked
    with opened.connect() as connection:
        driver: DBAPIConnection = connection.connection.dbapi_connection
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            yield lambda table, columns: _copy(driver, table, columns)
        else:
            for setting in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"):
                driver.execute(f"PRAGMA {setting}")
            connection.begin()
            yield lambda table, columns: _execute_many(driver, table, columns)
        connection.commit()
        if connection.dialect.name == "sqlite":
            driver.execute("PRAGMA journal_mode = WAL")
    if connection.dialect.name == "postgresql":  # as autovacuum would have done by then
        with opened.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")


def _copy(driver: DBAPIConnection, table: sa.Table, columns: Columns) -> int:
    names, count = _names(table, columns), _length(columns)
    arrays = [_arrow(columns[name], table.c[name].type, count) for name in names]
    text = io.BytesIO()
    pa.csv.write_csv(
        pa.table(arrays, names=names), text, pa.csv.WriteOptions(include_header=False, quoting_style="needed")
    )
    with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY {table.name} ({', '.join(names)}) FROM STDIN (FORMAT csv)") as copy,
    ):
        copy.write(text.getvalue())
    return count


def _arrow(values: Values, kind: sa.types.TypeEngine[Any], count: int) -> pa.Array:
    if isinstance(kind, UtcDateTime):
        wanted: pa.DataType | None = pa.timestamp("us", "UTC")
    else:
        wanted = pa.date32() if isinstance(kind, sa.Date) else None
    if np.ndim(values) == 0:
        values = [values] * count if wanted is None else np.full(count, values)
    return pa.array(values, wanted)


def _execute_many(driver: DBAPIConnection, table: sa.Table, columns: Columns) -> int:
    names, count = _names(table, columns), _length(columns)
    listed = [_listed(columns[name], table.c[name].type, count) for name in names]
    statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - names of our own tables
    driver.executemany(statement, zip(*listed, strict=True))
    return count


def _listed(values: Values, kind: sa.types.TypeEngine[Any], count: int) -> list[Any]:
    array = np.atleast_1d(np.asarray(values))
    if isinstance(kind, UtcDateTime):  # the text that SQLAlchemy stores an instant as
        texts = np.char.replace(np.datetime_as_string(array, unit="us"), "T", " ").astype(object)
        found = np.where(np.isnat(array), None, texts).tolist()
    elif isinstance(kind, sa.Date):
        found = np.datetime_as_string(array).tolist()
    else:
        found = array.tolist()
    return found * count if np.ndim(values) == 0 else found


def _names(table: sa.Table, columns: Columns) -> list[str]:
    return [name for name in columns if name in table.c]


def _length(columns: Columns) -> int:
    return next(len(values) for values in columns.values() if np.ndim(values) > 0)
