"""Copy the nights of a symbol before a session to another ledger: runs, models, promotions, forecasts and scores."""

from __future__ import annotations

from datetime import date

import sqlalchemy as sa

from forecasting.store import tables, writes
from forecasting.store.frames import Row
from forecasting.store.upsert import insert


def copy_nights(source: sa.Connection, target: sa.Connection, symbol: str, of_target: str, *, before: date) -> None:
    """Copy what the nights of sessions before `before` wrote, and the scores of sessions before it.

    Scores that a later night added to an older session are among them: readers filter by when the bar was known.

    Args:
        source: A connection to the ledger.
        target: A transaction of a ledger that has the input tables of `source` and none of these nights.
        symbol: Symbol of the nights.
        of_target: Target of the nights: volume, close or range.
        before: The first session whose night is not copied.
    """
    runs, models, promotions, forecasts, scores = (
        tables.metadata.tables[name] for name in ("runs", "models", "promotions", "forecasts", "scores")
    )

    def rows(table: sa.Table, *wanted: sa.ColumnElement[bool]) -> list[Row]:
        same = (table.c.symbol == symbol, table.c.target == of_target)
        return [dict(row) for row in source.execute(sa.select(table).where(*same, *wanted)).mappings()]

    copied = sa.select(runs.c.id).where(runs.c.symbol == symbol, runs.c.target == of_target, runs.c.as_of < before)
    insert(target, runs, rows(runs, runs.c.as_of < before))
    insert(target, models, rows(models, sa.or_(models.c.run_id.is_(None), models.c.run_id.in_(copied))))
    insert(target, promotions, rows(promotions, promotions.c.session < before))
    insert(target, forecasts, rows(forecasts, forecasts.c.run_id.in_(copied)))
    writes.add_scores(target, rows(scores, scores.c.origin_session < before, scores.c.target_session < before))
