"""View model_comparison: every forecaster against every other, on the origins that both have scores of."""

# ruff: noqa: S608 - the SQL is built from this file's own constants

from forecasting.store.views.counted import (
    BEST_FIRST,
    COUNTS,
    FORECASTER,
    FORECASTER_TEXT,
    KEY,
    LINES,
    same_slot,
)
from forecasting.store.views.view import View, skill

_PAIR = "a.symbol, a.target, a.kind, a.horizon, a.forecaster, b.forecaster"
_OF_PAIR = f"OVER (PARTITION BY {_PAIR})"
_COUNTED = f"""(
        SELECT {KEY}, {FORECASTER} AS forecaster, abs(s.error) AS error, s.pinball, row_number() OVER (
            PARTITION BY {KEY}, {FORECASTER}
            {BEST_FIRST}
        ) AS place
        FROM scores s CROSS JOIN lines l
        WHERE {COUNTS}
    )"""

_SELECT = f"""
WITH {LINES}
SELECT p.symbol, p.target, p.kind, p.horizon, p.forecaster, p.rival, p.n, p.first_origin, p.last_origin, p.mae,
    p.rival_mae, {skill("p.mae", "p.rival_mae")} AS skill, p.pinball, p.rival_pinball,
    {skill("p.pinball", "p.rival_pinball")} AS pinball_skill, p.better
FROM (
    SELECT a.symbol, a.target, a.kind, a.horizon, a.forecaster, b.forecaster AS rival, count(*) {_OF_PAIR} AS n,
        min(a.origin_session) {_OF_PAIR} AS first_origin, max(a.origin_session) {_OF_PAIR} AS last_origin,
        avg(a.error) {_OF_PAIR} AS mae, avg(b.error) {_OF_PAIR} AS rival_mae, avg(a.pinball) {_OF_PAIR} AS pinball,
        avg(b.pinball) {_OF_PAIR} AS rival_pinball,
        sum(CASE WHEN a.pinball < b.pinball THEN 1 ELSE 0 END) {_OF_PAIR} AS better,
        row_number() OVER (PARTITION BY {_PAIR} ORDER BY a.origin_session) AS place
    FROM {_COUNTED} a JOIN {_COUNTED} b ON {same_slot("b", "a")} AND b.forecaster <> a.forecaster
    WHERE a.place = 1 AND b.place = 1
) p
WHERE p.place = 1
"""

MODEL_COMPARISON = View(
    _SELECT,
    "One forecaster against one other over all origins of which both have a score, for one kind and horizon. A pair "
    "has two rows, one in each order. A settled score counts before a first print. Across a split, losses on "
    "both share bases are averaged; pages bring them to one.",
    "scores",
    {
        "forecaster": FORECASTER_TEXT,
        "rival": "The other forecaster, in the same words.",
        "n": "Origins with a score of both.",
        "first_origin": "Oldest of them.",
        "last_origin": "Newest of them.",
        "mae": "Mean absolute error of the forecaster on them, in the target's unit.",
        "rival_mae": "Mean absolute error of the rival on them, in the target's unit.",
        "skill": "1 - mae / rival_mae: positive where the forecaster is better; NULL for a rival without an error.",
        "pinball": "Mean pinball loss of the forecaster on them, in the target's unit.",
        "rival_pinball": "Mean pinball loss of the rival on them, in the target's unit.",
        "pinball_skill": "The same as skill, in pinball loss.",
        "better": "Number of them on which the forecaster's pinball loss was the smaller.",
    },
)
