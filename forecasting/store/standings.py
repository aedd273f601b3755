"""Table `standings`: the published forecasts and each forecaster over the newest nights, summed with every score."""

# ruff: noqa: S608 - the SQL is built from this file's own constants

from __future__ import annotations

import sqlalchemy as sa

from forecasting.store import schema
from forecasting.store.score_views import BEST_FIRST, COUNTS, LINES, WINDOWS
from forecasting.vocabulary import CHAMPION, HORIZONS, PUBLISHED_LINE

_SCOPE = ("symbol", "target", "kind")
_KEY = (*_SCOPE, "horizon", "window_sessions", "line")
_SUMS = ("error", "pinball", "inside_80", "inside_90", "champion_error", "champion_pinball")
_VALUES = ("first_origin", "last_origin", "n", *_SUMS)
_LINE = f"CASE l.line WHEN 'published' THEN '{PUBLISHED_LINE}' ELSE s.model END"
_OF_WINDOW = "OVER (PARTITION BY e.horizon, w.window_sessions)"


def _rows(values: tuple[int, ...]) -> str:
    return f"(VALUES {', '.join(f'({value})' for value in values)})"


def _of_scope(alias: str) -> str:
    return " AND ".join(f"{alias}.{name} = :{name}" for name in _SCOPE) + f" AND {alias}.horizon = h.horizon"


_GRAIN = {"volume": 2.0**-10, "close": 2.0**-30, "range": 2.0**-40}
"""What losses are rounded to, in the target's unit, so that their sums are exact in whatever order they are added."""


def _rounded(loss: str) -> str:
    return f"{loss} + :shift - :shift"  # of 1.5 * 2^52 grains: both databases round to the same bits


def _published(name: str) -> str:
    return f"max(CASE c.line WHEN '{PUBLISHED_LINE}' THEN c.{name} END) OVER slot AS champion_{name}"


# The oldest night of the longest window: years of older scores stay unread. Grouped, since SQLite reads a DISTINCT to
# its end. CROSS JOIN keeps SQLite's order of the tables: the other way round it computed all nights for each window.
_OLDEST = f"""coalesce((
                    SELECT b.origin_session FROM scores b WHERE {_of_scope("b")} AND b.role = '{CHAMPION}'
                    GROUP BY b.origin_session ORDER BY b.origin_session DESC LIMIT 1 OFFSET {max(WINDOWS) - 1}
                ), '0001-01-01')"""
_WRITE = sa.text(f"""
INSERT INTO standings ({", ".join((*_KEY, *_VALUES))})
WITH {LINES}, horizons (horizon) AS {_rows(HORIZONS)}, windows (window_sessions) AS {_rows(WINDOWS)}
SELECT :symbol, :target, :kind, e.horizon, w.window_sessions, e.line, min(min(e.origin_session)) {_OF_WINDOW},
    max(max(e.origin_session)) {_OF_WINDOW}, count(*), {", ".join(f"sum(e.{name})" for name in _SUMS)}
FROM (
    SELECT d.*, dense_rank() OVER (PARTITION BY d.horizon ORDER BY d.origin_session DESC) AS night
    FROM (
        SELECT c.*, {_published("error")}, {_published("pinball")}
        FROM (
            SELECT s.horizon, s.origin_session, {_LINE} AS line,
                {_rounded("abs(s.error)")} AS error, {_rounded("s.pinball")} AS pinball,
                CAST(s.inside_80 AS INTEGER) AS inside_80, CAST(s.inside_90 AS INTEGER) AS inside_90,
                row_number() OVER (PARTITION BY s.horizon, s.origin_session, {_LINE} {BEST_FIRST}) AS place
            FROM horizons h CROSS JOIN lines l CROSS JOIN scores s
            WHERE {_of_scope("s")} AND s.origin_session >= {_OLDEST} AND ({COUNTS})
        ) c
        WHERE c.place = 1
        WINDOW slot AS (PARTITION BY c.horizon, c.origin_session)
    ) d
    WHERE d.champion_error IS NOT NULL
) e CROSS JOIN windows w
WHERE e.night <= w.window_sessions
GROUP BY e.horizon, w.window_sessions, e.line
ON CONFLICT ({", ".join(_KEY)}) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _VALUES)}
""")


def write(connection: sa.Connection, symbol: str, target: str, kind: str) -> None:
    """Write the standings of one symbol, target and kind from its scores."""
    scope = {"symbol": symbol, "target": target, "kind": kind}
    table = schema.standings
    # A forecaster that no longer forecasts keeps a row with n = 0: the writer role may not delete.
    old = sa.update(table).where(*(table.c[name] == value for name, value in scope.items()))
    connection.execute(old.values(dict.fromkeys(("n", *_SUMS), 0)))
    connection.execute(_WRITE, {**scope, "shift": 1.5 * 2.0**52 * _GRAIN[target]})


def rebuild(connection: sa.Connection) -> None:
    """Write all standings from all scores: after a migration, or where scores were added without `add_scores`."""
    connection.execute(sa.delete(schema.standings))
    scopes = sa.select(*(schema.scores.c[name] for name in _SCOPE)).distinct()
    for symbol, target, kind in connection.execute(scopes).all():
        write(connection, symbol, target, kind)
