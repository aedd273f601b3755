"""Every table of the first release."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("symbol", sa.String(length=15), nullable=False),
        sa.Column("session", sa.Date(), nullable=False, comment="the session that reacts"),
        sa.Column("kind", sa.String(length=10), nullable=False, comment="earnings"),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("known_from", sa.Date(), nullable=False, comment="first origin session that may use it"),
        sa.Column(
            "known_rule", sa.String(length=20), nullable=False, comment="seen, or the stated rule that stands in for it"
        ),
        sa.Column("announced", sa.Date(), nullable=False),
        sa.Column("timing", sa.String(length=5), nullable=False, comment="bmo, amc or empty"),
        sa.Column("source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("symbol", "session", "kind", "first_seen_at", name=op.f("pk_events")),
    )
    op.create_table(
        "fetches",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("run_id", sa.String(length=16), nullable=True, comment="the run that asked; NULL for a bare ingest"),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("symbol", sa.String(length=15), nullable=False),
        sa.Column("title", sa.Text(), nullable=False, comment="what the series is, in words"),
        sa.Column("first_asked", sa.Date(), nullable=False),
        sa.Column("last_asked", sa.Date(), nullable=False),
        sa.Column("first_received", sa.Date(), nullable=True),
        sa.Column("last_received", sa.Date(), nullable=True),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("payload_hash", sa.String(length=64), nullable=False),
        sa.Column("library_version", sa.String(length=60), nullable=False),
        sa.Column("adjustment_session", sa.Date(), nullable=True, comment="newest session with an Adj Close"),
        sa.Column(
            "adjustment", sa.Double(), nullable=True, comment="its Adj Close / Close, which the next dividend lowers"
        ),
        sa.Column("verdict", sa.String(length=12), nullable=False),
        sa.Column("detail", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fetches")),
    )
    op.create_index("ix_fetches_symbol_fetched_at", "fetches", ["symbol", "fetched_at"], unique=False)
    op.create_table(
        "metrics",
        sa.Column("model_id", sa.String(length=16), nullable=False),
        sa.Column("symbol", sa.String(length=15), nullable=False),
        sa.Column("target", sa.String(length=10), nullable=False),
        sa.Column(
            "horizon", sa.Integer(), autoincrement=False, nullable=False, comment="0 is the mean over all horizons"
        ),
        sa.Column("metric", sa.String(length=20), nullable=False),
        sa.Column("scope", sa.String(length=10), nullable=False, comment="live or backtest"),
        sa.Column("window_to", sa.Date(), nullable=False),
        sa.Column("run_id", sa.String(length=16), nullable=False),
        sa.Column("window_from", sa.Date(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("baseline", sa.String(length=30), server_default=sa.text("''"), nullable=False),
        sa.Column("p_value", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint(
            "model_id", "symbol", "target", "horizon", "metric", "scope", "window_to", "run_id", name=op.f("pk_metrics")
        ),
    )
    op.create_table(
        "models",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=30), nullable=False, comment="lstm or the baseline's name"),
        sa.Column("version", sa.String(length=20), nullable=False),
        sa.Column("method", sa.String(length=10), nullable=False, comment="scratch, warm or baseline"),
        sa.Column("parent_id", sa.String(length=16), nullable=True, comment="the model a warm fit started from"),
        sa.Column("symbol", sa.String(length=15), nullable=False),
        sa.Column("target", sa.String(length=10), nullable=False),
        sa.Column("scope", sa.String(length=10), nullable=False, comment="symbol or panel: whose bars trained it"),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("trained_from", sa.Date(), nullable=True),
        sa.Column("trained_to", sa.Date(), nullable=True, comment="last session whose value a weight has seen"),
        sa.Column("epochs", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "chain_epochs",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="epochs since the last fit from scratch",
        ),
        sa.Column("fetch_id", sa.String(length=16), nullable=True, comment="the fetch whose bars trained it"),
        sa.Column("run_id", sa.String(length=16), nullable=True),
        sa.Column("settings_hash", sa.String(length=12), nullable=False),
        sa.Column("code_version", sa.String(length=40), nullable=False),
        sa.Column(
            "artifact_path",
            sa.Text(),
            nullable=True,
            comment="relative to the data folder; NULL for a baseline or when pruned",
        ),
        sa.Column("artifact_hash", sa.String(length=64), nullable=True),
        sa.Column("seconds", sa.Double(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
    )
    op.create_index("ix_models_symbol_target_name", "models", ["symbol", "target", "name"], unique=False)
    op.create_table(
        "promotions",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("symbol", sa.String(length=15), nullable=False),
        sa.Column("target", sa.String(length=10), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column(
            "champion",
            sa.String(length=16),
            nullable=True,
            comment="model id that spoke before; NULL on the first night",
        ),
        sa.Column("challenger", sa.String(length=16), nullable=False),
        sa.Column("winner", sa.String(length=16), nullable=False),
        sa.Column("best_baseline", sa.String(length=30), server_default=sa.text("''"), nullable=False),
        sa.Column("champion_pinball", sa.Double(), nullable=True),
        sa.Column("challenger_pinball", sa.Double(), nullable=True),
        sa.Column("baseline_pinball", sa.Double(), nullable=True),
        sa.Column("p_value", sa.Double(), nullable=True),
        sa.Column("origins", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("trigger", sa.String(length=10), nullable=False, comment="night, promote or rollback"),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.String(length=16), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotions")),
    )
    op.create_index("ix_promotions_run_id", "promotions", ["run_id"], unique=False)
    op.create_index(
        "ix_promotions_symbol_target_decided_at", "promotions", ["symbol", "target", "decided_at"], unique=False
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False, comment="newest session the night may know"),
        sa.Column("symbol", sa.String(length=15), nullable=False),
        sa.Column("target", sa.String(length=10), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("trigger", sa.String(length=10), nullable=False, comment="run, catch-up, replay or schedule"),
        sa.Column("status", sa.String(length=10), nullable=False, comment="running, done, late or failed"),
        sa.Column(
            "mode",
            sa.String(length=10),
            server_default=sa.text("''"),
            nullable=False,
            comment="scratch, warm or skip; empty until decided",
        ),
        sa.Column("mode_reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seconds_ingest", sa.Double(), nullable=True),
        sa.Column("seconds_preprocess", sa.Double(), nullable=True),
        sa.Column("seconds_train", sa.Double(), nullable=True),
        sa.Column("seconds_predict", sa.Double(), nullable=True),
        sa.Column("seconds_evaluate", sa.Double(), nullable=True),
        sa.Column("flow_run_id", sa.String(length=36), nullable=True, comment="Prefect's; NULL when run without it"),
        sa.Column("code_version", sa.String(length=40), nullable=False),
        sa.Column("settings_hash", sa.String(length=12), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False, comment="JSON of the settings that shape a forecast"),
        sa.Column(
            "note",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="what a reader of the night must know",
        ),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_index("ix_runs_symbol_target_as_of", "runs", ["symbol", "target", "as_of"], unique=False)
    op.create_table(
        "bar_versions",
        sa.Column("symbol", sa.String(length=15), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("open", sa.Double(), nullable=True),
        sa.Column("high", sa.Double(), nullable=True),
        sa.Column("low", sa.Double(), nullable=True),
        sa.Column("close", sa.Double(), nullable=True),
        sa.Column("volume", sa.BigInteger(), nullable=True, comment="shares; NULL for unknown, never 0"),
        sa.Column("fetch_id", sa.String(length=16), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "superseded_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when a later version took over; NULL for the current one",
        ),
        sa.Column(
            "settled_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when a later night's fetch confirmed it; NULL while provisional",
        ),
        sa.CheckConstraint("volume IS NULL OR volume >= 0", name=op.f("ck_bar_versions_volume_not_negative")),
        sa.ForeignKeyConstraint(["fetch_id"], ["fetches.id"], name=op.f("fk_bar_versions_fetch_id")),
        sa.PrimaryKeyConstraint("symbol", "session", "version", name=op.f("pk_bar_versions")),
    )
    op.create_table(
        "corporate_actions",
        sa.Column("symbol", sa.String(length=15), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False, comment="dividend or split"),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("value", sa.Double(), nullable=False, comment="per share, or new shares per old"),
        sa.Column("fetch_id", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["fetch_id"], ["fetches.id"], name=op.f("fk_corporate_actions_fetch_id")),
        sa.PrimaryKeyConstraint("symbol", "session", "kind", "first_seen_at", name=op.f("pk_corporate_actions")),
    )
    op.create_table(
        "findings",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("symbol", sa.String(length=15), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("rule", sa.String(length=40), nullable=False),
        sa.Column("severity", sa.String(length=6), nullable=False, comment="reject or flag"),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("detail", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("fetch_id", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["fetch_id"], ["fetches.id"], name=op.f("fk_findings_fetch_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_findings")),
    )
    op.create_index("ix_findings_symbol_session", "findings", ["symbol", "session"], unique=False)
    op.create_table(
        "forecasts",
        sa.Column("symbol", sa.String(length=15), nullable=False),
        sa.Column("target", sa.String(length=10), nullable=False),
        sa.Column("origin_session", sa.Date(), nullable=False),
        sa.Column("horizon", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model_id", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=6), nullable=False, comment="live, late or replay"),
        sa.Column("target_session", sa.Date(), nullable=False),
        sa.Column("q05", sa.Double(), nullable=False),
        sa.Column("q10", sa.Double(), nullable=False),
        sa.Column("q25", sa.Double(), nullable=False),
        sa.Column("q50", sa.Double(), nullable=False),
        sa.Column("q75", sa.Double(), nullable=False),
        sa.Column("q90", sa.Double(), nullable=False),
        sa.Column("q95", sa.Double(), nullable=False),
        sa.Column(
            "role", sa.String(length=10), nullable=False, comment="champion, challenger or baseline, when issued"
        ),
        sa.Column("status", sa.String(length=8), nullable=False, comment="ok or fallback"),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("last_value", sa.Double(), nullable=True, comment="the target's value on the origin session"),
        sa.Column("past_forecasts", sa.Integer(), server_default="0", nullable=False, comment="how many calibrated it"),
        sa.Column(
            "calibration",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="JSON: raw quantiles, weight, offsets",
        ),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("data_as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fetch_id", sa.String(length=16), nullable=False),
        sa.Column("run_id", sa.String(length=16), nullable=False),
        sa.CheckConstraint(
            "q05 <= q10 AND q10 <= q25 AND q25 <= q50 AND q50 <= q75 AND q75 <= q90 AND q90 <= q95",
            name=op.f("ck_forecasts_quantiles_ascend"),
        ),
        sa.CheckConstraint("target_session > origin_session", name=op.f("ck_forecasts_target_after_origin")),
        sa.ForeignKeyConstraint(["fetch_id"], ["fetches.id"], name=op.f("fk_forecasts_fetch_id")),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_forecasts_model_id")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_forecasts_run_id")),
        sa.PrimaryKeyConstraint(
            "symbol", "target", "origin_session", "horizon", "model_id", "kind", name=op.f("pk_forecasts")
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_forecasts_symbol_target_target_session", "forecasts", ["symbol", "target", "target_session"], unique=False
    )
    op.create_table(
        "scores",
        sa.Column("symbol", sa.String(length=15), nullable=False),
        sa.Column("target", sa.String(length=10), nullable=False),
        sa.Column("kind", sa.String(length=6), nullable=False),
        sa.Column("horizon", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("origin_session", sa.Date(), nullable=False),
        sa.Column("model_id", sa.String(length=16), nullable=False),
        sa.Column("stage", sa.String(length=11), nullable=False, comment="first_print or settled"),
        sa.Column(
            "bar_version",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="the actual's; restated bars add a row",
        ),
        sa.Column("target_session", sa.Date(), nullable=False),
        sa.Column("actual", sa.Double(), nullable=False),
        sa.Column(
            "error", sa.Double(), nullable=False, comment="q50 - actual, so positive when the forecast was too high"
        ),
        sa.Column("pinball", sa.Double(), nullable=False, comment="mean over the seven levels"),
        sa.Column("interval_score", sa.Double(), nullable=False, comment="weighted interval score"),
        sa.Column("inside_80", sa.Boolean(), nullable=False),
        sa.Column("inside_90", sa.Boolean(), nullable=False),
        sa.Column("scored_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["symbol", "target", "origin_session", "horizon", "model_id", "kind"],
            [
                "forecasts.symbol",
                "forecasts.target",
                "forecasts.origin_session",
                "forecasts.horizon",
                "forecasts.model_id",
                "forecasts.kind",
            ],
            name="fk_scores_forecasts",
        ),
        sa.PrimaryKeyConstraint(
            "symbol",
            "target",
            "kind",
            "horizon",
            "origin_session",
            "model_id",
            "stage",
            "bar_version",
            name=op.f("pk_scores"),
        ),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("scores")
    op.drop_index("ix_forecasts_symbol_target_target_session", table_name="forecasts")
    op.drop_table("forecasts")
    op.drop_index("ix_findings_symbol_session", table_name="findings")
    op.drop_table("findings")
    op.drop_table("corporate_actions")
    op.drop_table("bar_versions")
    op.drop_index("ix_runs_symbol_target_as_of", table_name="runs")
    op.drop_table("runs")
    op.drop_index("ix_promotions_symbol_target_decided_at", table_name="promotions")
    op.drop_index("ix_promotions_run_id", table_name="promotions")
    op.drop_table("promotions")
    op.drop_index("ix_models_symbol_target_name", table_name="models")
    op.drop_table("models")
    op.drop_table("metrics")
    op.drop_index("ix_fetches_symbol_fetched_at", table_name="fetches")
    op.drop_table("fetches")
    op.drop_table("events")
