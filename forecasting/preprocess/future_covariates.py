"""Future covariates: the exchange's calendar and announced events, known before a session trades.

The calendar is known years ahead. An event counts for a row from the session at which it became
known, never earlier: the flags of one target session may therefore differ from row to row.
"""

import re
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.losses import Floats
from forecasting.sessions import calendar, early_closes, holidays, sessions_index
from forecasting.vocabulary import HORIZONS

Flags = dict[str, NDArray[np.bool_]]  # (D,) by name

# Sessions from the one that reacts to earnings; each bucket is a flag. Volume reacts at 0 and takes
# days to return.
_PHASES = {
    "earnings-5..-3": (-5, -4, -3),
    **{f"earnings{phase:+d}": (phase,) for phase in range(-2, 6)},
    "earnings+6..10": (6, 7, 8, 9, 10),
}
EVENT_NAMES = tuple(_PHASES)  # flags of a session's position relative to earnings
RUN_UP = 3  # the first of them are of sessions before earnings
EVENTS = slice(-len(EVENT_NAMES), None)  # their columns, the last of a session's flags
AFTER_EVENTS = slice(RUN_UP - len(EVENT_NAMES), None)  # those from the session that reacts on

CALENDAR_PARTS = {
    "weekday": r"weekday_\w+",
    "month": r"month_\d+",
    "month_end": r"month_end(-1)?|month_start|quarter_(end|start)",
    "index": r"index_review\w*|russell",
    "expiry": r"third_friday|triple_witching.*",
    "holiday": r".*",
}
"""By part of a forecast, the calendar's flags that it is of: the first pattern that matches the
whole name."""

# Beyond both ends, so that no flag depends on where the span starts or ends
_MARGIN = timedelta(days=40)


def calendar_flags(first: date, last: date, exchange: str) -> tuple[Floats, tuple[str, ...]]:
    """(D, C) calendar flags of each session from `first` to `last`, and the C names.

    Expiries are those of the US.
    """
    span = (first - _MARGIN, last + _MARGIN, exchange)
    sessions = sessions_index(*span)
    closed = holidays(*span)
    half = np.asarray(sessions.isin(pd.DatetimeIndex(sorted(early_closes(*span)))))
    flags = _month_flags(sessions)
    flags |= _expiry_flags(sessions, closed)
    flags |= _holiday_flags(sessions, closed, half)
    values = np.column_stack([flag.astype(np.float64) for flag in flags.values()])
    inside = (sessions >= pd.Timestamp(first)) & (sessions <= pd.Timestamp(last))
    return np.ascontiguousarray(values[inside]), tuple(flags)


def _month_flags(sessions: pd.DatetimeIndex) -> Flags:
    month = np.asarray(sessions.month)
    ends = _after(month, 1) != month
    starts = _after(month, -1) != month
    weekdays = enumerate(("tue", "wed", "thu", "fri"), start=1)
    flags = {f"weekday_{name}": sessions.day_of_week == k for k, name in weekdays}
    flags |= {f"month_{k:02d}": month == k for k in range(2, 13)}
    return flags | {
        "month_end": ends,
        "month_end-1": _after(ends, 1),
        "month_start": starts,
        "quarter_end": ends & (month % 3 == 0),
        "quarter_start": starts & (month % 3 == 1),
        # MSCI reviews take effect at the end of Feb, May, Aug and Nov
        "index_review": ends & (month % 3 == 2),
        "index_review_large": ends & (month % 6 == 5),
    }


def _expiry_flags(sessions: pd.DatetimeIndex, closed: pd.DatetimeIndex) -> Flags:
    weekday = sessions.day_of_week
    month = sessions.month
    day = sessions.day
    # The expiry moves to Thursday
    friday_closed = (weekday == 3) & (sessions + pd.Timedelta(days=1)).isin(closed)
    third_friday = (weekday == 4) & (day >= 15) & (day <= 21)
    third_friday |= friday_closed & (day >= 14) & (day <= 20)
    triple = third_friday & (month % 3 == 0)
    # Russell reconstitutes on the fourth Friday of June, since 2026 on November's second one too
    in_june = (month == 6) & (day >= 22) & (day <= 28)
    in_november = (sessions.year >= 2026) & (month == 11) & (day >= 8) & (day <= 14)
    # Friday names the week of a session, so that a holiday in the week takes no flag away.
    friday = sessions + pd.to_timedelta(4 - weekday, unit="D")
    week = friday.isin(friday[triple]) & (weekday < 4) & ~triple
    return {
        "third_friday": third_friday,
        "triple_witching": triple,
        "triple_witching_december": triple & (month == 12),
        "triple_witching-1": _after(triple, 1),
        "triple_witching+1": _after(triple, -1),
        "triple_witching_week": week,
        "russell": (weekday == 4) & (in_june | in_november),
    }


def _holiday_flags(
    sessions: pd.DatetimeIndex, closed: pd.DatetimeIndex, half: NDArray[np.bool_]
) -> Flags:
    weekday = sessions.day_of_week
    month = sessions.month
    day = sessions.day
    november = month == 11
    december = month == 12
    thursday = day + 3 - weekday
    passed = closed.searchsorted(sessions)  # (D,) holidays before each session
    before = np.diff(passed, append=passed[-1:]) > 0
    after = _after(before, -1)
    return {
        "half_day": half,
        "half_day_november": half & november,
        "before_holiday": before & ~half,
        "before_holiday-1": _after(before, 1),
        "after_holiday": after,
        "after_holiday+1": _after(after, -1),
        "before_christmas": december & (day >= 21) & (day <= 23),
        "christmas_eve": december & (day == 24),
        "after_christmas": december & (day >= 26),
        "new_years_eve": december & (day == 31),
        "new_year": (month == 1) & (day <= 3),
        "thanksgiving_week": november & (weekday <= 2) & (thursday >= 22) & (thursday <= 28),
        "independence_day": (month == 7) & (day <= 5),
        "late_august": (month == 8) & (day >= 15),
    }


def calendar_part(flag: str) -> str:
    """The part of a forecast that a calendar flag belongs to."""
    return next(part for part, pattern in CALENDAR_PARTS.items() if re.fullmatch(pattern, flag))


def _after(values: NDArray[Any], by: int) -> NDArray[Any]:
    """(D,) the value `by` sessions later (earlier when negative); 0 beyond the ends."""
    moved = np.zeros_like(values)
    if by > 0:
        moved[:-by] = values[by:]
    else:
        moved[-by:] = values[:by]
    return moved


_NOTES = {
    "half_day": "half day",
    "triple_witching": "triple witching",
    "third_friday": "options expiry",
    "after_holiday": "after a holiday",
}


def calendar_notes(session: date, exchange: str) -> tuple[str, ...]:
    """What is special about a session, known years ahead; nothing about a day without one.

    `half day`, `triple witching` or `options expiry`, `after a holiday`, as far as they apply. Bars
    of a day without a session remain in a ledger whose exchange or calendar has changed.
    """
    return _notes_of_year(session.year, exchange).get(session, ())


# A page asks for hundreds of sessions, and those of many symbols for the same ones
@lru_cache(maxsize=128)
def _notes_of_year(year: int, exchange: str) -> dict[date, tuple[str, ...]]:
    span = (date(year, 1, 1), date(year, 12, 31), exchange)
    values, names = calendar_flags(*span)
    sessions = sessions_index(*span).date
    flags = pd.DataFrame(values > 0.0, sessions, names)
    flags["third_friday"] &= ~flags["triple_witching"]
    return {
        session: tuple(words for name, words in _NOTES.items() if has[name])
        for session, has in zip(sessions, flags.to_dict("records"), strict=True)
    }


def event_flags(
    events: pd.DataFrame, first: date, sessions: int, exchange: str
) -> tuple[Floats, Floats]:
    """(D, E) event flags of each session from `first` on, (D, H, E) of the H after each.

    Both have the events that are known at the session's close.

    Args:
        events: columns session (the one that reacts; left out on another day than a session), kind,
            known_from and, of sources that withdraw events, withdrawn_from (NaT if not withdrawn);
            naive midnights.
        first: the first session.
        sessions: D.
        exchange: whose sessions they are.
    """
    days = calendar(exchange).sessions.to_numpy()
    start = days.searchsorted(np.datetime64(first, "ns"))

    def place(instants: pd.Series) -> NDArray[np.int64]:
        """(reports, 1) sessions after `first`; NaT sorts last."""
        return days.searchsorted(instants.to_numpy(dtype="datetime64[ns]"))[:, None] - start

    earnings = events[(events["kind"] == "earnings") & events["session"].isin(days)]
    reacting = place(earnings["session"])
    known_from = np.maximum(place(earnings["known_from"]), 0)
    known_until = np.full_like(known_from, sessions)
    if "withdrawn_from" in earnings:
        known_until = np.minimum(place(earnings["withdrawn_from"]), sessions)
    flags = np.zeros((sessions, 1 + len(HORIZONS), len(_PHASES)))
    for column, phases in enumerate(_PHASES.values()):
        for ahead in (0, *HORIZONS):
            origin = reacting + np.array(phases) - ahead  # (reports, phases)
            known = (origin >= known_from) & (origin < known_until)
            flags[origin[known], ahead, column] = 1.0
    return np.ascontiguousarray(flags[:, 0]), np.ascontiguousarray(flags[:, 1:])
