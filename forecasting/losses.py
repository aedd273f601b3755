"""Losses of quantile forecasts, and weighted quantiles.

The training loss on tensors is in train/model.py.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forecasting.vocabulary import MEDIAN, QUANTILES

Floats = NDArray[np.float64]

EXACT = 1e-9
"""Share of another loss up to which a loss is of an exact forecast: exp(log(3)) misses by 4e-16."""


def pinball(actual: ArrayLike, quantiles: ArrayLike) -> Floats:
    """(...) pinball (quantile) losses of (..., Q) quantiles, the mean over their seven levels.

    In their unit; NaN gives NaN. At level q an actual above the forecast costs q per unit, one
    below it 1 - q (Koenker and Bassett 1978).
    """
    actuals = np.asarray(actual, dtype=float)[..., None]
    above = actuals - np.asarray(quantiles, dtype=float)  # (..., Q)
    levels = np.asarray(QUANTILES)
    return np.maximum(levels * above, (levels - 1.0) * above).mean(axis=-1)


def row_losses(actual: Floats, quantiles: Floats) -> Floats:
    """(n,) mean pinball loss of each row of (N, H, Q) with a known horizon, over these horizons."""
    losses = pinball(actual, quantiles)
    known = np.isfinite(losses).any(axis=1)
    return np.nanmean(losses[known], axis=1)


def absolute_error(actual: Floats, quantiles: Floats) -> Floats:
    """(...) absolute error of the median of quantiles (..., Q) against actual (...)."""
    return np.abs(actual - quantiles[..., MEDIAN])


def weighted_quantiles(values: Floats, levels: Sequence[float] | Floats, weights: Floats) -> Floats:
    """(Q,) quantiles at levels (0 to 1, ascending) of (n,) values with positive weights.

    Linear between the values.
    """
    order = np.argsort(values, kind="stable")
    # A value is at the middle of its own weight
    share = np.cumsum(weights[order]) - 0.5 * weights[order]
    return np.interp(levels, share / weights.sum(), values[order])
