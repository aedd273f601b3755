"""Standings by forecaster: a baseline counts on nights on which it is published too, and the network has a line.

Only the sums change: `migrate.upgrade` writes them anew after the schema. After a downgrade the table stays empty until
the next scores, or until an upgrade: code of revision 0004 would take the network for a baseline.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_BEFORE = "a baseline's name; empty for the champion"
_SINCE = "a forecaster's name; empty for the published forecasts"


def upgrade() -> None:
    _comment_line(_SINCE, before=_BEFORE)


def downgrade() -> None:
    op.execute("DELETE FROM standings")
    _comment_line(_BEFORE, before=_SINCE)


def _comment_line(comment: str, *, before: str) -> None:
    if op.get_bind().dialect.name == "postgresql":  # SQLite has no comments
        op.alter_column("standings", "line", comment=comment, existing_comment=before)
