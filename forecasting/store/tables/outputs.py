"""Derived tables: runs, models, promotions, forecasts, scores, standings, metrics; and two that are only locked."""

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, Date, ForeignKey, Index, Integer, String, Table, Text

from forecasting.store.tables.inputs import (
    EMPTY,
    Real,
    metadata,
)
from forecasting.store.tables.types import UtcDateTime
from forecasting.vocabulary import QUANTILE_COLUMNS

RUNNING = sa.text("status = 'running'")
"""As text, without a parameter: SQLite uses the index of these rows for this very condition alone."""

runs = Table(
    "runs",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("as_of", Date, nullable=False),
    Column("symbol", String(15), nullable=False),
    Column("target", String(10), nullable=False),
    Column("source", Text, nullable=False),
    Column("trigger", String(10), nullable=False),
    Column("status", String(10), nullable=False),
    Column("mode", String(10), nullable=False, server_default=EMPTY),
    Column("mode_reason", Text, nullable=False, server_default=EMPTY),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("seconds_ingest", Real),
    Column("seconds_preprocess", Real),
    Column("seconds_train", Real),
    Column("seconds_predict", Real),
    Column("seconds_evaluate", Real),
    Column("flow_run_id", String(36)),
    Column("code_version", String(40), nullable=False),
    Column("settings_hash", String(12), nullable=False),
    Column("settings", Text, nullable=False),
    Column("note", Text, nullable=False, server_default=EMPTY),
    Column("error", Text),
    Column("market_fetch", String(16), nullable=False, server_default=EMPTY),
    Index("ix_runs_symbol_target_as_of", "symbol", "target", "as_of"),
    Index("ix_runs_running", "as_of", sqlite_where=RUNNING, postgresql_where=RUNNING),
)

models = Table(
    "models",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", String(30), nullable=False),
    Column("version", String(20), nullable=False),
    Column("method", String(10), nullable=False),
    Column("parent_id", String(16)),
    Column(
        "base",
        String(40),
        nullable=False,
        server_default=EMPTY,
    ),
    Column("symbol", String(15), nullable=False),
    Column("target", String(10), nullable=False),
    Column("scope", String(10), nullable=False),
    Column("seed", Integer, nullable=False),
    Column("trained_from", Date),
    Column("trained_to", Date),
    Column("epochs", Integer, nullable=False, server_default="0"),
    Column("chain_epochs", Integer, nullable=False, server_default="0"),
    Column("fetch_id", String(16)),
    Column("companion_fetches", Text, nullable=False, server_default=EMPTY),
    Column("run_id", String(16)),
    Column("settings_hash", String(12), nullable=False),
    Column("code_version", String(40), nullable=False),
    Column("artifact_path", Text),
    Column("artifact_hash", String(64)),
    Column("seconds", Real, nullable=False, server_default="0"),
    Column("refused", Text, nullable=False, server_default=EMPTY),
    Column("gate", Text, nullable=False, server_default=EMPTY),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_models_symbol_target_name", "symbol", "target", "name"),
)

promotions = Table(
    "promotions",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("symbol", String(15), nullable=False),
    Column("target", String(10), nullable=False),
    Column("session", Date, nullable=False),
    Column("champion", String(16)),
    Column("challenger", String(16), nullable=False),
    Column("winner", String(16), nullable=False),
    Column("best_baseline", String(30), nullable=False, server_default=EMPTY),
    Column("champion_pinball", Real),
    Column("challenger_pinball", Real),
    Column("baseline_pinball", Real),
    Column("p_value", Real),
    Column("origins", Integer, nullable=False),
    Column("first_origin", Date),
    Column("last_origin", Date),
    Column("compared", String(10), nullable=False, server_default=EMPTY),
    Column("reason", Text, nullable=False),
    Column("trigger", String(10), nullable=False),
    Column("decided_at", UtcDateTime, nullable=False),
    Column("run_id", String(16)),
    Index("ix_promotions_symbol_target_decided_at", "symbol", "target", "decided_at"),
    Index("ix_promotions_run_id", "run_id"),
)

forecasts = Table(
    "forecasts",
    metadata,
    # The key leads with the symbol, so that one symbol's rows lie together and its newest are found from the key alone.
    Column("symbol", String(15), primary_key=True),
    Column("target", String(10), primary_key=True),
    Column("origin_session", Date, primary_key=True),
    Column("horizon", Integer, primary_key=True, autoincrement=False),
    Column("model_id", String(16), ForeignKey("models.id"), primary_key=True),
    Column("kind", String(6), primary_key=True),
    Column("target_session", Date, nullable=False),
    *(Column(name, Real, nullable=False) for name in QUANTILE_COLUMNS),
    Column("role", String(10), nullable=False),
    Column("status", String(8), nullable=False),
    Column("reason", Text, nullable=False, server_default=EMPTY),
    Column("last_value", Real),
    Column("past_forecasts", Integer, nullable=False, server_default="0"),
    Column("calibration", Text, nullable=False, server_default=EMPTY),
    Column(
        "outside",
        Text,
        nullable=False,
        server_default=EMPTY,
    ),
    Column("calendar", Text, nullable=False, server_default=EMPTY),
    Column("issued_at", UtcDateTime, nullable=False),
    Column("data_as_of", UtcDateTime, nullable=False),
    Column("fetch_id", String(16), ForeignKey("fetches.id"), nullable=False),
    Column("run_id", String(16), ForeignKey("runs.id"), nullable=False),
    CheckConstraint("target_session > origin_session", name="target_after_origin"),
    CheckConstraint(
        "q05 <= q10 AND q10 <= q25 AND q25 <= q50 AND q50 <= q75 AND q75 <= q90 AND q90 <= q95", name="quantiles_ascend"
    ),
    Index("ix_forecasts_symbol_target_target_session", "symbol", "target", "target_session"),
    sqlite_with_rowid=False,  # rows are stored in the key's tree: a third less on disk, one look-up instead of two
)

scores = Table(
    "scores",
    metadata,
    # The key's order is that of the standings: the newest scores of one forecaster lie together.
    Column("symbol", String(15), primary_key=True),
    Column("target", String(10), primary_key=True),
    Column("kind", String(6), primary_key=True),
    Column("horizon", Integer, primary_key=True, autoincrement=False),
    Column("origin_session", Date, primary_key=True),
    Column("model_id", String(16), primary_key=True),
    Column("stage", String(11), primary_key=True),
    Column("bar_version", Integer, primary_key=True, autoincrement=False),
    Column("target_session", Date, nullable=False),
    Column("actual", Real, nullable=False),
    Column("error", Real, nullable=False),
    Column("pinball", Real, nullable=False),
    Column("interval_score", Real, nullable=False),
    Column("inside_80", sa.Boolean, nullable=False),
    Column("inside_90", sa.Boolean, nullable=False),
    Column("scored_at", UtcDateTime, nullable=False),
    # Copied from forecast and model: standings need them of every score, without two look-ups each.
    Column("role", String(10), nullable=False, server_default=EMPTY),
    Column("model", String(30), nullable=False, server_default=EMPTY),
    Column("issued_at", UtcDateTime),
    sa.ForeignKeyConstraint(
        ["symbol", "target", "origin_session", "horizon", "model_id", "kind"],
        [f"forecasts.{name}" for name in ("symbol", "target", "origin_session", "horizon", "model_id", "kind")],
        name="fk_scores_forecasts",
    ),
    sqlite_with_rowid=False,
)

standings = Table(
    "standings",
    metadata,
    # Derived from scores and written with them; live_skill divides them. See evaluate/standings.py.
    Column("symbol", String(15), primary_key=True),
    Column("target", String(10), primary_key=True),
    Column("kind", String(6), primary_key=True),
    Column("horizon", Integer, primary_key=True, autoincrement=False),
    Column("window_sessions", Integer, primary_key=True, autoincrement=False),
    Column("line", String(30), primary_key=True),
    Column("first_origin", Date, nullable=False),
    Column("last_origin", Date, nullable=False),
    Column("n", Integer, nullable=False),
    # Sums over these n, in the target's unit.
    Column("error", Real, nullable=False),
    Column("pinball", Real, nullable=False),
    Column("inside_80", Integer, nullable=False),
    Column("inside_90", Integer, nullable=False),
    Column("champion_error", Real, nullable=False),
    Column("champion_pinball", Real, nullable=False),
)

metrics = Table(
    "metrics",
    metadata,
    Column("model_id", String(16), primary_key=True),
    Column("symbol", String(15), primary_key=True),
    Column("target", String(10), primary_key=True),
    Column("horizon", Integer, primary_key=True, autoincrement=False),
    Column("metric", String(20), primary_key=True),
    Column("scope", String(10), primary_key=True),
    Column("window_to", Date, primary_key=True),
    Column("run_id", String(16), primary_key=True),
    Column("window_from", Date, nullable=False),
    Column("value", Real, nullable=False),
    Column("n", Integer, nullable=False),
    Column("baseline", String(30), nullable=False, server_default=EMPTY),
    Column("p_value", Real),
)

for _name in ("night_lock", "backtest_lock"):  # locked by nights and backtests on Postgres, see lock.py
    Table(_name, metadata, Column("unused", Integer, primary_key=True))
