"""The three targets and their way to the model's scale and back; the horizons and quantile levels of every forecast.

One mechanism serves all three. A model never sees a target's own unit but `z = (log(value) - level) / spread`, where
level and spread belong to the row (the origin) and are known at its close:

    volume   level: mean log volume of the row's last 22 sessions; spread 1
    range    level: mean log of log(high/low) over the same sessions; spread 1
    close    level: log close of the row's session; spread: what its recent ranges let a return of h sessions be
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forecasting.losses import Floats
from forecasting.vocabulary import Target

if TYPE_CHECKING:
    import pandas as pd


SMALLEST_RANGE = 1e-4
"""A basis point: log ranges are floored here, so that a bar that never moved still has a logarithm."""


@dataclass(frozen=True)
class Scale:
    """How one row's targets, or N rows', go to the model's scale and back.

    Attributes:
        level: () or (N,) subtracted from the log of a value.
        spread: (H,) or (N, H) what the difference is divided by; positive.
    """

    level: Floats
    spread: Floats

    def to_model(self, values: Floats) -> Floats:
        """Values (.., H) or (.., H, Q) of the target's own unit in the model's scale; NaN stays NaN."""
        level, spread = self._beside(values)
        scaled: Floats = (np.log(values) - level) / spread
        return scaled

    def from_model(self, scaled: Floats) -> Floats:
        """The way back; quantiles keep their order and their level."""
        level, spread = self._beside(scaled)
        values: Floats = np.exp(level + spread * scaled)
        return values

    def _beside(self, values: Floats) -> tuple[Floats, Floats]:
        # Quantiles bring one axis more than the horizons have.
        level, spread = self.level[..., None], self.spread
        return (level[..., None], spread[..., None]) if values.ndim > spread.ndim else (level, spread)


def actual_of(target: Target, bars: "pd.DataFrame") -> "pd.Series[float]":
    """What came to pass, in the target's own unit, one value per bar.

    Args:
        target: volume (shares), close (the bar's currency) or range (log(high / low), a volatility).
        bars: Canonical bars, columns high, low, close and volume.

    Returns:
        Floats on the bars' index, named after the target. NaN where the bar does not know it: an unknown or zero
        volume, a missing price. A range is at least `SMALLEST_RANGE`.
    """
    import pandas as pd

    return pd.Series(values_of(target, bars), index=bars.index, name=target)


def values_of(target: Target, bars: "pd.DataFrame") -> Floats:
    """The same as a bare array (D,)."""
    if target == "range":
        high, low = (bars[name].to_numpy(dtype=np.float64) for name in ("high", "low"))
        values = np.maximum(np.log(high / low), SMALLEST_RANGE)
    else:
        values = bars[target].to_numpy(dtype=np.float64)
    return np.where(values > 0.0, values, np.nan)
