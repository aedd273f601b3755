"""Whether what a source brought has the canonical shape: a source may be anybody's code."""

import pandas as pd

from forecasting.errors import BadDataError
from forecasting.ingest.sources import Fetched

COLUMNS = ["open", "high", "low", "close", "adj_close", "volume"]


def check_shape(fetched: Fetched) -> None:
    """Nothing, when the bars and actions have the shape that `Fetched` states.

    Raises:
        BadDataError: Names the source, what was expected and what was found.
    """
    for wrong in (_wrong_index(fetched), _wrong_columns(fetched.bars), _wrong_actions(fetched.actions)):
        if wrong:
            raise BadDataError(
                f"The source {fetched.source!r} brought bars of {fetched.symbol} in another shape than the canonical "
                f"one: {wrong}. Whoever wrote it makes the frame with forecasting.ingest.bars.canonical."
            )
    if len(fetched.currency) > 6:
        raise BadDataError(
            f"The source {fetched.source!r} names a currency by at most 6 letters; found {fetched.currency!r}."
        )


def _wrong_index(fetched: Fetched) -> str:
    days = fetched.bars.index
    if not isinstance(days, pd.DatetimeIndex):
        return f"the index holds sessions as timestamps; found {type(days).__name__} of {days.dtype}"
    if days.tz is not None or (days != days.normalize()).any():
        return f"a session is a naive midnight; found {days[0]}"
    if not days.is_monotonic_increasing or days.has_duplicates:
        return "sessions ascend and none comes twice"
    if len(days) and days[-1] > pd.Timestamp(fetched.last_asked):
        return f"no bar is newer than {fetched.last_asked}, the last session asked for; found {days[-1]:%Y-%m-%d}"
    return ""


def _wrong_columns(bars: pd.DataFrame) -> str:
    if sorted(map(str, bars.columns)) != sorted(COLUMNS):
        return f"the columns are {', '.join(COLUMNS)}; found {', '.join(map(str, bars.columns))}"
    other = [f"{name} of {kind}" for name, kind in bars.dtypes.items() if kind != "float64"]
    return f"every column is float64, NaN where unknown; found {', '.join(other)}" if other else ""


def _wrong_actions(actions: pd.DataFrame) -> str:
    if list(actions.columns) != ["session", "kind", "value"]:
        return f"actions have the columns session, kind, value; found {', '.join(map(str, actions.columns))}"
    other = sorted(set(actions["kind"]) - {"dividend", "split"})
    return f"an action is a dividend or a split; found {', '.join(map(repr, other))}" if other else ""
