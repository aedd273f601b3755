"""View live_skill: the published forecasts against the baselines."""

# ruff: noqa: S608 - the SQL is built from this file's own constants

from forecasting.store.views.view import View, skill
from forecasting.vocabulary import LSTM, PUBLISHED_LINE

_NIGHTS = "the nights of the window with a score of both"
_BASELINE = "the best baseline, against which skill is lowest, of those with scores of at least 9 in 10 of the nights"

# From sums that add_scores writes: windows over years of scores took SQLite 0.1 s a symbol, Postgres half a minute.
# Against a baseline without an error the skill is undefined (NULL): no forecast can be better than that baseline.
# Replays stay out once there are live nights: their skill is not a live one, and a query without a filter on kind
# would have both.
_WINDOW = ("symbol", "target", "kind", "horizon", "window_sessions")
_LINE = ", ".join(f"c.{name}" for name in _WINDOW)
_OF_LINE = f"PARTITION BY {_LINE}"
_SAME_WINDOW = " AND ".join(f"{{0}}.{name} = c.{name}" for name in _WINDOW)
_SELECT_LIVE_SKILL = f"""
WITH compared AS (
    SELECT {_LINE}, c.n, c.first_origin, c.last_origin, c.error / c.n AS mae, c.pinball / c.n AS pinball,
        CAST(c.inside_80 AS DOUBLE PRECISION) / c.n AS coverage_80,
        CAST(c.inside_90 AS DOUBLE PRECISION) / c.n AS coverage_90,
        b.line AS baseline, b.error / b.n AS baseline_mae, {skill("b.champion_error", "b.error")} AS skill,
        {skill("b.champion_pinball", "b.pinball")} AS pinball_skill, w.n AS network_n,
        w.error / w.n AS network_mae, w.pinball / w.n AS network_pinball,
        {skill("w.champion_error", "w.error")} AS skill_vs_network,
        {skill("w.champion_pinball", "w.pinball")} AS pinball_skill_vs_network
    FROM standings c
    LEFT JOIN standings b ON {_SAME_WINDOW.format("b")} AND b.line NOT IN ('{PUBLISHED_LINE}', '{LSTM}')
        AND 10 * b.n >= 9 * c.n
    LEFT JOIN standings w ON {_SAME_WINDOW.format("w")} AND w.line = '{LSTM}' AND w.n > 0
    WHERE c.line = '{PUBLISHED_LINE}' AND (c.kind <> 'replay' OR NOT EXISTS (
        SELECT 1 FROM standings l WHERE l.symbol = c.symbol AND l.target = c.target AND l.kind = 'live'
    ))
),
ranked AS (
    SELECT c.*, NULLIF(min(coalesce(c.pinball_skill, -9e99)) OVER ({_OF_LINE}), -9e99) AS least_pinball_skill,
        row_number() OVER ({_OF_LINE} ORDER BY c.skill IS NOT NULL, c.skill, c.baseline) AS place
    FROM compared c
)
SELECT {_LINE}, c.n, c.first_origin, c.last_origin, c.mae, c.baseline AS best_baseline, c.baseline_mae, c.skill,
    c.pinball, c.least_pinball_skill AS pinball_skill, c.coverage_80, c.coverage_90, c.network_n, c.network_mae,
    c.network_pinball, c.skill_vs_network, c.pinball_skill_vs_network
FROM ranked c
WHERE c.place = 1
"""

LIVE_SKILL = View(
    _SELECT_LIVE_SKILL,
    "The published forecasts of one horizon against the best baseline over the newest 20, 60 or 250 nights with a "
    "score. Each kind has rows of its own; those of replays are left out where the symbol and target have a live "
    "score. Losses are on the share basis of their nights: in a window across a split both count, as fallback and "
    "pages do not.",
    "standings",
    {
        "n": "Nights of the window with a score of the published forecast.",
        "mae": "Mean absolute error of the published forecasts, whichever model made them, in the target's unit.",
        "best_baseline": f"Name of {_BASELINE}; NULL without one.",
        "baseline_mae": (
            f"Mean absolute error of its own forecasts, published or not, over {_NIGHTS}, in the target's unit."
        ),
        "skill": f"1 - mean absolute error / baseline_mae over {_NIGHTS}: positive is better than the baseline.",
        "pinball": "Mean pinball loss of the published forecasts, in the target's unit.",
        "pinball_skill": "The same in pinball loss, against the baseline where it is lowest, which can be another one.",
        "coverage_80": "Share of actual values inside the 80 % interval; 0.8 is exact.",
        "coverage_90": "Share of actual values inside the 90 % interval; 0.9 is exact.",
        "network_n": "Nights of the window with a score of both the published and the network's own forecast.",
        "network_mae": (
            "Mean absolute error of the network's own forecasts, published or not, over these nights, in the "
            "target's unit; NULL without one."
        ),
        "network_pinball": "Mean pinball loss of the same forecasts, in the target's unit; NULL without one.",
        "skill_vs_network": (
            "1 - mean absolute error / network_mae over these nights: positive where baselines published in the "
            "network's place were better, 0 without any."
        ),
        "pinball_skill_vs_network": "The same in pinball loss.",
    },
)
