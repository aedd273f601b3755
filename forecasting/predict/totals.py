"""The total of the next sessions: its distribution from their forecasts and one correlation.

A session's log volume is linear in its normal score between the quantile levels, and on beyond the
outer two. The scores of the next sessions have the correlation that is shipped here.
"""

from functools import lru_cache
from statistics import NormalDist

import numpy as np

from forecasting.losses import Floats
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


def next_factor(factor: float, actual: Floats, quantiles: Floats) -> float:
    """The factor of the next totals, after n totals (n,) closed; NaN where unknown.

    The log factor rises with each that closed outside its quantiles (n, Q) as issued and falls with
    each inside, as in `combine.learn_factors`, but of all levels and lengths together.
    """
    below = np.array(QUANTILES) < 0.5
    beyond = np.where(below, actual[:, None] < quantiles, actual[:, None] > quantiles)
    excess = (beyond - _TAILS)[np.isfinite(actual)]
    excess = np.delete(excess, MEDIAN, axis=1)
    moved = factor * np.exp(_STEP * excess.sum() / len(HORIZONS) / 3)
    return float(np.clip(moved, *_BOUNDS))
