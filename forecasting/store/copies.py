"""What a ledger has been told, copied to another: fetches, bars in all their versions, actions, events, findings."""

import sqlalchemy as sa

from forecasting.store import tables

TOLD = (tables.fetches, tables.bar_versions, tables.corporate_actions, tables.events, tables.findings)
"""Everything that came from outside, parents first; the rest of a ledger follows from it."""

_AT_ONCE = 5000


def copy_told(source: sa.Connection, target: sa.Connection) -> int:
    """Add every row of TOLD in `source` to `target`, which holds none of them; the number of rows."""
    copied = 0
    for table in TOLD:
        for batch in source.execute(sa.select(table)).mappings().partitions(_AT_ONCE):
            target.execute(sa.insert(table), [dict(row) for row in batch])
            copied += len(batch)
    return copied
