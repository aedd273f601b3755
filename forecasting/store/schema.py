"""The tables, as SQLAlchemy Core metadata, of which docs/tables.md is made.

Names are a contract: people query them. Ids are short text derived from what they name, so that a
run repeated after a kill writes the same rows. Comments are those that Postgres stores;
`migrate.upgrade` writes them, so that a changed text needs no migration.
"""

from datetime import UTC, datetime
from functools import partial
from typing import Any, get_args

import sqlalchemy as sa
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from forecasting.errors import FailedVerdict
from forecasting.vocabulary import QUANTILE_COLUMNS


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware UTC in Python, timestamptz on Postgres, ISO text without zone on SQLite."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """`value` in UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """The stored instant, aware again."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

NO_BARS = get_args(FailedVerdict)
"""Verdicts of requests that stored no bar."""

RUNNING = sa.text("status = 'running'")
CLOSED = sa.text("status = 'closed'")
PAUSED = sa.text("paused_until IS NOT NULL")
"""As text, without a parameter: SQLite uses the index of these rows for this very text alone."""

_Type = type[TypeEngine[Any]] | TypeEngine[Any]
_ID = String(16)
_WORD = String(10)


def _column(
    name: str,
    kind: _Type,
    comment: str,
    *,
    nullable: bool = False,
    server_default: sa.TextClause | None = None,
) -> Column[Any]:
    return Column(name, kind, nullable=nullable, server_default=server_default, comment=comment)


_optional = partial(_column, nullable=True)
# Alembic takes a plain text for another default than the one it finds on SQLite.
_empty = partial(_column, server_default=sa.text("''"))
_zero = partial(_column, server_default=sa.text("'0'"))


def _key(name: str, kind: _Type, comment: str) -> Column[Any]:
    """A column of the primary key."""
    return Column(name, kind, primary_key=True, autoincrement=False, comment=comment)


def _refers(column: str, table: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint([column], [f"{table}.id"])


_SYMBOL = "Ticker as Yahoo writes it: SBUX, BRK-B, ^GSPC."
FORECAST_KEY = ("symbol", "target", "origin_session", "horizon", "model_id", "kind")
_FORECAST_COLUMNS = [f"forecasts.{name}" for name in FORECAST_KEY]
_SHARED: dict[str, tuple[_Type, str]] = {
    "symbol": (String(15), _SYMBOL),
    "target": (
        _WORD,
        "What is forecast: `volume` or `range`, log(high / low); until 0.3 `close` too.",
    ),
    "origin_session": (Date, "Origin: the last session whose bar the forecast used."),
    "horizon": (Integer, "Sessions from the origin to the target session: 1 to 5."),
    "model_id": (_ID, "Model that made the forecast, an id of `models`."),
    "kind": (
        String(6),
        "`live` (issued before the first target session opened), `late` (before it closed), "
        "`replay` (later).",
    ),
    "target_session": (
        Date,
        "Session that is forecast: the origin plus the horizon, in sessions of the exchange.",
    ),
    "fetch_id": (_ID, "Fetch that added it."),
    "first_seen_at": (UtcDateTime, "When its fetch was made."),
    "code_version": (
        String(40),
        "Version of this package, with the commit in a checkout: 0.2.0+3f9c2ab.",
    ),
}


def _keys(*names: str) -> list[Column[Any]]:
    """Columns of the primary key that mean the same in every table."""
    return [_key(name, *_SHARED[name]) for name in names]


def _same(*names: str) -> list[Column[Any]]:
    """Columns that mean the same in every table."""
    return [_column(name, *_SHARED[name]) for name in names]


_QUANTILE = "Quantile of the level in its name, in the target's unit."
_PRICE = "Split-adjusted, not adjusted for dividends, in the fetch's currency."

# Tables of fetched data. All others can be computed from these and the settings.

fetches = Table(
    "fetches",
    metadata,
    _key("id", _ID, "Id, derived from source, symbol, requested span, payload and run."),
    _optional(
        "run_id", _ID, "Run that made the request, an id of `runs`; NULL for an ingest alone."
    ),
    _column(
        "source",
        Text,
        "`yahoo`, `sample`, `csv:FILE`, `parquet:FILE`, or an installed source's name.",
    ),
    *_same("symbol"),
    _column("title", Text, "Description of the series: SBUX, daily, from Yahoo Finance."),
    _empty("currency", String(6), "Of the prices: USD, EUR, GBp for pence; empty if unknown."),
    _column("first_asked", Date, "First session requested."),
    _column("last_asked", Date, "Last session requested; no bar is newer."),
    _optional("first_received", Date, "Oldest session of the response; NULL without bars."),
    _optional(
        "last_received", Date, "Newest session of the response, also if that bar was held back."
    ),
    _column("fetched_at", UtcDateTime, "When the response was received."),
    _column("row_count", Integer, "Bars in the response, before any check."),
    _column(
        "payload_hash",
        String(64),
        "SHA-256 of symbol, sessions, prices, volumes and actions, without Adj Close.",
    ),
    _column(
        "library_version",
        String(60),
        "Library that read the response: yfinance 1.7.0, pandas 3.0.0.",
    ),
    _optional("adjustment_session", Date, "Newest session with an Adj Close; NULL without one."),
    _optional(
        "adjustment", Double, "Adj Close / Close of it, 0 to 1; the next dividend lowers it."
    ),
    _column(
        "verdict",
        String(12),
        "`first`, `extended`, `unchanged`, `dividend`, `split`, `revised`, `held`; no bar stored: "
        "`late`, `rate_limited`, `unavailable`, `bad_data`.",
    ),
    _empty("detail", Text, "All changes in one line, or the error's message."),
    _optional(
        "paused_until",
        UtcDateTime,
        "Of a `rate_limited` one: until when no run requests anything of the source.",
    ),
    Index("ix_fetches_symbol_fetched_at", "symbol", "fetched_at"),
    Index("ix_fetches_fetched_at", "fetched_at"),
    Index(
        "ix_fetches_paused", "source", "paused_until", sqlite_where=PAUSED, postgresql_where=PAUSED
    ),
    comment="One request to a source and its outcome, of a live source also where no bar was "
    "stored. Insert-only.",
)

bar_versions = Table(
    "bar_versions",
    metadata,
    *_keys("symbol"),
    _key("session", Date, "Session of the bar, a trading day of the symbol's exchange."),
    _key("version", Integer, "1 for the first stored bar, then ascending."),
    *(_optional(price, Double, _PRICE) for price in ("open", "high", "low", "close")),
    _optional("volume", BigInteger, "Shares traded, split-adjusted; NULL if unknown, never 0."),
    *_same("fetch_id", "first_seen_at"),
    _optional(
        "superseded_at", UtcDateTime, "When a later version replaced it; NULL for the current."
    ),
    _optional(
        "settled_at", UtcDateTime, "When a later night's fetch confirmed it; NULL: provisional."
    ),
    _refers("fetch_id", "fetches"),
    CheckConstraint("volume IS NULL OR volume >= 0", name="volume_not_negative"),
    comment="One version of one session's bar, on the share basis of its fetch. Values never "
    "change: a restatement or a split adds a version; superseded_at and settled_at are filled in, "
    "once.",
)

corporate_actions = Table(
    "corporate_actions",
    metadata,
    *_keys("symbol"),
    _key("session", Date, "Ex-date, or first session on the new share basis."),
    _key("kind", _WORD, "`dividend` or `split`."),
    *_keys("first_seen_at"),
    _column(
        "value",
        Double,
        "Dividend in the fetch's currency per share, or new shares per old share; above 0.",
    ),
    *_same("fetch_id"),
    _refers("fetch_id", "fetches"),
    comment="One dividend or split as first seen with one value; the newest first_seen_at is "
    "valid.",
)

events = Table(
    "events",
    metadata,
    *_keys("symbol"),
    _key(
        "session",
        Date,
        "Session that reacts: the announcement's own, or the next if after the close.",
    ),
    _key("kind", String(12), "`earnings`."),
    _key("first_seen_at", UtcDateTime, "When it was read."),
    _column(
        "known_from",
        Date,
        "First origin session that may use the event; of a withdrawal the first that may not.",
    ),
    _column(
        "known_rule",
        String(20),
        "`seen`, `21 sessions ahead` (day unknown), `unscheduled`, `withdrawn` (ends it); of "
        "source `rhythm`: `expected` (around this session, not announced), `volume` (past, found "
        "in the volume).",
    ),
    _column("announced", Date, "Day of the announcement."),
    _column(
        "timing", String(5), "`bmo` (before the open), `amc` (after the close) or empty if unknown."
    ),
    _column(
        "source",
        Text,
        "Its list: a file, `shipped` (before: `bundled`, `sec-8k`), or the bars' source; "
        "`rhythm`: nobody announced it, the company's past reports tell.",
    ),
    comment="One earnings date as first seen in one form; a later row of its session replaces it.",
)

findings = Table(
    "findings",
    metadata,
    _key("id", _ID, "Id, derived from fetch, session and rule."),
    *_same("symbol"),
    _optional(
        "session",
        Date,
        "Session of the bar; of `earnings_quiet` the newest one that reacted to earnings; NULL of "
        "a row of a file (`value`: its line) without a readable date.",
    ),
    _column(
        "rule",
        String(40),
        "The rule: `price_unknown`, `price_spike`, `split_like_jump`, `volume_restated`, ...",
    ),
    _column(
        "severity",
        String(6),
        "`reject` (the row is kept out of the bars) or `flag` (recorded only).",
    ),
    _optional("value", Double, "The offending number, in its rule's unit."),
    _empty("detail", Text, "One sentence that explains the rule."),
    *_same("fetch_id"),
    _optional("cleared_at", UtcDateTime, "When it was no longer shown; NULL: open."),
    _refers("fetch_id", "fetches"),
    Index("ix_findings_symbol_session", "symbol", "session"),
    comment="One fault of a fetched or stored bar, open until a later fetch no longer shows it; a "
    "flag about a new or changed row is cleared by its own fetch.",
)

# Tables derived from them.

runs = Table(
    "runs",
    metadata,
    _key("id", _ID, "Id, derived from symbol, session, target, source and settings."),
    _column(
        "as_of",
        Date,
        "The night's session: the newest whose bar it may use, the origin of its forecasts.",
    ),
    *_same("symbol", "target"),
    _column(
        "source",
        Text,
        "Source of the bars: `yahoo`, `sample`, `csv:FILE`, ..., or `NAME:ARGUMENT` of a package.",
    ),
    _column(
        "trigger",
        _WORD,
        "What started the night: `run` (by hand), `schedule` (unattended) or `catch-up`.",
    ),
    _column(
        "status",
        _WORD,
        "`running`, `done`, `late` (its bar is missing), `failed` or `closed` (its day was no "
        "session, or the symbol's bars have ended).",
    ),
    _empty("mode", _WORD, "How its network was fitted: `scratch`, `warm` or `skip`."),
    _empty("mode_reason", Text, "Why that mode was chosen; empty until decided."),
    _empty(
        "mode_kind",
        _WORD,
        "Kind of that reason: `young` (a history too short for a network), `asked`, `first` (no "
        "fit before), `unreadable` (its weights), `changed` (inputs), `drift`, `age`, `routine`; "
        "before 0.4 also `epochs` (of its chain). It is empty until decided.",
    ),
    _column("started_at", UtcDateTime, "When the night first started."),
    _optional("finished_at", UtcDateTime, "When it was done; NULL before."),
    *(
        _optional(
            f"seconds_{step}", Double, "Seconds of the step, its share of symbols run together."
        )
        for step in ("ingest", "preprocess", "train", "predict", "evaluate")
    ),
    _optional("flow_run_id", String(36), "Id of Prefect's flow run; NULL without Prefect."),
    *_same("code_version"),
    _column(
        "settings",
        Text,
        "JSON of the settings that shape a forecast, and the file of earnings dates.",
    ),
    _empty("note", Text, "Remarks for readers: a missing bar or market series; empty without any."),
    _empty("notes", Text, "JSON of the same remarks by kind; empty without any, or before 0010."),
    _optional("error", Text, "Message of the error of the last attempt; NULL without one."),
    _empty("market_fetch", _ID, "Newest fetch of the market series used; empty without one."),
    Index("ix_runs_symbol_target_as_of", "symbol", "target", "as_of"),
    Index("ix_runs_as_of", "as_of"),
    Index("ix_runs_running", "as_of", sqlite_where=RUNNING, postgresql_where=RUNNING),
    Index(
        "ix_runs_closed", "symbol", "target", "as_of", sqlite_where=CLOSED, postgresql_where=CLOSED
    ),
    comment="One night of one symbol, target and source under one set of settings. Updated while "
    "it proceeds.",
)

models = Table(
    "models",
    metadata,
    _key("id", _ID, "Id derived from run and method, or from settings and what it was made of."),
    _column("name", String(30), "`lstm`, the name of a baseline or a rival, or `backtest`."),
    _column(
        "version",
        String(20),
        "Architecture of a network, version of baselines, or a backtest's refit interval.",
    ),
    _column(
        "method",
        _WORD,
        "`scratch`, `warm`, `baseline`, `rival` or `backtest`.",
    ),
    _optional(
        "parent_id", _ID, "Model that a warm fit started from, an id of `models`; else NULL."
    ),
    _empty(
        "base",
        String(40),
        "Pretrained weights that the chain of fits began with, by name; `drawn` for random ones; "
        "empty for a baseline.",
    ),
    _column("symbol", String(15), f"{_SYMBOL[:-1]}; empty for method `base`."),
    *_same("target"),
    _column(
        "scope",
        _WORD,
        "Bars of the weights: `symbol`, or `panel` with others (pretrained weights).",
    ),
    _column("seed", Integer, "Seed of the random numbers."),
    _optional("trained_from", Date, "First training session; NULL for a baseline."),
    _optional(
        "trained_to", Date, "Last session whose value a weight has used; NULL for a baseline."
    ),
    _zero("epochs", Integer, "Training epochs of this fit."),
    _zero("chain_epochs", Integer, "Epochs since the last fit from scratch, this fit included."),
    _optional(
        "fetch_id", _ID, "Fetch of the training bars, an id of `fetches`; NULL of many or none."
    ),
    _empty(
        "companion_fetches", Text, "JSON: the fetch of each series of method `base`; else empty."
    ),
    _optional(
        "run_id", _ID, "Run that fitted it, an id of `runs`; NULL for a baseline and `base`."
    ),
    *_same("code_version"),
    _optional(
        "artifact_hash",
        String(64),
        "SHA-256 of its card in `weights`, which has that of its tensors; NULL for a baseline.",
    ),
    _zero("seconds", Double, "Duration of the fit, seconds."),
    _empty("refused", Text, "Why the gate refused the fit, never published; empty when it passed."),
    _empty(
        "gate", Text, "JSON of what the gate compared, mean pinball losses; empty for a baseline."
    ),
    _column("created_at", UtcDateTime, "When the row was written."),
    _optional(
        "withdrawn_at", UtcDateTime, "When a person withdrew it: later nights do not use it."
    ),
    Index("ix_models_symbol_target_name", "symbol", "target", "name"),
    comment="One fitted network, baseline, rival or backtest.",
)

weights = Table(
    "weights",
    metadata,
    _key("model_id", _ID, "Network that they are of, an id of `models`."),
    _column("card", Text, "JSON of what else the network is made of, with their SHA-256."),
    _column("tensors", LargeBinary, "The weights, in the form safetensors."),
    _refers("model_id", "models"),
    comment="The weights of the newest three networks of a symbol and target that may be "
    "published. Older ones are deleted.",
)

forecasts = Table(
    "forecasts",
    metadata,
    # The key leads with the symbol, so that one symbol's rows lie together and its newest are found
    # from the key alone.
    *_keys(*FORECAST_KEY),
    *_same("target_session"),
    *(_column(name, Double, _QUANTILE) for name in QUANTILE_COLUMNS),
    _column(
        "role",
        _WORD,
        "`published`, `network` (its own where a baseline is published), `baseline` or `rival` (of "
        "setting rivals).",
    ),
    _column(
        "status",
        String(8),
        "`ok`, or `fallback` where a baseline was published in the network's place.",
    ),
    _empty("reason", Text, "Why a baseline was published, or which break is near; else empty."),
    _optional("last_value", Double, "Value of the target on the origin session; NULL if unknown."),
    _zero("past_forecasts", Integer, "Closed forecasts of this horizon that calibrated it."),
    _empty(
        "calibration",
        Text,
        "JSON for later calibration: raw quantiles of `network` and `partner` (the linear model), "
        "median of `trees`, `level`, `weight`, `share` (of the trees), `factors`; empty "
        "for a baseline.",
    ),
    _empty("outside", Text, "Always empty."),
    _empty(
        "calendar",
        Text,
        "Of the target session: `half day`, `triple witching`, `options expiry`, `after a "
        "holiday`; or empty.",
    ),
    _column("issued_at", UtcDateTime, "When the forecast was written."),
    _column("data_as_of", UtcDateTime, "When the bars that it used were fetched."),
    _column("fetch_id", _ID, "Fetch whose bars it used."),
    _column("run_id", _ID, "Run that issued it."),
    _refers("model_id", "models"),
    _refers("fetch_id", "fetches"),
    _refers("run_id", "runs"),
    CheckConstraint("target_session > origin_session", name="target_after_origin"),
    CheckConstraint(
        "q05 <= q10 AND q10 <= q25 AND q25 <= q50 AND q50 <= q75 AND q75 <= q90 AND q90 <= q95",
        name="quantiles_ascend",
    ),
    Index("ix_forecasts_symbol_target_target_session", "symbol", "target", "target_session"),
    # Rows are stored in the key's tree: a third less on disk, one look-up instead of two
    sqlite_with_rowid=False,
    comment="One forecast as issued: seven quantiles of one target session by one model. "
    "Insert-only.",
)

forecast_parts = Table(
    "forecast_parts",
    metadata,
    *_keys(*FORECAST_KEY),
    _key(
        "part",
        String(20),
        "`usual`, `weekday`, `month`, `month_end`, `index` (reviews), `expiry`, `holiday`, "
        "`report`, `quarter` (a quarter before), `market`, `recent`, `network`, `trees`, "
        "`combination`; of a fallback `usual` and `baseline`.",
    ),
    _column("place", Integer, "Order of the parts: 1 for the first."),
    _column("factor", Double, "What the value is multiplied by; of `usual` the level itself."),
    ForeignKeyConstraint(FORECAST_KEY, _FORECAST_COLUMNS, name="fk_forecast_parts_forecasts"),
    sqlite_with_rowid=False,
    comment="One part of a published median: the product of its factors is q50. A part without a "
    "row multiplies by 1. Insert-only.",
)


def _scored() -> list[Column[Any]]:
    """The columns of a table of scores."""
    return [
        # In the order of the standings: the newest scores of one forecaster lie together.
        *_keys("symbol", "target", "kind", "horizon", "origin_session", "model_id"),
        _key(
            "stage",
            String(11),
            "`first_print`: by the first stored bar, confirmed since or not; `settled`: by a later "
            "version, confirmed.",
        ),
        _key(
            "bar_version", Integer, "Version of the bar scored against; a restated bar adds a row."
        ),
        *_same("target_session"),
        _column(
            "actual",
            Double,
            "Actual value in the target's unit, on the share basis of the day of the forecast.",
        ),
        _column(
            "error",
            Double,
            "q50 - actual, in the target's unit: positive when the forecast was too high.",
        ),
        _column(
            "pinball",
            Double,
            "Pinball loss, mean over the seven quantile levels, in the target's unit; lower is "
            "better.",
        ),
        _column(
            "interval_score",
            Double,
            "Weighted interval score of median, 80 and 90% interval; lower is better.",
        ),
        _column(
            "inside_80",
            Boolean,
            "Whether the actual value is inside the 80% interval, q10 to q90, ends included.",
        ),
        _column(
            "inside_90",
            Boolean,
            "Whether it is inside the 90% interval, q05 to q95, ends included.",
        ),
        _column("scored_at", UtcDateTime, "When it was scored."),
        # Copied from forecast and model: standings need them without two look-ups a score.
        _empty("role", _WORD, "Role of the forecast, as in `forecasts`."),
        _empty("model", String(30), "Name of the model: `lstm`, or that of a baseline or a rival."),
        _optional("issued_at", UtcDateTime, "When the forecast was written; never NULL."),
    ]


scores = Table(
    "scores",
    metadata,
    *_scored(),
    ForeignKeyConstraint(FORECAST_KEY, _FORECAST_COLUMNS, name="fk_scores_forecasts"),
    sqlite_with_rowid=False,
    comment="One forecast scored against one version of its target session's bar. Insert-only.",
)

total_forecasts = Table(
    "total_forecasts",
    metadata,
    *_keys(*FORECAST_KEY),
    *_same("target_session"),
    *(_column(name, Double, _QUANTILE) for name in QUANTILE_COLUMNS),
    _column("role", _WORD, "`published` or `baseline` (the reference)."),
    _column(
        "factor",
        Double,
        "Factor of the logs' distance from the median's, tracked on closed totals; 1 of a baseline "
        "that is not published.",
    ),
    _column("issued_at", UtcDateTime, "When the forecast was written."),
    sqlite_with_rowid=False,
    comment="One forecast of the total volume of the sessions after the origin up to the target "
    "session, 2 to 5, 10 or 20: published or of the reference baseline. Insert-only.",
)

total_scores = Table(
    "total_scores",
    metadata,
    *_scored(),
    ForeignKeyConstraint(
        FORECAST_KEY,
        [f"total_forecasts.{name}" for name in FORECAST_KEY],
        name="fk_total_scores_total_forecasts",
    ),
    sqlite_with_rowid=False,
    comment="One total scored once all its sessions are, at a stage; bar_version is the sum of "
    "their bars' versions. Insert-only.",
)

standings = Table(
    "standings",
    metadata,
    *_keys("symbol", "target", "kind", "horizon"),
    _key(
        "window_sessions",
        Integer,
        "Newest 20, 60 or 250 nights with a score of what was published.",
    ),
    _key("line", String(30), "Name of a forecaster; empty for the published forecasts."),
    _column("first_origin", Date, "First night of the window."),
    _column("last_origin", Date, "Newest night with a score of the published forecast."),
    _column(
        "n", Integer, "Nights of the window with a score of it and of what was published; may be 0."
    ),
    _column(
        "error",
        Double,
        "Sum of the forecaster's absolute errors over these n, in the target's unit.",
    ),
    _column("pinball", Double, "Sum of its pinball losses, in the target's unit."),
    _column("inside_80", Integer, "Number of its actual values inside the 80% interval."),
    _column("inside_90", Integer, "Number inside the 90% interval."),
    _column(
        "published_error",
        Double,
        "Sum of the published forecasts' absolute errors on the same nights.",
    ),
    _column(
        "published_pinball",
        Double,
        "Sum of the published forecasts' pinball losses on the same nights.",
    ),
    _optional(
        "squared_gap",
        Double,
        "Sum of the squared differences between the two pinball losses of a night.",
    ),
    comment="Sums over a window of nights, one row a forecaster and horizon, written with the "
    "scores; live_skill divides them. Losses are rounded to a power of two, so that sums stay "
    "exact.",
)

metrics = Table(
    "metrics",
    metadata,
    _key("model_id", _ID, "Model of the figure, an id of `models`; the row of a backtest."),
    *_keys("symbol", "target"),
    _key("horizon", Integer, "1 to 5, or 0 for the mean over all horizons."),
    _key(
        "metric",
        String(20),
        "`mae`, `mae_BASELINE`, `pinball`, `reference_skill`, `coverage_80`, `coverage_90`; of "
        "volume also `r2_dollar_volume` and `r2_BASELINE`.",
    ),
    _key("scope", _WORD, "`published`, by nights; `backtest`: the model alone."),
    _key("window_to", Date, "Last origin session."),
    _key("run_id", _ID, "Run that computed it; for a backtest its own id."),
    _column("window_from", Date, "First origin session."),
    _column(
        "value",
        Double,
        "Losses in the target's unit, skills as 1 - loss / baseline's loss, coverages 0 to 1, R² "
        "as in live_r2.",
    ),
    _column("n", Integer, "Number of origins with an actual value."),
    _empty("baseline", String(30), "Baseline that it is of or compares with; empty for none."),
    _optional(
        "p_value", Double, "Two-sided p of equal loss (Diebold-Mariano); NULL without a test."
    ),
    comment="One figure over a window of origins; today those of backtests. Insert-only.",
)

# The columns of the tables, as queries name them: bar.session
fetch = fetches.c
bar = bar_versions.c
action = corporate_actions.c
event = events.c
finding = findings.c
run = runs.c
model = models.c
weight = weights.c
forecast = forecasts.c
part = forecast_parts.c
score = scores.c
standing = standings.c
