"""The tables, as SQLAlchemy Core metadata. Names are a contract: people query them.

inputs.py holds the tables of fetched data, outputs.py those derived from them, views/ the views. Times are aware UTC,
sessions are dates, ids are short text derived from what they name, so that a run repeated after a kill writes the same
rows. Every constraint is named, so that a migration can address it on both databases.
"""

from forecasting.store.tables.inputs import (
    NO_BARS,
    bar_versions,
    corporate_actions,
    events,
    fetches,
    findings,
    metadata,
)
from forecasting.store.tables.outputs import forecasts, metrics, models, promotions, runs, scores, standings

__all__ = [
    "NO_BARS",
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
