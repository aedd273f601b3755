from __future__ import annotations

from datetime import date, timedelta

import pandas as pd
import sqlalchemy as sa

from forecasting.ids import finding_id
from forecasting.ingest.bar_rules import Finding
from forecasting.sessions import between
from forecasting.store import read, schema, write
from forecasting.store.connect import transaction
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


def test_a_quarter_of_nights_with_the_same_bad_row_is_one_finding(database_url):
    with transaction(database_url) as connection:
        for session in between(date(2024, 3, 8), date(2024, 6, 7)):
            assert night(connection, session.isoformat(), rejected(), sessions=(FIRST, session))
        assert stored(connection) == [("price_unknown", "2024-03-08", None)]


def test_a_corrected_bar_clears_its_finding_and_a_relapse_is_another(database_url):
    with transaction(database_url) as connection:
        night(connection, "2024-03-08", rejected())
        night(connection, "2024-03-09")
        night(connection, "2024-03-10", rejected())
        night(connection, "2024-03-11", rejected())
        assert stored(connection) == [
            ("price_unknown", "2024-03-08", "2024-03-09"),
            ("price_unknown", "2024-03-10", None),
        ]


def test_only_a_fetch_that_covers_the_session_clears_it(database_url):
    with transaction(database_url) as connection:
        night(connection, "2024-03-08", rejected())
        night(connection, "2024-03-09", sessions=(date(2024, 3, 6), LAST))  # the window has rolled on
        night(connection, "2024-03-10", sessions=(FIRST,))  # an older night, made up for
        assert stored(connection) == [("price_unknown", "2024-03-08", None)]


def test_a_row_that_is_wrong_in_another_way_is_another_finding(database_url):
    with transaction(database_url) as connection:
        night(connection, "2024-03-08", rejected(100.0))
        night(connection, "2024-03-09", rejected(100.0000001))
        night(connection, "2024-03-10", rejected(250.0))
        assert stored(connection) == [
            ("price_unknown", "2024-03-08", "2024-03-10"),
            ("price_unknown", "2024-03-10", None),
        ]


def test_a_flag_about_a_row_is_cleared_by_its_own_fetch(database_url):
    with transaction(database_url) as connection:
        night(connection, "2024-03-08", jump())
        night(connection, "2024-03-09", jump())
        assert stored(connection) == [
            ("price_jump", "2024-03-08", "2024-03-08"),
            ("price_jump", "2024-03-09", "2024-03-09"),
        ]


def test_a_fetch_written_twice_finds_and_clears_once(database_url):
    with transaction(database_url) as connection:
        night(connection, "2024-03-08", rejected())
        night(connection, "2024-03-09", jump())
        once = stored(connection)
        assert not night(connection, "2024-03-09", jump())
        assert stored(connection) == once


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
