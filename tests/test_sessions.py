from __future__ import annotations

from datetime import UTC, date, datetime
from types import SimpleNamespace

import exchange_calendars
import pandas as pd
import pytest

from forecasting import sessions
from forecasting.errors import ForecastingError, UsageError
from forecasting.sessions import (
    between,
    calendar,
    early_closes,
    ends_soon,
    holidays,
    is_session,
    last_completed,
    next_sessions,
    opens_at,
    shift,
    today,
)


def test_one_off_holidays_and_early_closes_are_known() -> None:
    assert next_sessions(date(2025, 1, 8), 1) == [date(2025, 1, 10)]  # a day of mourning
    assert not is_session(date(2025, 1, 9))
    assert early_closes(date(2026, 11, 1), date(2026, 11, 30)) == {date(2026, 11, 27)}


def test_each_exchange_has_its_own_holidays_and_hours() -> None:
    assert between(date(2024, 5, 3), date(2024, 5, 7), "XLON") == [date(2024, 5, 3), date(2024, 5, 7)]
    assert between(date(2024, 5, 3), date(2024, 5, 7)) == [date(2024, 5, 3), date(2024, 5, 6), date(2024, 5, 7)]
    assert opens_at(date(2024, 5, 7), "XLON") == datetime(2024, 5, 7, 7, 0, tzinfo=UTC)
    at = datetime(2024, 5, 7, 16, 0, tzinfo=UTC)  # London has closed, New York trades, in Tokyo it is tomorrow
    assert [last_completed(at, name) for name in ("XLON", "XNYS")] == [date(2024, 5, 7), date(2024, 5, 6)]
    assert [today(at, name) for name in ("XNYS", "XTKS")] == [date(2024, 5, 7), date(2024, 5, 8)]


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
def test_a_holiday_is_a_day_without_a_session_on_a_usual_weekday(
    exchange: str, first: date, last: date, expected: list[str]
) -> None:
    assert holidays(first, last, exchange).strftime("%Y-%m-%d").tolist() == expected


@pytest.mark.parametrize("sundays", [True, False])
def test_the_holidays_of_a_changed_week_follow_the_sessions(monkeypatch: pytest.MonkeyPatch, sundays: bool) -> None:
    # As Tel Aviv's until 2026-01-04; without Sundays as exchange_calendars makes such a calendar under pandas 3.1.
    before = pd.date_range("2025-12-01", "2026-01-04")
    traded = before[before.day_of_week.isin([0, 1, 2, 3, 6] if sundays else [0, 1, 2, 3, 4])]
    made = SimpleNamespace(
        sessions=traded.append(pd.bdate_range("2026-01-05", "2026-01-30")).drop(["2025-12-10", "2026-01-09"]),
        weekmask="1111100",
        special_weekmasks=[(None, pd.Timestamp("2026-01-04"), "1111001")],
    )
    monkeypatch.setattr(sessions, "calendar", lambda exchange: made)
    found = sessions._holidays.__wrapped__("XTAE")
    assert found.strftime("%Y-%m-%d").tolist() == ["2025-12-10", "2026-01-09"]


def test_a_calendar_that_covers_the_whole_span_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made, make = list[str](), exchange_calendars.get_calendar

    def counted(name: str, **span: str) -> exchange_calendars.ExchangeCalendar:
        made.append(name)
        return make(name, **span)

    monkeypatch.setattr(exchange_calendars, "get_calendar", counted)
    calendar.__wrapped__("XNYS")
    assert made == ["XNYS"]


def test_a_shift_past_an_end_of_a_calendar_is_its_first_session_or_an_error_with_its_last() -> None:
    oldest, newest = (calendar(name).sessions[place].date() for name, place in (("XSAU", 0), ("XSHG", -1)))
    assert shift(date(2021, 3, 1), -2500, "XSAU") == oldest
    assert next_sessions(shift(newest, -3, "XSHG"), 3, "XSHG")[-1] == newest
    found = f"XSHG after {newest} in exchange_calendars, found sessions up to {newest}.*--upgrade exchange-calendars"
    with pytest.raises(ForecastingError, match=found):
        shift(newest, 1, "XSHG")


def test_a_calendar_that_ends_soon_is_told_thirty_sessions_before() -> None:
    newest = calendar("XSHG").sessions[-1].date()
    assert ends_soon(shift(newest, -31, "XSHG"), "XSHG") == ""
    told = ends_soon(shift(newest, -30, "XSHG"), "XSHG")
    assert told.startswith(f"The calendar of XSHG in exchange_calendars ends on {newest}, ")
    assert told.endswith("pip install --upgrade exchange-calendars")
    assert ends_soon(newest) == ""


@pytest.mark.parametrize("name", ["XTKS", "XETR", "XTSE", "ASEX", "XTAE"])
def test_an_exchange_has_a_calendar_or_an_error_with_the_reason(name: str) -> None:
    try:
        assert len(next_sessions(date(2024, 3, 8), 5, name)) == 5
    except UsageError as error:
        assert name in ("ASEX", "XTAE")  # exchange_calendars 4.13 under pandas 3.1; Bucharest too
        assert f"{name} cannot be made by exchange_calendars" in str(error)
