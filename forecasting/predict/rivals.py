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
from forecasting.plain_text import quantity
from forecasting.preprocess.windows import H, Windows
from forecasting.sessions import NEWEST_DAY, OLDEST_DAY, calendar
from forecasting.settings import Settings
from forecasting.time_limit import within
from forecasting.train.baselines import baseline_quantiles
from forecasting.vocabulary import HORIZONS, MEDIAN, QUANTILE_COLUMNS

LIMIT_S = 60.0
"""Of one forecast of a class. The first one loads what it needs."""

_Q = list(QUANTILE_COLUMNS)
_NEWEST = 21  # forecasts that are typical


def read_rows(option: str, settings: Settings) -> tuple[pd.DataFrame, str]:
    """The valid rows of a file of one symbol and target, and in words the file with its wrong ones.

    Index: origin session and horizon; columns: the quantiles, NaN where not given. Without a column
    made_at or origin_session a row is of the session before its target session.
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
    is_right = ~rows["misfits"] & (found.min(axis=1) > 0.0) & (at > 0)
    is_right &= ~(found < found.cummax(axis=1)).any(axis=1) & np.isin(at - origin, HORIZONS)
    wrong = rows.index[~is_right]
    words = table.name
    if len(wrong):
        lines = f"{rows.index.name} {', '.join(map(str, wrong[:3]))}"
        words += f", and of {len(rows):,} rows {len(wrong):,} are wrong, {lines}"
    return found.set_index([closes.index[origin], at - origin])[is_right.to_numpy()], words


def of_file(
    option: str, settings: Settings, windows: Windows, stored: pd.DataFrame
) -> tuple[Floats, str]:
    """(H, Q) what a file forecasts at the newest row, and a sentence about rows changed in it.

    It is in the target's own unit, NaN where nothing. `stored` are rows of the rival in table
    forecasts; the sentence is empty where the file differs from none of them.

    Raises:
        UsageError: It has no valid row of the origin, or its rows are in another unit.
    """
    rows, words = read_rows(option, settings)
    right = rows[~rows.index.duplicated()]
    usual = pd.Series(np.exp(windows.level), pd.DatetimeIndex(windows.origins))
    tonight = right.reindex(pd.MultiIndex.from_product([usual.index[-1:], HORIZONS])).to_numpy()
    if np.isnan(tonight).all():
        raise UsageError(
            f"Expected rows of {settings.full_name} and the origin {usual.index[-1]:%Y-%m-%d}, one "
            "of a session up to five after it, with q50 or other quantiles, above 0, that ascend; "
            f"found none in {words}. Add or correct them."
        )
    # What the median of each would be, were its quantiles as far apart as usual
    spread = baseline_quantiles("rolling_median", windows)[0]
    medians = (right / spread).median(axis=1) * spread[MEDIAN]
    ratio = (medians / usual.reindex(right.index, level=0)).dropna().tail(_NEWEST)
    # One may be far from usual, and most are not: a split's ratio is 1.5 or more
    limit = 1.4 if len(ratio) == _NEWEST else 20.0
    if not 1 / limit < ratio.median() < limit:
        raise UsageError(
            "Expected the unit and share basis of the bars, splits adjusted as there; found "
            f"{ratio.median():.3g} times the usual value. Correct the file."
        )
    before = stored.set_index(["origin_session", "horizon"])[_Q].reindex(rows.index)
    changed = ((rows - before.to_numpy()).abs() > 0.0).any(axis=1).sum()
    note = ""
    if changed:
        note = (
            "Stored as first seen, and changed in its file since: "
            f"{quantity(changed, 'row')}. Under another name the file is stored anew."
        )
    return tonight, note


def of_class(option: Any, history: pd.DataFrame, windows: Windows) -> Floats:  # noqa: ANN401 - of three
    """(H, Q) what a class or a function forecasts at the newest row; NaN beside medians alone.

    Args:
        option: NAME:ARGUMENT of an installed class, a function, or medians by session, each made
            after the session before.
        history: By session up to the origin open, high, low, close, volume and `value`, the
            target's own. It is called with them and with the flags of the H sessions after it.
        windows: Whose newest row is the origin.

    Raises:
        UsageError: There is no such class, or its values are not above 0 or do not ascend.
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
    is_wrong = np.any(quantiles <= 0.0) or np.any(np.diff(quantiles) < 0.0)
    if is_wrong or np.isnan(quantiles).all():
        raise UsageError(
            "Expected values above 0, quantiles that ascend; found medians "
            f"{quantiles[:, MEDIAN]}. Correct them."
        )
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
