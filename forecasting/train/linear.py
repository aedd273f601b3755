"""The linear model that the network is combined with: ridges on the adjusted features, newer rows weighted more.

Its errors differ from the network's, so their mean beats either. It is not a baseline: those, without calendar effects,
are in baselines.py. For close it forecasts no direction, only the width of the return.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from forecasting.losses import Floats, weighted_quantiles
from forecasting.preprocess.features import (
    HALF_LIVES,
    LEVEL_SESSIONS,
    MEANS,
    STEP_NAMES,
    exponential_mean,
    trailing_mean,
)
from forecasting.preprocess.future_covariates import EVENT_NAMES
from forecasting.preprocess.windows import Windows
from forecasting.train.calendar_effects import (
    QUARTER_WEEKS,
    AdjustedWindows,
    CalendarEffect,
    Rows,
    adjust,
    fit_effect,
)
from forecasting.train.ridge import Ridge, fit_ridge, one_blas_thread
from forecasting.vocabulary import HORIZONS, QUANTILES, Target

VERSION = 4
"""Version of the linear model; any change to it raises the number, and stored refits of another are not reused."""

_PENALTY = 100.0
_LATELY = 20
_PARKINSON = 4.0 * np.log(2.0)  # mean squared range of a random walk, in units of its variance (Parkinson 1980)
# Sessions at which the weight of a row is half. A single return is a noisy measure of width, so close needs more rows.
_ROW_HALF_LIVES: dict[Target, float] = {"volume": 1000.0, "range": 1000.0, "close": 2000.0}


@dataclass(frozen=True)
class LinearForecast:
    """The linear model's forecast of the newest row, and what each kind of input adds to it.

    Attributes:
        quantiles: (H, Q) in the target's own unit; ascending.
        effects: By kind of input, (H,) its part of the log of the median, for close of the width. The calendar's is
            against the mean of the last 20 sessions, as the usual level is, a report's against a session without one,
            the market's against its mean; what is left is of the recent bars.
    """

    quantiles: Floats
    effects: dict[str, Floats]


@one_blas_thread()
def linear_forecast(windows: Windows) -> LinearForecast:
    """The forecast of the newest row, with its parts."""
    effect = fit_effect(windows)
    adjusted, fits = _fits(windows, effect)
    quantiles = _quantiles(windows, adjusted, fits, np.array([len(windows) - 1]))[0]
    return LinearForecast(quantiles, _effects(windows, effect, fits))


@one_blas_thread()
def linear_quantiles(windows: Windows, rows: Rows) -> Floats:
    """(len(rows), H, Q) quantiles of `rows` in the target's own unit, ascending; fitted on rows with a known target."""
    return _quantiles(windows, *_fits(windows, fit_effect(windows)), rows)


def _fits(windows: Windows, effect: CalendarEffect) -> tuple[AdjustedWindows, list["_FittedAt"]]:
    adjusted = _inputs(windows, effect, adjust(windows, effect))
    return adjusted, [_fit_at(h, adjusted, windows) for h in range(len(HORIZONS))]


def _quantiles(windows: Windows, adjusted: AdjustedWindows, fits: list["_FittedAt"], rows: Rows) -> Floats:
    forecast = _width_quantiles if windows.target == "close" else _point_quantiles
    by_horizon = np.stack([forecast(fitted, rows) for fitted in fits], axis=1)
    return windows.scale(rows).from_model(adjusted.from_adjusted(by_horizon, rows))


def _effects(windows: Windows, effect: CalendarEffect, fits: list["_FittedAt"]) -> dict[str, Floats]:
    """As of `LinearForecast`: the effects that were removed and added back, and the ridges' terms."""
    flags, events = windows.future_flags[-1], len(EVENT_NAMES)
    by_flag = flags * effect.coefficients  # (H, C), events last
    lately = (windows.flags[-_LATELY:, :-events] * effect.coefficients[:-events]).sum(axis=1).mean()
    calendar, report = by_flag[:, :-events].sum(axis=1) - lately, by_flag[:, -events:].sum(axis=1)
    markets = windows.market_inputs().shape[1]
    future = 1 + 5 * len(QUARTER_WEEKS) + events  # of the features, the last: effect, quarters, flags
    parts = {name: np.zeros(len(HORIZONS)) for name in ("calendar", "report", "quarter", "market")}
    for h, fitted in enumerate(fits):
        slopes = fitted.ridge.coefficients / fitted.ridge.scale
        terms = slopes * fitted.features[-1]
        by_effect = slopes[-future]
        parts["calendar"][h] = by_effect * calendar[h]
        parts["report"][h] = by_effect * report[h] + terms[-events:].sum() + terms[-future - events : -future].sum()
        parts["quarter"][h] = terms[1 - future : -events].sum()
        parts["market"][h] = (slopes * (fitted.features[-1] - fitted.ridge.mean))[:markets].sum()
    if windows.target == "close":  # the variance of a return is the sum of its sessions'
        sessions = np.arange(1, len(HORIZONS) + 1)
        quiet, whole = (0.5 * np.log(np.exp(2.0 * part).cumsum() / sessions) for part in (calendar, calendar + report))
        calendar, report = quiet, whole - quiet
    parts["calendar"] += calendar
    parts["report"] += report
    return parts


@one_blas_thread()
def fit_ridges(windows: Windows, effect: CalendarEffect, adjusted: AdjustedWindows) -> list[Ridge]:
    """The linear model's ridge of each horizon; its first features are `MARKET_NAMES` where there is a market."""
    adjusted = _inputs(windows, effect, adjusted)
    return [_fit_at(h, adjusted, windows).ridge for h in range(len(HORIZONS))]


@dataclass(frozen=True)
class _FittedAt:
    """A horizon's ridge."""

    ridge: Ridge  # fitted on K of the rows
    features: Floats  # (N, P) of every row
    learned: Floats  # (K,) what it was fitted to: the adjusted target, for close the log of its realised width
    targets: Floats  # (K,) the adjusted targets
    weights: Floats  # (K,) of the rows


def _inputs(windows: Windows, effect: CalendarEffect, adjusted: AdjustedWindows) -> AdjustedWindows:
    """The adjusted windows, with the market's features and, for close, those of its own in `past`."""
    past = _close_features(windows, effect) if windows.target == "close" else adjusted.past
    return replace(adjusted, past=np.column_stack([windows.market_inputs(), past]))


def _fit_at(h: int, adjusted: AdjustedWindows, windows: Windows) -> _FittedAt:
    """The ridge at HORIZONS[h]: of the adjusted targets, for close of the log of their realised width."""
    targets = learned = adjusted.truth[:, h]
    known = np.isfinite(targets)
    if windows.target == "close":
        learned = log_volatility(windows, h) - np.log(adjusted.width * windows.spread)[:, h]
    features, weights = np.concatenate([adjusted.past, adjusted.future[:, h]], axis=1), _recency(known, windows.target)
    ridge = fit_ridge(features[known], learned[known], penalty=_PENALTY, weights=weights)
    return _FittedAt(ridge, features, learned[known], targets[known], weights)


def _point_quantiles(fitted: _FittedAt, rows: Rows) -> Floats:
    """(len(rows), Q) the forecast of a ridge plus the quantiles of its leave-one-out errors."""
    errors = weighted_quantiles(fitted.ridge.loo_residuals, QUANTILES, fitted.weights)
    return fitted.ridge.forecast(fitted.features[rows])[:, None] + errors


def _width_quantiles(fitted: _FittedAt, rows: Rows) -> Floats:
    """(len(rows), Q) quantiles of past returns over their forecast widths, times the width forecast for each row."""
    past_widths = np.exp(fitted.learned - fitted.ridge.loo_residuals)
    widths = np.exp(fitted.ridge.forecast(fitted.features[rows]))
    shape = weighted_quantiles(fitted.targets / past_widths, QUANTILES, fitted.weights)
    return widths[:, None] * shape


def _close_features(windows: Windows, effect: CalendarEffect) -> Floats:
    """(N, P) exponential means of the price's squared moves, returns and log ranges, and the row's event flags.

    They replace the lags of the range: squares as in a variance, logs as in a ridge of logs, and signed returns, as
    returns are wider after falls.
    """
    calendar = effect.of(windows.flags)
    log_range, returns = (windows.steps[:, STEP_NAMES.index(name)] for name in ("log_range", "return"))
    log_range = log_range - calendar
    level = trailing_mean(log_range, LEVEL_SESSIONS)
    squared = squared_moves(windows.steps) * np.exp(-2.0 * calendar)
    deviation = np.nan_to_num(log_range - level)  # zero before there is a level, and so is the return
    signed = np.nan_to_num(returns / np.exp(level))
    columns = [0.5 * np.log(exponential_mean(squared, half_life, max(MEANS))) - level for half_life in HALF_LIVES]
    columns += [exponential_mean(signed, half_life, max(MEANS)) for half_life in HALF_LIVES[:-1]]
    columns += [exponential_mean(deviation, half_life, max(MEANS)) for half_life in HALF_LIVES]
    columns += [level, trailing_mean(log_range, max(MEANS))]
    columns += [np.zeros(len(level))] * 2  # inputs of releases up to 0.2; without them the bits of a sum would change
    columns += [windows.flags[:, windows.flag_names.index(name)] for name in EVENT_NAMES]
    return np.column_stack(columns)[windows.warm_up :]


def _recency(known: NDArray[np.bool_], target: Target) -> Floats:
    """The weight of each known row: 1 for the newest, half of it one half-life of the target earlier."""
    rows = np.flatnonzero(known)
    weights: Floats = 0.5 ** ((rows[-1] - rows) / _ROW_HALF_LIVES[target])
    return weights


def squared_moves(steps: Floats) -> Floats:
    """(D,) squared move of each session, in units of a squared range: its range and its opening gap.

    The range omits the night, when earnings are announced (pinball loss 0.4 % less with the gap).
    """
    log_range, gap = (steps[:, STEP_NAMES.index(name)] for name in ("log_range", "gap"))
    squared: Floats = np.exp(2.0 * log_range) + _PARKINSON * gap**2
    return squared


def log_volatility(windows: Windows, h: int) -> Floats:
    """(N,) half the log of the squared moves of the HORIZONS[h] sessions after each row; NaN where some are to come."""
    realised = np.full(len(windows), np.nan)
    following = np.lib.stride_tricks.sliding_window_view(squared_moves(windows.steps)[windows.warm_up + 1 :], h + 1)
    realised[: len(following)] = 0.5 * np.log(following.sum(axis=-1))
    return realised
