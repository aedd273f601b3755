"""What fewer mechanisms need.

A source's pause after its rate limit, and no table of a lock. A night publishes its own fit, so that
roles say who made a forecast and no table of promotions is left: the models of published forecasts,
and what the gate refused, say what it said. Weights are in a table; those of before lie in files,
which nothing reads: the next fit is from scratch. A row of a file without a readable date has no
session. Settings that change numbers are few, and `runs.settings` has them: no hash is left. A total
may be of more sessions than are forecast one by one.
"""

from contextlib import AbstractContextManager

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)
_PAUSED = sa.text("paused_until IS NOT NULL")
_LOCKED = ("night_lock", "backtest_lock")
_CLOSED = sa.text("status = 'closed'")
_WAITING = sa.text("waits_until IS NOT NULL")
_ROLES = {"champion": "published", "silenced": "network"}
_OF_FORECASTS = ("forecasts", "scores", "total_forecasts", "total_scores")
_SUMS = ("error", "pinball")
_NEWEST = {"fetches": "fetched_at", "runs": "as_of"}
"""What is compared with the clock, of which an index has the newest."""
_HASHED = ("runs", "models")
_KEY = ["symbol", "target", "origin_session", "horizon", "model_id", "kind"]
_OF_FORECAST = "fk_total_forecasts_forecasts"


def upgrade() -> None:
    op.add_column("fetches", sa.Column("paused_until", _INSTANT, nullable=True))
    op.create_index(
        "ix_fetches_paused",
        "fetches",
        ["source", "paused_until"],
        sqlite_where=_PAUSED,
        postgresql_where=_PAUSED,
    )
    for table, column in _NEWEST.items():
        op.create_index(f"ix_{table}_{column}", table, [column])
    op.create_index(
        "ix_runs_closed",
        "runs",
        ["symbol", "target", "as_of"],
        sqlite_where=_CLOSED,
        postgresql_where=_CLOSED,
    )
    op.drop_index("ix_runs_waiting", "runs")
    op.drop_column("runs", "waits_until")
    for table in _LOCKED:
        op.drop_table(table)
    _rename_roles(_ROLES)
    for name in _SUMS:
        op.execute(f"ALTER TABLE standings RENAME COLUMN champion_{name} TO published_{name}")
    op.add_column("models", sa.Column("withdrawn_at", _INSTANT, nullable=True))
    # A view of older releases, for which Postgres would refuse to drop the table
    op.execute("DROP VIEW IF EXISTS champions")
    op.drop_table("promotions")
    op.create_table(
        "weights",
        sa.Column("model_id", sa.String(16), sa.ForeignKey("models.id"), primary_key=True),
        sa.Column("card", sa.Text, nullable=False),
        sa.Column("tensors", sa.LargeBinary, nullable=False),
    )
    op.drop_column("models", "artifact_path")
    with op.batch_alter_table("findings") as findings:
        findings.alter_column("session", existing_type=sa.Date, nullable=True)
    for table in _HASHED:
        op.drop_column(table, "settings_hash")
    with _totals() as totals:
        totals.drop_constraint(_OF_FORECAST, type_="foreignkey")


def _totals() -> AbstractContextManager[BatchOperations]:
    return op.batch_alter_table("total_forecasts", table_kwargs={"sqlite_with_rowid": False})


def _rename_roles(names: dict[str, str]) -> None:
    for table in _OF_FORECASTS:
        roles = sa.table(table, sa.column("role")).update()
        for before, after in names.items():
            op.execute(roles.where(sa.column("role") == before).values(role=after))


def downgrade() -> None:
    for table in ("total_scores", "total_forecasts"):
        totals = sa.table(table, sa.column("horizon"))
        op.execute(totals.delete().where(totals.c.horizon > 5))
    with _totals() as short:
        short.create_foreign_key(_OF_FORECAST, "forecasts", _KEY, _KEY)
    for table in _HASHED:
        op.add_column(
            table, sa.Column("settings_hash", sa.String(12), nullable=False, server_default="")
        )
    op.execute("DELETE FROM findings WHERE session IS NULL")
    with op.batch_alter_table("findings") as findings:
        findings.alter_column("session", existing_type=sa.Date, nullable=False)
    op.add_column("models", sa.Column("artifact_path", sa.Text))
    op.drop_table("weights")
    _create_promotions()
    op.drop_column("models", "withdrawn_at")
    for name in _SUMS:
        op.execute(f"ALTER TABLE standings RENAME COLUMN published_{name} TO champion_{name}")
    _rename_roles({after: before for before, after in _ROLES.items()})
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
    op.drop_index("ix_runs_closed", "runs")
    for table, column in _NEWEST.items():
        op.drop_index(f"ix_{table}_{column}", table)
    op.drop_index("ix_fetches_paused", "fetches")
    op.drop_column("fetches", "paused_until")


def _create_promotions() -> None:
    op.create_table(
        "promotions",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("symbol", sa.String(15), nullable=False),
        sa.Column("target", sa.String(10), nullable=False),
        sa.Column("session", sa.Date, nullable=False),
        sa.Column("champion", sa.String(16)),
        sa.Column("challenger", sa.String(16), nullable=False),
        sa.Column("winner", sa.String(16), nullable=False),
        sa.Column("best_baseline", sa.String(30), nullable=False, server_default=sa.text("''")),
        *(
            sa.Column(name, sa.Double)
            for name in ("champion_pinball", "challenger_pinball", "baseline_pinball", "p_value")
        ),
        sa.Column("origins", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("trigger", sa.String(10), nullable=False),
        sa.Column("decided_at", _INSTANT, nullable=False),
        sa.Column("run_id", sa.String(16)),
        sa.Column("first_origin", sa.Date),
        sa.Column("last_origin", sa.Date),
        sa.Column("compared", sa.String(10), nullable=False, server_default=sa.text("''")),
        sa.Index("ix_promotions_run_id", "run_id"),
        sa.Index("ix_promotions_symbol_target_decided_at", "symbol", "target", "decided_at"),
    )
