"""Copy the tables of fetched data to another ledger: fetches, bars in all their versions, actions, events, findings."""

import sqlalchemy as sa

from forecasting.store import tables

INPUT_TABLES = (tables.fetches, tables.bar_versions, tables.corporate_actions, tables.events, tables.findings)
"""The tables of fetched data, parents first; the rest of a ledger can be computed from them."""

_BATCH_ROWS = 5000


def copy_inputs(source: sa.Connection, target: sa.Connection) -> int:
    """The number of rows copied: all of INPUT_TABLES in `source`, to `target`, where these tables are empty."""
    copied = 0
    for table in INPUT_TABLES:
        for batch in source.execute(sa.select(table)).mappings().partitions(_BATCH_ROWS):
            target.execute(sa.insert(table), [dict(row) for row in batch])
            copied += len(batch)
    return copied
