"""Views of forecasts: the newest, each beside its actual value, and each quantile in a row."""

# ruff: noqa: S608 - the SQL is built from this file's own constants

from forecasting.store.views.view import View
from forecasting.vocabulary import HORIZONS, QUANTILE_COLUMNS, QUANTILES

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


_SELECT_LATEST_FORECASTS = f"""
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

LATEST_FORECASTS = View(
    _SELECT_LATEST_FORECASTS,
    "The published forecast of one horizon at the newest origin; live before late before replay.",
    "forecasts",
    {},
)

_SELECT_FORECAST_VS_ACTUAL = f"""
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

FORECAST_VS_ACTUAL = View(
    _SELECT_FORECAST_VS_ACTUAL,
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
)

_SELECT_QUANTILE_FORECASTS = f"""
WITH levels (place, level) AS (VALUES {_LEVELS})
SELECT f.model_id, f.symbol AS location, f.target, f.origin_session AS origin_date, f.horizon,
    f.target_session AS target_end_date, 'quantile' AS output_type, l.level AS output_type_id,
    CASE l.place {_VALUE_OF_LEVEL} END AS value, f.symbol, f.kind, f.role, m.name AS model
FROM forecasts f JOIN models m ON m.id = f.model_id CROSS JOIN levels l
"""

QUANTILE_FORECASTS = View(
    _SELECT_QUANTILE_FORECASTS,
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
)
