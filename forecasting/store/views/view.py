"""A view: its SELECT, and the meaning of a row and of each column."""

from typing import NamedTuple

from forecasting.losses import EXACT


class View(NamedTuple):
    """The SQL of a view and its texts for docs/tables.md.

    Attributes:
        select: The SELECT, the same text on SQLite and Postgres.
        row: What a row is.
        table: The table whose texts the columns take that have none of their own.
        columns: The texts of all other columns.
    """

    select: str
    row: str
    table: str
    columns: dict[str, str]


def skill(loss: str, other: str) -> str:
    """The SQL of `scores.skill`: 1 - loss / other, NULL where the other is that of an exact forecast."""
    return f"1 - {loss} / CASE WHEN {other} > {EXACT} * {loss} THEN {other} END"
