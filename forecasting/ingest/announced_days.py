"""Days that no calendar has: closures, half days and index reviews of a file of events or a person.

Table `events` has them beside earnings dates, each from the instant at which it was first seen. A
source's day that it no longer names is withdrawn.
"""

from collections.abc import Mapping, Set
from datetime import date

import pandas as pd

from forecasting.errors import UsageError
from forecasting.ingest.earnings import COLUMNS, WITHDRAWN
from forecasting.ingest.event_files import OF_YAHOO, days_of_file
from forecasting.plain_text import named

Day = tuple[str, date]
"""Kind and day."""

BY_HAND = "run --closed"
"""Source of a closure that a person named."""


def days_in_force(stored: Mapping[Day, str], option: str | None, symbol: str) -> set[Day]:
    """The symbol's days: of the file as it is now, and those `stored` of other sources."""
    if option is None or option == OF_YAHOO:
        return set(stored)
    others = {day for day, source in stored.items() if source != option}
    return others | days_of_file(option, symbol)


def withdrawn_days(
    stored: Mapping[Day, str], days: Set[Day], *, source: str, session: date
) -> pd.DataFrame:
    """Rows, COLUMNS, that withdraw what is stored of a source and is not among its days now."""
    of_source = {day for day, named_by in stored.items() if named_by == source}
    return day_rows(of_source - days, session, WITHDRAWN)


def check_no_bar(days: Set[Day], traded: Set[date], *, symbol: str) -> None:
    """Raise a UsageError where a closed day is among those of which a bar is stored."""
    wrong = sorted(day for kind, day in days if kind == "closed" and day in traded)
    if wrong:
        raise UsageError(
            f"Expected closed days without a bar; found {named([*map(str, wrong)], 3)}, of which a "
            f"bar of {symbol} is stored. Correct the day."
        )


def day_rows(days: Set[Day], session: date, rule: str = "seen") -> pd.DataFrame:
    """Rows, COLUMNS, of days as a night of `session` sees them first."""
    known_from = pd.Timestamp(session)
    stamped = ((pd.Timestamp(day), kind) for kind, day in sorted(days))
    rows = [(day, kind, known_from, rule, day, "") for day, kind in stamped]
    return pd.DataFrame(rows, columns=COLUMNS)
