"""Dividends and splits: their frame, the new ones, and those that Adj Close implies."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

COLUMNS = ["session", "kind", "value"]

SAME_VALUE = 1e-3
"""Relative difference below which two values are the same: a file's dividends come from its rounded
Adj Close."""


def make_actions(rows: Iterable[tuple[object, str, float]]) -> pd.DataFrame:
    """The rows (session, kind, value) as a frame, ascending by session and kind."""
    frame = pd.DataFrame(list(rows), columns=COLUMNS)
    frame["session"] = pd.to_datetime(frame["session"]).dt.as_unit("ns")
    frame["kind"] = frame["kind"].astype(str)
    frame["value"] = frame["value"].astype("float64")
    return frame.sort_values(["session", "kind"], ignore_index=True)


def changed_actions(known: pd.DataFrame, actions: pd.DataFrame) -> pd.DataFrame:
    """The rows of `actions` that are new or have another value: a split rewrites old dividends."""
    if known.empty or actions.empty:
        return actions.reset_index(drop=True)
    stored = known.set_index(["session", "kind"])["value"]
    stored = stored[~stored.index.duplicated(keep="last")]
    before = stored.reindex(pd.MultiIndex.from_frame(actions[["session", "kind"]])).to_numpy()
    same = np.isclose(
        actions["value"].to_numpy(),
        before,
        rtol=SAME_VALUE,
        atol=0.0,
    )
    return actions[~same].reset_index(drop=True)


def dividends_on(sessions: pd.Index, actions: pd.DataFrame) -> NDArray[np.float64]:
    """(D,) dividends paid on each session, per share; 0 without one."""
    paid = actions[actions["kind"] == "dividend"].groupby("session")["value"].sum()
    return paid.reindex(sessions).fillna(0.0).to_numpy()


def adjustment_mismatch(bars: pd.DataFrame, actions: pd.DataFrame) -> NDArray[np.float64]:
    """(D,) steps of Adj Close / Close by dividends less those found; above 0 one is unnamed."""
    if len(bars) < 2:
        return np.zeros(len(bars))
    factor = _adjustment(bars)
    step = np.append(1.0, factor[:-1] / factor[1:])
    amount = dividends_on(bars.index, actions)
    before = bars["close"].shift().to_numpy()
    explained = np.where(amount > 0, 1.0 - amount / before, 1.0)
    return np.asarray(np.nan_to_num(explained - step))


def implied_dividends(bars: pd.DataFrame) -> pd.DataFrame:
    """Dividends from the steps of Adj Close / Close, for files without a Dividends column."""
    if len(bars) < 2:
        return make_actions([])
    close = bars["close"].to_numpy()
    factor = _adjustment(bars)
    step = np.nan_to_num(1.0 - factor[:-1] / factor[1:])
    # Files round prices coarsely; and the session after a single wrong close moves the ratio back.
    least = max(5e-4, 4.0 * float(np.median(np.abs(step))))
    # The larger ratio of the two sessions before,
    before = np.fmax(factor[:-1], np.append(np.nan, factor[:-2]))
    # And the smaller one of the two after
    after = np.fmin(factor[1:], np.append(factor[2:], np.nan))
    rows = np.flatnonzero(
        (step > least) & (1.0 - before / after > 0.5 * least) & (factor[1:] < 1.0 + least)
    )
    values = np.round(close[rows] * step[rows], 4)
    paid = zip(bars.index[rows + 1], values, strict=True)
    return make_actions((day, "dividend", value) for day, value in paid)


def _adjustment(bars: pd.DataFrame) -> NDArray[np.float64]:
    """(D,) Adj Close / Close; NaN where one of them is unknown or no price."""
    prices = bars[["adj_close", "close"]]
    adjusted, close = prices.where((prices > 1e-12) & (prices < 1e12)).to_numpy().T
    return np.asarray(adjusted / close)
