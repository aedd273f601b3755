"""The gate of a fit: why it was refused, what it was compared with, and on which origins a decision rests."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_EMPTY = sa.text("''")


def upgrade() -> None:
    op.add_column("models", sa.Column("refused", sa.Text(), server_default=_EMPTY, nullable=False))
    op.add_column("models", sa.Column("gate", sa.Text(), server_default=_EMPTY, nullable=False))
    op.add_column("promotions", sa.Column("first_origin", sa.Date(), nullable=True))
    op.add_column("promotions", sa.Column("last_origin", sa.Date(), nullable=True))
    op.add_column("promotions", sa.Column("compared", sa.String(length=10), server_default=_EMPTY, nullable=False))


def downgrade() -> None:
    for name in ("compared", "last_origin", "first_origin"):
        op.drop_column("promotions", name)
    for name in ("gate", "refused"):
        op.drop_column("models", name)
