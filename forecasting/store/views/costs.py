"""View costs: what forecasts would have cost, at their median and at the quantile of least expected cost.

The formula is in evaluate/costs.py; its ratios are those whose level is issued, so that nothing is interpolated here.
"""

# ruff: noqa: S608 - the SQL is built from this file's own constants

from forecasting.evaluate.costs import RATIOS, nearest_level
from forecasting.store.views.counted import (
    BEST_FIRST,
    COUNTS,
    FORECASTER,
    FORECASTER_TEXT,
    KEY,
    LINES,
    SLOT,
    WINDOWS,
)
from forecasting.store.views.view import View, skill
from forecasting.vocabulary import QUANTILE_COLUMNS, QUANTILES

_COLUMN_OF = {ratio: QUANTILE_COLUMNS[QUANTILES.index(nearest_level(ratio))] for ratio in RATIOS}
_QUANTILES = ", ".join(f"f.{column}" for column in ("q50", *(name for name in _COLUMN_OF.values() if name != "q50")))
_LEVELS = ", ".join(f"({ratio}, CAST({nearest_level(ratio)} AS DOUBLE PRECISION))" for ratio in RATIOS)

_NEEDED = ("actual", "q50", *(name for name in _COLUMN_OF.values() if name != "q50"))
_LINE = ", ".join(f"c.{name}" for name in SLOT[:-1])
_COUNTED = f"""(
                SELECT {KEY}, {FORECASTER} AS forecaster, s.actual, {_QUANTILES}, row_number() OVER (
                    PARTITION BY {KEY}, {FORECASTER} {BEST_FIRST}
                ) AS place
                FROM scores s JOIN forecasts f ON f.model_id = s.model_id AND f.symbol = s.symbol
                    AND f.target = s.target AND f.origin_session = s.origin_session AND f.horizon = s.horizon
                    AND f.kind = s.kind
                    CROSS JOIN lines l
                WHERE {COUNTS}
            )"""
# What was published is put beside each row by a window: SQLite has no statistics of a ledger, and searched a joined
# subquery of it row by row, 5 s of CPU for a symbol's year of nights.
_PUBLISHED = ", ".join(
    f"max(CASE c.forecaster WHEN 'published' THEN c.{name} END) OVER w AS published_{name}" for name in _NEEDED
)
_NIGHTS = f"""(
        SELECT b.*, dense_rank() OVER (
            PARTITION BY b.symbol, b.target, b.kind, b.horizon ORDER BY b.origin_session DESC
        ) AS night
        FROM (
            SELECT c.*, {_PUBLISHED} FROM {_COUNTED} c
            WHERE c.place = 1 WINDOW w AS (PARTITION BY {", ".join(f"c.{name}" for name in SLOT)})
        ) b
        WHERE b.published_actual IS NOT NULL
    )"""


def _cost(whose: str, column: str) -> str:
    over = f"{whose}{column} - {whose}actual"
    return f"CASE WHEN {over} > 0 THEN r.cost_ratio * ({over}) ELSE -({over}) END"


def _cost_of_level(whose: str) -> str:
    each = " ".join(f"WHEN {ratio} THEN {_cost(whose, column)}" for ratio, column in _COLUMN_OF.items())
    return f"CASE r.cost_ratio {each} END"


_OF_ROW = f"PARTITION BY {_LINE}, w.window_sessions, r.cost_ratio, c.forecaster"
_SELECT = f"""
WITH {LINES},
windows (window_sessions) AS (VALUES {", ".join(f"({window})" for window in WINDOWS)}),
ratios (cost_ratio, level) AS (VALUES {_LEVELS})
SELECT p.symbol, p.target, p.kind, p.horizon, p.window_sessions, p.cost_ratio, p.level, p.forecaster, p.n,
    p.first_origin, p.last_origin, p.cost, p.median_cost, {skill("p.cost", "p.median_cost")} AS saving,
    p.published_cost, {skill("p.published_cost", "p.cost")} AS published_saving
FROM (
    SELECT {_LINE}, w.window_sessions, r.cost_ratio, r.level, c.forecaster, count(*) OVER ({_OF_ROW}) AS n,
        min(c.origin_session) OVER ({_OF_ROW}) AS first_origin, max(c.origin_session) OVER ({_OF_ROW}) AS last_origin,
        avg({_cost_of_level("c.")}) OVER ({_OF_ROW}) AS cost, avg({_cost("c.", "q50")}) OVER ({_OF_ROW}) AS median_cost,
        avg({_cost_of_level("c.published_")}) OVER ({_OF_ROW}) AS published_cost,
        row_number() OVER ({_OF_ROW} ORDER BY c.origin_session) AS place
    FROM {_NIGHTS} c JOIN windows w ON c.night <= w.window_sessions CROSS JOIN ratios r
) p
WHERE p.place = 1
"""

COSTS = View(
    _SELECT,
    "What the forecasts of one forecaster and horizon would have cost over the newest 20, 60 or 250 nights, where an "
    "overestimate costs `cost_ratio` times as much per unit as an underestimate. Costs are in the target's unit, an "
    "underestimate of one unit costing 1. A settled score counts before a first print. In a window across a split, "
    "costs on both share bases are averaged; pages bring them to one.",
    "scores",
    {
        "window_sessions": "Length of the window: the newest 20, 60 or 250 nights with a score of what was published.",
        "cost_ratio": (
            "Cost of an overestimate per unit over that of an underestimate: 1, 3, 9 or 19, whose levels are issued."
        ),
        "level": "Level of the quantile with the least expected cost, 1 / (1 + cost_ratio).",
        "forecaster": FORECASTER_TEXT,
        "n": "Nights of the window with a score of the forecaster and of what was published.",
        "first_origin": "Oldest of them.",
        "last_origin": "Newest of them.",
        "cost": "Mean cost of the forecaster's quantile of that level on these nights.",
        "median_cost": "Mean cost of the forecaster's median on them.",
        "saving": "1 - cost / median_cost: positive where the quantile was cheaper; NULL for medians without a cost.",
        "published_cost": "Mean cost of the published quantile of that level on the same nights.",
        "published_saving": (
            "1 - published_cost / cost: positive where the published quantile was cheaper; NULL without a cost."
        ),
    },
)
