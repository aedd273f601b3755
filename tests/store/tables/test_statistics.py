from __future__ import annotations

import sqlalchemy as sa

from forecasting.store import migrate
from forecasting.store.database import reading, transaction
from forecasting.store.tables import statistics


def stored(connection: sa.Connection) -> dict[str, str]:
    found = connection.exec_driver_sql("SELECT idx, stat FROM sqlite_stat1").mappings()
    return {row["idx"]: row["stat"] for row in found}


def test_a_ledger_has_the_counts_and_an_upgrade_puts_them_back(sqlite_url: str) -> None:
    with transaction(sqlite_url) as connection:
        assert stored(connection) == statistics.COUNTS
        connection.exec_driver_sql("CREATE TABLE notes AS SELECT 1 AS mine")
        connection.exec_driver_sql("ANALYZE")  # by a person: of an empty ledger
        assert stored(connection) != statistics.COUNTS
    migrate.upgrade(sqlite_url)
    with reading(sqlite_url) as connection:
        assert statistics.COUNTS.items() <= stored(connection).items()
        assert connection.scalar(sa.text("SELECT stat FROM sqlite_stat1 WHERE tbl = 'notes'")) == "1"


def test_every_count_is_of_an_index_with_as_many_columns(sqlite_url: str) -> None:
    with reading(sqlite_url) as connection:
        for index, counts in statistics.COUNTS.items():
            kind = connection.scalar(sa.text("SELECT type FROM sqlite_master WHERE name = :name"), {"name": index})
            if kind == "table":  # without rowid: its primary key
                columns = sa.inspect(connection).get_pk_constraint(index)["constrained_columns"]
            else:
                columns = connection.exec_driver_sql(f"PRAGMA index_info('{index}')").all()
            assert len(counts.split()) == 1 + len(columns)
