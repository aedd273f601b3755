"""Until when a night waits for its bar, so that one that was killed meanwhile is known."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

WAITING = sa.text("waits_until IS NOT NULL")


def upgrade() -> None:
    op.add_column("runs", sa.Column("waits_until", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_runs_waiting",
        "runs",
        ["waits_until"],
        sqlite_where=WAITING,
        postgresql_where=WAITING,
    )


def downgrade() -> None:
    op.drop_index("ix_runs_waiting", "runs")
    op.drop_column("runs", "waits_until")
