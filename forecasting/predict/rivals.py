"""Rivals, the user's own forecasters: what a file or a class of theirs forecasts at an origin."""

from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forecasting.errors import UsageError
from forecasting.ingest.sources.tables import read_days, read_file, read_numbers
from forecasting.losses import Floats
from forecasting.preprocess.windows import H, Windows
from forecasting.sessions import NEWEST_DAY, OLDEST_DAY, calendar
from forecasting.settings import Settings
from forecasting.time_limit import within
from forecasting.vocabulary import HORIZONS, MEDIAN, QUANTILE_COLUMNS

LIMIT_S = 60.0
"""Of one forecast of a class. The first one loads what it needs."""

_Q = list(QUANTILE_COLUMNS)
_NEWEST = 21  # forecasts that are typical


def of_file(option: str, settings: Settings, windows: Windows) -> Floats:
    """(H, Q) what a file forecasts at the newest row, in the target's own unit; NaN where nothing.

    Without a column made_at or origin_session a row is of the session before its target session.

    Raises:
        UsageError: It has no valid row of the origin, or its rows are in another unit.
    """
    kind, _, path = option.partition(":")
    table = read_file(Path(path), kind, "rivals", needed="rivals")  # type: ignore[arg-type]  # one of its two
    rows = table.of_symbol(settings.symbol)
    target = rows.get("target", pd.Series("", rows.index)).replace("", "volume")
    rows = rows[target == settings.target]
    closes = calendar(settings.exchange).closes
    at = closes.index.get_indexer(read_days(rows["target_session"], OLDEST_DAY, NEWEST_DAY)[0])
    origin = at - 1
    if "made_at" in rows:
        made = pd.to_datetime(rows["made_at"], utc=True, errors="coerce", format="ISO8601")
        origin = closes.searchsorted(pd.DatetimeIndex(made), side="right") - 1
    elif "origin_session" in rows:
        stated = read_days(rows["origin_session"], OLDEST_DAY, NEWEST_DAY)[0]
        origin = closes.index.get_indexer(stated)
    given = rows.reindex(columns=_Q)
    found = pd.DataFrame({name: read_numbers(given[name])[0] for name in _Q}, rows.index)
    is_right = ~rows["misfits"] & (found["q50"] > 0.0) & np.isin(at - origin, HORIZONS)
    is_right &= ~(found < found.cummax(axis=1)).any(axis=1)
    found = found.assign(origin_session=closes.index[origin], horizon=at - origin)
    right = found[is_right].drop_duplicates(["origin_session", "horizon"])
    usual = pd.Series(np.exp(windows.level), pd.DatetimeIndex(windows.origins))
    tonight = right[right["origin_session"] == usual.index[-1]]
    if tonight.empty:
        wrong = rows.index.difference(right.index)
        faults = ""
        if len(wrong):
            lines = f"{rows.index.name} {', '.join(map(str, wrong[:3]))}"
            faults = f", and of {len(rows):,} rows {len(wrong):,} are wrong, {lines}"
        raise UsageError(
            f"Expected rows of {settings.full_name} and the origin {usual.index[-1]:%Y-%m-%d} in "
            f"{table.name}, one of a session up to five after it, with q50, and other quantiles "
            f"that ascend, above 0; found none{faults}. Add or correct them."
        )
    ratio = (right["q50"] / right["origin_session"].map(usual)).dropna().tail(_NEWEST)
    # One may be far from usual, and most are not: a split's ratio is 1.5 or more
    limit = 1.4 if len(ratio) == _NEWEST else 20.0
    if not 1 / limit < ratio.median() < limit:
        raise UsageError(
            f"Expected the unit and share basis of the bars in {table.name}, splits adjusted as "
            f"there; found {ratio.median():.3g} times the usual value. Correct it."
        )
    return tonight.set_index("horizon").reindex(HORIZONS)[_Q].to_numpy()


def of_class(option: Any, history: pd.DataFrame, windows: Windows) -> Floats:  # noqa: ANN401 - of three
    """(H, Q) what a class or a function forecasts at the newest row; NaN beside medians alone.

    Args:
        option: NAME:ARGUMENT of an installed class, a function, or medians by session, each made
            after the session before.
        history: By session up to the origin open, high, low, close, volume and `value`, the
            target's own. It is called with them and with the flags of the H sessions after it.
        windows: Whose newest row is the origin.

    Raises:
        UsageError: There is no such class, or a value is not above 0.
        TimeLimitError: It does not end within LIMIT_S; its thread may still run.
    """
    quantiles = np.full((H, len(_Q)), np.nan)
    if isinstance(option, pd.Series):
        quantiles[0, MEDIAN] = option.get(pd.Timestamp(windows.sessions[-H]), np.nan)
    else:
        ahead = pd.DataFrame(windows.future_flags[-1], windows.sessions[-H:], windows.flag_names)
        call = option if callable(option) else _made(option)
        made = within(LIMIT_S, lambda: np.array(call(history, ahead), float), name=f"{option}")
        quantiles[:, slice(None) if made.ndim == 2 else MEDIAN] = made
    if not np.any(quantiles > 0.0) or np.any(quantiles <= 0.0):
        raise UsageError(f"Expected values above 0, found {quantiles[:, MEDIAN]}. Correct them.")
    return quantiles


@lru_cache
def _made(option: str) -> Any:  # noqa: ANN401 - of a package
    """What the class that NAME:ARGUMENT names makes of the argument, once a process."""
    name, _, argument = option.partition(":")
    for offer in entry_points(group="forecasting.forecasters", name=name):
        return offer.load()(argument)
    raise UsageError(
        "Expected a .csv or .parquet file or the NAME:ARGUMENT of an entry point in the group "
        f"forecasting.forecasters; found {option!r:.60}. Install its package."
    )
