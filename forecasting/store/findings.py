"""Open findings: written by the fetch that first showed them, cleared by the first fetch that no longer shows them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import sqlalchemy as sa

from forecasting.store import tables
from forecasting.store.frames import Row

if TYPE_CHECKING:
    from forecasting.ingest.bar_rules import Finding
    from forecasting.ingest.sources import Fetched

_SAME_VALUE = 1e-5  # relative; two responses of a source differ by less in the same price


def open_findings(connection: sa.Connection, symbol: str) -> list[Row]:
    """The rows of table findings that no fetch has cleared."""
    table = tables.findings
    statement = sa.select(table).where(table.c.symbol == symbol, table.c.cleared_at.is_(None))
    return [dict(row) for row in connection.execute(statement).mappings()]


def open_stale_dates(connection: sa.Connection, symbol: str) -> list[Finding]:
    """The open findings on earnings dates, which a fetch that requests none of them leaves open."""
    from forecasting.ingest.bar_rules import STALE_EARNINGS, Finding

    names = ("session", "rule", "severity", "value", "detail")
    rows = [row for row in open_findings(connection, symbol) if row["rule"] == STALE_EARNINGS]
    return [Finding(**{name: row[name] for name in names}) for row in rows]


def covered_span(fetched: Fetched) -> tuple[date, date] | None:
    """The first and last session that a fetch covers: requested, and not before its first bar; None without bars."""
    if fetched.bars.empty:
        return None
    return max(fetched.first_asked, fetched.bars.index[0].date()), fetched.last_asked


def diff(
    stored: Sequence[Row], found: Sequence[Finding], *, span: tuple[date, date] | None
) -> tuple[list[Finding], list[str]]:
    """The findings that are not open yet, and the ids of open ones that the fetch no longer shows.

    Two findings are the same when session, rule and severity are equal and the values differ by less than 1e-5 of
    themselves: a bar that is wrong in another way is another finding.

    Args:
        stored: The open findings, rows of table findings.
        found: What the fetch shows.
        span: The sessions that the fetch covers; an open finding outside it stays open. None for no session.
    """
    before = {(row["session"], row["rule"], row["severity"]): row for row in stored}
    shown = {(finding.session, finding.rule, finding.severity): finding for finding in found if finding.is_persistent}
    new = [
        finding
        for finding in found
        if not finding.is_persistent
        or (row := before.get((finding.session, finding.rule, finding.severity))) is None
        or not _same(finding.value, row["value"])
    ]
    cleared = [
        str(row["id"])
        for key, row in before.items()
        if span is not None
        and span[0] <= row["session"] <= span[1]
        and (key not in shown or not _same(shown[key].value, row["value"]))
    ]
    return new, cleared


def _same(value: float | None, other: float | None) -> bool:
    is_number, is_other_number = (number is not None and math.isfinite(number) for number in (value, other))
    if not is_number or not is_other_number:
        return is_number == is_other_number
    return math.isclose(float(value or 0.0), float(other or 0.0), rel_tol=_SAME_VALUE)
