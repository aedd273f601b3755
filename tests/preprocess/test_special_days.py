from __future__ import annotations

from datetime import date

import pytest

from forecasting.preprocess.future_covariates import calendar_notes
from forecasting.sessions import between


@pytest.mark.parametrize(
    ("session", "notes"),
    [
        (date(2018, 12, 20), []),
        (date(2018, 12, 21), ["triple witching"]),
        (date(2018, 12, 24), ["half day"]),
        (date(2018, 12, 25), []),  # of another exchange's bars
        (date(2018, 12, 26), ["after a holiday"]),
        (date(2019, 1, 2), ["after a holiday"]),
        (date(2019, 1, 18), ["options expiry"]),
        (date(2019, 4, 18), ["options expiry"]),  # the third Friday is Good Friday
        (date(2023, 11, 24), ["half day", "after a holiday"]),
        (date(2024, 6, 20), ["after a holiday"]),
    ],
)
def test_the_notes_of_a_session(session: date, notes: list[str]):
    assert calendar_notes(session, "XNYS") == notes


def test_every_month_has_one_expiry():
    sessions = between(date(2010, 1, 1), date(2026, 12, 31))
    expiries = [day for day in sessions if {"triple witching", "options expiry"} & {*calendar_notes(day, "XNYS")}]
    assert [(day.year, day.month) for day in expiries] == [(y, m) for y in range(2010, 2027) for m in range(1, 13)]


def test_a_weekend_is_no_holiday():
    assert calendar_notes(date(2024, 3, 11), "XNYS") == []
    assert calendar_notes(date(2024, 4, 2), "XLON") == ["after a holiday"]


def test_an_exchange_that_trades_from_sunday_to_thursday_has_holidays_and_no_expiries():
    notes = {day: calendar_notes(day, "XSAU") for day in between(date(2024, 1, 1), date(2024, 6, 30), "XSAU")}
    noted = {day: found for day, found in notes.items() if found}
    after = [date(2024, 2, 25), date(2024, 4, 16), date(2024, 6, 24)]  # Founding Day, both Eids
    assert noted == {day: ["after a holiday"] for day in after}
