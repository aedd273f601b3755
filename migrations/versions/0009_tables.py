"""Every table as of revision 0009: one step for those before it.

Columns are in the order of a ledger that came here step by step, so that `SELECT *` of both is the
same.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
)

revision = "0009"
down_revision = None
branch_labels = None
depends_on = None

EMPTY = sa.text("''")
RUNNING = sa.text("status = 'running'")
KEY = ("symbol", "target", "origin_session", "horizon", "model_id", "kind")
Instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "events",
        Column("symbol", String(15), primary_key=True),
        Column("session", Date, primary_key=True),
        Column("kind", String(10), primary_key=True),
        Column("first_seen_at", Instant, primary_key=True),
        Column("known_from", Date, nullable=False),
        Column("known_rule", String(20), nullable=False),
        Column("announced", Date, nullable=False),
        Column("timing", String(5), nullable=False),
        Column("source", Text, nullable=False),
    )
    op.create_table(
        "fetches",
        Column("id", String(16), primary_key=True),
        Column("run_id", String(16)),
        Column("source", Text, nullable=False),
        Column("symbol", String(15), nullable=False),
        Column("title", Text, nullable=False),
        Column("first_asked", Date, nullable=False),
        Column("last_asked", Date, nullable=False),
        Column("first_received", Date),
        Column("last_received", Date),
        Column("fetched_at", Instant, nullable=False),
        Column("row_count", Integer, nullable=False),
        Column("payload_hash", String(64), nullable=False),
        Column("library_version", String(60), nullable=False),
        Column("adjustment_session", Date),
        Column("adjustment", Double),
        Column("verdict", String(12), nullable=False),
        Column("detail", Text, nullable=False, server_default=EMPTY),
        Column("currency", String(6), nullable=False, server_default=EMPTY),
        Index("ix_fetches_symbol_fetched_at", "symbol", "fetched_at"),
    )
    op.create_table(
        "metrics",
        Column("model_id", String(16), primary_key=True),
        Column("symbol", String(15), primary_key=True),
        Column("target", String(10), primary_key=True),
        Column("horizon", Integer, primary_key=True, autoincrement=False),
        Column("metric", String(20), primary_key=True),
        Column("scope", String(10), primary_key=True),
        Column("window_to", Date, primary_key=True),
        Column("run_id", String(16), primary_key=True),
        Column("window_from", Date, nullable=False),
        Column("value", Double, nullable=False),
        Column("n", Integer, nullable=False),
        Column("baseline", String(30), nullable=False, server_default=EMPTY),
        Column("p_value", Double),
    )
    op.create_table(
        "models",
        Column("id", String(16), primary_key=True),
        Column("name", String(30), nullable=False),
        Column("version", String(20), nullable=False),
        Column("method", String(10), nullable=False),
        Column("parent_id", String(16)),
        Column("symbol", String(15), nullable=False),
        Column("target", String(10), nullable=False),
        Column("scope", String(10), nullable=False),
        Column("seed", Integer, nullable=False),
        Column("trained_from", Date),
        Column("trained_to", Date),
        Column("epochs", Integer, nullable=False, server_default="0"),
        Column("chain_epochs", Integer, nullable=False, server_default="0"),
        Column("fetch_id", String(16)),
        Column("run_id", String(16)),
        Column("settings_hash", String(12), nullable=False),
        Column("code_version", String(40), nullable=False),
        Column("artifact_path", Text),
        Column("artifact_hash", String(64)),
        Column("seconds", Double, nullable=False, server_default="0"),
        Column("created_at", Instant, nullable=False),
        Column("companion_fetches", Text, nullable=False, server_default=EMPTY),
        Column("base", String(40), nullable=False, server_default=EMPTY),
        Column("refused", Text, nullable=False, server_default=EMPTY),
        Column("gate", Text, nullable=False, server_default=EMPTY),
        Index("ix_models_symbol_target_name", "symbol", "target", "name"),
    )
    op.create_table(
        "promotions",
        Column("id", String(16), primary_key=True),
        Column("symbol", String(15), nullable=False),
        Column("target", String(10), nullable=False),
        Column("session", Date, nullable=False),
        Column("champion", String(16)),
        Column("challenger", String(16), nullable=False),
        Column("winner", String(16), nullable=False),
        Column("best_baseline", String(30), nullable=False, server_default=EMPTY),
        Column("champion_pinball", Double),
        Column("challenger_pinball", Double),
        Column("baseline_pinball", Double),
        Column("p_value", Double),
        Column("origins", Integer, nullable=False),
        Column("reason", Text, nullable=False),
        Column("trigger", String(10), nullable=False),
        Column("decided_at", Instant, nullable=False),
        Column("run_id", String(16)),
        Column("first_origin", Date),
        Column("last_origin", Date),
        Column("compared", String(10), nullable=False, server_default=EMPTY),
        Index("ix_promotions_run_id", "run_id"),
        Index("ix_promotions_symbol_target_decided_at", "symbol", "target", "decided_at"),
    )
    op.create_table(
        "runs",
        Column("id", String(16), primary_key=True),
        Column("as_of", Date, nullable=False),
        Column("symbol", String(15), nullable=False),
        Column("target", String(10), nullable=False),
        Column("source", Text, nullable=False),
        Column("trigger", String(10), nullable=False),
        Column("status", String(10), nullable=False),
        Column("mode", String(10), nullable=False, server_default=EMPTY),
        Column("mode_reason", Text, nullable=False, server_default=EMPTY),
        Column("started_at", Instant, nullable=False),
        Column("finished_at", Instant),
        *(
            Column(name, Double)
            for name in (
                "seconds_ingest",
                "seconds_preprocess",
                "seconds_train",
                "seconds_predict",
                "seconds_evaluate",
            )
        ),
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
    op.create_table(
        "standings",
        Column("symbol", String(15), primary_key=True),
        Column("target", String(10), primary_key=True),
        Column("kind", String(6), primary_key=True),
        Column("horizon", Integer, primary_key=True, autoincrement=False),
        Column("window_sessions", Integer, primary_key=True, autoincrement=False),
        Column("line", String(30), primary_key=True),
        Column("first_origin", Date, nullable=False),
        Column("last_origin", Date, nullable=False),
        Column("n", Integer, nullable=False),
        Column("error", Double, nullable=False),
        Column("pinball", Double, nullable=False),
        Column("inside_80", Integer, nullable=False),
        Column("inside_90", Integer, nullable=False),
        Column("champion_error", Double, nullable=False),
        Column("champion_pinball", Double, nullable=False),
    )
    op.create_table(
        "bar_versions",
        Column("symbol", String(15), primary_key=True),
        Column("session", Date, primary_key=True),
        Column("version", Integer, primary_key=True, autoincrement=False),
        *(Column(name, Double) for name in ("open", "high", "low", "close")),
        Column("volume", BigInteger),
        Column("fetch_id", String(16), ForeignKey("fetches.id"), nullable=False),
        Column("first_seen_at", Instant, nullable=False),
        Column("superseded_at", Instant),
        Column("settled_at", Instant),
        CheckConstraint("volume IS NULL OR volume >= 0", name="volume_not_negative"),
    )
    op.create_table(
        "corporate_actions",
        Column("symbol", String(15), primary_key=True),
        Column("session", Date, primary_key=True),
        Column("kind", String(10), primary_key=True),
        Column("first_seen_at", Instant, primary_key=True),
        Column("value", Double, nullable=False),
        Column("fetch_id", String(16), ForeignKey("fetches.id"), nullable=False),
    )
    op.create_table(
        "findings",
        Column("id", String(16), primary_key=True),
        Column("symbol", String(15), nullable=False),
        Column("session", Date, nullable=False),
        Column("rule", String(40), nullable=False),
        Column("severity", String(6), nullable=False),
        Column("value", Double),
        Column("detail", Text, nullable=False, server_default=EMPTY),
        Column("fetch_id", String(16), ForeignKey("fetches.id"), nullable=False),
        Column("cleared_at", Instant),
        Index("ix_findings_symbol_session", "symbol", "session"),
    )
    op.create_table(
        "forecasts",
        Column("symbol", String(15), primary_key=True),
        Column("target", String(10), primary_key=True),
        Column("origin_session", Date, primary_key=True),
        Column("horizon", Integer, primary_key=True, autoincrement=False),
        Column("model_id", String(16), ForeignKey("models.id"), primary_key=True),
        Column("kind", String(6), primary_key=True),
        Column("target_session", Date, nullable=False),
        *(
            Column(name, Double, nullable=False)
            for name in ("q05", "q10", "q25", "q50", "q75", "q90", "q95")
        ),
        Column("role", String(10), nullable=False),
        Column("status", String(8), nullable=False),
        Column("reason", Text, nullable=False, server_default=EMPTY),
        Column("last_value", Double),
        Column("past_forecasts", Integer, nullable=False, server_default="0"),
        Column("calibration", Text, nullable=False, server_default=EMPTY),
        Column("issued_at", Instant, nullable=False),
        Column("data_as_of", Instant, nullable=False),
        Column("fetch_id", String(16), ForeignKey("fetches.id"), nullable=False),
        Column("run_id", String(16), ForeignKey("runs.id"), nullable=False),
        Column("outside", Text, nullable=False, server_default=EMPTY),
        Column("calendar", Text, nullable=False, server_default=EMPTY),
        CheckConstraint("target_session > origin_session", name="target_after_origin"),
        CheckConstraint(
            "q05 <= q10 AND q10 <= q25 AND q25 <= q50 AND q50 <= q75 AND q75 <= q90 AND q90 <= q95",
            name="quantiles_ascend",
        ),
        Index("ix_forecasts_symbol_target_target_session", "symbol", "target", "target_session"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "scores",
        Column("symbol", String(15), primary_key=True),
        Column("target", String(10), primary_key=True),
        Column("kind", String(6), primary_key=True),
        Column("horizon", Integer, primary_key=True, autoincrement=False),
        Column("origin_session", Date, primary_key=True),
        Column("model_id", String(16), primary_key=True),
        Column("stage", String(11), primary_key=True),
        Column("bar_version", Integer, primary_key=True, autoincrement=False),
        Column("target_session", Date, nullable=False),
        Column("actual", Double, nullable=False),
        Column("error", Double, nullable=False),
        Column("pinball", Double, nullable=False),
        Column("interval_score", Double, nullable=False),
        Column("inside_80", Boolean, nullable=False),
        Column("inside_90", Boolean, nullable=False),
        Column("scored_at", Instant, nullable=False),
        Column("role", String(10), nullable=False, server_default=EMPTY),
        Column("model", String(30), nullable=False, server_default=EMPTY),
        Column("issued_at", Instant),
        sa.ForeignKeyConstraint(
            KEY, [f"forecasts.{name}" for name in KEY], name="fk_scores_forecasts"
        ),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    for name in (
        "scores",
        "forecasts",
        "findings",
        "corporate_actions",
        "bar_versions",
        "standings",
        "runs",
        "promotions",
        "models",
        "metrics",
        "fetches",
        "events",
    ):
        op.drop_table(name)
