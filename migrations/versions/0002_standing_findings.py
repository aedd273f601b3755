"""Findings that stand until they are cleared, the currency of a fetch, inputs outside what the model has seen."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


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


def downgrade() -> None:
    # SQLite drops a plain column in place; no table is rebuilt.
    op.drop_column("forecasts", "outside")
    op.drop_column("findings", "cleared_at")
    op.drop_column("fetches", "currency")
