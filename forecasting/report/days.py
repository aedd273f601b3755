"""The calendar day of whatever pandas reads as one."""

from datetime import date

import pandas as pd


def as_day(value: object) -> date:
    """The calendar day of a date, timestamp or ISO text."""
    day: date = pd.Timestamp(value).date()  # type: ignore[arg-type]  # whatever pandas can read
    return day


def days_of(values: pd.Series) -> pd.Series:
    """The calendar day of each value; of equal ones once, as many rows share a session."""
    return values.map({value: as_day(value) for value in values.unique()}).astype(object)
