"""The views that people query, as SQL for both databases. `migrate.upgrade` creates them, again where one has changed.

Filters on symbol and target reach the tables' keys through every step: each window starts with both, and a symbol's
newest rows are searched from the newest backwards. SQLite passes a filter on through a window only when all windows of
the step have one PARTITION BY, and never through GROUP BY or a UNION ALL; neither database passes it into a common
table expression that is used twice.
"""

# ruff: noqa: S608 - the SQL is built from this file's own constants

from typing import NamedTuple

from forecasting.evaluate.scores import MEAN_SESSIONS, RATIOS, nearest_level
from forecasting.ingest.earnings import WITHDRAWN
from forecasting.losses import EXACT
from forecasting.store.schema import metadata
from forecasting.vocabulary import CHALLENGER, CHAMPION, HORIZONS, LSTM, PUBLISHED_LINE, QUANTILE_COLUMNS, QUANTILES


class View(NamedTuple):
    """The SQL of a view and its texts for docs/tables.md.

    Attributes:
        select: The SELECT, the same text on SQLite and Postgres.
        row: What a row is.
        table: The table whose texts the columns take that have none of their own.
        columns: The texts of all other columns.
    """

    select: str
    row: str
    table: str
    columns: dict[str, str]


WINDOWS = (20, 60, 250)
"""Newest nights with a score of what was published that standings and costs are summed over."""

_WINDOWS = f"windows (window_sessions) AS (VALUES {', '.join(f'({window})' for window in WINDOWS)})"
_FORECAST = ("symbol", "target", "kind", "horizon", "origin_session", "model_id")
_SLOT = ("symbol", "target", "kind", "horizon", "origin_session")
_QUANTILES = ", ".join(f"f.{column}" for column in QUANTILE_COLUMNS)
_LIVE_FIRST = "CASE f.kind WHEN 'live' THEN 0 WHEN 'late' THEN 1 ELSE 2 END"
_FORECASTER_TEXT = "`published` (whichever model made it), `lstm` (the champion's own, published or not) or a baseline."


def _names(alias: str, names: tuple[str, ...]) -> str:
    return ", ".join(f"{alias}.{name}" for name in names)


def _same(alias: str, other: str, names: tuple[str, ...]) -> str:
    """That two rows have the same values of these columns."""
    return " AND ".join(f"{alias}.{name} = {other}.{name}" for name in names)


def _skill(loss: str, other: str) -> str:
    """1 - loss / other, NULL where the other is that of an exact forecast, as in `scores.skill`."""
    return f"1 - {loss} / CASE WHEN {other} > {EXACT} * {loss} THEN {other} END"


def _score_of(stage: str, alias: str, pick: str) -> str:
    same = f"{_same('{0}', 'f', _FORECAST)} AND {{0}}.stage = '{stage}'"
    return f"""LEFT JOIN scores {alias} ON {same.format(alias)}
    AND {alias}.bar_version = (SELECT {pick}(o.bar_version) FROM scores o WHERE {same.format("o")})"""


BARS = View(
    """
SELECT symbol, session, open, high, low, close, volume, version, settled_at IS NOT NULL AS settled, first_seen_at
FROM bar_versions
WHERE superseded_at IS NULL
""",
    "The current version of one session's bar.",
    "bar_versions",
    {"settled": "Whether the fetch of a later night has confirmed it.", "version": "1, or more once restated."},
)

PARTS = ("calendar", "report", "quarter", "market", "recent", "network", "trees", "combination", "baseline")
"""Parts of a median beside its usual level, in the order of `why`; one that does nothing to two digits is left out."""

_OF_PART = "SELECT CAST(ROUND(100 * p.factor) AS INTEGER) AS hundredths, p.part FROM forecast_parts p"
_WHY = f"""(
        SELECT SUBSTR({" || ".join(f"max(CASE t.part WHEN '{part}' THEN t.text ELSE '' END)" for part in PARTS)}, 3)
        FROM (
            SELECT o.part, CASE o.hundredths WHEN 100 THEN '' ELSE ', ' || o.part || ' x' || (o.hundredths / 100)
                || '.' || SUBSTR(CAST(100 + o.hundredths - 100 * (o.hundredths / 100) AS TEXT), 2) END AS text
            FROM ({_OF_PART} WHERE {_same("p", "f", _FORECAST)}) o
        ) t
    )"""
_USUAL = f"""CASE f.target WHEN 'close' THEN f.last_value ELSE (
        SELECT p.factor FROM forecast_parts p WHERE {_same("p", "f", _FORECAST)} AND p.part = 'usual'
    ) END"""
_EVENT_TEXT = """CASE {0}.timing WHEN 'bmo' THEN {0}.kind || ' before the open'
            WHEN 'amc' THEN {0}.kind || ' after the close before' ELSE {0}.kind END"""


def _is_last(alias: str, later: str) -> str:
    """That an event is valid: the last row of its session and kind, and no withdrawal."""
    return f"""{alias}.known_rule <> '{WITHDRAWN}' AND NOT EXISTS (
            SELECT 1 FROM events {later} WHERE {_same(later, alias, ("symbol", "session", "kind"))}
                AND {later}.first_seen_at > {alias}.first_seen_at
        )"""


# As in view special_days, which joined would be read whole: of an announcement that moved the session seen last.
_EVENT = f"""(
        SELECT max({_EVENT_TEXT.format("e")}) FROM events e
        WHERE e.symbol = f.symbol AND e.session = f.target_session AND {_is_last("e", "n")} AND NOT EXISTS (
            SELECT 1 FROM events m WHERE {_same("m", "e", ("symbol", "announced", "kind"))}
                AND m.first_seen_at > e.first_seen_at AND {_is_last("m", "k")}
        )
    )"""

# The fence, a window, keeps Postgres from looking for the newest origin again for every forecast: 2 s for 100 symbols.
LATEST_FORECASTS = View(
    f"""
WITH horizons (horizon) AS (VALUES {", ".join(f"({horizon})" for horizon in HORIZONS)}),
lines AS (SELECT DISTINCT symbol, target FROM runs),
newest AS (
    SELECT l.symbol, l.target, h.horizon, (
        SELECT f.origin_session FROM forecasts f
        WHERE f.symbol = l.symbol AND f.target = l.target AND f.horizon = h.horizon AND f.role = 'champion'
        ORDER BY f.origin_session DESC LIMIT 1
    ) AS origin_session, count(*) OVER (PARTITION BY l.symbol, l.target, h.horizon) AS fence
    FROM lines l CROSS JOIN horizons h
),
placed AS (
    SELECT n.symbol, n.target, n.horizon, n.origin_session, f.target_session, {_QUANTILES},
        f.last_value, f.kind, f.status, f.reason, f.model_id, f.issued_at, f.data_as_of, f.run_id, f.calendar,
        row_number() OVER (
            PARTITION BY n.symbol, n.target, n.horizon ORDER BY {_LIVE_FIRST}, f.issued_at DESC, f.model_id
        ) AS place
    FROM newest n JOIN forecasts f
        ON f.symbol = n.symbol AND f.target = n.target AND f.origin_session = n.origin_session AND f.horizon = n.horizon
    WHERE f.role = 'champion'
)
SELECT f.symbol, f.target, f.horizon, f.origin_session, f.target_session, {_QUANTILES},
    f.last_value, f.kind, f.status, f.reason, f.model, f.model_id, f.issued_at, f.data_as_of, f.run_id, f.usual,
    f.q50 / NULLIF(f.usual, 0) - 1 AS vs_usual, CASE
        WHEN f.event IS NULL THEN f.calendar WHEN f.calendar = '' THEN f.event ELSE f.calendar || ', ' || f.event
    END AS special_day, f.why
FROM (
    SELECT f.*, m.name AS model, {_USUAL} AS usual, {_EVENT} AS event, {_WHY} AS why
    FROM placed f JOIN models m ON m.id = f.model_id
    WHERE f.place = 1
) f
""",
    "The published forecast of one horizon at the newest origin; live before late before replay.",
    "forecasts",
    {
        "usual": "Median of the 20 sessions up to the origin, of close the last value; NULL before 0.3.",
        "vs_usual": "q50 / usual - 1: 0.9 is 90 % above usual.",
        "special_day": "What is special about the target session: calendar and earnings, as in special_days.",
        "why": "Parts of q50 / usual, of close of the interval's width, from forecast_parts: `report x1.90`; NULL "
        "before 0.3.",
    },
)

FORECAST_VS_ACTUAL = View(
    f"""
SELECT f.symbol, f.target, f.origin_session, f.horizon, f.target_session, f.kind, f.role, m.name AS model, {_QUANTILES},
    f.last_value, p.actual AS first_print_actual, p.error AS first_print_error, p.pinball AS first_print_pinball,
    s.actual AS settled_actual, s.error AS settled_error, s.pinball AS settled_pinball,
    COALESCE(s.actual, p.actual) AS actual, COALESCE(s.error, p.error) AS error,
    COALESCE(s.pinball, p.pinball) AS pinball, COALESCE(s.inside_80, p.inside_80) AS inside_80,
    COALESCE(s.inside_90, p.inside_90) AS inside_90, f.status, f.reason, f.issued_at, f.data_as_of, f.model_id,
    f.run_id, f.calendar
FROM forecasts f
JOIN models m ON m.id = f.model_id
{_score_of("first_print", "p", "MIN")}
{_score_of("settled", "s", "MAX")}
""",
    "One forecast, of any role and kind, with its scores; NULL while its session has no score.",
    "forecasts",
    {
        "first_print_actual": "Actual value of the first stored bar.",
        "first_print_error": "q50 - first_print_actual: positive when too high.",
        "first_print_pinball": "Mean pinball loss against it.",
        "settled_actual": "Actual value of the newest settled bar.",
        "settled_error": "q50 - settled_actual: positive when too high.",
        "settled_pinball": "Mean pinball loss against it.",
        "actual": "settled_actual, or first_print_actual while not settled.",
        "error": "q50 - actual: positive when the forecast was too high.",
        "pinball": "Mean pinball loss against actual.",
        "inside_80": "Whether actual is inside the 80 % interval, q10 to q90.",
        "inside_90": "Whether it is inside the 90 % interval, q05 to q95.",
    },
)

FORECAST_REVISIONS = View(
    f"""
SELECT f.symbol, f.target, f.target_session, f.horizon, f.origin_session, f.kind, f.q10, f.q50, f.q90,
    f.q50 / NULLIF(LAG(f.q50) OVER (
        PARTITION BY f.symbol, f.target, f.target_session ORDER BY f.horizon DESC
    ), 0) - 1 AS revision, f.actual, f.error, f.inside_80, f.model, f.status, f.calendar, f.issued_at
FROM (
    SELECT f.*, row_number() OVER (
        PARTITION BY f.symbol, f.target, f.target_session, f.horizon
        ORDER BY {_LIVE_FIRST}, f.issued_at DESC, f.model_id
    ) AS place
    FROM forecast_vs_actual f WHERE f.role = '{CHAMPION}'
) f
WHERE f.place = 1
""",
    "One published forecast of a target session, from five sessions ahead to one, with its change and its error. A "
    "revision across a split compares two share bases.",
    "forecasts",
    {
        "revision": "q50 / q50 of the session before - 1; NULL for the first forecast of the target session.",
        "actual": "Actual value, settled where it is; NULL without one.",
        "error": "q50 - actual: positive when the forecast was too high.",
        "inside_80": "Whether actual is inside the 80 % interval, q10 to q90.",
    },
)

# The newest forecast of a slot counts, by its settled score where there is one. A published forecast counts twice: as
# published, and as its forecaster's own.
_FORECASTER = "CASE l.line WHEN 'published' THEN 'published' ELSE s.model END"
COUNTED_SCORES = View(
    f"""
SELECT {_names("c", _SLOT)}, c.forecaster, c.target_session, c.model_id, c.stage, c.bar_version, c.actual, c.error,
    c.pinball, c.inside_80, c.inside_90
FROM (
    SELECT s.*, {_FORECASTER} AS forecaster, row_number() OVER (
        PARTITION BY {_names("s", _SLOT)}, {_FORECASTER}
        ORDER BY s.issued_at DESC, s.model_id, s.stage DESC, s.bar_version DESC
    ) AS place
    FROM scores s CROSS JOIN (SELECT 'published' AS line UNION ALL SELECT 'own') l
    WHERE s.role = '{CHAMPION}' OR l.line = 'own' AND s.role <> '{CHALLENGER}'
) c
WHERE c.place = 1
""",
    "The score that counts of one forecaster at one origin, horizon and kind: of its newest forecast, the settled one "
    "before the first print. Challengers are left out.",
    "scores",
    {"forecaster": _FORECASTER_TEXT},
)

# From sums that write.add_scores makes: windows over years of scores took SQLite 0.1 s a symbol, Postgres half a
# minute. Against a baseline without an error the skill is undefined (NULL): no forecast can be better. Replays stay out
# once there are live nights: their skill is not a live one, and a query without a filter on kind would have both.
_WINDOW = ("symbol", "target", "kind", "horizon", "window_sessions")
_LINE = _names("c", _WINDOW)
_PUBLISHED = f"""c.line = '{PUBLISHED_LINE}' AND (c.kind <> 'replay' OR NOT EXISTS (
    SELECT 1 FROM standings l WHERE l.symbol = c.symbol AND l.target = c.target AND l.kind = 'live'
))"""

LIVE_SKILL = View(
    f"""
WITH compared AS (
    SELECT {_LINE}, c.n, c.first_origin, c.last_origin, c.error / c.n AS mae, c.pinball / c.n AS pinball,
        CAST(c.inside_80 AS DOUBLE PRECISION) / c.n AS coverage_80,
        CAST(c.inside_90 AS DOUBLE PRECISION) / c.n AS coverage_90,
        b.line AS baseline, b.error / b.n AS baseline_mae, {_skill("b.champion_error", "b.error")} AS skill,
        {_skill("b.champion_pinball", "b.pinball")} AS pinball_skill, w.n AS network_n,
        w.error / w.n AS network_mae, w.pinball / w.n AS network_pinball,
        {_skill("w.champion_error", "w.error")} AS skill_vs_network,
        {_skill("w.champion_pinball", "w.pinball")} AS pinball_skill_vs_network
    FROM standings c
    LEFT JOIN standings b ON {_same("b", "c", _WINDOW)} AND b.line NOT IN ('{PUBLISHED_LINE}', '{LSTM}')
        AND 10 * b.n >= 9 * c.n
    LEFT JOIN standings w ON {_same("w", "c", _WINDOW)} AND w.line = '{LSTM}' AND w.n > 0
    WHERE {_PUBLISHED}
),
ranked AS (
    SELECT c.*, NULLIF(min(coalesce(c.pinball_skill, -9e99)) OVER (PARTITION BY {_LINE}), -9e99) AS least_pinball_skill,
        row_number() OVER (PARTITION BY {_LINE} ORDER BY c.skill IS NOT NULL, c.skill, c.baseline) AS place
    FROM compared c
)
SELECT {_LINE}, c.n, c.first_origin, c.last_origin, c.mae, c.baseline AS best_baseline, c.baseline_mae, c.skill,
    c.pinball, c.least_pinball_skill AS pinball_skill, c.coverage_80, c.coverage_90, c.network_n, c.network_mae,
    c.network_pinball, c.skill_vs_network, c.pinball_skill_vs_network
FROM ranked c
WHERE c.place = 1
""",
    "The published forecasts of one horizon against the best baseline over the newest 20, 60 or 250 nights with a "
    "score. Kinds are apart; replays are left out beside live nights. Losses are on the share basis of their nights.",
    "standings",
    {
        "n": "Nights of the window with a score of what was published.",
        "mae": "Mean absolute error of the published forecasts, in the target's unit.",
        "best_baseline": "Baseline with scores of 9 in 10 of the nights, where skill is lowest; NULL without one.",
        "baseline_mae": "Mean absolute error of its own forecasts on the nights that both have.",
        "skill": "1 - mae / baseline_mae on these nights: positive is better than the baseline.",
        "pinball": "Mean pinball loss of the published forecasts, in the target's unit.",
        "pinball_skill": "As skill, in pinball loss, against the baseline where that is lowest.",
        "coverage_80": "Share of actual values inside the 80 % interval; 0.8 is exact.",
        "coverage_90": "Share inside the 90 % interval; 0.9 is exact.",
        "network_n": "Nights with a score of the network's own forecast too.",
        "network_mae": "Mean absolute error of the network's own forecasts, published or not; NULL without one.",
        "network_pinball": "Mean pinball loss of the same forecasts.",
        "skill_vs_network": "1 - mae / network_mae: positive where baselines in its place were better.",
        "pinball_skill_vs_network": "The same in pinball loss.",
    },
)


# The formula is in evaluate/scores.py. Dollars at the origin, and the mean, come from the bars as stored when
# the forecast's own were fetched (`data_as_of`): what is compared with has seen no later bar either, and no split in
# between has another share basis. POWER(x, 2), because both databases would compute each x of x * x by itself.
def _newest_dollars(columns: str, sessions: int) -> str:
    """A subquery: `columns` of the newest sessions up to the origin with a dollar volume, as stored at the fetch."""
    return f"""(
            SELECT {columns} FROM bar_versions b
            WHERE b.symbol = f.symbol AND b.session <= f.origin_session AND b.first_seen_at <= f.data_as_of
                AND (b.superseded_at IS NULL OR b.superseded_at > f.data_as_of) AND b.volume > 0 AND b.close > 0
            ORDER BY b.session DESC LIMIT {sessions}
        )"""


LIVE_R2 = View(
    f"""
SELECT {_LINE}, c.n, c.first_origin, c.last_origin, c.r2
FROM (
    SELECT c.*, 1 - SUM(POWER(e.error, 2)) OVER w / NULLIF(SUM(POWER(e.mean_error, 2)) OVER w, 0) AS r2,
        row_number() OVER w AS place
    FROM standings c JOIN (
        SELECT {_names("s", _SLOT)}, ln(f.q50) + ln({_newest_dollars("b.close", 1)}) - ln(a.volume * a.close) AS error,
            (SELECT AVG(ln(d.volume * d.close)) FROM {_newest_dollars("b.volume, b.close", MEAN_SESSIONS)} d)
                - ln(a.volume * a.close) AS mean_error
        FROM counted_scores s JOIN forecasts f ON {_same("f", "s", _FORECAST)}
        JOIN bar_versions a ON a.symbol = s.symbol AND a.session = s.target_session AND a.version = s.bar_version
            AND a.volume > 0 AND a.close > 0
        WHERE s.forecaster = 'published'
    ) e ON {_same("e", "c", _SLOT[:-1])} AND e.origin_session BETWEEN c.first_origin AND c.last_origin
    WHERE c.target = 'volume' AND c.n > 0 AND {_PUBLISHED}
    WINDOW w AS (PARTITION BY {_LINE})
) c
WHERE c.place = 1
""",
    "R² of log dollar volume of one horizon over the newest 20, 60 or 250 nights, target volume only: the published "
    "forecasts (q50 times the close of the origin) against the mean of five sessions (Goyenko et al. 2024). Rows as in "
    "live_skill. SQLite needs its mathematical functions (`SELECT ln(2)`).",
    "standings",
    {
        "n": "Nights of the window with a score of what was published.",
        "r2": "1 - sum of squared errors / that of the mean: 1 is exact, 0 as good as the mean; NULL if that is exact.",
    },
)

_PAIR = "a.symbol, a.target, a.kind, a.horizon, a.forecaster, b.forecaster"
_OF_PAIR = f"OVER (PARTITION BY {_PAIR})"

MODEL_COMPARISON = View(
    f"""
SELECT p.symbol, p.target, p.kind, p.horizon, p.forecaster, p.rival, p.n, p.first_origin, p.last_origin, p.mae,
    p.rival_mae, {_skill("p.mae", "p.rival_mae")} AS skill, p.pinball, p.rival_pinball,
    {_skill("p.pinball", "p.rival_pinball")} AS pinball_skill, p.better
FROM (
    SELECT a.symbol, a.target, a.kind, a.horizon, a.forecaster, b.forecaster AS rival, count(*) {_OF_PAIR} AS n,
        min(a.origin_session) {_OF_PAIR} AS first_origin, max(a.origin_session) {_OF_PAIR} AS last_origin,
        avg(abs(a.error)) {_OF_PAIR} AS mae, avg(abs(b.error)) {_OF_PAIR} AS rival_mae,
        avg(a.pinball) {_OF_PAIR} AS pinball, avg(b.pinball) {_OF_PAIR} AS rival_pinball,
        sum(CASE WHEN a.pinball < b.pinball THEN 1 ELSE 0 END) {_OF_PAIR} AS better,
        row_number() OVER (PARTITION BY {_PAIR} ORDER BY a.origin_session) AS place
    FROM counted_scores a JOIN counted_scores b ON {_same("b", "a", _SLOT)} AND b.forecaster <> a.forecaster
) p
WHERE p.place = 1
""",
    "One forecaster against one other over all origins of which both have a score, for one kind and horizon; a row in "
    "each order. Across a split, losses on both share bases are averaged; pages bring them to one.",
    "scores",
    {
        "forecaster": _FORECASTER_TEXT,
        "rival": "The other forecaster, in the same words.",
        "n": "Origins with a score of both.",
        "first_origin": "Oldest of them.",
        "last_origin": "Newest of them.",
        "mae": "Mean absolute error of the forecaster on them, in the target's unit.",
        "rival_mae": "The same of the rival.",
        "skill": "1 - mae / rival_mae: positive where the forecaster is better; NULL for a rival without an error.",
        "pinball": "Mean pinball loss of the forecaster on them, in the target's unit.",
        "rival_pinball": "The same of the rival.",
        "pinball_skill": "As skill, in pinball loss.",
        "better": "Number of them on which the forecaster's pinball loss was the smaller.",
    },
)

# The formula is in evaluate/scores.py; its ratios are those whose level is issued.
_LEVEL_OF = {ratio: QUANTILE_COLUMNS[QUANTILES.index(nearest_level(ratio))] for ratio in RATIOS}
_NEEDED = ("actual", *dict.fromkeys(("q50", *_LEVEL_OF.values())))
_COST_LINE = _names("c", _SLOT[:-1])
_OF_ROW = f"PARTITION BY {_COST_LINE}, w.window_sessions, r.cost_ratio, c.forecaster"


def _cost(whose: str, column: str) -> str:
    over = f"{whose}{column} - {whose}actual"
    return f"CASE WHEN {over} > 0 THEN r.cost_ratio * ({over}) ELSE -({over}) END"


def _cost_of_level(whose: str) -> str:
    each = " ".join(f"WHEN {ratio} THEN {_cost(whose, column)}" for ratio, column in _LEVEL_OF.items())
    return f"CASE r.cost_ratio {each} END"


# What was published is put beside each row by a window: SQLite has no statistics of a ledger, and searched a joined
# subquery of it row by row, 5 s of CPU for a symbol's year of nights.
_PUBLISHED_VALUES = ", ".join(
    f"max(CASE c.forecaster WHEN 'published' THEN c.{name} END) OVER w AS published_{name}" for name in _NEEDED
)

COSTS = View(
    f"""
WITH {_WINDOWS},
ratios (cost_ratio, level) AS (
    VALUES {", ".join(f"({ratio}, CAST({nearest_level(ratio)} AS DOUBLE PRECISION))" for ratio in RATIOS)}
)
SELECT p.symbol, p.target, p.kind, p.horizon, p.window_sessions, p.cost_ratio, p.level, p.forecaster, p.n,
    p.first_origin, p.last_origin, p.cost, p.median_cost, {_skill("p.cost", "p.median_cost")} AS saving,
    p.published_cost, {_skill("p.published_cost", "p.cost")} AS published_saving
FROM (
    SELECT {_COST_LINE}, w.window_sessions, r.cost_ratio, r.level, c.forecaster, count(*) OVER ({_OF_ROW}) AS n,
        min(c.origin_session) OVER ({_OF_ROW}) AS first_origin, max(c.origin_session) OVER ({_OF_ROW}) AS last_origin,
        avg({_cost_of_level("c.")}) OVER ({_OF_ROW}) AS cost, avg({_cost("c.", "q50")}) OVER ({_OF_ROW}) AS median_cost,
        avg({_cost_of_level("c.published_")}) OVER ({_OF_ROW}) AS published_cost,
        row_number() OVER ({_OF_ROW} ORDER BY c.origin_session) AS place
    FROM (
        SELECT b.*, dense_rank() OVER (
            PARTITION BY b.symbol, b.target, b.kind, b.horizon ORDER BY b.origin_session DESC
        ) AS night
        FROM (
            SELECT c.*, {_PUBLISHED_VALUES}
            FROM (
                SELECT {_names("s", _SLOT)}, s.forecaster, s.actual, {_names("f", _NEEDED[1:])}
                FROM counted_scores s JOIN forecasts f ON {_same("f", "s", _FORECAST)}
            ) c
            WINDOW w AS (PARTITION BY {_names("c", _SLOT)})
        ) b
        WHERE b.published_actual IS NOT NULL
    ) c JOIN windows w ON c.night <= w.window_sessions CROSS JOIN ratios r
) p
WHERE p.place = 1
""",
    "What the forecasts of one forecaster and horizon would have cost over the newest 20, 60 or 250 nights, where an "
    "overestimate costs `cost_ratio` times as much per unit as an underestimate, which costs 1. In a window across a "
    "split, costs on both share bases are averaged; pages bring them to one.",
    "scores",
    {
        "window_sessions": "Newest 20, 60 or 250 nights with a score of what was published.",
        "cost_ratio": "Cost of an overestimate per unit over that of an underestimate: 1, 3, 9 or 19.",
        "level": "Level of the quantile with the least expected cost, 1 / (1 + cost_ratio).",
        "forecaster": _FORECASTER_TEXT,
        "n": "Nights of the window with a score of it and of what was published.",
        "first_origin": "Oldest of them.",
        "last_origin": "Newest of them.",
        "cost": "Mean cost of the forecaster's quantile of that level.",
        "median_cost": "Mean cost of its median.",
        "saving": "1 - cost / median_cost: positive where the quantile was cheaper; NULL for medians without a cost.",
        "published_cost": "Mean cost of the published quantile of that level on the same nights.",
        "published_saving": "1 - published_cost / cost: positive where it was cheaper; NULL without a cost.",
    },
)

QUANTILE_FORECASTS = View(
    f"""
WITH levels (place, level) AS (
    VALUES {", ".join(f"({place}, CAST({level} AS DOUBLE PRECISION))" for place, level in enumerate(QUANTILES))}
)
SELECT f.model_id, f.symbol AS location, f.target, f.origin_session AS origin_date, f.horizon,
    f.target_session AS target_end_date, 'quantile' AS output_type, l.level AS output_type_id,
    CASE l.place {" ".join(f"WHEN {place} THEN f.{name}" for place, name in enumerate(QUANTILE_COLUMNS))} END AS value,
    f.symbol, f.kind, f.role, m.name AS model
FROM forecasts f JOIN models m ON m.id = f.model_id CROSS JOIN levels l
""",
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

# The newest session counts before the newest decision, as in read.champion: a span replayed today changes its own days.
CHAMPIONS = View(
    """
WITH decided AS (
    SELECT p.*, LAG(p.winner) OVER (
        PARTITION BY p.symbol, p.target ORDER BY p.session, p.decided_at, p.id
    ) AS before
    FROM promotions p
),
changed AS (
    SELECT d.*, LEAD(d.session) OVER (
        PARTITION BY d.symbol, d.target ORDER BY d.session, d.decided_at, d.id
    ) AS to_session
    FROM decided d
    WHERE d.before IS NULL OR d.before <> d.winner
)
SELECT c.symbol, c.target, c.session AS from_session, c.to_session, c.winner AS model_id, m.name AS model, m.method,
    c.before AS replaced, c.reason AS why, c.challenger_pinball, c.champion_pinball, c.origins, c.trigger, c.decided_at,
    m.trained_to, m.chain_epochs, c.run_id
FROM changed c JOIN models m ON m.id = c.winner
""",
    "One model's time as champion: one row each time the champion changed.",
    "promotions",
    {
        "from_session": "Session of the decision; forecasts of later origins use the model.",
        "to_session": "Session of the decision that replaced it, usually the last origin it forecast; NULL: champion.",
        "model_id": "The champion, an id of `models`.",
        "model": "Its name: `lstm`.",
        "method": "How it was fitted: `scratch` or `warm`.",
        "replaced": "Champion before, an id of `models`; NULL for the first.",
        "why": "The decision's reason, as text.",
        "trained_to": "Last session whose value its weights have used.",
        "chain_epochs": "Training epochs since its last fit from scratch, its own included.",
    },
)

# As in read.events: the newest row of a session and kind counts unless it withdraws the event; of an announcement that
# is valid under several sessions only the one first seen last.
SPECIAL_DAYS = View(
    f"""
WITH newest AS (
    SELECT e.*, row_number() OVER (
        PARTITION BY e.symbol, e.session, e.kind ORDER BY e.first_seen_at DESC
    ) AS place
    FROM events e
),
valid AS (
    SELECT n.*, row_number() OVER (
        PARTITION BY n.symbol, n.announced, n.kind ORDER BY n.first_seen_at DESC, n.session DESC
    ) AS newest_place
    FROM newest n
    WHERE n.place = 1 AND n.known_rule <> '{WITHDRAWN}'
),
days AS (
    SELECT DISTINCT f.symbol, f.target_session AS session, f.calendar AS day, 'calendar' AS kind
    FROM forecasts f
    WHERE f.role = '{CHAMPION}' AND f.calendar <> ''
    UNION ALL
    SELECT v.symbol, v.session, {_EVENT_TEXT.format("v")} AS day, v.kind
    FROM valid v
    WHERE v.newest_place = 1
)
SELECT d.symbol, d.session, d.kind, d.day, d.session > COALESCE(
    (SELECT max(b.session) FROM bar_versions b WHERE b.symbol = d.symbol), d.session
) AS ahead
FROM days d
""",
    "One special session of a symbol: earnings, past and announced, or a special day of the exchange's calendar among "
    "the sessions that were forecast.",
    "events",
    {
        "session": "The session; of earnings the one that reacts.",
        "kind": "`calendar`, or the kind of the event: `earnings`.",
        "day": "What is special, in words: `triple witching`; `earnings after the close before`.",
        "ahead": "Whether it is later than the newest stored bar of the symbol.",
    },
)

DURATION_NIGHTS = 60
"""Nights that `night_durations` covers: about three months."""

_STEPS = ("ingest", "preprocess", "train", "predict", "evaluate")
_TIMED = (*_STEPS, "total")
# 0.0: of a night without a step, SQLite would make a whole number of 0.
_TOTAL = " + ".join(f"COALESCE(r.seconds_{step}, 0.0)" for step in _STEPS)

# What retraining gained: the skill of the night's challenger against the champion's own forecast of the same origin,
# published or silenced, once both are scored.
NIGHT_LOG = View(
    f"""
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
""",
    "One run, with its decision and what retraining gained and cost.",
    "runs",
    {
        "seconds_total": "Sum of the five steps' seconds; a step that has not ended counts 0.",
        "decision": "Reason of the promotion that the run decided; NULL without one.",
        "skill_gained": "1 - challenger's / champion's own pinball loss on the night's forecasts; NULL until scored.",
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


NIGHT_DURATIONS = View(
    f"""
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
""",
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

VIEWS = {
    "bars": BARS,
    "latest_forecasts": LATEST_FORECASTS,
    "forecast_vs_actual": FORECAST_VS_ACTUAL,
    "forecast_revisions": FORECAST_REVISIONS,
    "counted_scores": COUNTED_SCORES,
    "live_skill": LIVE_SKILL,
    "live_r2": LIVE_R2,
    "model_comparison": MODEL_COMPARISON,
    "costs": COSTS,
    "quantile_forecasts": QUANTILE_FORECASTS,
    "champions": CHAMPIONS,
    "special_days": SPECIAL_DAYS,
    "night_log": NIGHT_LOG,
    "night_durations": NIGHT_DURATIONS,
}
"""Each view after those it reads."""


def text_of(view: str, column: str) -> str:
    """The meaning of a view's column: its own text, that of the view's source table, or of table scores."""
    own = VIEWS[view].columns
    source, scores = metadata.tables[VIEWS[view].table], metadata.tables["scores"]
    return own[column] if column in own else str((source if column in source.c else scores).c[column].comment)
