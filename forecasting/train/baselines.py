"""Baseline models: closed-form fits, in milliseconds, with quantiles from their own past errors.

A baseline is fitted on every row whose target is known and can forecast any row, as the network
can. Its quantiles are its median plus the quantiles of its past errors or (ridge, har) of its
leave-one-out errors; those of har_volatility are past returns at the volatility that it forecasts.
"""

import numpy as np
from numpy.typing import NDArray

from forecasting.losses import Floats
from forecasting.preprocess.future_covariates import EVENT_NAMES
from forecasting.preprocess.windows import (
    STEP_NAMES,
    Windows,
    fill_forward,
    lag_features,
    own_column,
    trailing_mean,
)
from forecasting.targets import TARGETS
from forecasting.train.linear import fit_ridge, log_volatility, one_blas_thread
from forecasting.vocabulary import HORIZONS, MEDIAN, QUANTILES, Target

VERSION = "1"
"""Version of the baselines; any change to one raises it.

The market series did not: without one their bits are as before, and with one `runs.market_fetch`
names it.
"""

_PENALTY = 100.0
_RECENT_ERRORS = 500  # that the quantiles of a rule are computed from
_WEEK = 5
_MONTH = 20
_HAR_SESSIONS = (1, 5, 22, 66)  # session, week, month and quarter
# Of the median past volatility: least one that is forecast. Never reached on eleven stocks, but a
# price that stands still for weeks has the range of a basis point, and no such interval suits the
# session on which it moves again.
_LEAST_VOLATILITY = 0.25


def baseline_names(target: Target) -> tuple[str, ...]:
    """The baselines of a target; the first is the naive one."""
    return TARGETS[target].baselines


@one_blas_thread()
def baseline_quantiles(
    name: str, windows: Windows, rows: NDArray[np.int64] | None = None
) -> Floats:
    """(H, Q) ascending quantiles of the newest row, or (len(rows), H, Q), in the target's own unit."""
    requested = np.array([len(windows) - 1]) if rows is None else rows
    if name in ("har", "ridge"):
        scaled = _linear_quantiles(name, windows, requested)
    elif name == "har_volatility":
        scaled = _volatility_quantiles(windows, requested)
    else:
        scaled = _rule_quantiles(name, windows, requested)
    quantiles = windows.scale(requested).from_model(scaled)
    return quantiles[0] if rows is None else quantiles


def linear_features(windows: Windows) -> tuple[Floats, Floats]:
    """The ridge's features: (N, P) past, market and event flags of each row, (N, H, C) flags of its target sessions."""
    past = lag_features(windows.steps, windows.target)
    events = [windows.flag_names.index(name) for name in EVENT_NAMES]
    own = past[windows.warm_up :]
    flags = windows.flags[windows.warm_up :, events]
    return np.column_stack([own, windows.market_inputs(), flags]), windows.future_flags


def _linear_quantiles(name: str, windows: Windows, rows: NDArray[np.int64]) -> Floats:
    """(len(rows), H, Q) a ridge per horizon, plus the quantiles of its leave-one-out errors.

    Of `har`, Corsi's (2009): session, week and quarter means, less the month's, which is the level.
    """
    if name == "ridge":
        past, future = linear_features(windows)
    else:
        own = windows.steps[:, own_column(windows.target)]
        future = windows.future_flags[..., : -len(EVENT_NAMES)]
        means = np.column_stack([trailing_mean(own, sessions) for sessions in (1, 5, 66)])
        past = (means - trailing_mean(own, 22)[:, None])[windows.warm_up :]
    quantiles = np.empty((len(rows), len(HORIZONS), len(QUANTILES)))
    for h in range(len(HORIZONS)):
        design = np.column_stack([past, future[:, h]])
        known = np.isfinite(windows.scaled[:, h])
        truth = windows.scaled[known, h]
        ridge = fit_ridge(
            design[known],
            truth,
            penalty=_PENALTY,
            weights=np.ones(len(truth)),
        )
        quantiles[:, h] = ridge.forecast(design[rows])[:, None] + np.quantile(
            ridge.loo_residuals, QUANTILES
        )
    return quantiles


def _volatility_quantiles(windows: Windows, rows: NDArray[np.int64]) -> Floats:
    """(len(rows), H, Q) quantiles of past returns over their forecast volatility, times that forecast for each row.

    Filtered historical simulation (Barone-Adesi, Giannopoulos and Vosper 1999) with a HAR of log
    range and of return (volatility is higher after falls: Corsi and Renò 2012), the market, and the
    calendar and earnings flags of the sessions which the return spans; the past forecasts are
    leave-one-out.
    """
    series = [windows.steps[:, STEP_NAMES.index(name)] for name in ("log_range", "return")]
    means = [trailing_mean(values, sessions) for values in series for sessions in _HAR_SESSIONS]
    past = np.column_stack([np.column_stack(means)[windows.warm_up :], windows.market_inputs()])
    quantiles = np.empty((len(rows), len(HORIZONS), len(QUANTILES)))
    returns = windows.scaled * windows.spread
    for h in range(len(HORIZONS)):
        known = np.isfinite(returns[:, h])
        features = np.column_stack([past, windows.future_flags[:, : h + 1].max(axis=1)])
        realised = log_volatility(windows, h)[known]
        ridge = fit_ridge(
            features[known],
            realised,
            penalty=_PENALTY,
            weights=np.ones(len(realised)),
        )
        expected = np.exp(realised - ridge.loo_residuals)
        forecast = np.exp(ridge.forecast(features[rows]))
        least = _LEAST_VOLATILITY * np.median(expected)
        shape = np.quantile(returns[known, h] / np.maximum(expected, least), QUANTILES)
        quantiles[:, h] = (
            np.maximum(forecast, least)[:, None] * shape / windows.spread[rows, h, None]
        )
    return quantiles


def _rule_quantiles(name: str, windows: Windows, rows: NDArray[np.int64]) -> Floats:
    """(len(rows), H, Q) a rule's points plus quantiles of its last known errors.

    But for a random walk, centred.
    """
    at = windows.warm_up + np.arange(len(windows))
    if name == "seasonal":
        values = fill_forward(windows.values)[at[:, None] + np.array(HORIZONS) - _WEEK]
    elif name == "rolling_median":
        month = np.lib.stride_tricks.sliding_window_view(fill_forward(windows.values), _MONTH)
        values = np.repeat(np.median(month, axis=-1)[at - _MONTH + 1, None], len(HORIZONS), axis=1)
    else:  # last_value, random_walk
        values = np.repeat(fill_forward(windows.values)[at, None], len(HORIZONS), axis=1)
    points = windows.scale(np.arange(len(windows))).to_model(values)
    # Errors are pooled in logs, so that a random walk's are returns and not returns over their
    # spread.
    errors = (windows.scaled - points) * windows.spread
    quantiles = np.empty((len(rows), len(HORIZONS), len(QUANTILES)))
    for h in range(len(HORIZONS)):
        recent = errors[np.isfinite(errors[:, h]), h][-_RECENT_ERRORS:]
        offsets = np.quantile(recent, QUANTILES)
        offsets = offsets if name == "random_walk" else offsets - offsets[MEDIAN]
        quantiles[:, h] = points[rows, h, None] + offsets / windows.spread[rows, h, None]
    return quantiles
