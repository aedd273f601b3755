"""Longer kinds of events, for days that no calendar has."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _resize_kind(before=10, after=12)


def downgrade() -> None:
    op.execute("DELETE FROM events WHERE kind <> 'earnings'")
    op.execute("UPDATE runs SET status = 'late' WHERE status = 'closed'")
    _resize_kind(before=12, after=10)


def _resize_kind(*, before: int, after: int) -> None:
    with op.batch_alter_table("events") as events:
        events.alter_column(
            "kind", existing_type=sa.String(before), type_=sa.String(after), existing_nullable=False
        )
