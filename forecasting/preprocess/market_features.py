"""Features of the market series: of the ridges, not of the network (see train/prepare.py)."""

import math

import numpy as np

from forecasting.losses import Floats
from forecasting.preprocess.features import LEVEL_SESSIONS, MEANS, STEP_NAMES, trailing_mean
from forecasting.preprocess.market import UNKNOWN
from forecasting.preprocess.windows import Windows

MARKET_NAMES = ("market", "market_long", "market_change", "market_gap")

_DAILY = math.log(100.0 * math.sqrt(252.0))  # from the VIX, per cent a year, to a standard deviation a session


def market_features(market: Floats, steps: Floats) -> Floats:
    """(D, 4) columns `MARKET_NAMES`: the market series less its level, the level less its long mean, change and gap.

    The gap is the volatility that options imply, as a log standard deviation of a session, less the level of the
    symbol's log range. NaN where the series or its means are unknown.

    Args:
        market: (D,) log of the series' close, 0 where unknown.
        steps: (D, F) as from `step_features`.
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


def features_of_rows(windows: Windows) -> Floats:
    """(N, 4) `market_features` of each row; NaN where unknown."""
    return market_features(windows.market, windows.steps)[windows.warm_up :]


def inputs_of_rows(windows: Windows) -> Floats:
    """(N, 4) the same for a ridge: what is unknown is at its mean of the learnable rows; (N, 0) without the series."""
    if not windows.has_market:
        return np.empty((len(windows), 0))
    found = features_of_rows(windows)
    learnable = found[: windows.learnable_sessions - windows.warm_up]
    return np.where(np.isnan(found), np.nanmean(learnable, axis=0), found)
