"""The check that a source's response has the canonical shape: a source may be other people's code."""

import pandas as pd

from forecasting.errors import BadDataError
from forecasting.ingest.sources import Fetched

COLUMNS = ["open", "high", "low", "close", "adj_close", "volume"]


def check_shape(fetched: Fetched) -> None:
    """Return when the bars and actions have the shape that `Fetched` states.

    Raises:
        BadDataError: Names the source, what was expected and what was found.
    """
    for wrong in (_wrong_index(fetched), _wrong_columns(fetched.bars), _wrong_actions(fetched.actions)):
        if wrong:
            raise BadDataError(
                f"The source {fetched.source!r} returned bars of {fetched.symbol} in another shape than the canonical "
                f"one: {wrong}. In its code, build the frame with forecasting.ingest.bars.canonical."
            )
    if len(fetched.currency) > 6:
        raise BadDataError(
            f"Expected a currency of at most 6 letters from the source {fetched.source!r}; found {fetched.currency!r}."
        )


def _wrong_index(fetched: Fetched) -> str:
    days = fetched.bars.index
    if not isinstance(days, pd.DatetimeIndex):
        return f"expected an index of timestamps; found {type(days).__name__} of {days.dtype}"
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
    other = sorted(set(actions["kind"]) - {"dividend", "split"})
    return f"expected actions of kind dividend or split; found {', '.join(map(repr, other))}" if other else ""
