"""A source's earnings dates: those of its calendar and of a symbol's own list as one, and whether they are stale."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import pandas as pd

from forecasting.ingest.bar_rules import STALE_EARNINGS, Finding
from forecasting.ingest.event_history import drop_moved, validity_intervals

LISTED_AFTER = timedelta(days=60)
"""After an announcement the next one may be missing for so long; it is then about a month ahead."""

_QUARTER = timedelta(days=100)
_YEAR = timedelta(days=365)
_SAME_QUARTER = pd.Timedelta(days=45)


def needs_own_list(stored: pd.DataFrame, of_calendar: pd.DataFrame, *, session: date) -> bool:
    """Whether a symbol's own list is requested beside the calendar.

    It has the past, and dates that the calendar lacks: it is requested unless the calendar names a coming date and an
    announcement of the newest quarter is stored.

    Args:
        stored: Event rows of the symbol: column session.
        of_calendar: The calendar's rows of the symbol: column announced.
        session: The night's session.
    """
    night = pd.Timestamp(session)
    is_coming = bool((of_calendar["announced"] > night).any())
    return not (is_coming and stored["session"].between(night - _QUARTER, night).any())


def joined(own: pd.DataFrame, of_calendar: pd.DataFrame) -> pd.DataFrame:
    """Both lists as one, ascending: where both have a date of a quarter, the calendar's.

    Args:
        own: Columns announced, timing.
        of_calendar: The same.
    """
    near = [(of_calendar["announced"] - day).abs().min() < _SAME_QUARTER for day in own["announced"]]
    both = [one for one in (own[[not one for one in near]], of_calendar) if len(one)]
    return pd.concat(both).sort_values("announced", ignore_index=True) if both else own


def stale_dates(
    listed: pd.DataFrame, others: Sequence[pd.DataFrame], stored: pd.DataFrame, *, session: date
) -> list[Finding]:
    """The finding on a list without a coming date, of a symbol that has reported within a year; none for any other.

    An empty list is one at once, any other 60 days after the newest known date. The finding is of the session that
    reacted to it.

    Args:
        listed: The source's dates tonight: column session.
        others: Dates of other lists, whose coming dates serve as well: column session.
        stored: Event rows of the symbol, as `read.event_rows`.
        session: The night's session.
    """
    night = pd.Timestamp(session)
    valid = drop_moved(validity_intervals(stored))
    known = [listed["session"], *(other["session"] for other in others)]
    past = [*known, valid.loc[valid["withdrawn_from"].isna(), "session"]]
    newest = max((days[days <= night].max() for days in past if (days <= night).any()), default=None)
    if any((days > night).any() for days in known) or newest is None or newest < night - _YEAR:
        return []
    if len(listed) and newest >= night - LISTED_AFTER:
        return []
    found = "lists none" if listed.empty else f"lists {len(listed)}, none of them coming"
    detail = f"The newest known earnings date is of this session; the source {found}."
    return [Finding(newest.date(), STALE_EARNINGS, "flag", None, detail)]
