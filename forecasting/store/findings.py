"""Findings that stand: written by the fetch that first showed them, cleared by the first that no longer does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import sqlalchemy as sa

from forecasting.store import tables
from forecasting.store.frames import Row

if TYPE_CHECKING:
    from forecasting.ingest.bars import Finding
    from forecasting.ingest.sources import Fetched

_SAME_VALUE = 1e-5  # prices of two answers that mean the same differ by less


def standing(connection: sa.Connection, symbol: str) -> list[Row]:
    """The rows of table findings that nothing has cleared."""
    table = tables.findings
    statement = sa.select(table).where(table.c.symbol == symbol, table.c.cleared_at.is_(None))
    return [dict(row) for row in connection.execute(statement).mappings()]


def spoken_of(fetched: Fetched) -> tuple[date, date] | None:
    """The first and last session that an answer can say something about: asked for, and not before it begins.

    None for an empty answer, which says nothing about any session.
    """
    if fetched.bars.empty:
        return None
    return max(fetched.first_asked, fetched.bars.index[0].date()), fetched.last_asked


def compared(
    stands: Sequence[Row], found: Sequence[Finding], *, spoken_of: tuple[date, date] | None
) -> tuple[list[Finding], list[str]]:
    """The findings that do not stand yet, and the ids of standing ones that the fetch no longer shows.

    Two findings are one when session, rule and severity agree and the values differ by less than 1e-5 of themselves: a
    bar that is wrong in another way is another finding.
    """
    before = {(row["session"], row["rule"], row["severity"]): row for row in stands}
    shown = {(finding.session, finding.rule, finding.severity): finding for finding in found if finding.stands}
    new = [
        finding
        for finding in found
        if not finding.stands
        or (row := before.get((finding.session, finding.rule, finding.severity))) is None
        or not _same(finding.value, row["value"])
    ]
    gone = [
        str(row["id"])
        for key, row in before.items()
        if spoken_of is not None
        and spoken_of[0] <= row["session"] <= spoken_of[1]
        and (key not in shown or not _same(shown[key].value, row["value"]))
    ]
    return new, gone


def _same(value: float | None, other: float | None) -> bool:
    known, known_too = (number is not None and math.isfinite(number) for number in (value, other))
    if not known or not known_too:
        return known == known_too
    return math.isclose(float(value or 0.0), float(other or 0.0), rel_tol=_SAME_VALUE)
