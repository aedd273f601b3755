"""Earnings dates of files: a CSV's, and those that ship with the package."""

import gzip
from collections.abc import Sequence
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd

from forecasting.errors import UsageError
from forecasting.ingest.sources.tables import (
    Table,
    faults,
    first_faults,
    misfits,
    read_days,
    read_file,
)

OF_YAHOO = "yahoo"
"""The value of --events that asks Yahoo for the dates, whatever source the bars have."""

TIMINGS = ("bmo", "amc", "")  # before the market opens, after it closes, or not known

# Those of the calendars: an older or later day has no session that reacts.
_FIRST_DAY = date(1962, 1, 1)
_LAST_DAY = date(2059, 12, 31)
_HOUR = r"[T ]\d\d:.*$"  # of an instant, whose day counts
_SHIPPED = files("forecasting.ingest") / "earnings_dates.txt.gz"
_SHIPPED_EXCHANGE = "XNYS"
_MARKS = {"a": "amc", "b": "bmo"}
# From one, two or three years after an earlier filing; 2.2% are further off
_ON_RHYTHM = pd.Timedelta(days=14)


def dates_of(
    announced: pd.DatetimeIndex, timing: object = "", scheduled: object = True
) -> pd.DataFrame:
    """Earnings dates as a list has them: columns announced, timing, scheduled."""
    columns = {"announced": announced.as_unit("ns"), "timing": timing, "scheduled": scheduled}
    return pd.DataFrame(columns).astype({"timing": str, "scheduled": bool})


def no_events() -> pd.DataFrame:
    """No earnings dates, as `dates_of`."""
    return dates_of(pd.DatetimeIndex([]))


def read_events_csv(path: Path, symbol: str = "") -> pd.DataFrame:
    """A symbol's earnings dates of a CSV, as `dates_of`."""
    table = _table(path)
    rows = table.of_symbol(symbol)
    timing = rows["timing"].str.strip().str.lower()
    announced, undated = read_days(
        rows["announced"].str.replace(_HOUR, "", regex=True), _FIRST_DAY, _LAST_DAY
    )
    untimed = faults(~timing.isin(TIMINGS), "expected the timing bmo, amc or empty", timing)
    reasons = first_faults(misfits(rows), undated, untimed)
    if len(reasons):
        raise UsageError(f"{table.name} {reasons.iloc[0]}. Correct that {rows.index.name}.")
    return dates_of(pd.DatetimeIndex(announced), timing.to_numpy(dtype=str))


def check_events(option: str | None, symbols: Sequence[str]) -> str:
    """The name of what --events names, once its file is read and has dates of each symbol alone."""
    if option is None or option == OF_YAHOO:
        return option or ""
    path = path_of(option)
    if len(symbols) == 1:
        read_events_csv(path, symbols[0])
    elif _table(path).places is None and len(read_events_csv(path)):
        raise UsageError(
            f"Expected a column symbol in {path.name}, whose earnings dates would count for each "
            f"of {len(symbols)} symbols. Add it, or run one symbol with this file."
        )
    return path.name


def path_of(option: str) -> Path:
    """The file that csv:PATH, an option with its kind, names; a UsageError for anything else."""
    kind, _, path = option.partition(":")
    if kind != "csv" or not path:
        raise UsageError(
            f"Expected events as a .csv file with columns announced and timing, or {OF_YAHOO}; "
            f"found {option!r:.60}."
        )
    return Path(path)


def shipped_events(symbol: str, *, exchange: str = _SHIPPED_EXCHANGE) -> pd.DataFrame:
    """The shipped dates of a US company, as `dates_of`; scheduled if timed or on its rhythm."""
    line = _lines().get(symbol) if exchange == _SHIPPED_EXCHANGE else None
    if line is None:
        return no_events()
    first, *gaps = [word.rstrip("ab") for word in line.split()]
    days = pd.DatetimeIndex(np.datetime64(first) + np.cumsum([0, *map(int, gaps)]))
    timing = np.array([_MARKS.get(word[-1], "") for word in line.split()])
    return dates_of(days, timing, on_rhythm(days) | (timing != ""))


@cache
def _lines() -> dict[str, str]:
    """The dates of each symbol as text: the first day, then the days from each to the next."""
    text = gzip.decompress(_SHIPPED.read_bytes()).decode()
    return dict(line.split(maxsplit=1) for line in text.splitlines() if not line.startswith("#"))


def on_rhythm(days: pd.DatetimeIndex) -> np.ndarray:
    """Whether each day, ascending, is of the first year or whole years after an earlier one."""
    after = days.to_numpy()[:, None] - days.to_numpy()[None, :]
    year = np.timedelta64(365, "D")
    is_after = [np.abs(after - years * year) <= _ON_RHYTHM for years in (1, 2, 3)]
    return np.any(is_after, axis=(0, 2)) | (after.max(axis=1) < year - _ON_RHYTHM)


def _table(path: Path) -> Table:
    return read_file(path, "csv", "events", needed="events")
