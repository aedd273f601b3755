"""Significance of a difference in loss between two forecasters."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from forecasting.losses import Floats

PAIRS_A_SESSION = 10
"""Pairs for each session of the horizon, from which on Diebold and Mariano's test can be trusted.

At the 5% level it calls two equal forecasters different in 4 to 11% of tries then, in up to 24%
with fewer.
"""

ENOUGH_NIGHTS = 60
"""Nights from which on a skill says something."""


@dataclass(frozen=True)
class Skill:
    """Published forecasts one session ahead against the reference baseline of their target."""

    reference: str
    n: int  # of the newest 250 scored nights, those with a score of both
    share: float  # 1 - pinball loss / the reference's; NaN without one
    p_value: float | None  # of equal loss: Diebold and Mariano's; None where it is undefined

    @property
    def is_known(self) -> bool:
        """Whether there are ENOUGH_NIGHTS."""
        return self.n >= ENOUGH_NIGHTS


def diebold_mariano(loss_a: ArrayLike, loss_b: ArrayLike, *, horizon: int) -> tuple[float, float]:
    """Statistic and p-value of Diebold and Mariano's test (1995) of equal expected loss.

    The statistic is negative when the first lost less, infinite when the differences never vary, 0
    when all are 0; the p-value is two-sided. The small-sample correction is that of Harvey,
    Leybourne and Newbold (1997): the statistic is scaled by sqrt((n + 1 - 2h + h(h - 1) / n) / n)
    with h = horizon and compared with Student's t.

    Args:
        loss_a: (n,) losses of the first, by origin, ascending; a pair with a NaN is dropped.
        loss_b: (n,) of the second, of the same origins; n is above the horizon.
        horizon: in sessions, for a mean over horizons the longest.
    """
    difference = _differences(loss_a, loss_b)
    n = len(difference)
    mean = float(difference.mean())
    variance = _variance_of_mean(difference, horizon - 1)
    if variance == 0.0:
        return (math.copysign(math.inf, mean), 0.0) if mean else (0.0, 1.0)
    correction = (n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n
    statistic = mean / math.sqrt(variance / n) * math.sqrt(correction)
    return statistic, p_value_of(statistic, n)


def p_value_of(statistic: float, n: int) -> float:
    """Two-sided p-value of the statistic of `diebold_mariano` over `n` pairs."""
    from scipy.special import stdtr  # scipy.stats takes most of a second to import

    return float(2 * stdtr(n - 1, -abs(statistic)))


def _variance_of_mean(difference: Floats, lag: int) -> float:
    """Long-run variance of the differences: the sum of their autocovariances up to the lag.

    That sum can be zero or negative; Bartlett's weights then replace it. 0 for differences that are
    constant up to rounding.
    """
    covariances = _autocovariances(difference, lag)
    if covariances[0] <= (1e-12 * float(np.abs(difference).max())) ** 2:
        return 0.0
    variance = float(covariances[0] + 2 * covariances[1:].sum())
    return variance if variance > 0 else long_run_variance(difference, lag)


def long_run_variance(values: Floats, lag: int) -> float:
    """Long-run variance of values (n,), Bartlett's weights (Newey, West 1987)."""
    covariances = _autocovariances(values, lag)
    weights = 1 - np.arange(1, len(covariances)) / (lag + 1)
    return max(float(covariances[0] + 2 * weights @ covariances[1:]), 0.0)


def _autocovariances(values: Floats, lag: int) -> Floats:
    n = len(values)
    centred = values - values.mean()
    return np.array([centred[k:] @ centred[: n - k] / n for k in range(min(lag + 1, n))])


def p_value_of_enough(loss_a: ArrayLike, loss_b: ArrayLike, *, horizon: int) -> float | None:
    """The p-value of `diebold_mariano`; None with fewer than PAIRS_A_SESSION pairs a session."""
    if len(_differences(loss_a, loss_b)) < PAIRS_A_SESSION * horizon:
        return None
    return diebold_mariano(loss_a, loss_b, horizon=horizon)[1]


def _differences(loss_a: ArrayLike, loss_b: ArrayLike) -> Floats:
    difference: Floats = np.asarray(loss_a, dtype=float) - np.asarray(loss_b, dtype=float)
    return difference[~np.isnan(difference)]
