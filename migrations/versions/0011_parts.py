"""The parts of each published median, and how near each night's network is to a fallback."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_KEY = ("symbol", "target", "origin_session", "horizon", "model_id", "kind")


def upgrade() -> None:
    op.create_table(
        "forecast_parts",
        sa.Column("symbol", sa.String(15), primary_key=True),
        sa.Column("target", sa.String(10), primary_key=True),
        sa.Column("origin_session", sa.Date, primary_key=True),
        sa.Column("horizon", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("model_id", sa.String(16), primary_key=True),
        sa.Column("kind", sa.String(6), primary_key=True),
        sa.Column("part", sa.String(20), primary_key=True),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("factor", sa.Double, nullable=False),
        sa.ForeignKeyConstraint(
            _KEY, [f"forecasts.{name}" for name in _KEY], name="fk_forecast_parts_forecasts"
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "fallback_margins",
        sa.Column("run_id", sa.String(16), sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("symbol", sa.String(15), nullable=False),
        sa.Column("target", sa.String(10), nullable=False),
        sa.Column("session", sa.Date, nullable=False),
        sa.Column("baseline", sa.String(30), nullable=False),
        sa.Column("deficit", sa.Double, nullable=False),
        sa.Column("origins", sa.Integer, nullable=False),
        sa.Column("statistic", sa.Double, nullable=False),
        sa.Column("limit_statistic", sa.Double, nullable=False),
        sa.Column("limit_deficit", sa.Double),
        sa.Index("ix_fallback_margins_symbol_target_session", "symbol", "target", "session"),
    )


def downgrade() -> None:
    op.drop_table("fallback_margins")
    op.drop_table("forecast_parts")
