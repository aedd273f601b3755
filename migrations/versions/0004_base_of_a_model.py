"""The pretrained weights that a network's chain of fits began with; unknown for networks fitted before."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "models",
        sa.Column(
            "base",
            sa.String(length=40),
            server_default=sa.text("''"),
            nullable=False,
            comment="the base weights its chain began from: a shipped one, companions or drawn; empty for a baseline",
        ),
    )


def downgrade() -> None:
    op.drop_column("models", "base")  # SQLite drops a plain column in place; no table is rebuilt
