"""The views of scores: the published forecasts against every forecaster, and which score of a night counts.

The newest forecast of a slot counts, by its settled score where there is one. A published forecast counts twice: as
published, and as its forecaster's own.
"""

# ruff: noqa: S608 - the SQL is built from this file's own constants

from typing import NamedTuple

from forecasting.evaluate.costs import RATIOS, nearest_level
from forecasting.evaluate.dollar_volume import MEAN_SESSIONS
from forecasting.losses import EXACT
from forecasting.vocabulary import CHALLENGER, CHAMPION, LSTM, PUBLISHED_LINE, QUANTILE_COLUMNS, QUANTILES


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


def skill(loss: str, other: str) -> str:
    """The SQL of `scores.skill`: 1 - loss / other, NULL where the other is that of an exact forecast."""
    return f"1 - {loss} / CASE WHEN {other} > {EXACT} * {loss} THEN {other} END"


WINDOWS = (20, 60, 250)
"""Newest nights with a score of what was published that standings and costs are summed over."""

SLOT = ("symbol", "target", "kind", "horizon", "origin_session")
"""One score of a forecaster counts for each."""

KEY = ", ".join(f"s.{name}" for name in SLOT)
"""The slot of a score `s`."""

BEST_FIRST = "ORDER BY s.issued_at DESC, s.model_id, s.stage DESC, s.bar_version DESC"
"""The order of the scores `s` of a slot: the one that counts comes first."""

LINES = "lines (line) AS (VALUES ('published'), ('own'))"
"""The common table expression that scores are crossed with, as `l`; SQLite passes no filter into a UNION ALL."""

FORECASTER = "CASE l.line WHEN 'published' THEN 'published' ELSE s.model END"
"""Whose forecast the score counts as."""

COUNTS = f"s.role = '{CHAMPION}' OR l.line = 'own' AND s.role <> '{CHALLENGER}'"
"""Whether it counts as that."""

FORECASTER_TEXT = (
    "`published` (what was published each night, whichever model made it), `lstm` (the champion's own, "
    "published or not) or a baseline's name. Challengers are left out."
)
"""The meaning of a column `forecaster`."""


def same_slot(alias: str, other: str) -> str:
    """That the rows of two aliases are of one slot."""
    return " AND ".join(f"{alias}.{name} = {other}.{name}" for name in SLOT)


def counted(columns: str, scores: str = "scores s") -> str:
    """A subquery of scores `s`: slot, forecaster and columns; of each slot and forecaster that with `place` 1 counts.

    It needs the common table expression LINES.
    """
    return f"""(
        SELECT {KEY}, {FORECASTER} AS forecaster, {columns}, row_number() OVER (
            PARTITION BY {KEY}, {FORECASTER} {BEST_FIRST}
        ) AS place
        FROM {scores} CROSS JOIN lines l
        WHERE {COUNTS}
    )"""


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

# View live_r2. The formula is in evaluate/dollar_volume.py. Dollars at the origin, and the mean, come from the bars as
# stored when the forecast's own were fetched (`data_as_of`): what is compared with has seen no later bar either, and no
# split in between has another share basis than the forecast. POWER(x, 2), because both databases would compute each x
# of x * x by itself.


def _newest_dollars(columns: str, sessions: int) -> str:
    """A subquery: `columns` of the newest sessions up to the origin with a dollar volume, as stored at the fetch."""
    return f"""(
            SELECT {columns} FROM bar_versions b
            WHERE b.symbol = f.symbol AND b.session <= f.origin_session AND b.first_seen_at <= f.data_as_of
                AND (b.superseded_at IS NULL OR b.superseded_at > f.data_as_of) AND b.volume > 0 AND b.close > 0
            ORDER BY b.session DESC LIMIT {sessions}
        )"""


_PUBLISHED_SCORES = f"""(
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
        FROM {_PUBLISHED_SCORES} s
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


_PAIR = "a.symbol, a.target, a.kind, a.horizon, a.forecaster, b.forecaster"
_OF_PAIR = f"OVER (PARTITION BY {_PAIR})"
_COMPARED = counted("abs(s.error) AS error, s.pinball")

_SELECT_COMPARISON = f"""
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
    FROM {_COMPARED} a JOIN {_COMPARED} b ON {same_slot("b", "a")} AND b.forecaster <> a.forecaster
    WHERE a.place = 1 AND b.place = 1
) p
WHERE p.place = 1
"""

MODEL_COMPARISON = View(
    _SELECT_COMPARISON,
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

# View costs. The formula is in evaluate/costs.py; its ratios are those whose level is issued.

_COLUMN_OF = {ratio: QUANTILE_COLUMNS[QUANTILES.index(nearest_level(ratio))] for ratio in RATIOS}
_COST_QUANTILES = ", ".join(
    f"f.{column}" for column in ("q50", *(name for name in _COLUMN_OF.values() if name != "q50"))
)
_COST_LEVELS = ", ".join(f"({ratio}, CAST({nearest_level(ratio)} AS DOUBLE PRECISION))" for ratio in RATIOS)

_NEEDED = ("actual", "q50", *(name for name in _COLUMN_OF.values() if name != "q50"))
_COST_LINE = ", ".join(f"c.{name}" for name in SLOT[:-1])
_OF_SCORES = counted(
    f"s.actual, {_COST_QUANTILES}",
    "scores s JOIN forecasts f ON f.model_id = s.model_id AND f.symbol = s.symbol AND f.target = s.target "
    "AND f.origin_session = s.origin_session AND f.horizon = s.horizon AND f.kind = s.kind",
)
# What was published is put beside each row by a window: SQLite has no statistics of a ledger, and searched a joined
# subquery of it row by row, 5 s of CPU for a symbol's year of nights.
_PUBLISHED = ", ".join(
    f"max(CASE c.forecaster WHEN 'published' THEN c.{name} END) OVER w AS published_{name}" for name in _NEEDED
)
_COST_NIGHTS = f"""(
        SELECT b.*, dense_rank() OVER (
            PARTITION BY b.symbol, b.target, b.kind, b.horizon ORDER BY b.origin_session DESC
        ) AS night
        FROM (
            SELECT c.*, {_PUBLISHED} FROM {_OF_SCORES} c
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


_OF_ROW = f"PARTITION BY {_COST_LINE}, w.window_sessions, r.cost_ratio, c.forecaster"
_SELECT_COSTS = f"""
WITH {LINES},
windows (window_sessions) AS (VALUES {", ".join(f"({window})" for window in WINDOWS)}),
ratios (cost_ratio, level) AS (VALUES {_COST_LEVELS})
SELECT p.symbol, p.target, p.kind, p.horizon, p.window_sessions, p.cost_ratio, p.level, p.forecaster, p.n,
    p.first_origin, p.last_origin, p.cost, p.median_cost, {skill("p.cost", "p.median_cost")} AS saving,
    p.published_cost, {skill("p.published_cost", "p.cost")} AS published_saving
FROM (
    SELECT {_COST_LINE}, w.window_sessions, r.cost_ratio, r.level, c.forecaster, count(*) OVER ({_OF_ROW}) AS n,
        min(c.origin_session) OVER ({_OF_ROW}) AS first_origin, max(c.origin_session) OVER ({_OF_ROW}) AS last_origin,
        avg({_cost_of_level("c.")}) OVER ({_OF_ROW}) AS cost, avg({_cost("c.", "q50")}) OVER ({_OF_ROW}) AS median_cost,
        avg({_cost_of_level("c.published_")}) OVER ({_OF_ROW}) AS published_cost,
        row_number() OVER ({_OF_ROW} ORDER BY c.origin_session) AS place
    FROM {_COST_NIGHTS} c JOIN windows w ON c.night <= w.window_sessions CROSS JOIN ratios r
) p
WHERE p.place = 1
"""

COSTS = View(
    _SELECT_COSTS,
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
