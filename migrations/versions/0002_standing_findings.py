"""Findings that stay open until cleared, currencies, inputs beyond the training range, standings, companions.

The rows of `standings` are derived from scores: `migrate.upgrade` writes them after the schema.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_FORECAST = " AND ".join(
    f"f.{column} = scores.{column}" for column in ("symbol", "target", "origin_session", "horizon", "model_id", "kind")
)
_FILL_SCORES = f"""
UPDATE scores SET
    role = (SELECT f.role FROM forecasts f WHERE {_FORECAST}),
    issued_at = (SELECT f.issued_at FROM forecasts f WHERE {_FORECAST}),
    model = (SELECT m.name FROM models m WHERE m.id = scores.model_id)
"""  # noqa: S608 - the SQL is built from this file's own constants


def upgrade() -> None:
    op.add_column(
        "fetches",
        sa.Column(
            "currency", sa.String(length=6), server_default=sa.text("''"), nullable=False, comment="of its prices"
        ),
    )
    op.add_column(
        "findings",
        sa.Column(
            "cleared_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when a fetch no longer showed it, or a row was said; NULL: still wrong",
        ),
    )
    op.add_column(
        "forecasts",
        sa.Column(
            "outside",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="inputs beyond anything that the model was trained on",
        ),
    )
    op.add_column(
        "scores",
        sa.Column("role", sa.String(length=10), server_default=sa.text("''"), nullable=False, comment="the forecast's"),
    )
    op.add_column(
        "scores",
        sa.Column(
            "model", sa.String(length=30), server_default=sa.text("''"), nullable=False, comment="the model's name"
        ),
    )
    op.add_column(
        "scores",
        sa.Column(
            "issued_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="the forecast's; never NULL, but SQLite adds no other column to rows",
        ),
    )
    op.execute(_FILL_SCORES)
    op.create_table(
        "standings",
        sa.Column("symbol", sa.String(length=15), nullable=False),
        sa.Column("target", sa.String(length=10), nullable=False),
        sa.Column("kind", sa.String(length=6), nullable=False),
        sa.Column("horizon", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "window_sessions",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="scored sessions looked back over",
        ),
        sa.Column("n", sa.Integer(), nullable=False, comment="of them, those that the champion has a score of"),
        sa.Column("first_session", sa.Date(), nullable=False),
        sa.Column("last_session", sa.Date(), nullable=False),
        sa.Column("mae", sa.Double(), nullable=False),
        sa.Column(
            "best_baseline",
            sa.String(length=30),
            nullable=True,
            comment="NULL when none has nine tenths of the champion's sessions",
        ),
        sa.Column("baseline_mae", sa.Double(), nullable=True),
        sa.Column("skill", sa.Double(), nullable=True),
        sa.Column("pinball", sa.Double(), nullable=False),
        sa.Column("pinball_skill", sa.Double(), nullable=True),
        sa.Column("coverage_80", sa.Double(), nullable=False),
        sa.Column("coverage_90", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("symbol", "target", "kind", "horizon", "window_sessions", name=op.f("pk_standings")),
    )
    op.add_column(
        "models",
        sa.Column(
            "companion_fetches",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="JSON: the fetch of each companion",
        ),
    )


def downgrade() -> None:
    op.drop_table("standings")
    for column in ("issued_at", "model", "role"):
        op.drop_column("scores", column)
    # SQLite drops a plain column in place; no table is rebuilt.
    op.drop_column("models", "companion_fetches")
    op.drop_column("forecasts", "outside")
    op.drop_column("findings", "cleared_at")
    op.drop_column("fetches", "currency")
