"""Earnings dates of many symbols from one calendar and from pages of their own, on the stand-in for Yahoo."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from unittest.mock import Mock

import pandas as pd
import pytest

from forecasting.errors import RateLimitedError, UnavailableError
from forecasting.ingest import earnings
from forecasting.ingest.sources import yahoo as yahoo_module
from forecasting.pipeline.backtest import load_series
from forecasting.pipeline.ingest import Purpose, fetch_and_store, first_of
from forecasting.pipeline.night import make_night
from forecasting.sessions import closes_at
from forecasting.settings import read_settings
from forecasting.store import connect, read
from tests.builders import LAST, random_bars, set_small_night
from tests.nights import ON_BOTH_DATABASES, copy_ledger, rows
from tests.yahoo_stand_in import StandIn, asked_here

THURSDAY = date(2024, 3, 7)
KO, MSFT = ("KOA", "2024-04-23T10:55:00.000Z", "BMO"), ("MSFA", "2024-04-30T20:00:00.000Z", "AMC")
LAST_PAGE = ["January 30, 2024 at 4 PM EST", "October 24, 2023 at 4 PM EDT"]

Dates = list[tuple[str, str, str, str]]


@contextmanager
def yahoo_of_stocks(folder: Path, url: str, patch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Yahoo with bars of KOA, MSFA and SPY; a calendar with both stocks' next dates, and pages with past ones."""
    set_small_night(patch, folder, url, SOURCE="yahoo", MARKET="none")
    with asked_here(StandIn(random_bars(days=650, seed=3, last=LAST)), patch.setattr) as served:
        for seed, symbol in enumerate(("KOA", "MSFA", "SPY"), start=4):
            served.add(symbol, random_bars(days=650, seed=seed, last=LAST))
        served.calendar = [KO, MSFT]
        served.earnings = [*LAST_PAGE, "April 25, 2024 at 4 PM EDT", "July 25, 2024 at 4 PM EDT"]
        yield served


@pytest.fixture
def yahoo(tmp_path: Path, night_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    with yahoo_of_stocks(tmp_path, night_url, monkeypatch) as served:
        yield served


@pytest.fixture(scope="module")
def ledger_of_thursday(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite_file: Path) -> Path:
    """The ledger after the fetches of KOA and MSFA on the morning after THURSDAY."""
    folder = tmp_path_factory.mktemp("thursday")
    ledger = Path(shutil.copy(migrated_sqlite_file, folder / "ledger.db"))
    with pytest.MonkeyPatch.context() as patch, yahoo_of_stocks(folder, f"sqlite:///{ledger}", patch) as served:
        assert ingest(served, THURSDAY, "KOA", "MSFA") == [None, None]
    return ledger


@pytest.fixture
def after_thursday(ledger_of_thursday: Path, yahoo: StandIn, night_url: str) -> None:
    """KOA and MSFA were fetched on the morning after THURSDAY."""
    copy_ledger(ledger_of_thursday, night_url)


def ingest(
    served: StandIn, session: date, *symbols: str, purpose: Purpose = "ingest", events: str | None = None
) -> list[Exception | None]:
    """The error of each symbol's fetch on the morning after `session`; the requests before it are forgotten."""
    served.today = session
    served.requests.clear()
    moment = closes_at(session) + timedelta(hours=13)
    settings = read_settings().model_copy(update={"source": "yahoo", "events": events})
    nights = [make_night(symbol, session, settings, now=lambda: moment) for symbol in symbols]
    return [night.error for night in fetch_and_store([(night, first_of([night])) for night in nights], purpose=purpose)]


def dates(symbol: str, *, after: str = "2024-03-08") -> Dates:
    """The stored coming dates: session, known_from, known_rule, timing."""
    found = [row for row in rows("events") if row["symbol"] == symbol and str(row["session"]) > after]
    in_order = sorted(found, key=lambda row: (str(row["first_seen_at"]), str(row["session"])))
    return [
        (str(row["session"])[:10], str(row["known_from"])[:10], str(row["known_rule"]), str(row["timing"]))
        for row in in_order
    ]


def findings() -> list[tuple[str, str, str, bool]]:
    """Symbol, session, rule and whether it is open, of every finding on earnings dates."""
    return [
        (str(row["symbol"]), str(row["session"])[:10], str(row["severity"]), row["cleared_at"] is None)
        for row in rows("findings")
        if row["rule"] == "earnings_stale"
    ]


@ON_BOTH_DATABASES
def test_one_calendar_has_the_next_dates_of_all_symbols_and_pages_are_requested_once_for_the_past(
    yahoo: StandIn,
) -> None:
    assert ingest(yahoo, THURSDAY, "KOA", "MSFA") == [None, None]
    assert (len(yahoo.calendar_requests()), len(yahoo.earnings_pages())) == (1, 2)
    assert ingest(yahoo, LAST, "KOA", "MSFA") == [None, None]
    assert (len(yahoo.calendar_requests()), len(yahoo.earnings_pages())) == (1, 0)
    assert len(yahoo.charts()) == 2
    assert dates("KOA") == [
        ("2024-04-23", "2024-03-07", "seen", "bmo"),  # in place of the page's 2024-04-26
        ("2024-07-26", "2024-03-07", "seen", "amc"),
    ]
    assert dates("MSFA")[0] == ("2024-05-01", "2024-03-07", "seen", "amc")
    past = {str(row["session"])[:10] for row in rows("events") if str(row["session"]) < "2024-03"}
    assert past == {"2023-10-25", "2024-01-31"}


def test_a_symbol_that_the_calendar_lacks_has_a_page_of_its_own_every_night(yahoo: StandIn) -> None:
    for session in (THURSDAY, LAST):
        ingest(yahoo, session, "KOA", "SPY")
        assert [("SPY" in path) for path in yahoo.earnings_pages()][-1]
    assert len(yahoo.earnings_pages()) == 1
    assert dates("SPY")[0] == ("2024-04-26", "2024-03-07", "seen", "amc")


def test_a_date_that_the_calendar_moves_is_withdrawn_and_the_new_one_added(yahoo: StandIn) -> None:
    yahoo.earnings = LAST_PAGE
    ingest(yahoo, THURSDAY, "KOA")
    yahoo.calendar = [("KOA", "2024-04-30T10:55:00.000Z", "BMO")]
    ingest(yahoo, LAST, "KOA")
    assert dates("KOA") == [
        ("2024-04-23", "2024-03-07", "seen", "bmo"),
        ("2024-04-23", "2024-03-08", "withdrawn", "bmo"),
        ("2024-04-30", "2024-03-08", "seen", "bmo"),
    ]


@pytest.mark.parametrize("fault", ["500", "truncated", None])
@pytest.mark.usefixtures("after_thursday")
def test_no_date_is_lost_to_a_calendar_that_fails_or_is_empty(yahoo: StandIn, fault: str | None) -> None:
    before = dates("KOA"), dates("MSFA")
    yahoo.calendar, yahoo.calendar_fault, yahoo.earnings = [], fault, LAST_PAGE
    assert ingest(yahoo, LAST, "KOA", "MSFA") == [None, None]
    assert (dates("KOA"), dates("MSFA")) == before
    assert (len(yahoo.calendar_requests()) > 0, len(yahoo.earnings_pages())) == (True, 2)
    assert findings() == []  # the pages' newest date is 38 days old: the next one need not be listed


@pytest.mark.parametrize("odd", ["error", "nothing", "days"])
def test_a_calendar_of_an_installed_source_that_fails_or_has_another_shape_leaves_the_own_list(
    yahoo: StandIn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, odd: str
) -> None:
    sound = pd.DataFrame({"symbol": ["KOA"], "announced": [pd.Timestamp("2024-04-23")], "timing": ["bmo"]})
    returned = {
        "error": Mock(side_effect=ValueError("its code")),
        "nothing": Mock(return_value=None),
        "days": Mock(return_value=sound.assign(announced=date(2024, 4, 23))),
    }
    monkeypatch.setattr(yahoo_module.Yahoo, "__module__", "house_bars")
    monkeypatch.setattr(yahoo_module.Yahoo, "earnings_calendar", returned[odd])
    assert ingest(yahoo, THURSDAY, "KOA") == [None]
    assert [session for session, *_ in dates("KOA")] == ["2024-04-26", "2024-07-26"]
    assert "no earnings calendar of 1 symbols" in caplog.text
    monkeypatch.setattr(yahoo_module.Yahoo, "earnings_dates", Mock(side_effect=UnavailableError("its server")))
    assert ingest(yahoo, LAST, "KOA") == [None]


def test_lists_without_any_date_are_one_finding_until_one_has_the_next_date(yahoo: StandIn) -> None:
    ingest(yahoo, date(2024, 3, 5), "KOA")
    calendar, yahoo.calendar, yahoo.earnings = yahoo.calendar, [], []
    for session in (date(2024, 3, 6), THURSDAY):
        assert ingest(yahoo, session, "KOA") == [None]
        assert findings() == [("KOA", "2024-01-31", "flag", True)]
    yahoo.calendar = calendar
    ingest(yahoo, LAST, "KOA")
    assert findings() == [("KOA", "2024-01-31", "flag", False)]
    assert dates("KOA")[0] == ("2024-04-23", "2024-03-05", "seen", "bmo")


def test_a_source_that_refuses_the_bars_is_not_asked_for_its_calendar(yahoo: StandIn) -> None:
    yahoo.fail_always("429")
    assert [type(error) for error in ingest(yahoo, LAST, "KOA", "MSFA")] == 2 * [RateLimitedError]
    assert (yahoo.calendar_requests(), yahoo.earnings_pages()) == ([], [])


def test_a_file_of_dates_takes_the_place_of_calendar_and_page(yahoo: StandIn, tmp_path: Path) -> None:
    (tmp_path / "dates.csv").write_text("announced,timing\n2024-04-22,amc\n")
    ingest(yahoo, LAST, "KOA", events=f"csv:{tmp_path / 'dates.csv'}")
    assert (yahoo.calendar_requests(), yahoo.earnings_pages()) == ([], [])
    assert [session for session, *_ in dates("KOA")] == ["2024-04-23"]


def test_the_night_before_the_announcement_still_has_the_next_date(yahoo: StandIn) -> None:
    """What was announced after the close of the night's session reacts tomorrow, and is coming."""
    yahoo.calendar = [("KOA", f"{LAST}T21:30:00.000Z", "AMC")]
    yahoo.earnings = LAST_PAGE
    ingest(yahoo, LAST, "KOA")
    assert [session for session, *_ in dates("KOA")] == ["2024-03-11"]


def test_a_backtest_has_the_past_dates_that_a_first_night_has(yahoo: StandIn) -> None:
    ingest(yahoo, LAST, "KOA")
    with connect.reading(read_settings().url) as connection:
        stored = read.events(connection, "KOA")
    yahoo.requests.clear()

    def events(symbol: str) -> pd.DataFrame:
        settings = read_settings().for_symbol(symbol)
        moment = closes_at(LAST) + timedelta(hours=13)
        return load_series(settings, last=None, now=lambda: moment)[1]

    past = [
        listed.loc[listed["session"] <= pd.Timestamp(LAST), ["session", "known_from"]].reset_index(drop=True)
        for listed in (stored, events("KOA"))
    ]
    assert list(past[0]["session"].dt.date) == [date(2023, 10, 25), date(2024, 1, 31)]
    pd.testing.assert_frame_equal(*past)
    assert len(yahoo.earnings_pages()) == 1
    assert len(events("SBUX")) > 40  # the bundled ones
    assert len(yahoo.earnings_pages()) == 1


def test_filings_that_a_release_brings_are_added_and_nights_before_have_what_they_had(
    yahoo: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    yahoo.add("MSFT", random_bars(days=650, seed=8, last=LAST))
    yahoo.earnings = ["January 29, 2024 at 4 PM EST", "October 24, 2023 at 4 PM EDT", "April 25, 2024 at 4 PM EDT"]
    with monkeypatch.context() as before:
        before.setattr(earnings, "filed_events", lambda symbol, exchange: earnings.no_events().assign(scheduled=True))
        assert ingest(yahoo, THURSDAY, "MSFT") == [None]
    stored = rows("events")
    with connect.reading(read_settings().url) as connection:
        had = read.events(connection, "MSFT")
    assert ingest(yahoo, LAST, "MSFT") == [None]
    added = [row for row in rows("events") if row not in stored]
    assert {row["source"] for row in added} == {"sec-8k"}
    assert len(added) > 80
    with connect.reading(read_settings().url) as connection:
        sessions = read.events(connection, "MSFT")["session"]
    assert sessions.diff().min() > pd.Timedelta(days=45)  # one date a quarter, and those of before stay
    assert set(had["session"]) <= set(sessions)
    instant = pd.Timestamp(max(str(row["first_seen_at"]) for row in stored), tz="UTC").to_pydatetime()
    with connect.reading(read_settings().url) as connection:
        pd.testing.assert_frame_equal(read.events(connection, "MSFT", known_at=instant), had)
