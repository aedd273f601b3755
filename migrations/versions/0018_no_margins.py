"""Drop the table of how near a network was to its fallback: its reason is with the forecasts."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("fallback_margins")


def downgrade() -> None:
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
