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
    stored = known.set_index(["session", "kind"])["value"]
    before = stored.reindex(pd.MultiIndex.from_frame(actions[["session", "kind"]])).to_numpy()
    same = np.isclose(actions["value"].to_numpy(), before, rtol=SAME_VALUE, atol=0.0)
    return actions[~same].reset_index(drop=True)


def dividends_on(sessions: pd.Index, actions: pd.DataFrame) -> NDArray[np.float64]:
    """(D,) dividends paid on each session, per share; 0 without one."""
    paid = actions[actions["kind"] == "dividend"].groupby("session")["value"].sum()
    return paid.reindex(sessions).fillna(0.0).to_numpy()


def adjustment_mismatch(bars: pd.DataFrame, actions: pd.DataFrame) -> pd.Series:
    """(D,) steps of Adj Close / Close by dividends less those found; above 0 one is unnamed."""
    factor = _adjustment(bars)
    explained = 1.0 - dividends_on(bars.index, actions) / bars["close"].shift()
    return (explained - factor.shift() / factor).fillna(0.0)


def implied_dividends(bars: pd.DataFrame) -> pd.DataFrame:
    """Dividends from the steps of Adj Close / Close, for files without a Dividends column."""
    factor = _adjustment(bars)
    step = (1.0 - factor.shift() / factor).fillna(0.0)
    # Files round prices coarsely; and the session after a single wrong close moves the ratio back.
    least = max(5e-4, 4.0 * float(step[1:].abs().median()))
    # The larger ratio of the two sessions before,
    before = np.fmax(factor.shift(1), factor.shift(2))
    # And the smaller one of the two from it on
    after = np.fmin(factor, factor.shift(-1))
    is_paid = (step > least) & (1.0 - before / after > 0.5 * least) & (factor < 1.0 + least)
    paid = (bars["close"].shift() * step)[is_paid].round(4)
    return make_actions((day, "dividend", value) for day, value in paid.items())


def _adjustment(bars: pd.DataFrame) -> pd.Series:
    """(D,) Adj Close / Close; NaN where one of them is unknown or no price."""
    prices = bars[["adj_close", "close"]]
    known = prices.where((prices > 1e-12) & (prices < 1e12))
    return known["adj_close"] / known["close"]
