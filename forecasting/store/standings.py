"""The table `standings`, worked out anew from the scores that it sums up, in the transaction that changes them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import pandas as pd
import sqlalchemy as sa

from forecasting.evaluate.standings import WINDOWS, standings
from forecasting.store import tables
from forecasting.store.frames import frame
from forecasting.store.rows import insert_or_replace

Line = tuple[str, str, str, int]
"""Symbol, target, kind and horizon."""


def renew(connection: sa.Connection, lines: Iterable[Line]) -> None:
    """Write the standings of `lines` as their scores say now."""
    rows = [
        {"symbol": symbol, "target": target, "kind": kind, "horizon": horizon, **row}
        for symbol, target, kind, horizon in sorted(lines)
        for row in standings(_newest(connection, (symbol, target, kind, horizon)))
    ]
    insert_or_replace(connection, tables.standings, rows)


def renew_all(connection: sa.Connection) -> None:
    """Write the standings of every line that has a score: after a migration, or where scores came past `add_scores`."""
    table = tables.scores
    lines = sa.select(table.c.symbol, table.c.target, table.c.kind, table.c.horizon).distinct()
    renew(connection, [(row.symbol, row.target, row.kind, row.horizon) for row in connection.execute(lines)])


def _newest(connection: sa.Connection, line: Line) -> pd.DataFrame:
    """The scores of as many origins as the longest window has sessions, the one that counts first."""
    table = tables.scores
    columns = [table.c[name] for name in ("symbol", "target", "kind", "horizon")]
    wanted = sa.and_(*(column == value for column, value in zip(columns, line, strict=True)))
    origins = (
        sa.select(table.c.origin_session)
        .where(wanted)
        .group_by(table.c.origin_session)
        .order_by(table.c.origin_session.desc())
    )
    since = connection.scalar(origins.limit(1).offset(max(WINDOWS) - 1)) or date.min
    names = ("target_session", "role", "model", "error", "pinball", "inside_80", "inside_90")
    statement = sa.select(*(table.c[name] for name in names)).where(
        wanted, table.c.origin_session >= since, table.c.role.in_(("champion", "baseline"))
    )
    first = (table.c.issued_at.desc(), table.c.model_id, table.c.stage.desc(), table.c.bar_version.desc())
    return frame(connection, statement.order_by(*first))
