"""Views of nights: what each run did, and how long its steps take."""

# ruff: noqa: S608 - the SQL is built from this file's own constants

from forecasting.store.views.view import View
from forecasting.vocabulary import LSTM

DURATION_NIGHTS = 60
"""Nights that `night_durations` covers: about three months."""

_STEPS = ("ingest", "preprocess", "train", "predict", "evaluate")
_TIMED = (*_STEPS, "total")
# 0.0: of a night without a step, SQLite would make a whole number of 0.
_TOTAL = " + ".join(f"COALESCE(r.seconds_{step}, 0.0)" for step in _STEPS)

# What retraining gained: the skill of the night's challenger against the champion's own forecast of the same origin,
# published or silenced, once both are scored.
_SELECT_NIGHT_LOG = f"""
SELECT r.as_of, r.symbol, r.target, r.trigger, r.status, r.mode, r.mode_reason, r.seconds_ingest, r.seconds_preprocess,
    r.seconds_train, r.seconds_predict, r.seconds_evaluate,
    {_TOTAL} AS seconds_total,
    (SELECT p.reason FROM promotions p WHERE p.run_id = r.id ORDER BY p.decided_at DESC, p.id LIMIT 1) AS decision,
    (
        SELECT 1 - AVG(c.pinball) / NULLIF(AVG(k.pinball), 0)
        FROM forecast_vs_actual c JOIN forecast_vs_actual k ON k.symbol = c.symbol AND k.target = c.target
            AND k.origin_session = c.origin_session AND k.horizon = c.horizon AND k.kind = c.kind
            AND k.run_id = c.run_id
        WHERE c.symbol = r.symbol AND c.target = r.target AND c.origin_session = r.as_of AND c.run_id = r.id
            AND c.role = 'challenger' AND k.role IN ('champion', 'silenced') AND k.model = '{LSTM}'
            AND c.pinball IS NOT NULL AND k.pinball IS NOT NULL
    ) AS skill_gained,
    CASE WHEN r.mode IN ('scratch', 'warm') THEN r.seconds_train END AS seconds_cost,
    r.note, r.error, r.source, r.started_at, r.finished_at, r.id AS run_id
FROM runs r
"""

NIGHT_LOG = View(
    _SELECT_NIGHT_LOG,
    "One run, with its decision and what retraining gained and cost.",
    "runs",
    {
        "seconds_total": "Sum of the five steps' seconds; a step that has not ended counts 0.",
        "decision": "Reason of the promotion that the run decided; NULL without one.",
        "skill_gained": (
            "1 - challenger's / champion's mean pinball loss on the night's forecasts, the champion's also where a "
            "baseline was published: positive if the challenger was better. NULL until both are scored."
        ),
        "seconds_cost": "Seconds of the fit; NULL for a night without one.",
        "run_id": "The run, an id of `runs`.",
    },
)

_SECONDS = " ".join(f"WHEN '{step}' THEN n.seconds_{step}" for step in _TIMED)
_OF_STEP = "PARTITION BY t.symbol, t.target, t.step"


def _quantile(level: float) -> str:
    """Linear interpolation between the two nearest of n ordered values; SQLite has no percentile_cont."""
    distance = f"abs(o.place - 1 - {level} * (o.n - 1))"
    return f"sum(CASE WHEN {distance} < 1 THEN o.seconds * (1 - {distance}) ELSE 0 END) OVER w"


_SELECT_NIGHT_DURATIONS = f"""
WITH steps (step, step_order) AS (VALUES {", ".join(f"('{step}', {place})" for place, step in enumerate(_TIMED, 1))}),
timed AS (
    SELECT n.symbol, n.target, s.step, s.step_order, n.as_of, CASE s.step {_SECONDS} END AS seconds
    FROM (
        SELECT r.symbol, r.target, r.as_of, r.seconds_ingest, r.seconds_preprocess, r.seconds_train, r.seconds_predict,
            r.seconds_evaluate, {_TOTAL} AS seconds_total,
            row_number() OVER (PARTITION BY r.symbol, r.target ORDER BY r.as_of DESC, r.started_at DESC, r.id) AS place
        FROM runs r WHERE r.status = 'done'
    ) n CROSS JOIN steps s
    WHERE n.place <= {DURATION_NIGHTS}
),
ordered AS (
    SELECT t.*, count(*) OVER ({_OF_STEP}) AS n, row_number() OVER ({_OF_STEP} ORDER BY t.seconds, t.as_of) AS place
    FROM timed t WHERE t.seconds IS NOT NULL
),
summed AS (
    SELECT o.symbol, o.target, o.step, o.step_order, o.n, {_quantile(0.5)} AS median_seconds,
        {_quantile(0.95)} AS p95_seconds, max(o.seconds) OVER w AS max_seconds, min(o.as_of) OVER w AS first_night,
        max(o.as_of) OVER w AS last_night, o.place
    FROM ordered o WINDOW w AS (PARTITION BY o.symbol, o.target, o.step)
)
SELECT s.symbol, s.target, s.step, s.step_order, s.n, s.median_seconds, s.p95_seconds, s.max_seconds, s.first_night,
    s.last_night
FROM summed s
WHERE s.place = 1
"""

NIGHT_DURATIONS = View(
    _SELECT_NIGHT_DURATIONS,
    f"How long one step of a night takes, over the newest {DURATION_NIGHTS} finished nights of a symbol and target.",
    "runs",
    {
        "step": "`ingest`, `preprocess`, `train`, `predict`, `evaluate`, or `total`, their sum.",
        "step_order": "1 to 6: the order of the steps.",
        "n": "Nights with a duration of the step.",
        "median_seconds": "Median duration, seconds.",
        "p95_seconds": "95th percentile, seconds, interpolated between the two nearest nights.",
        "max_seconds": "Longest, seconds.",
        "first_night": "Oldest of these nights.",
        "last_night": "Newest of these nights.",
    },
)
