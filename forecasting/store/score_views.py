"""The views of scores: which count, live skill, R² of dollar volume, pairs, and costs."""

# ruff: noqa: S608 - the SQL is built from this file's own constants

from typing import NamedTuple

from forecasting.evaluate.scores import MEAN_SESSIONS, RATIOS, nearest_level
from forecasting.losses import EXACT
from forecasting.store.schema import FORECAST_KEY
from forecasting.store.standings import WINDOWS
from forecasting.targets import TARGETS
from forecasting.vocabulary import (
    BASELINE,
    BASELINES,
    LSTM,
    NETWORK,
    PUBLISHED,
    PUBLISHED_LINE,
    QUANTILE_COLUMNS,
    QUANTILES,
    RIVAL,
)


class View(NamedTuple):
    """A view: its SELECT, the same on both databases, what a row is, and what its columns are.

    Columns without a text in `columns` have that of the column of `table`.
    """

    select: str
    row: str
    table: str
    columns: dict[str, str]


SCORE_VIEWS: dict[str, View] = {}
"""By name, each after those it reads."""

_SLOT = ("symbol", "target", "kind", "horizon", "origin_session")
_FORECASTER_TEXT = (
    "`published` (whichever model made it), `lstm` (the network, published or not), a baseline or "
    "a rival."
)
_COUNTS_TEXT = (
    "Whether pages, exports and the sentence of skill use it: of a symbol and target the live ones "
    "count; before the first, those issued late; before the first of these, replays."
)


def _names(alias: str, names: tuple[str, ...]) -> str:
    return ", ".join(f"{alias}.{name}" for name in names)


def same(alias: str, other: str, names: tuple[str, ...]) -> str:
    """That two rows have the same values of these columns."""
    return " AND ".join(f"{alias}.{name} = {other}.{name}" for name in names)


def _skill(loss: str, other: str) -> str:
    """1 - loss / other, NULL where the other is that of an exact forecast, as in `scores.skill`."""
    return f"1 - {loss} / CASE WHEN {other} > {EXACT} * {loss} THEN {other} END"


# The newest forecast of a slot counts, by its settled score where there is one. A published
# forecast counts twice: as published, and as its forecaster's own.
_FORECASTER = "CASE l.line WHEN 'published' THEN 'published' ELSE s.model END"


def _counts(scores: str) -> str:
    """The condition that a row `c` is of the kind that counts for its symbol and target."""
    has_kind = f"""EXISTS (SELECT 1 FROM {scores} k WHERE k.symbol = c.symbol AND k.target = c.target
        AND k.role = '{PUBLISHED}' AND k.kind = '%s')"""
    is_best = f"(c.kind = 'live' OR NOT {has_kind % 'live'})"
    return f"{is_best} AND (c.kind <> 'replay' OR NOT {has_kind % 'late'})"


def counted(scores: str = "scores") -> str:
    """The SELECT of view counted_scores, of table scores or of a query of some of its rows."""
    return f"""
SELECT {_names("c", _SLOT)}, c.forecaster, c.target_session, c.model_id, c.stage, c.bar_version, c.actual, c.error,
    c.pinball, c.inside_80, c.inside_90, {_counts(scores)} AS counts
FROM (
    SELECT s.*, {_FORECASTER} AS forecaster, row_number() OVER (
        PARTITION BY {_names("s", _SLOT)}, {_FORECASTER}
        ORDER BY s.issued_at DESC, s.model_id, s.stage DESC, s.bar_version DESC
    ) AS place
    FROM {scores} s CROSS JOIN (SELECT 'published' AS line UNION ALL SELECT 'own') l
    WHERE s.role = '{PUBLISHED}' OR l.line = 'own' AND s.role IN ('{NETWORK}', '{BASELINE}', '{RIVAL}')
) c
WHERE c.place = 1
"""


SCORE_VIEWS["counted_scores"] = View(
    counted(),
    "The score that counts of one forecaster at one origin, horizon and kind: of "
    "its newest forecast, settled before first print.",
    "scores",
    {"forecaster": _FORECASTER_TEXT, "counts": _COUNTS_TEXT},
)

# Diebold and Mariano's statistic, squared since SQLite may lack a square root, from the sums of the
# differences d and of d * d: (n - 1) * mean(d) ** 2 / variance(d). Further ahead it needs their
# autocovariances. NULL where d never varies, but for rounding.
_GAP = "(r.published_pinball - r.pinball)"
_SPREAD = f"(r.n * r.squared_gap - {_GAP} * {_GAP})"
_STATISTIC = f"""CASE WHEN c.horizon = 1 AND {_SPREAD} > 1e-12 * r.n * r.squared_gap
            THEN (r.n - 1) * {_GAP} * {_GAP} / {_SPREAD} END"""
_REFERENCES = " ".join(f"WHEN '{name}' THEN '{rules.reference}'" for name, rules in TARGETS.items())
_REFERENCE = f"CASE c.target {_REFERENCES} END"

# From sums that write.sum_standings makes: windows over years of scores took SQLite 0.1 s a symbol,
# Postgres half a minute. Against a baseline without an error the skill is undefined (NULL): no
# forecast can be better. Replays stay out once there are live nights: their skill is not a live
# one, and a query without a filter on kind would have both.
_WINDOW = ("symbol", "target", "kind", "horizon", "window_sessions")
_LINE = _names("c", _WINDOW)
_PUBLISHED = f"""c.line = '{PUBLISHED_LINE}' AND (c.kind <> 'replay' OR NOT EXISTS (
    SELECT 1 FROM standings l WHERE l.symbol = c.symbol AND l.target = c.target AND l.kind = 'live'
))"""

SCORE_VIEWS["live_skill"] = View(
    f"""
WITH compared AS (
    SELECT {_LINE}, c.n, c.first_origin, c.last_origin, c.error / c.n AS mae, c.pinball / c.n AS pinball,
        CAST(c.inside_80 AS DOUBLE PRECISION) / c.n AS coverage_80,
        CAST(c.inside_90 AS DOUBLE PRECISION) / c.n AS coverage_90,
        b.line AS baseline, b.error / b.n AS baseline_mae, {_skill("b.published_error", "b.error")} AS skill,
        {_skill("b.published_pinball", "b.pinball")} AS pinball_skill, w.n AS network_n,
        w.error / w.n AS network_mae, w.pinball / w.n AS network_pinball,
        {_skill("w.published_error", "w.error")} AS skill_vs_network,
        {_skill("w.published_pinball", "w.pinball")} AS pinball_skill_vs_network,
        {_REFERENCE} AS reference, COALESCE(r.n, 0) AS reference_n,
        {_skill("r.published_pinball", "r.pinball")} AS reference_skill, {_STATISTIC} AS reference_statistic
    FROM standings c
    LEFT JOIN standings b ON {same("b", "c", _WINDOW)} AND b.line IN {BASELINES}
        AND 10 * b.n >= 9 * c.n
    LEFT JOIN standings w ON {same("w", "c", _WINDOW)} AND w.line = '{LSTM}' AND w.n > 0
    LEFT JOIN standings r ON {same("r", "c", _WINDOW)} AND r.line = {_REFERENCE} AND r.n > 0
    WHERE {_PUBLISHED}
),
ranked AS (
    SELECT c.*, NULLIF(min(coalesce(c.pinball_skill, -9e99)) OVER (PARTITION BY {_LINE}), -9e99) AS least_pinball_skill,
        row_number() OVER (PARTITION BY {_LINE} ORDER BY c.skill IS NOT NULL, c.skill, c.baseline) AS place
    FROM compared c
)
SELECT {_LINE}, c.n, c.first_origin, c.last_origin, c.mae, c.baseline AS best_baseline, c.baseline_mae, c.skill,
    c.pinball, c.least_pinball_skill AS pinball_skill, c.coverage_80, c.coverage_90, c.network_n, c.network_mae,
    c.network_pinball, c.skill_vs_network, c.pinball_skill_vs_network, c.reference, c.reference_n, c.reference_skill,
    c.reference_statistic, {_counts("scores")} AS counts
FROM ranked c
WHERE c.place = 1
""",
    "The published forecasts of one horizon against the best baseline over the newest 20, 60 or "
    "250 nights with a score. Kinds are apart; replays are left out beside live nights. Losses are "
    "on the share basis of their nights.",
    "standings",
    {
        "n": "Nights of the window with a score of what was published.",
        "mae": "Mean absolute error of the published forecasts, in the target's unit.",
        "best_baseline": "Baseline with scores of 9 in 10 of the nights, where skill is lowest; "
        "NULL without one.",
        "baseline_mae": "Mean absolute error of its own forecasts on the nights that both have.",
        "skill": "1 - mae / baseline_mae on these nights: positive is better than the baseline.",
        "pinball": "Mean pinball loss of the published forecasts, in the target's unit.",
        "pinball_skill": "As skill, in pinball loss, against the baseline where that is lowest.",
        "coverage_80": "Share of actual values inside the 80% interval; 0.8 is exact.",
        "coverage_90": "Share inside the 90% interval; 0.9 is exact.",
        "network_n": "Nights with a score of the network's own forecast too.",
        "network_mae": "Mean absolute error of the network's own forecasts, published or not; NULL "
        "without one.",
        "network_pinball": "Mean pinball loss of the same forecasts.",
        "skill_vs_network": "1 - mae / network_mae: positive where baselines in its place were "
        "better.",
        "pinball_skill_vs_network": "The same in pinball loss.",
        "reference": "The baseline that the target is measured against: "
        + ", ".join(f"of {name} `{rules.reference}`" for name, rules in TARGETS.items())
        + ".",
        "reference_n": "Nights with a score of it too. Below 60 its skill says little.",
        "reference_skill": "1 - pinball loss / its pinball loss on these nights: 0.08 is 8% ahead; "
        "NULL without one.",
        "reference_statistic": "Square of Diebold and Mariano's statistic of equal pinball loss on "
        "them, of F(1, n - 1): above 3.9 p is below 0.05. Of horizon 1 alone.",
        "counts": _COUNTS_TEXT,
    },
)


_OF_LINE = f"PARTITION BY {_names('c', _SLOT[:-1])}, w.window_sessions"
_OF_REFERENCE = "CASE WHEN d.model = CASE d.target " + _REFERENCES + " END THEN d.pinball END"

SCORE_VIEWS["total_skill"] = View(
    f"""
WITH windows (window_sessions) AS (VALUES {", ".join(f"({window})" for window in WINDOWS)})
SELECT {_names("t", _SLOT[:-1])}, t.window_sessions, t.n, t.first_origin, t.last_origin, t.pinball,
    t.reference_pinball, {_skill("t.own_pinball", "t.reference_pinball")} AS reference_skill, t.coverage_80, t.coverage_90
FROM (
    SELECT {_names("c", _SLOT[:-1])}, w.window_sessions, count(*) OVER line AS n,
        min(c.origin_session) OVER line AS first_origin, max(c.origin_session) OVER line AS last_origin,
        avg(c.pinball) OVER line AS pinball, avg(c.reference_pinball) OVER line AS reference_pinball,
        avg(CASE WHEN c.reference_pinball IS NOT NULL THEN c.pinball END) OVER line AS own_pinball,
        avg(CAST(CASE WHEN c.inside_80 THEN 1 ELSE 0 END AS DOUBLE PRECISION)) OVER line AS coverage_80,
        avg(CAST(CASE WHEN c.inside_90 THEN 1 ELSE 0 END AS DOUBLE PRECISION)) OVER line AS coverage_90,
        row_number() OVER ({_OF_LINE} ORDER BY c.origin_session) AS place
    FROM (
        SELECT b.*, dense_rank() OVER (
            PARTITION BY {_names("b", _SLOT[:-1])} ORDER BY b.origin_session DESC
        ) AS night
        FROM (
            SELECT d.*, max({_OF_REFERENCE}) OVER (PARTITION BY {_names("d", _SLOT)}) AS reference_pinball,
                row_number() OVER (PARTITION BY {_names("d", _SLOT)} ORDER BY d.role DESC, d.issued_at DESC) AS published
            FROM (
                SELECT s.*, row_number() OVER (
                    PARTITION BY {_names("s", _SLOT)}, s.model_id ORDER BY s.stage DESC, s.bar_version DESC
                ) AS newest
                FROM total_scores s
            ) d
            WHERE d.newest = 1
        ) b
        WHERE b.published = 1 AND b.role = '{PUBLISHED}'
    ) c JOIN windows w ON c.night <= w.window_sessions
    WINDOW line AS ({_OF_LINE})
) t
WHERE t.place = 1
""",
    "The published totals of one number of sessions over the newest 20, 60 or 250 nights with a "
    "score, against those of the reference baseline. Kinds are apart. Across a split, losses on "
    "both share bases are averaged.",
    "total_scores",
    {
        "window_sessions": "Newest 20, 60 or 250 nights with a score.",
        "n": "Nights of the window with a score of what was published.",
        "first_origin": "Oldest of them.",
        "last_origin": "Newest of them.",
        "pinball": "Mean pinball loss of the published totals.",
        "reference_pinball": "The same of the reference baseline, whose totals have the same "
        "correlation.",
        "reference_skill": "1 - pinball / reference_pinball on the nights that both have.",
        "coverage_80": "Share of totals inside the 80% interval; 0.8 is exact.",
        "coverage_90": "Share inside the 90% interval; 0.9 is exact.",
    },
)


# The formula is in evaluate/scores.py. Dollars at the origin, and the mean, come from the bars as
# stored when the forecast's own were fetched (`data_as_of`): what is compared with has seen no
# later bar either, and no split in between has another share basis. POWER(x, 2), because both
# databases would compute each x of x * x by itself.
def _newest_dollars(columns: str, sessions: int) -> str:
    """A subquery: `columns` of the newest sessions with a dollar volume, as stored at the fetch."""
    return f"""(
            SELECT {columns} FROM bar_versions b
            WHERE b.symbol = f.symbol AND b.session <= f.origin_session AND b.first_seen_at <= f.data_as_of
                AND (b.superseded_at IS NULL OR b.superseded_at > f.data_as_of) AND b.volume > 0 AND b.close > 0
            ORDER BY b.session DESC LIMIT {sessions}
        )"""


SCORE_VIEWS["live_r2"] = View(
    f"""
SELECT {_LINE}, c.n, c.first_origin, c.last_origin, c.r2
FROM (
    SELECT c.*, 1 - SUM(POWER(e.error, 2)) OVER w / NULLIF(SUM(POWER(e.mean_error, 2)) OVER w, 0) AS r2,
        row_number() OVER w AS place
    FROM standings c JOIN (
        SELECT {_names("s", _SLOT)}, ln(f.q50) + ln({_newest_dollars("b.close", 1)}) - ln(a.volume * a.close) AS error,
            (SELECT AVG(ln(d.volume * d.close)) FROM {_newest_dollars("b.volume, b.close", MEAN_SESSIONS)} d)
                - ln(a.volume * a.close) AS mean_error
        FROM counted_scores s JOIN forecasts f ON {same("f", "s", FORECAST_KEY)}
        JOIN bar_versions a ON a.symbol = s.symbol AND a.session = s.target_session AND a.version = s.bar_version
            AND a.volume > 0 AND a.close > 0
        WHERE s.forecaster = 'published'
    ) e ON {same("e", "c", _SLOT[:-1])} AND e.origin_session BETWEEN c.first_origin AND c.last_origin
    WHERE c.target = 'volume' AND c.n > 0 AND {_PUBLISHED}
    WINDOW w AS (PARTITION BY {_LINE})
) c
WHERE c.place = 1
""",
    "R² of log dollar volume (q50 times the origin's close) of one horizon against the mean of "
    "five sessions (Goyenko et al. 2024); target volume only, rows as in live_skill. SQLite needs "
    "its mathematical functions.",
    "standings",
    {
        "n": "Nights of the window with a score of what was published.",
        "r2": "1 - sum of squared errors / that of the mean: 1 is exact, 0 as good as the mean; "
        "NULL if that is exact.",
    },
)

_PAIR = "a.symbol, a.target, a.kind, a.horizon, a.forecaster, b.forecaster"
_OF_PAIR = f"OVER (PARTITION BY {_PAIR})"

SCORE_VIEWS["model_comparison"] = View(
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
    FROM counted_scores a JOIN counted_scores b ON {same("b", "a", _SLOT)} AND b.forecaster <> a.forecaster
) p
WHERE p.place = 1
""",
    "One forecaster against one other over all origins with a score of both, for one kind and "
    "horizon; a row in each order. Across a split, losses on both share bases are averaged; pages "
    "bring them to one.",
    "scores",
    {
        "forecaster": _FORECASTER_TEXT,
        "rival": "The other forecaster, in the same words.",
        "n": "Origins with a score of both.",
        "first_origin": "Oldest of them.",
        "last_origin": "Newest of them.",
        "mae": "Mean absolute error of the forecaster on them, in the target's unit.",
        "rival_mae": "The same of the rival.",
        "skill": "1 - mae / rival_mae: positive where the forecaster is better; NULL for a rival "
        "without an error.",
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
    each = " ".join(
        f"WHEN {ratio} THEN {_cost(whose, column)}" for ratio, column in _LEVEL_OF.items()
    )
    return f"CASE r.cost_ratio {each} END"


# What was published is put beside each row by a window: SQLite has no statistics of a ledger, and
# searched a joined subquery of it row by row, 5 s of CPU for a symbol's year of nights.
_PUBLISHED_VALUES = ", ".join(
    f"max(CASE c.forecaster WHEN 'published' THEN c.{name} END) OVER w AS published_{name}"
    for name in _NEEDED
)

SCORE_VIEWS["costs"] = View(
    f"""
WITH windows (window_sessions) AS (VALUES {", ".join(f"({window})" for window in WINDOWS)}),
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
                FROM counted_scores s JOIN forecasts f ON {same("f", "s", FORECAST_KEY)}
            ) c
            WINDOW w AS (PARTITION BY {_names("c", _SLOT)})
        ) b
        WHERE b.published_actual IS NOT NULL
    ) c JOIN windows w ON c.night <= w.window_sessions CROSS JOIN ratios r
) p
WHERE p.place = 1
""",
    "What a forecaster's forecasts of one horizon would have cost over the newest 20, 60 or 250 "
    "nights, where an underestimate costs 1 per unit and an overestimate `cost_ratio`. Across a "
    "split, both share bases are averaged.",
    "scores",
    {
        "window_sessions": "Newest 20, 60 or 250 nights with a score of what was published.",
        "cost_ratio": "Cost of an overestimate per unit over that of an underestimate: 1, 3, 9 or "
        "19.",
        "level": "Level of the quantile with the least expected cost, 1 / (1 + cost_ratio).",
        "forecaster": _FORECASTER_TEXT,
        "n": "Nights of the window with a score of it and of what was published.",
        "first_origin": "Oldest of them.",
        "last_origin": "Newest of them.",
        "cost": "Mean cost of the forecaster's quantile of that level.",
        "median_cost": "Mean cost of its median.",
        "saving": "1 - cost / median_cost: positive where the quantile was cheaper; NULL for "
        "medians without a cost.",
        "published_cost": "Mean cost of the published quantile of that level on the same nights.",
        "published_saving": "1 - published_cost / cost: positive where it was cheaper; NULL "
        "without a cost.",
    },
)
