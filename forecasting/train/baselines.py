"""Baseline models: closed-form fits, in milliseconds, with quantiles from their own past errors.

A baseline is fitted on every row whose target is known and can forecast any row, as the network
can. Its quantiles are its median plus the quantiles of its past errors or (ridge, har) of its
leave-one-out errors.
"""

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from forecasting.losses import Floats, mixture_quantiles
from forecasting.preprocess.future_covariates import EVENT_NAMES, EVENTS
from forecasting.preprocess.windows import (
    NETWORK_SESSIONS,
    H,
    Windows,
    fill_forward,
    from_model,
    lag_features,
    past_column,
    to_model,
    trailing_means,
)
from forecasting.train.linear import fit_ridges, one_blas_thread
from forecasting.vocabulary import HORIZONS, MEDIAN, QUANTILES

VERSION = "1"
"""Version of the baselines; any change to one raises it.

The market series did not raise it: without one the bits are the same, and with one
`runs.market_fetch` names it.
"""

_RECENT_ERRORS = 500  # that the quantiles of a rule are computed from
_WEEK = 5
_MONTH = 20
_NEEDED = {"har": 200, "ridge": NETWORK_SESSIONS}
"""Least history of a baseline where more than of any forecast. With less the 80% interval of a HAR
five sessions ahead holds 76%, while its pinball loss is that of a rule (docs/experiments.md)."""


def usable_baselines(windows: Windows) -> list[str]:
    """The target's baselines for which the history is long enough, the naive one first."""
    sessions = len(windows.steps)
    return [name for name in windows.rules.baselines if sessions >= _NEEDED.get(name, 0)]


@one_blas_thread()
def baseline_quantiles(name: str, windows: Windows) -> Floats:
    """(H, Q) ascending quantiles of the newest row, in the target's own unit."""
    if name in ("har", "ridge"):
        scaled = _linear_quantiles(name, windows)
    else:
        scaled = _rule_quantiles(name, windows)
    return from_model(scaled, windows.level[-1])


def linear_features(windows: Windows) -> tuple[Floats, Floats]:
    """The ridge's features: (N, P) of each row, (N, H, C) flags of its target sessions.

    The features of a row are its past, the market and its event flags.
    """
    past = lag_features(windows.steps, windows.target)[windows.warm_up :]
    reports = windows.flags[windows.warm_up :, EVENTS]
    return np.column_stack([past, windows.market_inputs, reports]), windows.future_flags


def _linear_quantiles(name: str, windows: Windows) -> Floats:
    """Return (H, Q) the forecast of a ridge per horizon plus the quantiles of its left-out errors.

    The features of `har` (Corsi 2009) are the means of a session, week and quarter, less that of a
    month, which is the level.
    """
    if name == "ridge":
        past, future = linear_features(windows)
    else:
        series = windows.steps[:, past_column(windows.target)]
        future = windows.future_flags[..., : -len(EVENT_NAMES)]
        *means, month = trailing_means(series, 1, 5, 66, 22)
        past = (np.column_stack(means) - month[:, None])[windows.warm_up :]
    is_whole = np.isfinite(past).all(axis=1)
    targets = windows.scaled[is_whole]
    ridges = fit_ridges(past[is_whole], future[is_whole], targets, np.ones(len(targets)))
    offsets = [_level_quantiles(ridge.loo_residuals, windows) for ridge in ridges]
    probabilities = [1.0]
    rows = [(past[-1], future[-1])]
    if name == "ridge" and windows.expected is not None:
        # The rival knows of an expected report what the network knows.
        probabilities = []
        rows = []
        for probability, case in windows.cases():
            of_case, ahead = linear_features(case)
            probabilities.append(probability)
            rows.append((of_case[-1], ahead[-1]))
    quantiles = [
        [ridge.forecast(np.append(newest, ahead[h])) + offsets[h] for h, ridge in enumerate(ridges)]
        for newest, ahead in rows
    ]
    return mixture_quantiles(np.array(quantiles), probabilities)


def _rule_quantiles(name: str, windows: Windows) -> Floats:
    """(H, Q) a rule's points plus the quantiles of its newest known errors around their median."""
    filled = fill_forward(windows.values)
    at = windows.warm_up + np.arange(len(windows))
    if name == "seasonal":
        values = filled[at[:, None] + np.array(HORIZONS) - _WEEK]
    elif name == "rolling_median":
        medians = np.median(sliding_window_view(filled, _MONTH), axis=-1)
        values = np.repeat(medians[at - _MONTH + 1, None], H, axis=1)
    elif name == "last_value":
        values = np.repeat(filled[at, None], H, axis=1)
    else:
        raise ValueError(f"Expected the name of a baseline; found {name!r}.")
    points = to_model(values, windows.level)
    errors = windows.scaled - points
    quantiles = []
    for h in range(H):
        recent = errors[np.isfinite(errors[:, h]), h][-_RECENT_ERRORS:]
        offsets = _level_quantiles(recent, windows)
        quantiles.append(points[-1, h] + (offsets - offsets[MEDIAN]))
    return np.stack(quantiles)


def whole_quantiles(given: Floats, past: pd.DataFrame, windows: Windows) -> Floats:
    """(H, Q) quantiles of a rival at the newest row: those given, others by its past errors.

    They are as far apart as a rule's, but between two that are given they are fitted between these.
    Where it has fewer than 20 errors they are as far apart as those of the rolling median.

    Args:
        given: (H, Q) in the target's own unit, NaN where not given.
        past: Its scores, one a forecast: horizon, actual and error.
        windows: Whose newest row is the origin.
    """
    offsets = np.log(baseline_quantiles("rolling_median", windows))
    for horizon, scores in past.groupby("horizon"):
        # A ratio of one share basis, that of its day
        errors = -np.log1p((scores["error"] / scores["actual"]).to_numpy())
        if len(errors) >= 20:  # fewer say little of a tenth
            offsets[HORIZONS.index(horizon)] = _level_quantiles(errors, windows)
    made = given.copy()
    for h in np.flatnonzero(np.isfinite(given).any(axis=1)):
        is_given = np.isfinite(given[h])
        known = offsets[h, is_given]
        shift = np.interp(offsets[h], known, np.log(given[h, is_given]) - known)
        made[h] = np.exp(offsets[h] + shift)
    # Errors may be equal, and rounding takes one beyond those given on either side
    least = np.fmax.accumulate(given, axis=1)
    most = np.fmin.accumulate(given[:, ::-1], axis=1)[:, ::-1]
    return np.fmin(np.fmax(made, least), most)


def _level_quantiles(errors: Floats, windows: Windows) -> Floats:
    """(Q,) quantiles of past errors; those of a young symbol are of one error more than it has."""
    # Where errors are few, interpolation between them makes 80% intervals that hold 76%
    return np.quantile(errors, QUANTILES, method="weibull" if windows.is_young else "linear")
