"""Standings as running sums, one row a baseline, which a night updates instead of reading 250 sessions again.

Its rows are derived from scores: `migrate.upgrade` writes them after the schema. After a downgrade the
table stays empty until the next scores, or until an upgrade.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("standings")
    op.create_table(
        "standings",
        sa.Column("symbol", sa.String(length=15), nullable=False),
        sa.Column("target", sa.String(length=10), nullable=False),
        sa.Column("kind", sa.String(length=6), nullable=False),
        sa.Column("horizon", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "window_sessions", sa.Integer(), autoincrement=False, nullable=False, comment="nights looked back over"
        ),
        sa.Column("line", sa.String(length=30), nullable=False, comment="a baseline's name; empty for the champion"),
        sa.Column("first_origin", sa.Date(), nullable=False),
        sa.Column("last_origin", sa.Date(), nullable=False, comment="the newest that the champion was scored on"),
        sa.Column("n", sa.Integer(), nullable=False, comment="nights of the window that both have a score of"),
        sa.Column("error", sa.Double(), nullable=False, comment="the line's absolute errors"),
        sa.Column("pinball", sa.Double(), nullable=False),
        sa.Column("inside_80", sa.Integer(), nullable=False),
        sa.Column("inside_90", sa.Integer(), nullable=False),
        sa.Column("champion_error", sa.Double(), nullable=False, comment="the champion's on the same origins"),
        sa.Column("champion_pinball", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint(
            "symbol", "target", "kind", "horizon", "window_sessions", "line", name=op.f("pk_standings")
        ),
    )


def downgrade() -> None:
    op.drop_table("standings")
    op.create_table(
        "standings",
        sa.Column("symbol", sa.String(length=15), nullable=False),
        sa.Column("target", sa.String(length=10), nullable=False),
        sa.Column("kind", sa.String(length=6), nullable=False),
        sa.Column("horizon", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "window_sessions",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="scored sessions looked back over",
        ),
        sa.Column("n", sa.Integer(), nullable=False, comment="of them, those that the champion has a score of"),
        sa.Column("first_session", sa.Date(), nullable=False),
        sa.Column("last_session", sa.Date(), nullable=False),
        sa.Column("mae", sa.Double(), nullable=False),
        sa.Column(
            "best_baseline",
            sa.String(length=30),
            nullable=True,
            comment="NULL when none has nine tenths of the champion's sessions",
        ),
        sa.Column("baseline_mae", sa.Double(), nullable=True),
        sa.Column("skill", sa.Double(), nullable=True),
        sa.Column("pinball", sa.Double(), nullable=False),
        sa.Column("pinball_skill", sa.Double(), nullable=True),
        sa.Column("coverage_80", sa.Double(), nullable=False),
        sa.Column("coverage_90", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("symbol", "target", "kind", "horizon", "window_sessions", name=op.f("pk_standings")),
    )
