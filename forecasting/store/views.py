"""The views that people query, as SQL for both databases.

`migrate.upgrade` creates them, again where one has changed.

Filters on symbol and target reach the tables' keys through every step. SQLite passes a filter on
through a window only when all windows of the step have one PARTITION BY, and never through GROUP BY
or a UNION ALL; neither database passes it into a common table expression that is used twice.
"""

# ruff: noqa: S608 - the SQL is built from this file's own constants

from forecasting.ingest.earnings import EXPECTED, WITHDRAWN
from forecasting.store.schema import FORECAST_KEY, metadata
from forecasting.store.score_views import SCORE_VIEWS, View, same
from forecasting.targets import TARGETS
from forecasting.vocabulary import HORIZONS, PUBLISHED, QUANTILE_COLUMNS, QUANTILES

VIEWS: dict[str, View] = {}
"""By name, each after those it reads."""

_QUANTILES = ", ".join(f"f.{column}" for column in QUANTILE_COLUMNS)
_LIVE_FIRST = "CASE f.kind WHEN 'live' THEN 0 WHEN 'late' THEN 1 ELSE 2 END"


# A bar that is settled as it was first stored has one score, that of stage first_print.
_OF_FIRST_PRINT = """SELECT o.stage, min(o.bar_version) FROM scores o WHERE {0} AND o.stage = 'first_print' GROUP BY o.stage"""
_OF_SETTLED = """SELECT o.stage, o.bar_version FROM scores o
        WHERE {0} AND (o.stage = 'settled' OR EXISTS (
            SELECT 1 FROM bar_versions b WHERE b.symbol = o.symbol AND b.session = o.target_session
                AND b.version = o.bar_version AND b.settled_at IS NOT NULL
        ))
        ORDER BY o.bar_version DESC, o.stage DESC LIMIT 1"""


def _score_of(chosen: str, alias: str) -> str:
    return f"""LEFT JOIN scores {alias} ON {same(alias, "f", FORECAST_KEY)}
    AND ({alias}.stage, {alias}.bar_version) = ({chosen.format(same("o", "f", FORECAST_KEY))})"""


VIEWS["bars"] = View(
    """
SELECT symbol, session, open, high, low, close, volume, version, settled_at IS NOT NULL AS settled, first_seen_at
FROM bar_versions
WHERE superseded_at IS NULL
""",
    "The current version of one session's bar.",
    "bar_versions",
    {
        "settled": "Whether the fetch of a later night has confirmed it.",
        "version": "1, or more once restated.",
    },
)

PARTS = (
    "weekday",
    "month",
    "month_end",
    "index",
    "expiry",
    "holiday",
    "report",
    "quarter",
    "market",
    "recent",
    "network",
    "trees",
    "combination",
    "baseline",
)
"""Parts of a median beside its usual level, in the order of `why`, which leaves out small ones."""

_OF_PART = (
    "SELECT CAST(ROUND(100 * p.factor) AS INTEGER) AS hundredths, p.part FROM forecast_parts p"
)
_WHY = f"""(
        SELECT SUBSTR({" || ".join(f"max(CASE t.part WHEN '{part}' THEN t.text ELSE '' END)" for part in PARTS)}, 3)
        FROM (
            SELECT o.part, CASE WHEN o.hundredths BETWEEN 99 AND 101 THEN '' ELSE ', ' || o.part || ' x'
                || (o.hundredths / 100) || '.'
                || SUBSTR(CAST(100 + o.hundredths - 100 * (o.hundredths / 100) AS TEXT), 2) END AS text
            FROM ({_OF_PART} WHERE {same("p", "f", FORECAST_KEY)}) o
        ) t
    )"""
_USUAL = f"""(
        SELECT p.factor FROM forecast_parts p WHERE {same("p", "f", FORECAST_KEY)} AND p.part = 'usual'
    )"""
_TARGETS = ", ".join(f"'{target}'" for target in TARGETS)


def _event_text(alias: str, *, expected: str) -> str:
    """Return an event in words. An expected one is its kind and the text `expected`."""
    return f"""CASE WHEN {alias}.known_rule = '{EXPECTED}' THEN {alias}.kind || '{expected}'
            WHEN {alias}.timing = 'bmo' THEN {alias}.kind || ' before the open'
            WHEN {alias}.timing = 'amc' THEN {alias}.kind || ' after the close before'
            ELSE replace({alias}.kind, '_', ' ') END"""


def _is_last(alias: str, later: str) -> str:
    return f"""{alias}.known_rule <> '{WITHDRAWN}' AND NOT EXISTS (
            SELECT 1 FROM events {later} WHERE {same(later, alias, ("symbol", "session", "kind"))}
                AND {later}.first_seen_at > {alias}.first_seen_at AND {later}.first_seen_at <= f.issued_at
        )"""


# The rule is that of view special_days, which joined would be read whole, but with what was known
# when the forecast was issued. An announcement that moved counts for the session seen last.
_OF_KNOWN_EVENT = f"""FROM events e
        WHERE e.symbol = f.symbol AND e.first_seen_at <= f.issued_at
            AND {_is_last("e", "n")} AND NOT EXISTS (
                SELECT 1 FROM events m WHERE {same("m", "e", ("symbol", "announced", "kind"))}
                    AND m.first_seen_at > e.first_seen_at AND m.first_seen_at <= f.issued_at AND {_is_last("m", "k")}
            )"""
_EVENT = f"""(
        SELECT max({_event_text("e", expected="?")}) {_OF_KNOWN_EVENT} AND e.session = f.target_session
    )"""

# The session is looked up among the bars, because the databases count days in different ways.
_SESSIONS_BEFORE = 10
_EXPECTED_REPORT = f"""(
        SELECT max(e.session) {_OF_KNOWN_EVENT} AND e.known_rule = '{EXPECTED}' AND e.session >= COALESCE((
                SELECT b.session FROM bar_versions b
                WHERE b.symbol = f.symbol AND b.session <= f.origin_session AND b.superseded_at IS NULL
                ORDER BY b.session DESC LIMIT 1 OFFSET {_SESSIONS_BEFORE}
            ), f.origin_session)
    )"""


def _issued(placed: str) -> str:
    """The SELECT of published forecasts with usual, special day and why, of the rows in `placed`."""
    return f"""
SELECT f.symbol, f.target, f.horizon, f.origin_session, f.target_session, {_QUANTILES},
    f.last_value, f.kind, f.status, f.reason, f.model, f.model_id, f.issued_at, f.data_as_of, f.run_id, f.fetch_id,
    f.usual, f.q50 / NULLIF(f.usual, 0) - 1 AS vs_usual, CASE
        WHEN f.event IS NULL THEN f.calendar WHEN f.calendar = '' THEN f.event ELSE f.calendar || ', ' || f.event
    END AS special_day,
    CASE WHEN f.status = 'fallback' AND COALESCE(f.why, '') = '' THEN 'baseline' ELSE f.why END AS why,
    f.expected_report
FROM (
    SELECT f.*, m.name AS model, {_USUAL} AS usual, {_EVENT} AS event, {_WHY} AS why,
        {_EXPECTED_REPORT} AS expected_report
    FROM {placed} f JOIN models m ON m.id = f.model_id
    WHERE f.place = 1
) f
"""


_ISSUED_TEXTS = {
    "usual": "Median of the 20 sessions up to the origin.",
    "vs_usual": "q50 / usual - 1: 0.9 is 90% above usual.",
    "special_day": "What is special about the target session, as known when the forecast was "
    "issued: calendar and earnings, as in special_days; `earnings?` of an expected report.",
    "why": "Parts of q50 / usual: `report x1.90`; `baseline` of a baseline without any.",
    "expected_report": "The session around which a report is expected that nobody had announced "
    f"when the forecast was issued, from {_SESSIONS_BEFORE} sessions before the origin on; NULL "
    "without one.",
}

VIEWS["published_forecasts"] = View(
    _issued(f"""(
        SELECT f.*, row_number() OVER (
            PARTITION BY f.symbol, f.target, f.horizon, f.origin_session
            ORDER BY {_LIVE_FIRST}, f.issued_at DESC, f.model_id
        ) AS place
        FROM forecasts f WHERE f.role = 'published'
    )"""),
    "The published forecast of one horizon at one origin, live before late before replay.",
    "forecasts",
    _ISSUED_TEXTS,
)

# The fence, a window, keeps Postgres from looking for the newest origin again for every forecast: 2
# s for 100 symbols.
VIEWS["latest_forecasts"] = View(
    f"""
WITH horizons (horizon) AS (VALUES {", ".join(f"({horizon})" for horizon in HORIZONS)}),
lines AS (SELECT DISTINCT symbol, target FROM runs WHERE target IN ({_TARGETS})),
newest AS (
    SELECT l.symbol, l.target, h.horizon, (
        SELECT f.origin_session FROM forecasts f
        WHERE f.symbol = l.symbol AND f.target = l.target AND f.horizon = h.horizon AND f.role = 'published'
        ORDER BY f.origin_session DESC LIMIT 1
    ) AS origin_session, count(*) OVER (PARTITION BY l.symbol, l.target, h.horizon) AS fence
    FROM lines l CROSS JOIN horizons h
),
placed AS (
    SELECT n.symbol, n.target, n.horizon, n.origin_session, f.target_session, {_QUANTILES},
        f.last_value, f.kind, f.status, f.reason, f.model_id, f.issued_at, f.data_as_of, f.run_id, f.fetch_id, f.calendar,
        row_number() OVER (
            PARTITION BY n.symbol, n.target, n.horizon ORDER BY {_LIVE_FIRST}, f.issued_at DESC, f.model_id
        ) AS place
    FROM newest n JOIN forecasts f
        ON f.symbol = n.symbol AND f.target = n.target AND f.origin_session = n.origin_session AND f.horizon = n.horizon
    WHERE f.role = 'published'
)
"""
    + _issued("placed"),
    "The published forecast of one horizon at the newest origin; live before late before replay.",
    "forecasts",
    _ISSUED_TEXTS,
)

_DECIMALS = {"shares": "0", "percent": "4"}
_DIGITS = " ".join(f"WHEN '{name}' THEN {_DECIMALS[rules.unit]}" for name, rules in TARGETS.items())


def _rounded(column: str) -> str:
    """A value with the digits that a reader needs; shares as whole numbers, on SQLite too."""
    number = f"ROUND(CAST(f.{column} AS NUMERIC), CASE f.target {_DIGITS} END)"
    return (
        f"CASE f.target WHEN 'volume' THEN CAST({number} AS BIGINT) ELSE {number} END AS {column}"
    )


VIEWS["latest_forecasts_rounded"] = View(
    f"""
SELECT f.symbol, f.target, f.horizon, f.origin_session, f.target_session,
    {", ".join(map(_rounded, (*QUANTILE_COLUMNS, "last_value", "usual")))},
    CAST(ROUND(CAST(100 * f.vs_usual AS NUMERIC), 2) AS DOUBLE PRECISION) AS change_percent, f.special_day, f.why,
    f.kind, f.status, f.reason, f.model, f.expected_report
FROM latest_forecasts f
""",
    "As latest_forecasts, rounded to read: shares to whole ones, ranges to four decimals.",
    "forecasts",
    {
        "usual": VIEWS["latest_forecasts"].columns["usual"],
        "change_percent": "100 * (q50 / usual - 1), to two decimals.",
        "special_day": VIEWS["latest_forecasts"].columns["special_day"],
        "why": VIEWS["latest_forecasts"].columns["why"],
        "expected_report": VIEWS["latest_forecasts"].columns["expected_report"],
    },
)

_OF_LATEST = "kind status reason model model_id issued_at data_as_of run_id"

_OF_NIGHT = tuple(name for name in FORECAST_KEY if name != "horizon")

VIEWS["latest_totals"] = View(
    f"""
SELECT f.symbol, f.target, f.horizon, f.origin_session, f.target_session, {_QUANTILES}, f.factor,
    l.{", l.".join(_OF_LATEST.split())}, f.horizon * l.usual AS usual, f.q50 / NULLIF(f.horizon * l.usual, 0) - 1 AS vs_usual
FROM latest_forecasts l JOIN total_forecasts f ON {same("f", "l", _OF_NIGHT)} AND l.horizon = 1
""",
    "The published forecast of the total volume of the next 2 to 5, 10 and 20 sessions at the newest "
    "origin.",
    "forecasts",
    {
        "factor": "As in total_forecasts.",
        "usual": "The usual volume of a session, as in latest_forecasts, times the horizon.",
        "vs_usual": "q50 / usual - 1: 0.9 is 90% above usual.",
    },
)

VIEWS["forecast_vs_actual"] = View(
    f"""
SELECT f.symbol, f.target, f.origin_session, f.horizon, f.target_session, f.kind, f.role, m.name AS model, {_QUANTILES},
    f.last_value, p.actual AS first_print_actual, p.error AS first_print_error, p.pinball AS first_print_pinball,
    s.actual AS settled_actual, s.error AS settled_error, s.pinball AS settled_pinball,
    COALESCE(s.actual, p.actual) AS actual, COALESCE(s.error, p.error) AS error,
    -COALESCE(s.error, p.error) AS actual_less_median, COALESCE(s.pinball, p.pinball) AS pinball,
    COALESCE(s.inside_80, p.inside_80) AS inside_80, COALESCE(s.inside_90, p.inside_90) AS inside_90, f.status, f.reason, f.issued_at, f.data_as_of, f.model_id,
    f.run_id, f.calendar
FROM forecasts f
JOIN models m ON m.id = f.model_id
{_score_of(_OF_FIRST_PRINT, "p")}
{_score_of(_OF_SETTLED, "s")}
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
        "actual_less_median": "actual - q50, as pages and messages have it: positive when more came "
        "than forecast.",
    },
)

VIEWS["forecast_revisions"] = View(
    f"""
SELECT f.symbol, f.target, f.target_session, f.horizon, f.origin_session, f.kind, f.q10, f.q50, f.q90,
    f.q50 / NULLIF(LAG(f.q50) OVER (
        PARTITION BY f.symbol, f.target, f.target_session ORDER BY f.horizon DESC
    ), 0) - 1 AS revision, f.actual, f.error, f.actual_less_median, f.inside_80, f.model, f.status, f.calendar,
    f.issued_at
FROM (
    SELECT f.*, row_number() OVER (
        PARTITION BY f.symbol, f.target, f.target_session, f.horizon
        ORDER BY {_LIVE_FIRST}, f.issued_at DESC, f.model_id
    ) AS place
    FROM forecast_vs_actual f WHERE f.role = '{PUBLISHED}'
) f
WHERE f.place = 1
""",
    "One published forecast of a target session, with its change and error; across a split on two "
    "share bases.",
    "forecasts",
    {
        "revision": "q50 / q50 of the session before - 1; NULL for the first forecast of the "
        "target session.",
        "actual": "Actual value, settled where it is; NULL without one.",
        "actual_less_median": "actual - q50: positive when more came than forecast.",
    },
)

VIEWS |= SCORE_VIEWS

VIEWS["quantile_forecasts"] = View(
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

# As in read.events: the newest row of a session and kind counts unless it withdraws the event; of
# an announcement that is valid under several sessions only the one first seen last.
VIEWS["special_days"] = View(
    f"""
WITH newest AS (
    SELECT e.*, row_number() OVER (PARTITION BY e.symbol, e.session, e.kind ORDER BY e.first_seen_at DESC) AS place
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
    SELECT DISTINCT f.symbol, f.target_session AS session, f.calendar AS day, 'calendar' AS kind,
        CAST(NULL AS VARCHAR(20)) AS known_rule
    FROM forecasts f
    WHERE f.role = '{PUBLISHED}' AND f.calendar <> ''
    UNION ALL
    SELECT v.symbol, v.session, {_event_text("v", expected=" expected")} AS day, v.kind, v.known_rule
    FROM valid v
    WHERE v.newest_place = 1
)
SELECT d.symbol, d.session, d.kind, d.day, d.session > COALESCE(
    (SELECT max(b.session) FROM bar_versions b WHERE b.symbol = d.symbol), d.session
) AS ahead, d.known_rule
FROM days d
""",
    "One special day of a symbol: earnings, past and announced, or a special calendar day among "
    "those forecast.",
    "events",
    {
        "session": "The session; of earnings the one that reacts.",
        "kind": "`calendar` or `earnings`.",
        "day": "What is special, in words: `triple witching`; `earnings after the close before`; "
        "`earnings expected` of a report that nobody has announced.",
        "ahead": "Whether it is later than the newest stored bar of the symbol.",
        "known_rule": "As in events; NULL of a calendar day.",
    },
)

DURATION_NIGHTS = 60
"""Nights that `night_durations` covers: about three months."""

_STEPS = ("ingest", "preprocess", "train", "predict", "evaluate")
_TIMED = (*_STEPS, "total")
# 0.0: of a night without a step, SQLite would make a whole number of 0.
_TOTAL = " + ".join(f"COALESCE(r.seconds_{step}, 0.0)" for step in _STEPS)

VIEWS["night_log"] = View(
    f"""
SELECT r.as_of, r.symbol, r.target, r.trigger, r.status, r.mode, r.mode_reason, r.seconds_ingest, r.seconds_preprocess,
    r.seconds_train, r.seconds_predict, r.seconds_evaluate,
    {_TOTAL} AS seconds_total,
    r.note, r.error, r.source, r.started_at, r.finished_at, r.id AS run_id
FROM runs r
""",
    "One run, with the seconds of its steps and its remarks.",
    "runs",
    {
        "seconds_total": "Sum of the five steps' seconds; a step that has not ended counts 0.",
        "run_id": "The run, an id of `runs`.",
    },
)

_SECONDS = " ".join(f"WHEN '{step}' THEN n.seconds_{step}" for step in _TIMED)
_OF_STEP = "PARTITION BY t.symbol, t.target, t.step"


def _quantile(level: float) -> str:
    """Linear interpolation between the two nearest of n ordered values.

    SQLite has no percentile_cont.
    """
    distance = f"abs(o.place - 1 - {level} * (o.n - 1))"
    return f"sum(CASE WHEN {distance} < 1 THEN o.seconds * (1 - {distance}) ELSE 0 END) OVER w"


VIEWS["night_durations"] = View(
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
    f"How long one step of a night takes, over the newest {DURATION_NIGHTS} finished nights of a "
    "symbol and target.",
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


def text_of(view: str, column: str) -> str:
    """The meaning of a view's column: its own, or that of its table's column, or of scores'."""
    texts: dict[str, str | None] = {}
    for table in ("scores", VIEWS[view].table):
        texts |= {one.name: one.comment for one in metadata.tables[table].columns}
    return str((texts | VIEWS[view].columns)[column])
