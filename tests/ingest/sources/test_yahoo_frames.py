"""What yfinance returns, turned into the project's columns; the real requests are in test_yahoo.py."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from forecasting.ingest.sources.yahoo_frames import calendar_dates, has_calendar, newest_close


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


def test_of_two_rows_of_one_day_the_one_with_a_timing_is_kept():
    assert dates(("A", "2024-01-30T21:00:00Z", "AMC"), ("A", "2024-01-30T05:00:00Z", "TNS")) == [
        ("A", "2024-01-30", "amc")
    ]


def test_rows_of_symbols_that_were_not_requested_are_left_out():
    assert dates(("C", "2024-01-30T21:00:00Z", "AMC")) == []
    assert list(calendar_dates(pd.DataFrame(), ["A"]).columns) == ["symbol", "announced", "timing"]


def test_the_calendar_has_symbols_without_a_suffix_alone():
    assert [name for name in ("SBUX", "BRK-B", "^VIX", "VOD.L", "ES=F", "BTC-USD") if has_calendar(name)] == [
        "SBUX",
        "BRK-B",
        "BTC-USD",
    ]


def test_the_newest_close_is_that_of_the_last_row_that_has_one():
    closes = pd.DataFrame({"close": [1.0, 2.0, float("nan")]}, index=pd.date_range("2024-01-01", periods=3))
    assert newest_close(closes) == date(2024, 1, 2)
    assert newest_close(closes.iloc[:0]) is None
