"""Actual values of the three targets, and the scaling between a target's own unit and model scale.

All three are scaled alike. A model's inputs and outputs are `z = (log(value) - level) / spread`, where level and spread
belong to the row (the origin) and are known at its close:

    volume   level: mean log volume of the row's last 22 sessions; spread 1
    range    level: mean log of log(high/low) over the same sessions; spread 1
    close    level: log close of the row's session; spread: geometric mean range of those sessions times sqrt(h)
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forecasting.losses import Floats
from forecasting.vocabulary import Target

if TYPE_CHECKING:
    import pandas as pd


SMALLEST_RANGE = 1e-4  # a basis point, the floor of log ranges, so that a bar whose price did not move has a logarithm


@dataclass(frozen=True)
class Scale:
    """Scaling of one row's targets, or of N rows', to model scale and back."""

    level: Floats  # () or (N,) subtracted from the log of a value
    spread: Floats  # (H,) or (N, H) divisor of the difference; positive

    def to_model(self, values: Floats) -> Floats:
        """Values (.., H) or (.., H, Q), given in the target's own unit, in model scale; NaN stays NaN."""
        level, spread = self._broadcast(values)
        scaled: Floats = (np.log(values) - level) / spread
        return scaled

    def from_model(self, scaled: Floats) -> Floats:
        """Values in the target's own unit, given in model scale; quantiles keep their order and levels."""
        level, spread = self._broadcast(scaled)
        values: Floats = np.exp(level + spread * scaled)
        return values

    def _broadcast(self, values: Floats) -> tuple[Floats, Floats]:
        # Quantiles have one axis more than horizons.
        level, spread = self.level[..., None], self.spread
        return (level[..., None], spread[..., None]) if values.ndim > spread.ndim else (level, spread)


def actual_of(target: Target, bars: "pd.DataFrame") -> "pd.Series[float]":
    """Actual values in the target's own unit, one per bar.

    Volume in shares, close in the bar's currency, range as log(high / low), at least `SMALLEST_RANGE`. NaN where the
    bar has no value: an unknown or zero volume, a missing price.
    """
    import pandas as pd

    return pd.Series(values_of(target, bars), index=bars.index, name=target)


def values_of(target: Target, bars: "pd.DataFrame") -> Floats:
    """The same as an array (D,)."""
    if target == "range":
        high, low = (bars[name].to_numpy(dtype=np.float64) for name in ("high", "low"))
        values = np.maximum(np.log(high / low), SMALLEST_RANGE)
    else:
        values = bars[target].to_numpy(dtype=np.float64)
    return np.where(values > 0.0, values, np.nan)
