from datetime import UTC, date, datetime

import pytest

from forecasting import sessions
from forecasting.errors import ForecastingError
from forecasting.values import parse_pairs


def test_one_off_holidays_and_early_closes_are_known():
    assert sessions.next_sessions(date(2025, 1, 8), 1) == [date(2025, 1, 10)]  # a day of mourning
    assert not sessions.is_session(date(2025, 1, 9))
    assert sessions.early_closes(date(2026, 11, 1), date(2026, 11, 30)) == {date(2026, 11, 27)}


def test_each_exchange_has_its_own_holidays_and_hours():
    first = date(2024, 5, 3)
    last = date(2024, 5, 7)
    assert sessions.between(first, last, "XLON") == [first, last]
    assert sessions.between(first, last) == [first, date(2024, 5, 6), last]
    assert sessions.after(date(2024, 5, 6), last) == [last]
    for day, newest in ((6, first), (7, last)):
        assert sessions.newest_up_to(date(2024, 5, day), "XLON") == newest
    assert sessions.opens_at(date(2024, 5, 7), "XLON") == datetime(2024, 5, 7, 7, 0, tzinfo=UTC)
    # London has closed, New York trades, in Tokyo it is tomorrow
    at = datetime(2024, 5, 7, 16, 0, tzinfo=UTC)
    assert [sessions.last_completed(at, name) for name in ("XLON", "XNYS")] == [
        date(2024, 5, 7),
        date(2024, 5, 6),
    ]
    assert [sessions.today(at, name) for name in ("XNYS", "XTKS")] == [
        date(2024, 5, 7),
        date(2024, 5, 8),
    ]


@pytest.mark.parametrize(
    ("exchange", "first", "last", "expected"),
    [
        ("XNYS", date(2024, 3, 23), date(2024, 4, 1), ["2024-03-29"]),
        ("XNYS", date(2024, 3, 29), date(2024, 3, 29), ["2024-03-29"]),
        ("XSAU", date(2024, 3, 1), date(2024, 3, 31), []),  # Fridays and Saturdays
        ("XSAU", date(2023, 9, 17), date(2023, 9, 30), []),  # the National Day is a Saturday
        ("XSAU", date(2024, 2, 18), date(2024, 2, 29), ["2024-02-22"]),
        ("24/7", date(2024, 3, 1), date(2024, 3, 31), []),
        ("XSAU", date(2020, 12, 1), date(2021, 1, 5), []),  # before the calendar
    ],
)
def test_a_holiday_is_a_day_without_a_session_on_a_usual_weekday(exchange, first, last, expected):
    assert sessions.holidays(first, last, exchange).strftime("%Y-%m-%d").tolist() == expected


def test_a_shift_counts_sessions_to_either_side_and_none_of_0():
    for by, day in ((-2, 1), (-1, 2), (0, 3), (1, 7), (2, 8)):  # the 6th is a holiday
        assert sessions.shift(date(2024, 5, 3), by, "XLON") == date(2024, 5, day)


def test_no_day_outside_the_calendars_is_a_session():
    days = {date(1962, 1, 2), date(2060, 12, 31)}
    outside = {date(1604, 2, 29), date(1961, 12, 29), date(2061, 1, 3), date(2400, 2, 29)}
    assert {day for day in days | outside if sessions.is_session(day)} == days


def test_a_shift_past_an_end_of_a_calendar_is_its_first_session_or_an_error_with_its_last():
    oldest, newest = (
        sessions.calendar(name).sessions[place].date()
        for name, place in (("XSAU", 0), ("XSHG", -1))
    )
    assert sessions.shift(date(2021, 3, 1), -2500, "XSAU") == oldest
    assert sessions.newest_up_to(date(2020, 12, 31), "XSAU") == oldest
    assert sessions.next_sessions(sessions.shift(newest, -3, "XSHG"), 3, "XSHG")[-1] == newest
    found = (
        f"XSHG after {newest} in exchange_calendars, found sessions up to {newest}.*--upgrade "
        "exchange-calendars"
    )
    with pytest.raises(ForecastingError, match=found):
        sessions.shift(newest, 1, "XSHG")


def test_a_calendar_that_ends_soon_is_told_thirty_sessions_before():
    newest = sessions.calendar("XSHG").sessions[-1].date()
    assert sessions.ends_soon(sessions.shift(newest, -31, "XSHG"), "XSHG") == ""
    told = sessions.ends_soon(sessions.shift(newest, -30, "XSHG"), "XSHG")
    assert told.startswith(f"The calendar of XSHG in exchange_calendars ends on {newest}, ")
    assert told.endswith("pip install --upgrade exchange-calendars")
    assert sessions.ends_soon(newest) == ""


def test_the_suffix_determines_the_exchange_an_override_precedes_it():
    pairs = (
        "SBUX=XNYS BRK-B=XNYS ^GSPC=XNYS VOD.L=XLON SAP.DE=XETR 7203.T=XTKS 0700.HK=XHKG "
        "RY.TO=XTSE MC.PA=XPAR "
    )
    # A class of shares as others write it; Loews
    pairs += "ASML.AS=XAMS VOLV-B.ST=XSTO BRK.B=XNYS L=XNYS ES=F=XNYS"
    for symbol, _, exchange in (pair.rpartition("=") for pair in pairs.split()):
        assert sessions.exchange_of(symbol, overrides={}, default="XNYS") == exchange
    exchanges = parse_pairs("VOD.L=XAMS, ABC=XTKS,ES=F=CMES,")
    assert exchanges == {"VOD.L": "XAMS", "ABC": "XTKS", "ES=F": "CMES"}
    for symbol, exchange in {
        "VOD.L": "XAMS",
        "ES=F": "CMES",
        "RY.TO": "XTSE",
        "ABCD": "XPAR",
    }.items():
        assert sessions.exchange_of(symbol, overrides=exchanges, default="XPAR") == exchange


@pytest.mark.parametrize("text", ["VOD.L", "=XLON", "VOD.L=", "VOD.L=XLON,SBUX"])
def test_an_entry_that_is_no_pair_is_refused(text):
    with pytest.raises(ValueError, match=r"Expected NAME=VALUE"):
        parse_pairs(text)


def test_exchange_calendars_has_every_exchange_of_the_suffixes():
    assert {sessions.check_exchange(name) for name in sessions._BY_SUFFIX.values()} >= {
        "XLON",
        "XTKS",
        "XETR",
        "XHKG",
    }
    with pytest.raises(ValueError, match="'XLONDON'"):
        sessions.check_exchange("XLONDON")
