"""A market series (the VIX): an index whose daily close is an input for every symbol, as known at each session's close.

The value of session t is the newest close of the series whose session had closed when t closed on the symbol's own
exchange: for a symbol of the series' exchange that of t itself; London and Tokyo close before New York, so that of the
session before.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forecasting.losses import Floats
from forecasting.preprocess.features import LEVEL_SESSIONS, MEANS, STEP_NAMES, trailing_mean
from forecasting.sessions import calendar

if TYPE_CHECKING:
    import pandas as pd

FILLED_SESSIONS = 5
"""Sessions of its own exchange over which a close of the series is filled forward where newer ones are missing."""

UNKNOWN = 0.0  # value of a session without a known close. A logarithm: it would be that of a close of exactly 1.
MARKET_NAMES = ("market", "market_long", "market_change", "market_gap")
"""The features: of the ridges, not of the network (see train/prepare.py)."""

_DAILY = math.log(100.0 * math.sqrt(252.0))  # from the VIX, per cent a year, to a standard deviation a session


@dataclass(frozen=True)
class MarketSeries:
    """The closes of a market series."""

    # by session of its own exchange: naive midnights, ascending; those at or below 0, NaN or of a day that is no
    # session are ignored
    closes: "pd.Series[float]"
    exchange: str = "XNYS"  # the exchange whose calendar says when each session closed


def log_closes(market: MarketSeries | None, sessions: "pd.Index[pd.Timestamp]", *, exchange: str) -> Floats:
    """(D,) log of the series' close as known at the close of each of a symbol's sessions; `UNKNOWN` where none is.

    A close is filled forward over at most `FILLED_SESSIONS` of the series' own sessions. A value depends on closes made
    public by the close of its session only.
    """
    if market is None or len(market.closes) == 0:
        return np.full(len(sessions), UNKNOWN)
    closed_at = calendar(market.exchange).closes
    positive = market.closes.where(market.closes > 0.0)
    filled = positive.reindex(closed_at.index).ffill(limit=FILLED_SESSIONS)
    newest = closed_at.searchsorted(calendar(exchange).closes.loc[sessions], side="right") - 1
    known = np.append(filled.to_numpy(), np.nan)[newest]  # -1: before the first session of the series' calendar
    return np.where(np.isnan(known), UNKNOWN, np.log(np.where(np.isnan(known), 1.0, known)))


def market_features(market: Floats, steps: Floats) -> Floats:
    """(D, 4) columns `MARKET_NAMES`: the market series less its level, the level less its long mean, change and gap.

    The gap is the volatility that options imply, as a log standard deviation of a session, less the level of the
    symbol's log range. NaN where the series (D,) or its means are unknown; steps (D, F) as from `step_features`.
    """
    known = np.where(market == UNKNOWN, np.nan, market)
    level = trailing_mean(known, LEVEL_SESSIONS)
    usual_range = trailing_mean(steps[:, STEP_NAMES.index("log_range")], LEVEL_SESSIONS)
    columns = (
        known - level,
        level - trailing_mean(known, max(MEANS)),
        np.diff(known, prepend=np.nan),
        known - _DAILY - usual_range,
    )
    return np.column_stack(columns)
