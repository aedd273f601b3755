"""What fewer mechanisms need: a source's pause after its rate limit, and no table of a lock."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)
_PAUSED = sa.text("paused_until IS NOT NULL")
_LOCKED = ("night_lock", "backtest_lock")
_WAITING = sa.text("waits_until IS NOT NULL")


def upgrade() -> None:
    op.add_column("fetches", sa.Column("paused_until", _INSTANT, nullable=True))
    op.create_index(
        "ix_fetches_paused",
        "fetches",
        ["source", "paused_until"],
        sqlite_where=_PAUSED,
        postgresql_where=_PAUSED,
    )
    op.drop_index("ix_runs_waiting", "runs")
    op.drop_column("runs", "waits_until")
    for table in _LOCKED:
        op.drop_table(table)


def downgrade() -> None:
    for table in _LOCKED:
        op.create_table(table, sa.Column("unused", sa.Integer, primary_key=True))
    op.add_column("runs", sa.Column("waits_until", _INSTANT, nullable=True))
    op.create_index(
        "ix_runs_waiting",
        "runs",
        ["waits_until"],
        sqlite_where=_WAITING,
        postgresql_where=_WAITING,
    )
    op.drop_index("ix_fetches_paused", "fetches")
    op.drop_column("fetches", "paused_until")
