"""Copy the tables of fetched data to another ledger: fetches, bars in all their versions, actions, events, findings."""

import sqlalchemy as sa

from forecasting.store import tables

INPUT_TABLES = (tables.fetches, tables.bar_versions, tables.corporate_actions, tables.events, tables.findings)
"""Everything that came from outside, parents first; the rest of a ledger follows from it."""

_AT_ONCE = 5000


def copy_inputs(source: sa.Connection, target: sa.Connection) -> int:
    """Add every row of INPUT_TABLES in `source` to `target`, which holds none of them; the number of rows."""
    copied = 0
    for table in INPUT_TABLES:
        for batch in source.execute(sa.select(table)).mappings().partitions(_AT_ONCE):
            target.execute(sa.insert(table), [dict(row) for row in batch])
            copied += len(batch)
    return copied
