"""The kind of a mode's reason, beside its words: of older nights by how these began."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_BEGAN = {
    "asked for": "asked",
    "no champion yet": "first",
    "no warm fit can go on": "unreadable",
    "earnings dates have": "changed",
    "the market series has": "changed",
    "drift: ": "drift",
    "the chain of warm fits": "epochs",
}


def upgrade() -> None:
    kind = sa.Column("mode_kind", sa.String(10), server_default=sa.text("''"), nullable=False)
    op.add_column("runs", kind)
    runs = sa.table("runs", sa.column("mode"), sa.column("mode_reason"), sa.column("mode_kind"))
    began = [(runs.c.mode_reason.startswith(words), value) for words, value in _BEGAN.items()]
    by_method = {"warm": "routine", "scratch": "age"}
    rest = sa.case(by_method, value=runs.c.mode, else_="")
    op.execute(sa.update(runs).values(mode_kind=sa.case(*began, else_=rest)))


def downgrade() -> None:
    op.drop_column("runs", "mode_kind")
