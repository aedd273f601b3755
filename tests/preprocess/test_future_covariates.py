from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.preprocess.future_covariates import EVENT_NAMES, calendar_flags, calendar_notes, event_flags
from forecasting.sessions import between, sessions_index

BEFORE, AFTER = ((2, 21), (4, 4), (6, 12)), ((2, 25), (4, 16), (6, 24))  # Founding Day, both Eids, in Riyadh
HALF = {"half_day", "half_day_november", "after_holiday"}


def flags_of(day: date) -> set[str]:
    values, names = calendar_flags(day, day, "XNYS")
    return {name for name, value in zip(names, values[0], strict=True) if value}


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2024, 3, 15), {"weekday_fri", "month_03", "third_friday", "triple_witching"}),
        (date(2024, 3, 28), {"weekday_thu", "month_03", "month_end", "quarter_end", "before_holiday"}),
        (date(2024, 4, 1), {"month_04", "month_start", "quarter_start", "after_holiday"}),
        (date(2024, 6, 28), {"weekday_fri", "month_06", "month_end", "quarter_end", "russell"}),
        (date(2024, 11, 29), {"weekday_fri", "month_11", "month_end", "index_review", "index_review_large"} | HALF),
        (date(2019, 4, 18), {"weekday_thu", "month_04", "third_friday", "before_holiday"}),
        (date(2024, 5, 8), {"weekday_wed", "month_05"}),
    ],
)  # fmt: skip
def test_a_session_has_the_calendar_flags_of_its_day(day, expected):
    assert flags_of(day) == expected


def test_an_exchange_that_trades_from_sunday_to_thursday_has_holidays_and_no_expiries():
    first, last = date(2024, 1, 1), date(2024, 6, 30)
    values, names = calendar_flags(first, last, "XSAU")
    sessions = sessions_index(first, last, "XSAU")
    days = {name: [day.date() for day in sessions[values[:, place] == 1]] for place, name in enumerate(names)}
    before, after = ([date(2024, month, day) for month, day in days] for days in (BEFORE, AFTER))
    assert (days["before_holiday"], days["after_holiday"]) == (before, after)
    assert not any(days[name] for name in names if name.startswith(("third_friday", "triple_witching", "russell")))
    notes = {day: calendar_notes(day, "XSAU") for day in between(first, last, "XSAU")}
    assert {day: found for day, found in notes.items() if found} == {day: ["after a holiday"] for day in after}


def test_flags_do_not_depend_on_where_the_span_starts_or_ends():
    whole, _ = calendar_flags(date(2023, 1, 3), date(2024, 3, 28), "XNYS")
    part, _ = calendar_flags(date(2023, 3, 30), date(2023, 12, 22), "XNYS")
    sessions = sessions_index(date(2023, 1, 3), date(2024, 3, 28))
    start = int(sessions.searchsorted(pd.Timestamp("2023-03-30")))
    np.testing.assert_array_equal(whole[start : start + len(part)], part)


def earnings(session: str, known_from: str) -> pd.DataFrame:
    days = {"session": [pd.Timestamp(session)], "known_from": [pd.Timestamp(known_from)]}
    return pd.DataFrame(days | {"kind": ["earnings"]})


def flags_by(events: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return event_flags(events, FIRST, len(SESSIONS), "XNYS")


FIRST = date(2024, 1, 2)
SESSIONS = sessions_index(FIRST, date(2024, 2, 29))


def test_the_sessions_around_earnings_have_the_flags_of_their_position():
    """Those of a span that ends before the report, and of one that starts after it, too."""
    run_up = [*["earnings-5..-3"] * 3, "earnings-2", "earnings-1"]
    after = [f"earnings+{k}" for k in range(6)] + ["earnings+6..10"] * 5
    at = int(SESSIONS.searchsorted(pd.Timestamp("2024-01-31")))
    for start, stop in ((at - 6, at + 12), (at - 6, at - 3), (at + 3, at + 12)):
        own, _ = event_flags(earnings("2024-01-31", "2024-01-02"), SESSIONS[start].date(), stop - start, "XNYS")
        names = [[name for name, value in zip(EVENT_NAMES, row, strict=True) if value] for row in own]
        assert names == [[], *([name] for name in run_up + after), []][start - at + 6 : stop - at + 6]


def test_no_row_uses_an_event_before_it_is_known_or_after_its_withdrawal():
    at = int(SESSIONS.searchsorted(pd.Timestamp("2024-01-29")))
    _, flags = flags_by(earnings("2024-01-31", "2024-01-29"))
    assert [flags[:at].any(), flags[at].any()] == [False, True]
    events = earnings("2024-01-31", "2024-01-10")
    gone = flags_by(events.assign(withdrawn_from=pd.Timestamp("2024-01-29")))
    for kept, withdrawn in zip(flags_by(events), gone, strict=True):
        np.testing.assert_array_equal(withdrawn[:at], kept[:at])
        assert kept[at:].any()
        assert not withdrawn[at:].any()


def test_other_kinds_and_days_that_are_no_sessions_are_left_out():
    other = earnings("2024-01-31", "2024-01-02").assign(kind="dividend")
    frames = [other, earnings("2024-02-03", "2024-01-02"), earnings("2061-01-26", "2024-01-02")]
    assert not any(flags.any() for flags in flags_by(pd.concat(frames)))


@pytest.mark.parametrize(
    ("session", "notes"),
    [
        (date(2024, 3, 11), []),  # a weekend is no holiday
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
    sessions = between(date(2017, 1, 1), date(2019, 12, 31))
    expiries = [day for day in sessions if {"triple witching", "options expiry"} & {*calendar_notes(day, "XNYS")}]
    assert [(day.year, day.month) for day in expiries] == [(y, m) for y in range(2017, 2020) for m in range(1, 13)]
