"""Future covariates: the exchange's calendar and announced events, known before a session trades.

The calendar is known years ahead. An event counts for a row from the session at which it became
known, never earlier: the flags of one target session may therefore differ from row to row.
"""

import re
from datetime import date, timedelta
from functools import lru_cache
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.losses import Floats
from forecasting.sessions import (
    announced_days,
    calendar,
    early_closes,
    holidays,
    is_session,
    sessions_index,
    shift,
)
from forecasting.vocabulary import HORIZONS

Value = TypeVar("Value", np.bool_, np.int32)

# Sessions from the one that reacts to earnings; each bucket is a flag. Volume reacts at 0 and takes
# days to return.
_PHASES = {
    "earnings-5..-3": (-5, -4, -3),
    **{f"earnings{phase:+d}": (phase,) for phase in range(-2, 6)},
}
_PHASES |= {"earnings+6..10": (6, 7, 8, 9, 10)}
EVENT_NAMES = tuple(_PHASES)  # flags of a session's position relative to earnings
RUN_UP = 3  # the first of them are of sessions before earnings

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

# Calendar days beyond both ends, so that no flag depends on where the span starts or ends
_MARGIN_DAYS = 40


def calendar_flags(first: date, last: date, exchange: str) -> tuple[Floats, tuple[str, ...]]:
    """(D, C) calendar flags of each session from `first` to `last`, with the expiries of the US, and the C names."""
    margin = pd.Timedelta(days=_MARGIN_DAYS)
    wide_first = (pd.Timestamp(first) - margin).date()
    wide_last = (pd.Timestamp(last) + margin).date()
    sessions, closed = (
        span(wide_first, wide_last, exchange) for span in (sessions_index, holidays)
    )
    weekday, month, day = (
        np.asarray(part) for part in (sessions.day_of_week, sessions.month, sessions.day)
    )
    december = month == 12
    thursday = day + 3 - weekday
    ends = _after(month, 1) != month
    starts = _after(month, -1) != month
    # The expiry moves to Thursday
    friday_closed = (weekday == 3) & (sessions + pd.Timedelta(days=1)).isin(closed)
    third_friday = ((weekday == 4) & (day >= 15) & (day <= 21)) | (
        friday_closed & (day >= 14) & (day <= 20)
    )
    triple = third_friday & (month % 3 == 0)
    half = np.asarray(
        sessions.isin(pd.DatetimeIndex(sorted(early_closes(wide_first, wide_last, exchange))))
    )
    reviewed = np.asarray(sessions.isin(pd.DatetimeIndex(announced_days(exchange, "index_review"))))
    passed = closed.searchsorted(sessions)  # (D,) holidays before each session
    before = np.diff(passed, append=passed[-1:]) > 0
    after = _after(before, -1)
    flags = {
        f"weekday_{name}": weekday == k
        for k, name in enumerate(("tue", "wed", "thu", "fri"), start=1)
    }
    flags |= {f"month_{k:02d}": month == k for k in range(2, 13)}
    flags |= {
        "month_end": ends,
        "month_end-1": _after(ends, 1),
        "month_start": starts,
        "quarter_end": ends & (month % 3 == 0),
        "quarter_start": starts & (month % 3 == 1),
        # MSCI reviews take effect at the end of Feb, May, Aug and Nov
        "index_review": ends & (month % 3 == 2),
        "index_review_large": ends & (month % 6 == 5),
        "third_friday": third_friday,
        "triple_witching": triple,
        "triple_witching_december": triple & december,
        "triple_witching-1": _after(triple, 1),
        "triple_witching+1": _after(triple, -1),
        "triple_witching_week": np.any(
            [_after(triple, k) & (weekday == 4 - k) for k in range(1, 5)], axis=0
        ),
        "russell": ((month == 6) & (weekday == 4) & (day >= 22) & (day <= 28)) | reviewed,
        "half_day": half,
        "half_day_november": half & (month == 11),
        "before_holiday": before & ~half,
        "before_holiday-1": _after(before, 1),
        "after_holiday": after,
        "after_holiday+1": _after(after, -1),
        "before_christmas": december & (day >= 21) & (day <= 23),
        "christmas_eve": december & (day == 24),
        "after_christmas": december & (day >= 26),
        "new_years_eve": december & (day == 31),
        "new_year": (month == 1) & (day <= 3),
        "thanksgiving_week": (month == 11) & (weekday <= 2) & (thursday >= 22) & (thursday <= 28),
        "independence_day": (month == 7) & (day <= 5),
        "late_august": (month == 8) & (day >= 15),
    }
    values = np.column_stack([flag.astype(np.float64) for flag in flags.values()])
    inside = (sessions >= pd.Timestamp(first)) & (sessions <= pd.Timestamp(last))
    return np.ascontiguousarray(values[inside]), tuple(flags)


def calendar_part(flag: str) -> str:
    """The part of a forecast that a calendar flag belongs to."""
    return next(part for part, pattern in CALENDAR_PARTS.items() if re.fullmatch(pattern, flag))


def _after(values: NDArray[Value], by: int) -> NDArray[Value]:
    """Per session, the value `by` sessions later (earlier when negative); 0 beyond the ends."""
    moved = np.zeros_like(values)
    if by > 0:
        moved[:-by] = values[by:]
    else:
        moved[-by:] = values[:by]
    return moved


# A page asks for hundreds of sessions, and those of many symbols for the same ones
@lru_cache(maxsize=4096)
def calendar_notes(session: date, exchange: str) -> tuple[str, ...]:
    """`half day`, `triple witching` or `options expiry`, `index review`, `after a holiday`, as far as they apply.

    None on a day without a session: bars of one remain in a ledger whose exchange or calendar has
    changed.
    """
    if not is_session(session, exchange):
        return ()
    notes = ["half day"] if early_closes(session, session, exchange) else []
    friday = session + timedelta(1)
    # The expiry, to Thursday
    moved = session.weekday() == 3 and len(holidays(friday, friday, exchange)) > 0
    if (moved and 14 <= session.day <= 20) or (session.weekday() == 4 and 15 <= session.day <= 21):
        notes.append("triple witching" if session.month % 3 == 0 else "options expiry")
    if session in announced_days(exchange, "index_review"):
        notes.append("index review")
    if len(holidays(shift(session, -1, exchange), session, exchange)):
        notes.append("after a holiday")
    return tuple(notes)


def event_flags(
    events: pd.DataFrame, first: date, sessions: int, exchange: str
) -> tuple[Floats, Floats]:
    """Flags (D, E) of each session from `first` on, (D, H, E) of the H after each, by the events known at its close.

    `events` have columns session (the one that reacts; left out on another day than a session),
    kind, known_from and, for sources that withdraw events, withdrawn_from (NaT if not withdrawn);
    naive midnights. `sessions` is D.
    """
    days = calendar(exchange).sessions.to_numpy()
    earnings = events[(events["kind"] == "earnings") & events["session"].isin(days)]
    # NaT sorts last
    withdrawn = earnings.get("withdrawn_from", np.full(len(earnings), np.datetime64("NaT", "D")))
    instants = (earnings["session"], earnings["known_from"], withdrawn, [np.datetime64(first)])
    *counted, start = (
        days.searchsorted(np.asarray(each, dtype="datetime64[ns]")) for each in instants
    )
    # (reports, 1) sessions after first
    reacting, known_from, known_until = (each[:, None] - start for each in counted)
    flags = np.zeros((sessions, 1 + len(HORIZONS), len(_PHASES)))
    for column, phases in enumerate(_PHASES.values()):
        for place, horizon in enumerate((0, *HORIZONS)):
            origin = reacting + np.array(phases) - horizon  # (reports, phases)
            known = (
                (origin >= known_from)
                & (origin < known_until)
                & (origin >= 0)
                & (origin < sessions)
            )
            flags[origin[known], place, column] = 1.0
    return np.ascontiguousarray(flags[:, 0]), np.ascontiguousarray(flags[:, 1:])
