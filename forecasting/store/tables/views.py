"""The six views that people query, as SQL for both databases. `migrate.upgrade` re-creates them each time.

Filters on symbol and target reach the tables' keys through every step: each window starts with both, and a symbol's
newest rows are searched from the newest backwards. SQLite passes a filter on through a window only when all windows of
the step have one PARTITION BY, and never through GROUP BY.
"""

# ruff: noqa: S608 - the SQL is built from this file's own constants

from typing import NamedTuple

import sqlalchemy as sa

from forecasting.vocabulary import HORIZONS, LSTM, PUBLISHED_LINE, QUANTILE_COLUMNS, QUANTILES

_HORIZONS = ", ".join(f"({horizon})" for horizon in HORIZONS)
_LEVELS = ", ".join(f"({place}, CAST({level} AS DOUBLE PRECISION))" for place, level in enumerate(QUANTILES))
_VALUE_OF_LEVEL = " ".join(f"WHEN {place} THEN f.{column}" for place, column in enumerate(QUANTILE_COLUMNS))
_QUANTILES = ", ".join(f"f.{column}" for column in QUANTILE_COLUMNS)
_LIVE_FIRST = "CASE f.kind WHEN 'live' THEN 0 WHEN 'late' THEN 1 ELSE 2 END"


def _score_of(stage: str, alias: str, pick: str) -> str:
    key = ("symbol", "target", "kind", "horizon", "origin_session", "model_id")
    same = " AND ".join(f"{{0}}.{column} = f.{column}" for column in key) + f" AND {{0}}.stage = '{stage}'"
    return f"""LEFT JOIN scores {alias} ON {same.format(alias)}
    AND {alias}.bar_version = (SELECT {pick}(o.bar_version) FROM scores o WHERE {same.format("o")})"""


BARS = """
SELECT symbol, session, open, high, low, close, volume, version, settled_at IS NOT NULL AS settled, first_seen_at
FROM bar_versions
WHERE superseded_at IS NULL
"""

LATEST_FORECASTS = f"""
WITH horizons (horizon) AS (VALUES {_HORIZONS}),
lines AS (SELECT DISTINCT symbol, target FROM runs),
newest AS (
    SELECT l.symbol, l.target, h.horizon, (
        SELECT f.origin_session FROM forecasts f
        WHERE f.symbol = l.symbol AND f.target = l.target AND f.horizon = h.horizon AND f.role = 'champion'
        ORDER BY f.origin_session DESC LIMIT 1
    ) AS origin_session
    FROM lines l CROSS JOIN horizons h
),
placed AS (
    SELECT n.symbol, n.target, n.horizon, n.origin_session, f.target_session, {_QUANTILES},
        f.last_value, f.kind, f.status, f.reason, f.model_id, f.issued_at, f.data_as_of, f.run_id,
        row_number() OVER (
            PARTITION BY n.symbol, n.target, n.horizon ORDER BY {_LIVE_FIRST}, f.issued_at DESC, f.model_id
        ) AS place
    FROM newest n JOIN forecasts f
        ON f.symbol = n.symbol AND f.target = n.target AND f.origin_session = n.origin_session AND f.horizon = n.horizon
    WHERE f.role = 'champion'
)
SELECT f.symbol, f.target, f.horizon, f.origin_session, f.target_session, {_QUANTILES},
    f.last_value, f.kind, f.status, f.reason, m.name AS model, f.model_id, f.issued_at, f.data_as_of, f.run_id
FROM placed f JOIN models m ON m.id = f.model_id
WHERE f.place = 1
"""

FORECAST_VS_ACTUAL = f"""
SELECT f.symbol, f.target, f.origin_session, f.horizon, f.target_session, f.kind, f.role, m.name AS model, {_QUANTILES},
    f.last_value, p.actual AS first_print_actual, p.error AS first_print_error, p.pinball AS first_print_pinball,
    s.actual AS settled_actual, s.error AS settled_error, s.pinball AS settled_pinball,
    COALESCE(s.actual, p.actual) AS actual, COALESCE(s.error, p.error) AS error,
    COALESCE(s.pinball, p.pinball) AS pinball, COALESCE(s.inside_80, p.inside_80) AS inside_80,
    COALESCE(s.inside_90, p.inside_90) AS inside_90, f.status, f.reason, f.issued_at, f.data_as_of, f.model_id, f.run_id
FROM forecasts f
JOIN models m ON m.id = f.model_id
{_score_of("first_print", "p", "MIN")}
{_score_of("settled", "s", "MAX")}
"""

# From sums that add_scores updates: windows over years of scores took SQLite 0.1 s a symbol, Postgres half a minute.
# Against a baseline without an error the skill is undefined (NULL): no forecast can be better than that baseline.
# Replays stay out once there are live nights: their skill is not a live one, and a query without a filter on kind
# would have both.
_WINDOW = ("symbol", "target", "kind", "horizon", "window_sessions")
_LINE = ", ".join(f"c.{name}" for name in _WINDOW)
_OF_LINE = f"PARTITION BY {_LINE}"
_SAME_WINDOW = " AND ".join(f"{{0}}.{name} = c.{name}" for name in _WINDOW)
LIVE_SKILL = f"""
WITH compared AS (
    SELECT {_LINE}, c.n, c.first_origin, c.last_origin, c.error / c.n AS mae, c.pinball / c.n AS pinball,
        CAST(c.inside_80 AS DOUBLE PRECISION) / c.n AS coverage_80,
        CAST(c.inside_90 AS DOUBLE PRECISION) / c.n AS coverage_90,
        b.line AS baseline, b.error / b.n AS baseline_mae, 1 - b.champion_error / NULLIF(b.error, 0) AS skill,
        1 - b.champion_pinball / NULLIF(b.pinball, 0) AS pinball_skill, w.n AS network_n,
        w.error / w.n AS network_mae, w.pinball / w.n AS network_pinball,
        1 - w.champion_error / NULLIF(w.error, 0) AS skill_vs_network,
        1 - w.champion_pinball / NULLIF(w.pinball, 0) AS pinball_skill_vs_network
    FROM standings c
    LEFT JOIN standings b ON {_SAME_WINDOW.format("b")} AND b.line NOT IN ('{PUBLISHED_LINE}', '{LSTM}')
        AND 10 * b.n >= 9 * c.n
    LEFT JOIN standings w ON {_SAME_WINDOW.format("w")} AND w.line = '{LSTM}' AND w.n > 0
    WHERE c.line = '{PUBLISHED_LINE}' AND (c.kind <> 'replay' OR NOT EXISTS (
        SELECT 1 FROM standings l WHERE l.symbol = c.symbol AND l.target = c.target AND l.kind = 'live'
    ))
),
ranked AS (
    SELECT c.*, min(c.pinball_skill) OVER ({_OF_LINE}) AS least_pinball_skill,
        row_number() OVER ({_OF_LINE} ORDER BY c.skill IS NOT NULL, c.skill, c.baseline) AS place
    FROM compared c
)
SELECT {_LINE}, c.n, c.first_origin, c.last_origin, c.mae, c.baseline AS best_baseline, c.baseline_mae, c.skill,
    c.pinball, c.least_pinball_skill AS pinball_skill, c.coverage_80, c.coverage_90, c.network_n, c.network_mae,
    c.network_pinball, c.skill_vs_network, c.pinball_skill_vs_network
FROM ranked c
WHERE c.place = 1
"""

QUANTILE_FORECASTS = f"""
WITH levels (place, level) AS (VALUES {_LEVELS})
SELECT f.model_id, f.symbol AS location, f.target, f.origin_session AS origin_date, f.horizon,
    f.target_session AS target_end_date, 'quantile' AS output_type, l.level AS output_type_id,
    CASE l.place {_VALUE_OF_LEVEL} END AS value, f.symbol, f.kind, f.role, m.name AS model
FROM forecasts f JOIN models m ON m.id = f.model_id CROSS JOIN levels l
"""

# What retraining gained: the skill of the night's challenger against the champion's own forecast of the same origin,
# published or silenced, once both are scored.
NIGHT_LOG = f"""
SELECT r.as_of, r.symbol, r.target, r.trigger, r.status, r.mode, r.mode_reason, r.seconds_ingest, r.seconds_preprocess,
    r.seconds_train, r.seconds_predict, r.seconds_evaluate,
    COALESCE(r.seconds_ingest, 0) + COALESCE(r.seconds_preprocess, 0) + COALESCE(r.seconds_train, 0)
        + COALESCE(r.seconds_predict, 0) + COALESCE(r.seconds_evaluate, 0) AS seconds_total,
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

VIEWS = {
    "bars": BARS,
    "latest_forecasts": LATEST_FORECASTS,
    "forecast_vs_actual": FORECAST_VS_ACTUAL,
    "live_skill": LIVE_SKILL,
    "quantile_forecasts": QUANTILE_FORECASTS,
    "night_log": NIGHT_LOG,
}
"""Name and SELECT, each after those it reads."""


class Meaning(NamedTuple):
    """What a row of a view is, the table whose texts its columns take, and the texts of all others."""

    row: str
    table: str
    columns: dict[str, str]


_NIGHTS = "the nights of the window with a score of both"
_BASELINE = "the best baseline, against which skill is lowest, of those with scores of at least 9 in 10 of the nights"

MEANINGS = {
    "bars": Meaning(
        "The current version of one session's bar.",
        "bar_versions",
        {"settled": "Whether the fetch of a later night has confirmed it.", "version": "1, or more once restated."},
    ),
    "latest_forecasts": Meaning(
        "The published forecast of one horizon at the newest origin; live before late before replay.",
        "forecasts",
        {},
    ),
    "forecast_vs_actual": Meaning(
        "One forecast, of any role and kind, with its scores; NULL while its session has no score.",
        "forecasts",
        {
            **{
                f"{stage}_{name}": f"{what} against the {text}; NULL without that score."
                for stage, text in (("first_print", "first stored bar"), ("settled", "newest settled bar"))
                for name, what in (
                    ("actual", "Actual value, in the target's unit,"),
                    ("error", "q50 - actual, in the target's unit, positive when too high,"),
                    ("pinball", "Mean pinball loss, in the target's unit,"),
                )
            },
            "actual": "settled_actual, or first_print_actual while not settled.",
            "error": "settled_error, or first_print_error while not settled; positive when the forecast was too high.",
            "pinball": "settled_pinball, or first_print_pinball while not settled.",
            "inside_80": "Whether that actual value is inside the 80 % interval, q10 to q90.",
            "inside_90": "Whether it is inside the 90 % interval, q05 to q95.",
        },
    ),
    "live_skill": Meaning(
        "The published forecasts of one horizon against the best baseline over the newest 20, 60 or 250 nights. Each "
        "kind has rows of its own; those of replays are left out where the symbol and target have a live score.",
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
            "pinball_skill": "The same in pinball loss, against the baseline where it is lowest.",
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
    ),
    "quantile_forecasts": Meaning(
        "One quantile of one forecast, in hubverse's long form.",
        "forecasts",
        {
            "location": "The symbol, under hubverse's name.",
            "origin_date": "The origin session, under hubverse's name.",
            "target_end_date": "The target session, under hubverse's name.",
            "output_type": "`quantile`.",
            "output_type_id": "Level of the quantile: 0.05 to 0.95.",
            "value": "The quantile, in the target's unit.",
        },
    ),
    "night_log": Meaning(
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
    ),
}
"""The meaning of each view, for docs/tables.md."""


def drop(connection: sa.Connection) -> list[str]:
    """The GRANT statements that people had issued on the views, for `create`; the views are dropped."""
    grants: list[str] = []
    if connection.dialect.name == "postgresql":
        grants = list(connection.scalars(_GRANTS, {"views": list(VIEWS)}))
    for name in reversed(VIEWS):
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")
    return grants


def create(connection: sa.Connection, grants: list[str]) -> None:
    """Create the views, and repeat the grants on them."""
    for name, select in VIEWS.items():
        connection.exec_driver_sql(f"CREATE VIEW {name} AS {select}")
    for grant in grants:
        connection.exec_driver_sql(grant)


_GRANTS = sa.text(
    "SELECT format('GRANT %s ON %I TO %s', privilege_type, table_name, "
    "CASE grantee WHEN 'PUBLIC' THEN 'PUBLIC' ELSE quote_ident(grantee) END) FROM information_schema.role_table_grants "
    "WHERE table_schema = current_schema() AND table_name = ANY(:views) AND grantee <> grantor"
)
