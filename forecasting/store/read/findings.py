"""Findings about a symbol's bars at a fetch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pandas as pd
import sqlalchemy as sa

from forecasting.store import tables
from forecasting.store.frames import frame


def findings(connection: sa.Connection, fetch_id: str) -> pd.DataFrame:
    """The findings that were open once a fetch was written, and those that it added, ascending by session.

    Columns session, rule, severity, value, detail and since, the instant of the fetch that first showed the finding.
    """
    table, fetch, first = tables.findings, tables.fetches.alias("fetch"), tables.fetches.alias("first")
    columns = [table.c[name] for name in ("session", "rule", "severity", "value", "detail")]
    was_open = (first.c.fetched_at <= fetch.c.fetched_at) & (
        table.c.cleared_at.is_(None) | (table.c.cleared_at > fetch.c.fetched_at)
    )
    statement = (
        sa.select(*columns, first.c.fetched_at.label("since"))
        .join(first, first.c.id == table.c.fetch_id)
        .join(fetch, fetch.c.symbol == table.c.symbol)
        .where(fetch.c.id == fetch_id, was_open | (table.c.fetch_id == fetch_id))
        .order_by(table.c.session, table.c.rule, first.c.fetched_at)
    )
    return frame(connection, statement)


def findings_of(
    connection: sa.Connection, symbol: str, rules: Sequence[str], *, first: date
) -> list[tuple[date, str, float | None]]:
    """Session, rule and value of the findings by these rules on the session `first` or later, cleared or not."""
    table = tables.findings
    statement = sa.select(table.c.session, table.c.rule, table.c.value).where(
        table.c.symbol == symbol, table.c.session >= first, table.c.rule.in_(rules)
    )
    return [(row.session, row.rule, row.value) for row in connection.execute(statement)]
