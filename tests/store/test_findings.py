from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from forecasting.ingest.bar_rules import Finding
from forecasting.store import read, schema, write
from forecasting.store.connect import transaction
from forecasting.vocabulary import finding_id
from tests.store.rows import SYMBOL, at, bar_rows, fetched, revision

FIRST, BAD, LAST = date(2024, 3, 4), date(2024, 3, 5), date(2024, 3, 7)


def night(
    connection: sa.Connection,
    seen: str,
    *findings: Finding,
    sessions: tuple[date, ...] = (FIRST, LAST),
) -> bool:
    """A fetch at noon of the day `seen`, asked for the span of `sessions`, that found these."""
    response = fetched(bar_rows({day.isoformat(): 1.0 for day in sessions}))
    change = revision(bar_rows({}), findings=findings)
    return write.add_fetch(connection, response, change, fetch_id=seen, fetched_at=at(f"{seen}T12:00"), run_id=None)


def rejected(value: float | None = None, day: date = BAD) -> Finding:
    return Finding(day, "price_unknown", "reject", value, "A price is missing.")


def jump(day: date = BAD) -> Finding:
    return Finding(day, "price_jump", "flag", 2.1, "Close moved.")


def stored(connection: sa.Connection) -> list[tuple[str, str, str | None]]:
    """Rule, fetch that first showed it and the day on which it was cleared."""
    table = schema.findings
    found = connection.execute(sa.select(table).order_by(table.c.fetch_id, table.c.session, table.c.rule))
    return [(row.rule, row.fetch_id, f"{row.cleared_at:%Y-%m-%d}" if row.cleared_at else None) for row in found]


OLD, NEW = {"sessions": (FIRST,)}, {"sessions": (date(2024, 3, 6), LAST)}
NIGHTS: dict[str, tuple[list[tuple[list[Finding], dict[str, Any]]], list[tuple[str, int, int | None]]]] = {
    "the same bad row every night": ([([rejected()], {})] * 4, [("price_unknown", 8, None)]),
    "corrected, then wrong again": (
        [([rejected()], {}), ([], {}), ([rejected()], {}), ([rejected()], {})],
        [("price_unknown", 8, 9), ("price_unknown", 10, None)],
    ),
    "not covered by later fetches": ([([rejected()], {}), ([], NEW), ([], OLD)], [("price_unknown", 8, None)]),
    "wrong in another way": (
        [([rejected(100.0)], {}), ([rejected(100.0000001)], {}), ([rejected(250.0)], {})],
        [("price_unknown", 8, 10), ("price_unknown", 10, None)],
    ),
    "a flag is cleared by its own fetch": (
        [([jump()], {}), ([jump()], {})],
        [("price_jump", 8, 8), ("price_jump", 9, 9)],
    ),
}


@pytest.mark.parametrize("case", NIGHTS)
def test_a_finding_is_stored_once_and_cleared_by_the_fetch_that_no_longer_shows_it(database_url, case):
    nights, expected = NIGHTS[case]
    with transaction(database_url) as connection:
        for day, (findings, asked) in enumerate(nights, 8):
            assert night(connection, f"2024-03-{day:02}", *findings, **asked)
            assert not night(connection, f"2024-03-{day:02}", *findings, **asked)
        assert stored(connection) == [
            (rule, f"2024-03-{seen:02}", cleared and f"2024-03-{cleared:02}") for rule, seen, cleared in expected
        ]


def test_a_night_shows_its_open_and_its_new_findings(database_url):
    with transaction(database_url) as connection:
        night(connection, "2024-03-08", rejected(), jump(LAST))
        night(connection, "2024-03-09", rejected(), rejected(day=FIRST))
        night(connection, "2024-03-10", rejected(day=FIRST))
        shown = {id: read.findings(connection, id) for id in ("2024-03-08", "2024-03-09", "2024-03-10")}
    days = {id: [day.date() for day in frame["session"]] for id, frame in shown.items()}
    assert days == {"2024-03-08": [BAD, LAST], "2024-03-09": [FIRST, BAD], "2024-03-10": [FIRST]}
    since = shown["2024-03-09"]["since"]
    assert since.tolist() == [pd.Timestamp(at("2024-03-09T12:00")), pd.Timestamp(at("2024-03-08T12:00"))]
    assert since.iloc[0] - since.iloc[1] == timedelta(days=1)


def test_a_finding_is_stored_whole_under_an_id_of_fetch_session_and_rule(database_url):
    with transaction(database_url) as connection:
        night(connection, "2024-03-08", rejected(80.0))
        (row,) = [dict(row) for row in connection.execute(sa.select(schema.findings)).mappings()]
    named = {"symbol": SYMBOL, "session": BAD, "rule": "price_unknown", "severity": "reject", "value": 80.0}
    rest = {"detail": "A price is missing.", "fetch_id": "2024-03-08", "cleared_at": None}
    assert row == {"id": finding_id("2024-03-08", BAD, "price_unknown"), **named, **rest}


def test_another_symbols_fetch_neither_shows_nor_clears_findings(database_url):
    with transaction(database_url) as connection:
        night(connection, "2024-03-08", rejected())
        response = fetched(bar_rows({FIRST.isoformat(): 1.0, LAST.isoformat(): 1.0}))
        other = type(response)(**{**vars(response), "symbol": "MSFT"})
        write.add_fetch(
            connection, other, revision(bar_rows({})), fetch_id="msft", fetched_at=at("2024-03-09T12:00"), run_id=None
        )
        assert stored(connection) == [("price_unknown", "2024-03-08", None)]
        assert read.findings(connection, "msft").empty
