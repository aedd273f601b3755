"""Which quantile to order by where an overestimate costs more than an underestimate, or less.

A forecast q of an actual y costs `ratio` * (q - y) where it is too high and y - q where it is too low: all costs are in
the target's unit, an underestimate of one unit costing 1. The expected cost is least at the quantile of level
1 / (1 + ratio): the newsvendor's solution (Arrow, Harris and Marschak 1951), the pinball loss of Koenker and Bassett
(1978) times 1 + ratio; Gneiting (2011), "Quantiles as optimal point forecasts".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from forecasting.losses import Floats
from forecasting.vocabulary import QUANTILES

RATIOS = (1, 3, 9, 19)
"""Cost ratios whose level is one of QUANTILES: 0.5, 0.25, 0.1 and 0.05."""


def optimal_level(ratio: float) -> float:
    """The level, 0 to 1, of the quantile with the least expected cost; 0.5 for a ratio of 1.

    Args:
        ratio: Cost of an overestimate per unit over that of an underestimate; above 0.
    """
    return 1.0 / (1.0 + ratio)


def nearest_level(ratio: float) -> float:
    """The same level, or the outermost of QUANTILES where it lies outside them."""
    return min(max(optimal_level(ratio), QUANTILES[0]), QUANTILES[-1])


def quantile_at(quantiles: ArrayLike, level: float) -> Floats:
    """(...) quantile at a level, linear between the two neighbouring ones of QUANTILES.

    Args:
        quantiles: (..., Q) forecasts at QUANTILES, ascending.
        level: From the first of QUANTILES to the last.

    Raises:
        ValueError: The level is outside them.
    """
    if not QUANTILES[0] <= level <= QUANTILES[-1]:
        raise ValueError(f"Expected a level from {QUANTILES[0]} to {QUANTILES[-1]}, found {level}.")
    forecasts = np.asarray(quantiles, dtype=float)
    above = int(np.searchsorted(QUANTILES, level))
    if QUANTILES[above] == level:  # as issued, to the last bit
        return np.array(forecasts[..., above])
    low, high = QUANTILES[above - 1], QUANTILES[above]
    share = (level - low) / (high - low)
    between: Floats = (1.0 - share) * forecasts[..., above - 1] + share * forecasts[..., above]
    return between


def cost(actual: ArrayLike, forecast: ArrayLike, *, ratio: float) -> Floats:
    """(...) cost of each forecast, at least 0, in the target's unit; NaN where an argument is.

    Args:
        actual: (...) observed values.
        forecast: (...) point forecasts.
        ratio: Cost of an overestimate per unit over that of an underestimate; above 0.
    """
    over = np.asarray(forecast, dtype=float) - np.asarray(actual, dtype=float)
    costs: Floats = np.maximum(ratio * over, -over)
    return costs
