"""What a test of equal loss against a baseline needs, beside the sums that are there.

The upgrade sums the rows without it anew from the scores.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("standings", sa.Column("squared_gap", sa.Double, nullable=True))


def downgrade() -> None:
    op.drop_column("standings", "squared_gap")
