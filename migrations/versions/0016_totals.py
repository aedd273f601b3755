"""Forecasts of the total volume of the next 2 to 5 sessions, and their scores."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_KEY = ("symbol", "target", "origin_session", "horizon", "model_id", "kind")
_INSTANT = sa.DateTime(timezone=True)


def _key(*names: str) -> list[sa.Column]:
    kinds = {
        "symbol": sa.String(15),
        "target": sa.String(10),
        "origin_session": sa.Date(),
        "horizon": sa.Integer(),
        "model_id": sa.String(16),
        "kind": sa.String(6),
        "stage": sa.String(11),
        "bar_version": sa.Integer(),
    }
    return [sa.Column(name, kinds[name], primary_key=True, autoincrement=False) for name in names]


def _numbers(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.Double, nullable=False) for name in names]


def upgrade() -> None:
    op.create_table(
        "total_forecasts",
        *_key(*_KEY),
        sa.Column("target_session", sa.Date, nullable=False),
        *_numbers("q05", "q10", "q25", "q50", "q75", "q90", "q95"),
        sa.Column("role", sa.String(10), nullable=False),
        *_numbers("factor"),
        sa.Column("issued_at", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            _KEY, [f"forecasts.{name}" for name in _KEY], name="fk_total_forecasts_forecasts"
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "total_scores",
        *_key("symbol", "target", "kind", "horizon", "origin_session", "model_id"),
        *_key("stage", "bar_version"),
        sa.Column("target_session", sa.Date, nullable=False),
        *_numbers("actual", "error", "pinball", "interval_score"),
        sa.Column("inside_80", sa.Boolean, nullable=False),
        sa.Column("inside_90", sa.Boolean, nullable=False),
        sa.Column("scored_at", _INSTANT, nullable=False),
        sa.Column("role", sa.String(10), nullable=False, server_default=""),
        sa.Column("model", sa.String(30), nullable=False, server_default=""),
        sa.Column("issued_at", _INSTANT),
        sa.ForeignKeyConstraint(
            _KEY,
            [f"total_forecasts.{name}" for name in _KEY],
            name="fk_total_scores_total_forecasts",
        ),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("total_scores")
    op.drop_table("total_forecasts")
