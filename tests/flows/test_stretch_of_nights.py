"""A stretch of nights through yfinance and the stand-in for Yahoo, each with its fault, as the tables record it."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from flows import clock
from flows.nightly import nightly
from forecasting.settings import read_settings
from forecasting.store import connect, read
from tests.builders import LAST, random_bars
from tests.flows.test_yahoo_nights import alone, select, set_clock, set_morning_after, yahoo
from tests.yahoo_stand_in import StandIn, missing_row, null_row, null_volume

__all__ = ["alone", "yahoo"]  # fixtures

pytestmark = pytest.mark.usefixtures("plain_flows", "alone")

BAD, UNKNOWN, GAP = date(2024, 1, 10), date(2024, 2, 7), date(2024, 2, 14)
PLAIN, RECOVERS, MOVES, GIVES_UP, AFTER = (date(2024, 3, day) for day in (1, 4, 5, 6, 7))


@pytest.fixture
def msft(yahoo: StandIn, night_folder: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A symbol without filings, whose earnings dates come from Yahoo alone; a night waits until 05:55."""
    monkeypatch.setenv("FORECASTING_SYMBOLS", "AAA")
    monkeypatch.setenv("FORECASTING_LATE_UNTIL", "05:55")
    yahoo.add("AAA", random_bars(days=650, seed=4, last=LAST))
    return yahoo


def run_five_nights(msft: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five mornings at half past five in New York."""
    bad, gap = null_row(BAD), missing_row(GAP)

    def bar_comes(later: datetime) -> None:
        """It is there at the second request."""
        set_clock(later, monkeypatch)
        msft.edits.pop()

    msft.earnings = ["April 30, 2024 at 4 PM EDT"]
    set_morning_after(msft, monkeypatch, PLAIN)
    msft.edits = [bad, gap, null_volume(UNKNOWN, PLAIN)]
    nightly.fn(patient=True)
    ((value,),) = select("DISTINCT last_value", "forecasts")
    assert value is None  # the origin's own volume is missing, and none is imputed

    set_morning_after(msft, monkeypatch, RECOVERS)
    msft.edits = [bad, gap, missing_row(RECOVERS)]
    monkeypatch.setattr(clock, "wait_until", bar_comes)
    nightly.fn(patient=True)

    set_morning_after(msft, monkeypatch, MOVES)
    msft.edits, msft.earnings = [bad], ["May 7, 2024 at 4 PM EDT"]
    nightly.fn(patient=True)

    set_morning_after(msft, monkeypatch, GIVES_UP)
    msft.edits = [bad, missing_row(GIVES_UP)]
    msft.earnings = []  # an empty list withdraws nothing
    nightly.fn(patient=True)

    set_morning_after(msft, monkeypatch, AFTER)
    msft.edits = [bad]
    nightly.fn(patient=True)


def days(columns: str, table: str) -> list[tuple[str, ...]]:
    """Rows with sessions as ISO days and instants as New York minutes."""
    return [tuple(shown(value) for value in row) for row in select(columns, table)]


def shown(value: object) -> str:
    text = str(value)
    if not text.startswith("20"):
        return text
    at = datetime.fromisoformat(text[:19])  # SQLite keeps UTC without a zone; New York is five hours behind in winter
    return text[:10] if at.hour == at.minute == 0 else f"{at - timedelta(hours=5):%Y-%m-%d %H:%M}"


def test_the_tables_record_a_stretch_of_nights_and_an_earnings_date_that_moved(
    msft: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_five_nights(msft, monkeypatch)
    check_nights()
    check_earnings_dates()


def check_nights() -> None:
    """Fetches, findings, runs, forecasts and bars."""
    assert days("fetched_at, verdict", "fetches ORDER BY fetched_at, verdict") == [
        ("2024-03-02 05:30", "first"),
        ("2024-03-05 05:30", "late"),
        ("2024-03-05 05:50", "extended"),
        ("2024-03-06 05:30", "extended"),
        ("2024-03-07 05:30", "late"),
        ("2024-03-07 05:50", "late"),
        ("2024-03-07 05:55", "late"),
        ("2024-03-08 05:30", "extended"),
    ]
    findings = "findings f JOIN fetches x ON x.id = f.fetch_id ORDER BY x.fetched_at, f.session"
    assert days("f.rule, f.session, x.fetched_at, f.cleared_at", findings) == [
        ("price_unknown", str(BAD), "2024-03-02 05:30", "None"),  # bad for good: one finding
        ("volume_unknown", str(UNKNOWN), "2024-03-02 05:30", "2024-03-05 05:30"),
        ("missing_session", str(GAP), "2024-03-02 05:30", "2024-03-06 05:30"),  # refilled
        ("volume_unknown", str(PLAIN), "2024-03-02 05:30", "2024-03-05 05:30"),
        ("missing_session", str(RECOVERS), "2024-03-05 05:30", "2024-03-05 05:50"),
        ("missing_session", str(GIVES_UP), "2024-03-07 05:30", "2024-03-08 05:30"),
    ]
    assert days("as_of, status, note", "runs ORDER BY as_of") == [
        (str(PLAIN), "done", ""),
        (
            str(RECOVERS),
            "done",
            "Waited for its bar from 05:30 to 05:50 America/New_York; 2 requests.",
        ),
        (str(MOVES), "done", ""),
        (
            str(GIVES_UP),
            "done",
            "The bar of 2024-03-06 was not available by 05:55 America/New_York; its bar came later.",
        ),
        (str(AFTER), "done", ""),
    ]
    published = "forecasts WHERE role = 'champion' ORDER BY origin_session"
    assert days("DISTINCT origin_session, kind", published) == [
        (str(PLAIN), "live"),
        (str(RECOVERS), "live"),
        (str(MOVES), "live"),
        (str(GIVES_UP), "replay"),  # run by the night after
        (str(AFTER), "live"),
    ]
    assert days("first_seen_at", f"bar_versions WHERE session = '{GAP}'") == [("2024-03-06 05:30",)]
    assert days("session", f"bars WHERE session = '{BAD}'") == []


def check_earnings_dates() -> None:
    """The date that moved is withdrawn from the night that saw it."""
    assert days("session, known_rule, known_from", "events ORDER BY first_seen_at, session DESC") == [
        ("2024-05-01", "seen", str(PLAIN)),
        ("2024-05-08", "seen", str(MOVES)),
        ("2024-05-01", "withdrawn", str(MOVES)),
    ]
    ((before,),) = select("fetched_at", "fetches WHERE verdict = 'first'")
    known_at = datetime.fromisoformat(f"{str(before)[:19]}+00:00")
    with connect.reading(read_settings().url) as connection:
        now, then = read.events(connection, "AAA"), read.events(connection, "AAA", known_at=known_at)
    assert validity(now) == [("2024-05-01", str(MOVES)), ("2024-05-08", None)]
    assert validity(then) == [("2024-05-01", None)]


def validity(events: pd.DataFrame) -> list[tuple[str, str | None]]:
    """Session and the first origin that no longer may use it."""
    return [
        (str(session)[:10], None if pd.isna(until) else str(until)[:10])
        for session, until in zip(events["session"], events["withdrawn_from"], strict=True)
    ]
