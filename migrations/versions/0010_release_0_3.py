"""What 0.3 changes: empty tables that nights and backtests lock on Postgres. Later changes before it are added here."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_LOCKED = ("night_lock", "backtest_lock")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":  # the tables that the nights and backtests of revision 0009 lock
        op.execute("LOCK TABLE standings, metrics IN SHARE UPDATE EXCLUSIVE MODE")
    for name in _LOCKED:
        op.create_table(name, sa.Column("unused", sa.Integer, primary_key=True))


def downgrade() -> None:
    for name in _LOCKED:
        op.drop_table(name)
