"""View live_r2: R² of log dollar volume over its mean of five sessions, of the published forecasts.

The formula is in evaluate/dollar_volume.py. Dollars at the origin, and the mean, come from the bars as they were stored
when the forecast's own were fetched (`data_as_of`): what is compared with has seen no later bar either, and no split
in between has another share basis than the forecast. The actual dollars are of the bar that the score counted.

POWER(x, 2), because both databases would compute each x of x * x by itself. No running sums, as live_skill has: a row
reads its own nights by the key of scores, 1,650 nights for all rows of a symbol.
"""

# ruff: noqa: S608 - the SQL is built from this file's own constants

from forecasting.evaluate.dollar_volume import MEAN_SESSIONS
from forecasting.store.views.counted import BEST_FIRST
from forecasting.store.views.view import View
from forecasting.vocabulary import CHAMPION, PUBLISHED_LINE


def _newest_dollars(columns: str, sessions: int) -> str:
    """A subquery: `columns` of the newest sessions up to the origin with a dollar volume, as stored at the fetch."""
    return f"""(
            SELECT {columns} FROM bar_versions b
            WHERE b.symbol = f.symbol AND b.session <= f.origin_session AND b.first_seen_at <= f.data_as_of
                AND (b.superseded_at IS NULL OR b.superseded_at > f.data_as_of) AND b.volume > 0 AND b.close > 0
            ORDER BY b.session DESC LIMIT {sessions}
        )"""


_COUNTED = f"""(
            SELECT s.symbol, s.target, s.kind, s.horizon, s.origin_session, s.target_session, s.model_id, s.bar_version,
                row_number() OVER (
                    PARTITION BY s.origin_session
                    {BEST_FIRST}
                ) AS place
            FROM scores s
            WHERE s.symbol = c.symbol AND s.target = c.target AND s.kind = c.kind AND s.horizon = c.horizon
                AND s.origin_session BETWEEN c.first_origin AND c.last_origin AND s.role = '{CHAMPION}'
        )"""

_SELECT_LIVE_R2 = f"""
SELECT c.symbol, c.target, c.kind, c.horizon, c.window_sessions, c.n, c.first_origin, c.last_origin, (
    SELECT 1 - SUM(POWER(e.error, 2)) / NULLIF(SUM(POWER(e.mean_error, 2)), 0) FROM (
        SELECT ln(f.q50) + ln({_newest_dollars("b.close", 1)}) - ln(a.volume * a.close) AS error,
            (SELECT AVG(ln(d.volume * d.close)) FROM {_newest_dollars("b.volume, b.close", MEAN_SESSIONS)} d)
                - ln(a.volume * a.close) AS mean_error
        FROM {_COUNTED} s
        JOIN forecasts f ON f.symbol = s.symbol AND f.target = s.target AND f.origin_session = s.origin_session
            AND f.horizon = s.horizon AND f.model_id = s.model_id AND f.kind = s.kind
        JOIN bar_versions a ON a.symbol = s.symbol AND a.session = s.target_session AND a.version = s.bar_version
            AND a.volume > 0 AND a.close > 0
        WHERE s.place = 1
    ) e
) AS r2
FROM standings c
WHERE c.target = 'volume' AND c.line = '{PUBLISHED_LINE}' AND c.n > 0 AND (c.kind <> 'replay' OR NOT EXISTS (
    SELECT 1 FROM standings l WHERE l.symbol = c.symbol AND l.target = c.target AND l.kind = 'live'
))
"""

LIVE_R2 = View(
    _SELECT_LIVE_R2,
    "R² of log dollar volume of one horizon over the newest 20, 60 or 250 nights, target volume only: the published "
    "forecasts (q50 times the close of the origin) against the mean of five sessions (Goyenko et al. 2024). Rows as in "
    "live_skill. SQLite needs its mathematical functions (`SELECT ln(2)`).",
    "standings",
    {
        "n": "Nights of the window with a score of the published forecast.",
        "r2": (
            "1 - sum of squared errors / that of the mean log dollar volume of the five newest sessions up to the "
            "origin, both as stored when the forecast's bars were fetched: 1 is exact, 0 as good as that mean, "
            "negative worse. NULL where that mean has no error."
        ),
    },
)
