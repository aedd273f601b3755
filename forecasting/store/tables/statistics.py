"""What SQLite's planner is told of the tables: the counts of a ledger of twenty symbols after a year.

Without any it takes a part of a table that an index finds for ten rows: releases up to 3.40 then read all scores of a
symbol once for each of them, and a page took twenty times as long. Counts of the ledger itself would be of its first
nights. PostgreSQL counts by itself.
"""

import sqlalchemy as sa

from forecasting.store.tables import metadata

COUNTS = {
    "sqlite_autoindex_bar_versions_1": "60635 3032 1 1",
    "ix_fetches_symbol_fetched_at": "5100 255 1",
    "sqlite_autoindex_fetches_1": "5100 1",
    "forecasts": "127500 6375 6375 25 5 1 1",
    "ix_forecasts_symbol_target_target_session": "127500 6375 6375 25",
    "ix_models_symbol_target_name": "5180 259 259 65",
    "sqlite_autoindex_models_1": "5180 1",
    "ix_promotions_run_id": "5100 1",
    "ix_promotions_symbol_target_decided_at": "5100 255 255 1",
    "sqlite_autoindex_promotions_1": "5100 1",
    "ix_runs_symbol_target_as_of": "5100 255 255 1",
    "sqlite_autoindex_runs_1": "5100 1",
    "scores": "251500 12575 12575 12575 2515 10 2 1 1",
    "sqlite_autoindex_standings_1": "1500 75 75 75 15 5 1",
}
"""Of each index the rows of its table, then those that have equal values in its first column, its first two, ...

As `ANALYZE` counted them in the ledger of `benchmarks/ledger.py --symbols 20 --years 1`, in SQLite's own form. A table
without rowid has its primary key under its own name.
"""


def write(connection: sa.Connection) -> None:
    """Write the counts to a SQLite ledger at the newest revision, in place of others."""
    if connection.dialect.name != "sqlite":
        return
    connection.exec_driver_sql("ANALYZE sqlite_master")  # makes the table that it reads
    connection.execute(sa.delete(_COUNTED).where(_COUNTED.c.tbl.in_(metadata.tables)))  # another program's stay
    connection.exec_driver_sql(_INSERT, [(counts, index) for index, counts in COUNTS.items()])


_COUNTED = sa.table("sqlite_stat1", sa.column("tbl"))
_INSERT = "INSERT INTO sqlite_stat1 (tbl, idx, stat) SELECT tbl_name, name, ? FROM sqlite_master WHERE name = ?"
