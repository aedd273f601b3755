"""What yfinance returns, turned into the project's columns; the real requests are in test_yahoo.py."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from forecasting.ingest.sources.yahoo_frames import calendar_dates, newest_close, page_dates


def rows(*events: tuple[str, str, str]) -> pd.DataFrame:
    """Rows of the calendar: symbol, start and timing."""
    frame = pd.DataFrame(list(events), columns=["Symbol", "Event Start Date", "Timing"]).set_index("Symbol")
    return frame.assign(**{"Event Start Date": pd.to_datetime(frame["Event Start Date"])})


def dates(*events: tuple[str, str, str], symbols: tuple[str, ...] = ("A", "B")) -> list[tuple[str, str, str]]:
    found = calendar_dates(rows(*events), symbols)
    return [(row.symbol, f"{row.announced:%Y-%m-%d}", row.timing) for row in found.itertuples()]


def test_the_day_of_an_announcement_is_new_yorks():
    assert dates(("A", "2024-01-30T21:30:00Z", "AMC"), ("B", "2024-01-31T01:00:00Z", "AMC")) == [
        ("A", "2024-01-30", "amc"),
        ("B", "2024-01-30", "amc"),
    ]


@pytest.mark.parametrize("day", ["2024-01-30", "2024-07-30"])
@pytest.mark.parametrize(("stated", "timing"), [("TNS", ""), ("TAS", ""), ("AMC", "amc"), ("BMO", "bmo")])
def test_a_midnight_in_utc_is_a_day_without_a_time(day, stated, timing):
    assert dates(("A", f"{day}T00:00:00Z", stated)) == [("A", day, timing)]


@pytest.mark.parametrize(
    ("start", "stated", "timing"),
    [
        ("2024-01-30T21:00:00Z", "TAS", "amc"),
        ("2024-01-30T14:00:00Z", "TAS", "bmo"),
        ("2024-01-30T17:00:00Z", "TAS", ""),
        ("2024-01-30T21:00:00Z", "TNS", ""),
        ("2024-01-30T21:00:00Z", "BMO", "bmo"),
        ("2024-01-30T21:00:00Z", None, ""),
    ],
)
def test_the_time_counts_only_where_the_calendar_states_one(start, stated, timing):
    assert dates(("A", start, stated)) == [("A", "2024-01-30", timing)]


@pytest.mark.parametrize(
    ("exchange", "at", "announced", "timing"),
    [
        ("XNYS", "2025-10-14 09:30 America/New_York", "2025-10-14", "bmo"),
        ("XNYS", "2025-10-14 09:31 America/New_York", "2025-10-14", ""),
        ("XNYS", "2025-10-14 15:59 America/New_York", "2025-10-14", ""),
        ("XNYS", "2025-10-14 16:00 America/New_York", "2025-10-14", "amc"),
        ("XNYS", "2025-11-28 14:00 America/New_York", "2025-11-28", ""),  # an early close: the usual hour counts
        ("XPAR", "2025-10-14 17:45 Europe/Paris", "2025-10-14", "amc"),
        ("XPAR", "2025-10-14 17:00 Europe/Paris", "2025-10-14", "amc"),  # so Yahoo writes 17:45
        ("XPAR", "2025-10-14 16:59 Europe/Paris", "2025-10-14", ""),
        ("XPAR", "2025-10-14 07:00 Europe/Paris", "2025-10-14", "bmo"),
        ("XTKS", "2025-10-15 16:00 Asia/Tokyo", "2025-10-15", "amc"),
        ("XTKS", "2024-11-01 15:00 Asia/Tokyo", "2024-11-01", "amc"),  # it closed at 15:00 then
        ("XTKS", "2025-10-15 12:00 Asia/Tokyo", "2025-10-15", ""),
        ("XASX", "2025-10-15 07:30 Australia/Sydney", "2025-10-15", "bmo"),
        ("XNZE", "2025-11-14 17:00 Pacific/Auckland", "2025-11-14", "amc"),
        ("24/7", "2025-10-15 12:00 UTC", "2025-10-15", ""),
    ],
)
def test_day_and_timing_of_a_page_are_those_of_the_exchanges_clock(exchange, at, announced, timing):
    local, _, zone = at.rpartition(" ")
    for of_page in ("America/New_York", "UTC"):
        found = page_dates(pd.DatetimeIndex([local], tz=zone).tz_convert(of_page), exchange=exchange)
        assert [(f"{row.announced:%Y-%m-%d}", row.timing) for row in found.itertuples()] == [(announced, timing)]


def test_each_instant_of_a_page_has_the_hours_of_its_own_day():
    at = pd.DatetimeIndex(["2019-03-06 17:00", "2020-03-06 17:00"], tz="America/Sao_Paulo")
    # The close moved from 17:00 to 18:00 in November 2019.
    assert page_dates(at, exchange="BVMF")["timing"].tolist() == ["amc", ""]


def test_of_two_rows_of_one_day_the_one_with_a_timing_is_kept():
    assert dates(("A", "2024-01-30T21:00:00Z", "AMC"), ("A", "2024-01-30T05:00:00Z", "TNS")) == [
        ("A", "2024-01-30", "amc")
    ]


def test_rows_of_symbols_that_were_not_requested_are_left_out():
    assert dates(("C", "2024-01-30T21:00:00Z", "AMC")) == []
    assert list(calendar_dates(pd.DataFrame(), ["A"]).columns) == ["symbol", "announced", "timing"]


def test_the_newest_close_is_that_of_the_last_row_that_has_one():
    closes = pd.DataFrame({"close": [1.0, 2.0, float("nan")]}, index=pd.date_range("2024-01-01", periods=3))
    assert newest_close(closes) == date(2024, 1, 2)
    assert newest_close(closes.iloc[:0]) is None
