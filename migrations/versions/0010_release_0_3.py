"""What 0.3 changes: empty tables that nights and backtests lock on Postgres, and the notes of a night by kind."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_LOCKED = ("night_lock", "backtest_lock")


def upgrade() -> None:
    # The tables that the nights and backtests of revision 0009 lock
    if op.get_bind().dialect.name == "postgresql":
        op.execute("LOCK TABLE standings, metrics IN SHARE UPDATE EXCLUSIVE MODE")
    for name in _LOCKED:
        op.create_table(name, sa.Column("unused", sa.Integer, primary_key=True))
    op.add_column("runs", sa.Column("notes", sa.Text, server_default=sa.text("''"), nullable=False))


def downgrade() -> None:
    op.drop_column("runs", "notes")
    for name in _LOCKED:
        op.drop_table(name)
