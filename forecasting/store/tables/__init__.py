"""The tables, as SQLAlchemy Core metadata. Names are a contract: people query them.

inputs.py holds the tables of fetched data, outputs.py those derived from them, views/ the views. Times are aware UTC,
sessions are dates, ids are short text derived from what they name, so that a run repeated after a kill writes the same
rows. Every constraint is named, so that a migration can address it on both databases.
"""

from forecasting.store.tables import meanings
from forecasting.store.tables.inputs import (
    NO_BARS,
    bar_versions,
    corporate_actions,
    events,
    fetches,
    findings,
    metadata,
)
from forecasting.store.tables.outputs import RUNNING, forecasts, metrics, models, promotions, runs, scores, standings

for _table in metadata.tables.values():
    _table.comment = meanings.TABLES[_table.name]
    for _column in _table.columns:
        _column.comment = meanings.text_of(_table.name, _column.name)

__all__ = [
    "NO_BARS",
    "RUNNING",
    "bar_versions",
    "corporate_actions",
    "events",
    "fetches",
    "findings",
    "forecasts",
    "metadata",
    "metrics",
    "models",
    "promotions",
    "runs",
    "scores",
    "standings",
]
