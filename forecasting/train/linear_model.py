"""The linear forecaster that the network is combined with: ridges on the adjusted past, newer rows counting more.

It errs otherwise than the network, so their mean is better than either. It is no rival: the rivals, which know nothing
of effects, are in baselines.py. Of a close it forecasts no direction, only how wide the return will be.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from forecasting.losses import Floats, weighted_quantiles
from forecasting.preprocess.features import (
    HALF_LIVES,
    LEVEL_SESSIONS,
    LOOKBACK,
    MEANS,
    STEP_NAMES,
    exponential_mean,
    trailing_mean,
)
from forecasting.preprocess.future_covariates import EVENT_NAMES
from forecasting.preprocess.windows import Windows
from forecasting.train.calendar_effects import AdjustedWindows, CalendarEffect, Rows, adjust, fit_effect
from forecasting.train.ridge import fit_ridge
from forecasting.train.threads import one_blas_thread
from forecasting.vocabulary import HORIZONS, QUANTILES, Target

VERSION = 4
"""Of the partner's rules; a change of any of them raises it, and kept refits of another are not taken up."""

_PENALTY = 100.0
# Sessions after which a row counts half. A return tells little of its width, so for close it takes more of them.
_HALF_LIVES: dict[Target, float] = {"volume": 1000.0, "range": 1000.0, "close": 2000.0}
_MARKET_HALF_LIVES = (1, 25)
_PARKINSON = 4.0 * np.log(2.0)  # the mean square of a range, in units of its walk's variance (Parkinson 1980)


@one_blas_thread()
def linear_quantiles(windows: Windows, rows: Rows | None = None) -> Floats:
    """What the partner says, in the target's own unit.

    Args:
        windows: Rows to learn from (those with a known target) and to speak for.
        rows: Rows to speak for; without it the newest alone.

    Returns:
        (H, Q) for the newest row, or (len(rows), H, Q); quantiles ascend.
    """
    asked = np.array([len(windows) - 1]) if rows is None else rows
    effect = fit_effect(windows)
    adjusted = adjust(windows, effect)
    if windows.target == "close":
        adjusted = replace(adjusted, past=_moved(windows, effect))
    speak = _widths if windows.target == "close" else _points
    learned = np.stack([speak(adjusted, windows, place, asked) for place in range(len(HORIZONS))], axis=1)
    quantiles = windows.scale(asked).from_model(adjusted.from_adjusted(learned, asked))
    return quantiles[0] if rows is None else quantiles


def _points(adjusted: AdjustedWindows, windows: Windows, place: int, rows: Rows) -> Floats:
    """(len(rows), Q) a ridge of the target, with the quantiles of its leave-one-out errors."""
    truth = adjusted.truth[:, place]
    known = np.isfinite(truth)
    features = _features(adjusted, place)
    recency = _recency(known, windows.target)
    ridge = fit_ridge(features[known], truth[known], penalty=_PENALTY, weights=recency)
    return ridge.forecast(features[rows])[:, None] + weighted_quantiles(ridge.loo_residuals, QUANTILES, recency)


def _widths(adjusted: AdjustedWindows, windows: Windows, place: int, rows: Rows) -> Floats:
    """(len(rows), Q) quantiles of past returns over the width then forecast, times the width forecast now."""
    truth = adjusted.truth[:, place]
    known = np.isfinite(truth)
    realised = np.full(len(truth), np.nan)
    following = np.lib.stride_tricks.sliding_window_view(_squared_moves(windows)[windows.warm_up + 1 :], place + 1)
    realised[: len(following)] = 0.5 * np.log(following.sum(axis=-1))
    realised -= np.log(adjusted.width * windows.spread)[:, place]
    features, recency = _features(adjusted, place), _recency(known, windows.target)
    ridge = fit_ridge(features[known], realised[known], penalty=_PENALTY, weights=recency)
    width_then, width_now = np.exp(realised[known] - ridge.loo_residuals), np.exp(ridge.forecast(features[rows]))
    return width_now[:, None] * weighted_quantiles(truth[known] / width_then, QUANTILES, recency)


def _squared_moves(windows: Windows) -> Floats:
    """(D,) how far each session moved, squared, as a range: its own range, and the gap that it opened with.

    The range alone is blind to the night, which is when earnings are told (pinball loss 0.4 % less with the gap).
    """
    log_range, gap = (windows.steps[:, STEP_NAMES.index(name)] for name in ("log_range", "gap"))
    squared: Floats = np.exp(2.0 * log_range) + _PARKINSON * gap**2
    return squared


def _moved(windows: Windows, effect: CalendarEffect) -> Floats:
    """(N, P) how wide and which way the price has moved of late and for long, and the row's own place among events.

    In place of the lags of the range: moves count by their square, as a variance does, and by their log, as a ridge of
    logs does; and falls, after which returns are wider, are among them. Beside them, how wide companions have ranged.
    """
    usual = effect.of(windows.flags)
    log_range, moved = (windows.steps[:, STEP_NAMES.index(name)] for name in ("log_range", "return"))
    log_range = log_range - usual
    level = trailing_mean(log_range, LEVEL_SESSIONS)
    squared = _squared_moves(windows) * np.exp(-2.0 * usual)
    away = np.nan_to_num(log_range - level)  # before there is a level: as wide as usual, and the price as it stood
    signed = np.nan_to_num(moved / np.exp(level))
    columns = [0.5 * np.log(exponential_mean(squared, half_life, max(MEANS))) - level for half_life in HALF_LIVES]
    columns += [exponential_mean(signed, half_life, max(MEANS)) for half_life in HALF_LIVES[:-1]]
    columns += [exponential_mean(away, half_life, max(MEANS)) for half_life in HALF_LIVES]
    columns += [level, trailing_mean(log_range, max(MEANS))]
    # Cut off at the look-back, for a companion's own usual takes the rest of the sessions before the first row.
    columns += [exponential_mean(windows.companion_range, half_life, LOOKBACK) for half_life in _MARKET_HALF_LIVES]
    columns += [windows.flags[:, windows.flag_names.index(name)] for name in EVENT_NAMES]
    return np.column_stack(columns)[windows.warm_up :]


def _features(adjusted: AdjustedWindows, place: int) -> Floats:
    return np.concatenate([adjusted.past, adjusted.future[:, place]], axis=1)


def _recency(known: NDArray[np.bool_], target: Target) -> Floats:
    """A weight per known row, halved every half-life of the target back from the newest."""
    at = np.flatnonzero(known)
    weights: Floats = 0.5 ** ((at[-1] - at) / _HALF_LIVES[target])
    return weights
