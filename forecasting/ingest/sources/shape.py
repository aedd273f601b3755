"""The check that a source's response has the canonical shape: a source may be other people's code."""

from collections.abc import Sequence
from datetime import date, datetime

import numpy as np
import pandas as pd

from forecasting.errors import BadDataError
from forecasting.ingest.sources import Fetched, UnreadableRow

COLUMNS = ["open", "high", "low", "close", "adj_close", "volume"]

_LONGEST = {"source": 300, "symbol": 15, "library_version": 60, "title": 1000, "currency": 6}
"""Most characters of each text."""


def check_shape(fetched: object) -> None:
    """Return when a response is a `Fetched` whose fields, bars and actions have the shape that it states.

    Raises:
        BadDataError: Names the source, what was expected and what was found.
    """
    if not isinstance(fetched, Fetched):
        raise BadDataError(
            f"Expected a Fetched from the source's fetch; found {type(fetched).__name__}. Its code is of an installed "
            "package: correct it, or report it there."
        )
    wrong = (
        _wrong_fields(fetched)
        or _wrong_index(fetched)
        or _wrong_columns(fetched.bars)
        or _wrong_actions(fetched.actions)
    )
    if wrong:
        raise BadDataError(
            f"The source {fetched.source!r:.60} returned bars of {str(fetched.symbol)[:20]} in another shape than the "
            f"canonical one: {wrong}. In its code, build the frame with forecasting.ingest.bars.canonical."
        )


def check_dates(listed: pd.DataFrame, *, names: Sequence[str] = ("announced", "timing")) -> None:
    """Return when a source's earnings dates have the named columns, announced as naive midnights.

    Raises:
        BadDataError: They have not.
    """
    found = isinstance(listed, pd.DataFrame) and set(names) <= set(listed.columns)
    if not found or (len(listed) and _wrong_days(listed["announced"])):
        raise BadDataError(
            f"Expected earnings dates with the columns {', '.join(names)}, announced as naive midnights."
        )
    if not set(listed["timing"].map(str)) <= {"bmo", "amc", ""}:
        raise BadDataError("Expected the timing bmo, amc or empty of each earnings date.")


def _wrong_fields(fetched: Fetched) -> str:
    for name, longest in _LONGEST.items():
        text = getattr(fetched, name)
        if not isinstance(text, str) or len(text) > longest:
            found = repr(text[:30]) if isinstance(text, str) else type(text).__name__
            return f"expected a text of at most {longest} characters as {name}; found {found}"
    for name in ("first_asked", "last_asked", "newest"):
        day = getattr(fetched, name)
        if not (isinstance(day, date) and not isinstance(day, datetime)) and not (day is None and name == "newest"):
            return f"expected a date as {name}; found {type(day).__name__}"
    if not all(isinstance(getattr(fetched, name), bool) for name in ("live", "names_symbol")):
        return "expected True or False as live and names_symbol"
    rows: object = fetched.unreadable
    if not isinstance(rows, tuple) or not all(isinstance(row, UnreadableRow) for row in rows):
        return "expected a tuple of UnreadableRow as unreadable"
    frames = all(isinstance(getattr(fetched, name), pd.DataFrame) for name in ("bars", "actions"))
    return "" if frames else "expected frames as bars and actions"


def _wrong_index(fetched: Fetched) -> str:
    days = fetched.bars.index
    if not isinstance(days, pd.DatetimeIndex):
        return f"expected an index of timestamps; found {type(days).__name__} of {days.dtype}"
    if days.hasnans:
        return "expected a day in every row; found NaT"
    if days.tz is not None or (days != days.normalize()).any():
        return f"expected sessions as naive midnights; found {days[0]}"
    if not days.is_monotonic_increasing or days.has_duplicates:
        return "expected ascending, unique sessions"
    if len(days) and days[-1] > pd.Timestamp(fetched.last_asked):
        return f"expected no bar after {fetched.last_asked}, the last session requested; found {days[-1]:%Y-%m-%d}"
    return ""


def _wrong_columns(bars: pd.DataFrame) -> str:
    if sorted(map(str, bars.columns)) != sorted(COLUMNS):
        return f"expected the columns {', '.join(COLUMNS)}; found {', '.join(map(str, bars.columns))}"
    other = [f"{name} of {kind}" for name, kind in bars.dtypes.items() if kind != "float64"]
    return f"expected float64 in every column, NaN where unknown; found {', '.join(other)}" if other else ""


def _wrong_actions(actions: pd.DataFrame) -> str:
    if list(actions.columns) != ["session", "kind", "value"]:
        return f"expected actions with the columns session, kind, value; found {', '.join(map(str, actions.columns))}"
    other = sorted(set(actions["kind"].map(str)) - {"dividend", "split"})
    if other:
        return f"expected actions of kind dividend or split; found {', '.join(map(repr, other))[:100]}"
    if len(actions) and (wrong := _wrong_days(actions["session"])):
        return f"{wrong} as sessions of actions"
    values = pd.to_numeric(actions["value"], errors="coerce").to_numpy(dtype="float64", na_value=np.nan)
    if not (np.isfinite(values) & (values > 0.0)).all():
        return "expected a finite number above 0 as value of each action"
    return ""


def _wrong_days(days: pd.Series) -> str:
    if not pd.api.types.is_datetime64_dtype(days) or days.isna().any() or (days != days.dt.normalize()).any():
        return "expected naive midnights"
    return ""
