"""The total of the next sessions: its distribution from their forecasts and one correlation.

A session's log volume is linear in its normal score between the quantile levels, and on beyond the
outer two. The scores of the next sessions have the correlation that is shipped here. Totals of more
sessions than are forecast are regressed on that of the first five.
"""

from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from forecasting.losses import Floats
from forecasting.preprocess.windows import (
    LEVEL_SESSIONS,
    LOG_VOLUME,
    Windows,
    lagged,
    trailing_mean,
    trailing_means,
)
from forecasting.train.linear import Ridge, fit_ridge, one_blas_thread
from forecasting.vocabulary import HORIZONS, MEDIAN, QUANTILES

# Mean over seven choosing stocks, a year each of 2015 to 2021: benchmarks/totals.py
CORRELATION = (
    (1.00, 0.37, 0.23, 0.17, 0.15),
    (0.37, 1.00, 0.42, 0.28, 0.23),
    (0.23, 0.42, 1.00, 0.45, 0.32),
    (0.17, 0.28, 0.45, 1.00, 0.47),
    (0.15, 0.23, 0.32, 0.47, 1.00),
)
"""Between the normal scores of the next five sessions' volumes under their own forecasts."""

# Of 90 multipliers tried with this number the best: levels are met within 0.3 percentage points
DRAWS = 4096
_MULTIPLIER = 1079
_SCORES = np.array([-8.0, *map(NormalDist().inv_cdf, QUANTILES), 8.0])
_TAILS = np.array(QUANTILES)
_TAILS = np.minimum(_TAILS, 1.0 - _TAILS)
_STEP = 0.015  # as that of the sessions' own factors
_BOUNDS = (0.5, 2.5)

LONG = (10, 20)
"""Sessions of the totals beyond the horizons."""
_MEANS = (1, 5, 66, 250)
_QUARTERS = (63, 126, 189, 252)
LEAST_ROWS = 400  # with 180, intervals that are to hold 80% hold 74


def total_quantiles(quantiles: Floats, factor: float = 1.0) -> Floats:
    """(H, Q) quantiles of the total of the next 1 to H sessions, in shares, ascending.

    Args:
        quantiles: (H, Q) of each session's volume.
        factor: Factor of the distance of the logs from that of the median.
    """
    totals = _totals_drawn(quantiles)
    logs = np.log(np.quantile(totals, QUANTILES, axis=1)).T
    median = logs[:, [MEDIAN]]
    return np.exp(median + factor * (logs - median))


def paths_of(quantiles: Floats, factor: float, paths: int) -> Floats:
    """(paths, H) volumes of the next sessions drawn together, the lowest total first.

    The quantiles of their totals are those of `total_quantiles`: for all DRAWS to rounding, for
    fewer, evenly spread over the total of all sessions, nearly.

    Args:
        quantiles: (H, Q) of each session's volume.
        factor: As for `total_quantiles`.
        paths: How many, up to DRAWS.
    """
    drawn = _totals_drawn(quantiles)
    median = np.median(drawn, axis=1, keepdims=True)
    totals = median * (drawn / median) ** factor
    totals[0] = drawn[0]
    # A factor near its upper bound could let a total fall with its sessions
    volumes = np.diff(np.maximum.accumulate(totals), axis=0, prepend=0.0)
    evenly = (np.arange(paths) + 0.5) * DRAWS // paths
    return volumes[:, np.argsort(totals[-1])[evenly.astype(int)]].T


def _totals_drawn(quantiles: Floats) -> Floats:
    """(H, N) totals of sessions with these quantiles (H, Q)."""
    each = zip(_scores_drawn(), quantiles, strict=False)  # of a short frame fewer sessions
    volumes = [np.exp(np.interp(scores, _SCORES, _knots(row))) for scores, row in each]
    return np.cumsum(volumes, axis=0)


@lru_cache
def _scores_drawn() -> Floats:
    """(H, N) correlated normal scores, evenly spread and always the same: Korobov's lattice."""
    from scipy.special import ndtri

    steps = [_MULTIPLIER**h % DRAWS for h in range(len(HORIZONS))]
    points = (np.outer(steps, np.arange(DRAWS)) % DRAWS + 0.5) / DRAWS
    # Not a product of matrices, whose last bits may depend on the number of threads
    correlated: Floats = np.einsum("hk,kn->hn", np.linalg.cholesky(CORRELATION), ndtri(points))
    return correlated


def _knots(quantiles: Floats) -> Floats:
    """(Q + 2,) log volumes at _SCORES of one session or total (Q,)."""
    logs = np.log(quantiles)
    slopes = np.diff(logs)[[0, -1]] / np.diff(_SCORES)[[1, -2]]
    low = logs[0] + slopes[0] * (_SCORES[0] - _SCORES[1])
    high = logs[-1] + slopes[1] * (_SCORES[-1] - _SCORES[-2])
    return np.array([low, *logs, high])


def chance_of(quantiles: Floats, amount: float) -> float:
    """The chance of at least an amount of shares, by the quantiles (Q,) of a session or total."""
    score = np.interp(np.log(amount), _knots(quantiles), _SCORES)
    return NormalDist().cdf(-float(score))


def amount_at(quantiles: Floats, level: float) -> float:
    """The quantile at any level, 0 to 1, of a session or total with quantiles (Q,), in shares."""
    score = NormalDist().inv_cdf(level)
    return float(np.exp(np.interp(score, _SCORES, _knots(quantiles))))


@dataclass(frozen=True)
class LongTotal:
    """A ridge of the log mean of the next `sessions`, fitted up to a night's origin."""

    sessions: int
    ridge: Ridge
    errors: Floats  # (Q,) quantiles of the ridge's leave-one-out errors
    past: Floats  # (P - 1,) tonight's features, but for the log mean of the next five sessions
    level: float

    def quantiles(self, five: Floats, factor: float = 1.0) -> Floats:
        """Return (Q,) quantiles of the total, in shares.

        The distance of a quantile from the median is that of the ridge's errors and that of `five`,
        which are independent.

        Args:
            five: (Q,) quantiles of the total of the next five sessions.
            factor: Factor of the distance, as for `total_quantiles`.
        """
        of_five = np.log(five / len(HORIZONS))
        tonight = np.append(self.past, of_five[MEDIAN] - self.level)
        errors = self.errors
        median = self.level + self.ridge.forecast(tonight) + errors[MEDIAN]
        of_slope = self.ridge.slopes[-1] * (of_five - of_five[MEDIAN])
        distance = np.hypot(errors - errors[MEDIAN], of_slope)
        signed = np.sign(np.array(QUANTILES) - 0.5) * distance
        return self.sessions * np.exp(median + factor * signed)


@one_blas_thread()
def fit_long_totals(windows: Windows) -> list[LongTotal]:
    """Fit the totals of the next 10 and 20 sessions of volume; leave out those with few rows.

    A ridge of the log total on means of log volume, on how unusual the same sessions were in the
    four quarters before, and on the log total of the first five.
    """
    series = windows.steps[:, LOG_VOLUME]
    if len(series) <= _QUARTERS[-1]:
        return []
    level, *means = trailing_means(series, LEVEL_SESSIONS, *_MEANS)
    past = [mean - level for mean in means]
    first = _log_mean_after(windows.values, len(HORIZONS)) - level
    totals = []
    for sessions in LONG:
        mean = trailing_mean(series, sessions)
        quarters = [lagged(mean, back - sessions) - lagged(level, back) for back in _QUARTERS]
        features = np.column_stack([*past, np.mean(quarters, axis=0), first])
        truth = _log_mean_after(windows.values, sessions) - level
        known = np.isfinite(features).all(axis=1) & np.isfinite(truth)
        if known.sum() < LEAST_ROWS:
            continue
        ridge = fit_ridge(features[known], truth[known], np.ones(known.sum()))
        errors = np.quantile(ridge.loo_residuals, QUANTILES)
        totals.append(LongTotal(sessions, ridge, errors, features[-1, :-1], float(level[-1])))
    return totals


def _log_mean_after(values: Floats, sessions: int) -> Floats:
    """(D,) log of the mean of the `sessions` values after each session; NaN where unknown."""
    means = trailing_mean(values, sessions)[sessions:]
    return np.log(np.append(means, np.full(sessions, np.nan)))


def next_factor(
    factor: float, actual: Floats, quantiles: Floats, *, lengths: int = len(HORIZONS)
) -> float:
    """The factor of the next totals, after n totals (n,) closed; NaN where unknown.

    The log factor rises with each that closed outside its quantiles (n, Q) as issued and falls with
    each inside, as in `combine.learn_factors`, but of all levels and `lengths` together.
    """
    below = np.array(QUANTILES) < 0.5
    beyond = np.where(below, actual[:, None] < quantiles, actual[:, None] > quantiles)
    excess = (beyond - _TAILS)[np.isfinite(actual)]
    excess = np.delete(excess, MEDIAN, axis=1)
    moved = factor * np.exp(_STEP * excess.sum() / lengths / 3)
    return float(np.clip(moved, *_BOUNDS))
