"""The nights that are running, found without reading the others."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    running = sa.text("status = 'running'")
    op.create_index("ix_runs_running", "runs", ["as_of"], sqlite_where=running, postgresql_where=running)


def downgrade() -> None:
    op.drop_index("ix_runs_running", "runs")
