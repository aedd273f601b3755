"""The tables, as SQLAlchemy Core metadata. Names are a contract: people query them.

Docs/tables.md is made of this.

Ids are short text derived from what they name, so that a run repeated after a kill writes the same
rows. Comments are those that Postgres stores; `migrate.upgrade` writes them, so that a changed text
needs no migration.
"""

from datetime import UTC, datetime
from typing import Any, get_args

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Date, Double, Integer, String, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from forecasting.errors import FailedVerdict
from forecasting.vocabulary import QUANTILE_COLUMNS


def in_utc(value: datetime) -> datetime:
    """`value` in UTC; raises ValueError for a naive instant, which is a fault of the code."""
    if value.tzinfo is None:
        raise ValueError(
            f"Expected an instant with a time zone; found the naive {value.isoformat()}."
        )
    return value.astimezone(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware UTC in Python.

    Timestamptz on Postgres, ISO text on SQLite, which keeps no zone.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """`value` in UTC."""
        return None if value is None else in_utc(value)

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
"""Verdicts of requests that stored no bar: their rows record when the request was made, and why it
stored none."""

RUNNING = sa.text("status = 'running'")
"""As text, without a parameter: SQLite uses the index of these rows for this very condition alone."""

_EMPTY = "''"


def _column(
    name: str,
    kind: type[TypeEngine[Any]] | TypeEngine[Any],
    comment: str,
    *,
    key: bool = False,
    null: bool = False,
    default: str | None = None,
) -> sa.Column[Any]:
    """A column that is never NULL unless `null`; its `default` as SQL."""
    return sa.Column(
        name,
        kind,
        primary_key=key,
        autoincrement=False,
        nullable=null,
        # Alembic takes a plain text for another default than the one it finds on SQLite.
        server_default=default if default is None else sa.text(default),
        comment=comment,
    )


_SYMBOL = "Ticker as Yahoo writes it: SBUX, BRK-B, ^GSPC."
_TARGET = "What is forecast: `volume`, `close` or `range`, which is log(high / low)."
_FORECAST = "Session that is forecast: the origin plus the horizon, in sessions of the exchange."
_ROLE = (
    "`champion` (published), `challenger`, `baseline`, `silenced` (its own where a baseline "
    "is published)."
)
FORECAST_KEY = ("symbol", "target", "origin_session", "horizon", "model_id", "kind")
_FORECAST_COLUMNS = [f"forecasts.{name}" for name in FORECAST_KEY]
_KEY: dict[str, tuple[type[TypeEngine[Any]] | TypeEngine[Any], str]] = {
    "symbol": (String(15), _SYMBOL),
    "target": (String(10), _TARGET),
    "origin_session": (Date, "Origin: the last session whose bar the forecast used."),
    "horizon": (Integer, "Sessions from the origin to the target session: 1 to 5."),
    "model_id": (String(16), "Model that made the forecast, an id of `models`."),
    "kind": (
        String(6),
        "`live` (issued before the first target session opened), `late` (before it closed), "
        "`replay` (later).",
    ),
}


def _key(*names: str, key: bool = True) -> list[sa.Column[Any]]:
    """Columns, of a key unless said, that mean the same in every table."""
    return [_column(name, *_KEY[name], key=key) for name in names]


_VERDICT = (
    "`first`, `extended`, `unchanged`, `dividend`, `split`, `revised`, `held`; no bar stored: "
    "`late`, `rate_limited`, "
    "`unavailable`, `bad_data`."
)
_MODE_KIND = (
    "Kind of that reason: `asked`, `first` (no champion), `unreadable` (its weights), `changed` "
    "(inputs), `drift`, "
    "`age`, `epochs` (of its chain), `routine`; empty until decided."
)
_SETTINGS = "Hash of the settings that shape a forecast; equal for equal settings."
_BASE = (
    "Pretrained weights that the chain of fits began with, by name; `drawn` for random ones; "
    "empty for a baseline."
)
_CODE = "Version of this package, with the commit in a checkout: 0.2.0+3f9c2ab."
_CALIBRATION = (
    "JSON for later calibration: raw quantiles of `network` and `partner` (the linear model), "
    "median of `trees`, "
    "`level`, `spread`, `weight`, `share` (of the trees), `factors`; empty for a baseline."
)
_CALENDAR = (
    "Of the target session: `half day`, `triple witching`, `options expiry`, `index review` "
    "(announced), `after a "
    "holiday`; or empty."
)
_METRIC = (
    "`mae`, `mae_naive`, `mae_BASELINE`, `pinball`, skills `pinball_vs_best`, `skill_vs_naive`, "
    "`skill_vs_best`, "
    "`coverage_80`, `coverage_90`; of volume also `r2_dollar_volume` and `r2_BASELINE`."
)
_FIGURE = (
    "Losses in the target's unit, skills as 1 - loss / baseline's loss, coverages 0 to 1, "
    "R² as in live_r2."
)
_PART = (
    "`usual`, `weekday`, `month`, `month_end`, `index` (reviews), `expiry`, `holiday`, `report`, "
    "`quarter` (a quarter "
    "before), `market`, `recent`, `network`, `trees`, `combination`; of a fallback `usual` and "
    "`baseline`."
)
_PINBALL = (
    "Pinball loss, mean over the seven quantile levels, in the target's unit; lower is better."
)
_QUANTILE = "Quantile of the level in its name, in the target's unit."
_PRICE = "Split-adjusted, not adjusted for dividends, in the fetch's currency."

# Tables of fetched data. All others can be computed from these and the settings.

fetches = sa.Table(
    "fetches",
    metadata,
    _column(
        "id",
        String(16),
        "Id, derived from source, symbol, requested span, payload and run.",
        key=True,
    ),
    _column(
        "run_id",
        String(16),
        "Run that made the request, an id of `runs`; NULL for an ingest alone.",
        null=True,
    ),
    _column(
        "source",
        Text,
        "`yahoo`, `sample`, `csv:FILE`, `parquet:FILE`, or an installed source's name.",
    ),
    _column("symbol", String(15), _SYMBOL),
    _column("title", Text, "Description of the series: SBUX, daily, from Yahoo Finance."),
    _column(
        "currency",
        String(6),
        "Of the prices: USD, EUR, GBp for pence; empty if unknown.",
        default=_EMPTY,
    ),
    _column("first_asked", Date, "First session requested."),
    _column("last_asked", Date, "Last session requested; no bar is newer."),
    _column(
        "first_received",
        Date,
        "Oldest session of the response; NULL without bars.",
        null=True,
    ),
    _column(
        "last_received",
        Date,
        "Newest session of the response, also if that bar was held back.",
        null=True,
    ),
    _column("fetched_at", UtcDateTime, "When the response was received, UTC."),
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
    _column(
        "adjustment_session",
        Date,
        "Newest session with an Adj Close; NULL without one.",
        null=True,
    ),
    _column(
        "adjustment",
        Double,
        "Adj Close / Close of it, 0 to 1; the next dividend lowers it.",
        null=True,
    ),
    _column("verdict", String(12), _VERDICT),
    _column(
        "detail",
        Text,
        "All changes in one line, or the error's message.",
        default=_EMPTY,
    ),
    sa.Index("ix_fetches_symbol_fetched_at", "symbol", "fetched_at"),
    comment="One request to a source and its outcome, of a live source also where no bar was "
    "stored. Insert-only.",
)

bar_versions = sa.Table(
    "bar_versions",
    metadata,
    _column(
        "symbol",
        String(15),
        _SYMBOL,
        key=True,
    ),
    _column(
        "session",
        Date,
        "Session of the bar, a trading day of the symbol's exchange.",
        key=True,
    ),
    _column(
        "version",
        Integer,
        "1 for the first stored bar, then ascending.",
        key=True,
    ),
    *(
        _column(
            price,
            Double,
            _PRICE,
            null=True,
        )
        for price in ("open", "high", "low", "close")
    ),
    _column(
        "volume",
        BigInteger,
        "Shares traded, split-adjusted; NULL if unknown, never 0.",
        null=True,
    ),
    _column("fetch_id", String(16), "Fetch that added it."),
    _column("first_seen_at", UtcDateTime, "When its fetch was made, UTC."),
    _column(
        "superseded_at",
        UtcDateTime,
        "When a later version replaced it, UTC; NULL for the current.",
        null=True,
    ),
    _column(
        "settled_at",
        UtcDateTime,
        "When a later night's fetch confirmed it, UTC; NULL: provisional.",
        null=True,
    ),
    sa.ForeignKeyConstraint(["fetch_id"], ["fetches.id"]),
    sa.CheckConstraint("volume IS NULL OR volume >= 0", name="volume_not_negative"),
    comment="One version of one session's bar, on the share basis of its fetch. Values never "
    "change: a restatement or "
    "a split adds a version; superseded_at and settled_at are filled in, once.",
)

corporate_actions = sa.Table(
    "corporate_actions",
    metadata,
    _column(
        "symbol",
        String(15),
        _SYMBOL,
        key=True,
    ),
    _column(
        "session",
        Date,
        "Ex-date, or first session on the new share basis.",
        key=True,
    ),
    _column(
        "kind",
        String(10),
        "`dividend` or `split`.",
        key=True,
    ),
    _column(
        "first_seen_at",
        UtcDateTime,
        "When its fetch was made, UTC.",
        key=True,
    ),
    _column(
        "value",
        Double,
        "Dividend in the fetch's currency per share, or new shares per old share; above 0.",
    ),
    _column("fetch_id", String(16), "Fetch that added it."),
    sa.ForeignKeyConstraint(["fetch_id"], ["fetches.id"]),
    comment="One dividend or split as first seen with one value; the newest first_seen_at is valid.",
)

events = sa.Table(
    "events",
    metadata,
    _column(
        "symbol",
        String(15),
        _SYMBOL,
        key=True,
    ),
    _column(
        "session",
        Date,
        "Session that reacts: the announcement's own, or the next if after the close; or the day.",
        key=True,
    ),
    _column(
        "kind",
        String(12),
        "`earnings`, or of a day: `closed`, `half_day`, `index_review`.",
        key=True,
    ),
    _column(
        "first_seen_at",
        UtcDateTime,
        "When it was read, UTC.",
        key=True,
    ),
    _column(
        "known_from",
        Date,
        "First origin session that may use the event; of a withdrawal the first that may not.",
    ),
    _column(
        "known_rule",
        String(20),
        "`seen`, `21 sessions ahead` (day unknown), `unscheduled`, `withdrawn` (ends it).",
    ),
    _column("announced", Date, "Day of the announcement; or the day."),
    _column(
        "timing", String(5), "`bmo` (before the open), `amc` (after the close) or empty if unknown."
    ),
    _column(
        "source",
        Text,
        "Its list: a file, `bundled`, `sec-8k` (shipped days of filings), the bars' source, or "
        "`run --closed`.",
    ),
    comment="One event (an earnings date, or an announced day that the calendar lacks) as first "
    "seen in one form; a "
    "later row of its session and kind replaces it.",
)

findings = sa.Table(
    "findings",
    metadata,
    _column(
        "id",
        String(16),
        "Id, derived from fetch, session and rule.",
        key=True,
    ),
    _column("symbol", String(15), _SYMBOL),
    _column(
        "session",
        Date,
        "Session of the bar; of `earnings_stale` the newest one that reacted to earnings.",
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
    _column(
        "value",
        Double,
        "The offending number, in its rule's unit; of `witness_*` a multiple.",
        null=True,
    ),
    _column(
        "detail",
        Text,
        "One sentence that explains the rule.",
        default=_EMPTY,
    ),
    _column("fetch_id", String(16), "Fetch that added it."),
    _column(
        "cleared_at",
        UtcDateTime,
        "When it was no longer shown, UTC; NULL: open.",
        null=True,
    ),
    sa.ForeignKeyConstraint(["fetch_id"], ["fetches.id"]),
    sa.Index("ix_findings_symbol_session", "symbol", "session"),
    comment="One fault of a fetched or stored bar, open until a later fetch no longer shows it; a "
    "flag about a new or "
    "changed row, and one of the witness, is cleared by its own fetch.",
)

# Tables derived from them.

runs = sa.Table(
    "runs",
    metadata,
    _column(
        "id",
        String(16),
        "Id, derived from symbol, session, target, source and settings.",
        key=True,
    ),
    _column(
        "as_of",
        Date,
        "The night's session: the newest whose bar it may use, the origin of its forecasts.",
    ),
    *_key("symbol", "target", key=False),
    _column(
        "source",
        Text,
        "Source of the bars: `yahoo`, `sample`, `csv:FILE`, ..., or `NAME:ARGUMENT` of a package.",
    ),
    _column(
        "trigger",
        String(10),
        "What started the night: `run` (by hand), `schedule` (unattended) or `catch-up`.",
    ),
    _column(
        "status",
        String(10),
        "`running`, `done`, `late` (its bar is missing), `failed` or `closed` (its day was no "
        "session).",
    ),
    _column(
        "mode",
        String(10),
        "How the challenger was fitted: `scratch`, `warm` or `skip`.",
        default=_EMPTY,
    ),
    _column(
        "mode_reason",
        Text,
        "Why that mode was chosen; empty until decided.",
        default=_EMPTY,
    ),
    _column(
        "mode_kind",
        String(10),
        _MODE_KIND,
        default=_EMPTY,
    ),
    _column("started_at", UtcDateTime, "When the night first started, UTC."),
    _column(
        "finished_at",
        UtcDateTime,
        "When it was done, UTC; NULL before.",
        null=True,
    ),
    *(
        _column(
            f"seconds_{step}",
            Double,
            "Seconds of the step, its share of symbols run together.",
            null=True,
        )
        for step in ("ingest", "preprocess", "train", "predict", "evaluate")
    ),
    _column(
        "flow_run_id",
        String(36),
        "Id of Prefect's flow run; NULL without Prefect.",
        null=True,
    ),
    _column("code_version", String(40), _CODE),
    _column("settings_hash", String(12), _SETTINGS),
    _column(
        "settings",
        Text,
        "JSON of the settings that shape a forecast, and the file of earnings dates.",
    ),
    _column(
        "note",
        Text,
        "Remarks for readers: a missing bar or market series; empty without any.",
        default=_EMPTY,
    ),
    _column(
        "notes",
        Text,
        "JSON of the same remarks by kind; empty without any, or before 0010.",
        default=_EMPTY,
    ),
    _column(
        "error",
        Text,
        "Message of the error of the last attempt; NULL without one.",
        null=True,
    ),
    _column(
        "market_fetch",
        String(16),
        "Newest fetch of the market series used; empty without one.",
        default=_EMPTY,
    ),
    sa.Index(
        "ix_runs_symbol_target_as_of",
        "symbol",
        "target",
        "as_of",
    ),
    sa.Index(
        "ix_runs_running",
        "as_of",
        sqlite_where=RUNNING,
        postgresql_where=RUNNING,
    ),
    comment="One night of one symbol, target and source under one set of settings. Updated while "
    "it proceeds.",
)

models = sa.Table(
    "models",
    metadata,
    _column(
        "id",
        String(16),
        "Id derived from run and method, or from settings and what it was made of.",
        key=True,
    ),
    _column("name", String(30), "`lstm`, a baseline's name, or `backtest`."),
    _column(
        "version",
        String(20),
        "Architecture of a network, version of baselines, or a backtest's refit interval.",
    ),
    _column(
        "method",
        String(10),
        "`scratch`, `warm`, `baseline`, `backtest`; `base`: weights of releases before 0.4.",
    ),
    _column(
        "parent_id",
        String(16),
        "Model that a warm fit started from, an id of `models`; else NULL.",
        null=True,
    ),
    _column(
        "base",
        String(40),
        _BASE,
        default=_EMPTY,
    ),
    _column("symbol", String(15), f"{_SYMBOL[:-1]}; empty for method `base`."),
    _column("target", String(10), _TARGET),
    _column(
        "scope",
        String(10),
        "Bars of the weights: `symbol`, or `panel` with others (pretrained weights).",
    ),
    _column("seed", Integer, "Seed of the random numbers."),
    _column(
        "trained_from",
        Date,
        "First training session; NULL for a baseline.",
        null=True,
    ),
    _column(
        "trained_to",
        Date,
        "Last session whose value a weight has used; NULL for a baseline.",
        null=True,
    ),
    _column(
        "epochs",
        Integer,
        "Training epochs of this fit.",
        default="'0'",
    ),
    _column(
        "chain_epochs",
        Integer,
        "Epochs since the last fit from scratch, this fit included.",
        default="'0'",
    ),
    _column(
        "fetch_id",
        String(16),
        "Fetch of the training bars, an id of `fetches`; NULL of many or none.",
        null=True,
    ),
    _column(
        "companion_fetches",
        Text,
        "JSON: the fetch of each series of method `base`; else empty.",
        default=_EMPTY,
    ),
    _column(
        "run_id",
        String(16),
        "Run that fitted it, an id of `runs`; NULL for a baseline and `base`.",
        null=True,
    ),
    _column("settings_hash", String(12), _SETTINGS),
    _column("code_version", String(40), _CODE),
    _column(
        "artifact_path",
        Text,
        "Folder of the weights in the data folder; NULL without any or pruned.",
        null=True,
    ),
    _column(
        "artifact_hash",
        String(64),
        "SHA-256 of the weights; NULL for a baseline.",
        null=True,
    ),
    _column(
        "seconds",
        Double,
        "Duration of the fit, seconds.",
        default="'0'",
    ),
    _column(
        "refused",
        Text,
        "Why the gate refused the fit, never published; empty when it passed.",
        default=_EMPTY,
    ),
    _column(
        "gate",
        Text,
        "JSON of what the gate compared, mean pinball losses; empty for a baseline.",
        default=_EMPTY,
    ),
    _column("created_at", UtcDateTime, "When the row was written, UTC."),
    sa.Index(
        "ix_models_symbol_target_name",
        "symbol",
        "target",
        "name",
    ),
    comment="One fitted network, baseline or backtest. Pruning empties artifact_path.",
)

promotions = sa.Table(
    "promotions",
    metadata,
    _column(
        "id",
        String(16),
        "Id, derived from the run or the command.",
        key=True,
    ),
    *_key("symbol", "target", key=False),
    _column("session", Date, "Session of the decision; forecasts of later origins use the winner."),
    _column(
        "champion",
        String(16),
        "Champion before, an id of `models`; NULL on the first night.",
        null=True,
    ),
    _column(
        "challenger",
        String(16),
        "The night's fit, or the model named by a command, an id of `models`.",
    ),
    _column("winner", String(16), "Champion from now on, an id of `models`."),
    _column(
        "best_baseline",
        String(30),
        "Empty: the gate compares no baseline.",
        default=_EMPTY,
    ),
    _column(
        "champion_pinball",
        Double,
        "Mean pinball loss of the champion on them; NULL without any.",
        null=True,
    ),
    _column(
        "challenger_pinball",
        Double,
        "Mean pinball loss of the challenger on them; NULL without any.",
        null=True,
    ),
    _column(
        "baseline_pinball",
        Double,
        "NULL: the gate compares no baseline.",
        null=True,
    ),
    _column(
        "p_value",
        Double,
        "NULL: the gate makes no test.",
        null=True,
    ),
    _column("origins", Integer, "Number of origins compared; 0 for a command."),
    _column(
        "first_origin",
        Date,
        "Oldest of them; NULL where none was compared.",
        null=True,
    ),
    _column(
        "last_origin",
        Date,
        "Newest of them; NULL where none was compared.",
        null=True,
    ),
    _column(
        "compared",
        String(10),
        "`hindcasts`, both over the same origins; empty for a command.",
        default=_EMPTY,
    ),
    _column("reason", Text, "The decision's reason, as text."),
    _column("trigger", String(10), "`night`, `promote` or `rollback`."),
    _column("decided_at", UtcDateTime, "When it was decided, UTC."),
    _column(
        "run_id",
        String(16),
        "Run that decided it, an id of `runs`; NULL for a command.",
        null=True,
    ),
    sa.Index(
        "ix_promotions_symbol_target_decided_at",
        "symbol",
        "target",
        "decided_at",
    ),
    sa.Index("ix_promotions_run_id", "run_id"),
    comment="One decision which model is champion next, by a night or a command. Insert-only; the "
    "newest session, then "
    "the newest decision, is valid.",
)

forecasts = sa.Table(
    "forecasts",
    metadata,
    # The key leads with the symbol, so that one symbol's rows lie together and its newest are found
    # from the key alone.
    *_key(*FORECAST_KEY),
    _column("target_session", Date, _FORECAST),
    *(_column(name, Double, _QUANTILE) for name in QUANTILE_COLUMNS),
    _column("role", String(10), _ROLE),
    _column(
        "status",
        String(8),
        "`ok`, or `fallback` where a baseline was published in the champion's place.",
    ),
    _column(
        "reason",
        Text,
        "Why a baseline was published, or which break is near; else empty.",
        default=_EMPTY,
    ),
    _column(
        "last_value",
        Double,
        "Value of the target on the origin session; NULL if unknown.",
        null=True,
    ),
    _column(
        "past_forecasts",
        Integer,
        "Closed forecasts of this horizon that calibrated it.",
        default="'0'",
    ),
    _column(
        "calibration",
        Text,
        _CALIBRATION,
        default=_EMPTY,
    ),
    _column(
        "outside",
        Text,
        "Inputs beyond the training range: `volume 2024-05-01`; or empty.",
        default=_EMPTY,
    ),
    _column(
        "calendar",
        Text,
        _CALENDAR,
        default=_EMPTY,
    ),
    _column("issued_at", UtcDateTime, "When the forecast was written, UTC."),
    _column("data_as_of", UtcDateTime, "When the bars that it used were fetched, UTC."),
    _column("fetch_id", String(16), "Fetch whose bars it used."),
    _column("run_id", String(16), "Run that issued it."),
    sa.ForeignKeyConstraint(["model_id"], ["models.id"]),
    sa.ForeignKeyConstraint(["fetch_id"], ["fetches.id"]),
    sa.ForeignKeyConstraint(["run_id"], ["runs.id"]),
    sa.CheckConstraint("target_session > origin_session", name="target_after_origin"),
    sa.CheckConstraint(
        "q05 <= q10 AND q10 <= q25 AND q25 <= q50 AND q50 <= q75 AND q75 <= q90 AND q90 <= q95",
        name="quantiles_ascend",
    ),
    sa.Index(
        "ix_forecasts_symbol_target_target_session",
        "symbol",
        "target",
        "target_session",
    ),
    # Rows are stored in the key's tree: a third less on disk, one look-up instead of two
    sqlite_with_rowid=False,
    comment="One forecast as issued: seven quantiles of one target session by one model. "
    "Insert-only.",
)

forecast_parts = sa.Table(
    "forecast_parts",
    metadata,
    *_key(*FORECAST_KEY),
    _column(
        "part",
        String(20),
        _PART,
        key=True,
    ),
    _column("place", Integer, "Order of the parts: 1 for the first."),
    _column(
        "factor",
        Double,
        "What the value is multiplied by; of `usual` the level, of a close the log of a width.",
    ),
    sa.ForeignKeyConstraint(FORECAST_KEY, _FORECAST_COLUMNS, name="fk_forecast_parts_forecasts"),
    sqlite_with_rowid=False,
    comment="One part of a published median: the product of its factors is q50, of close log(q90 / "
    "q10). Insert-only.",
)

fallback_margins = sa.Table(
    "fallback_margins",
    metadata,
    _column(
        "run_id",
        String(16),
        "Run that compared them.",
        key=True,
    ),
    *_key("symbol", "target", key=False),
    _column("session", Date, "The run's session, the origin of its forecasts."),
    _column("baseline", String(30), "The best baseline, which would be published."),
    _column(
        "deficit",
        Double,
        "The network's mean pinball loss / the baseline's - 1: positive when it is behind.",
    ),
    _column("origins", Integer, "Scored origins compared, the newest; at most 250."),
    _column(
        "statistic",
        Double,
        "Diebold-Mariano statistic of the difference; positive when the network is behind.",
    ),
    _column("limit_statistic", Double, "Statistic above which the baseline is published."),
    _column(
        "limit_deficit",
        Double,
        "Deficit above which it is; NULL while a baseline is published.",
        null=True,
    ),
    sa.ForeignKeyConstraint(["run_id"], ["runs.id"]),
    sa.Index(
        "ix_fallback_margins_symbol_target_session",
        "symbol",
        "target",
        "session",
    ),
    comment="How near a night's network is to a baseline in its place; both limits must be "
    "exceeded. Insert-only.",
)

scores = sa.Table(
    "scores",
    metadata,
    # The key's order is that of the standings: the newest scores of one forecaster lie together.
    *_key(
        "symbol",
        "target",
        "kind",
        "horizon",
        "origin_session",
        "model_id",
    ),
    _column(
        "stage",
        String(11),
        "`first_print` or `settled`: by the first stored bar or the confirmed one.",
        key=True,
    ),
    _column(
        "bar_version",
        Integer,
        "Version of the bar scored against; a restated bar adds a row.",
        key=True,
    ),
    _column("target_session", Date, _FORECAST),
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
    _column("pinball", Double, _PINBALL),
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
        "inside_90", Boolean, "Whether it is inside the 90% interval, q05 to q95, ends included."
    ),
    _column("scored_at", UtcDateTime, "When it was scored, UTC."),
    # Copied from forecast and model: standings need them of every score, without two look-ups each.
    _column(
        "role",
        String(10),
        "Role of the forecast, as in `forecasts`.",
        default=_EMPTY,
    ),
    _column(
        "model",
        String(30),
        "Name of the model: `lstm` or a baseline's name.",
        default=_EMPTY,
    ),
    _column(
        "issued_at",
        UtcDateTime,
        "When the forecast was written, UTC; never NULL.",
        null=True,
    ),
    sa.ForeignKeyConstraint(FORECAST_KEY, _FORECAST_COLUMNS, name="fk_scores_forecasts"),
    sqlite_with_rowid=False,
    comment="One forecast scored against one version of its target session's bar. Insert-only.",
)

standings = sa.Table(
    "standings",
    metadata,
    *_key(
        "symbol",
        "target",
        "kind",
        "horizon",
    ),
    _column(
        "window_sessions",
        Integer,
        "Newest 20, 60 or 250 nights with a score of what was published.",
        key=True,
    ),
    _column(
        "line",
        String(30),
        "A baseline's name or `lstm`; empty for the published forecasts.",
        key=True,
    ),
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
        "champion_error",
        Double,
        "Sum of the published forecasts' absolute errors on the same nights.",
    ),
    _column(
        "champion_pinball",
        Double,
        "Sum of the published forecasts' pinball losses on the same nights.",
    ),
    comment="Sums over a window of nights, one row a forecaster and horizon, written with the "
    "scores; live_skill "
    "divides them. Losses are rounded to a power of two, so that sums stay exact.",
)

metrics = sa.Table(
    "metrics",
    metadata,
    _column(
        "model_id",
        String(16),
        "Model of the figure, an id of `models`; the row of a backtest.",
        key=True,
    ),
    *_key("symbol", "target"),
    _column(
        "horizon",
        Integer,
        "1 to 5, or 0 for the mean over all horizons.",
        key=True,
    ),
    _column(
        "metric",
        String(20),
        _METRIC,
        key=True,
    ),
    _column(
        "scope",
        String(10),
        "`published`, by nights; `backtest`: the model alone, before release 0.4.",
        key=True,
    ),
    _column(
        "window_to",
        Date,
        "Last origin session.",
        key=True,
    ),
    _column(
        "run_id",
        String(16),
        "Run that computed it; for a backtest its own id.",
        key=True,
    ),
    _column("window_from", Date, "First origin session."),
    _column("value", Double, _FIGURE),
    _column("n", Integer, "Number of origins with an actual value."),
    _column(
        "baseline",
        String(30),
        "Baseline that it is of or compares with; empty for the naive.",
        default=_EMPTY,
    ),
    _column(
        "p_value",
        Double,
        "Two-sided p of equal loss (Diebold-Mariano); NULL without a test.",
        null=True,
    ),
    comment="One figure over a window of origins; today those of backtests. Insert-only.",
)

# Nights and backtests lock them on Postgres (lock.py).
for _name in ("night_lock", "backtest_lock"):
    sa.Table(
        _name,
        metadata,
        _column(
            "unused",
            Integer,
            "Never filled in.",
            key=True,
        ),
        comment="Always empty: it is locked so that one run proceeds at a time.",
    )
