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


def mixture_quantiles(cases: Floats, probabilities: Sequence[float]) -> Floats:
    """Return the quantiles (H, Q) at `QUANTILES` of a mixture of forecasts.

    Between its quantiles each forecast is uniform; beyond the outermost it goes on as steeply as
    beside them. One case comes back as it is.

    Args:
        cases: (K, H, Q) ascending quantiles of each case, at `QUANTILES`.
        probabilities: (K,) of the cases; they add up to 1.
    """
    if len(cases) == 1 or not np.isfinite(cases).all():
        return cases[0]
    levels = np.array(QUANTILES)
    low = cases[..., 0] - (cases[..., 1] - cases[..., 0]) / (levels[1] - levels[0]) * levels[0]
    slope = (cases[..., -1] - cases[..., -2]) / (levels[-1] - levels[-2])
    high = cases[..., -1] + slope * (1.0 - levels[-1])
    values = np.concatenate([low[..., None], cases, high[..., None]], axis=-1)  # (K, H, Q + 2)
    shares = np.concatenate([[0.0], levels, [1.0]])
    quantiles = np.empty(cases.shape[1:])
    for horizon in range(cases.shape[1]):
        grid = np.unique(values[:, horizon])
        below = [
            probability * np.interp(grid, case, shares)
            for probability, case in zip(probabilities, values[:, horizon], strict=True)
        ]
        quantiles[horizon] = np.interp(levels, np.sum(below, axis=0), grid)
    return quantiles
