"""Which fetch of the market series a night's windows contain."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("market_fetch", sa.String(16), server_default=sa.text("''"), nullable=False))


def downgrade() -> None:
    op.drop_column("runs", "market_fetch")
