"""The rivals, as ordinary models: closed form, milliseconds, quantiles from their own past errors.

A baseline is fitted on every row whose target is known and speaks for any row, as the network does. Its quantiles are
its median plus the quantiles of errors that it made, or (ridge, har) would have made with the row left out.
"""

import numpy as np
from numpy.typing import NDArray

from forecasting.errors import UsageError
from forecasting.losses import Floats
from forecasting.preprocess.features import fill_forward, lag_features, own_column, trailing_mean
from forecasting.preprocess.future_covariates import EVENT_NAMES
from forecasting.preprocess.windows import Windows
from forecasting.train.ridge import fit_ridge
from forecasting.train.threads import one_blas_thread
from forecasting.vocabulary import HORIZONS, MEDIAN, QUANTILES, Target

VERSION = "1"
"""Of the baselines' rules; a change of any of them raises it."""

_NAMES: dict[Target, tuple[str, ...]] = {
    "volume": ("last_value", "seasonal", "rolling_median", "har", "ridge"),
    "close": ("random_walk",),
    "range": ("last_value", "rolling_median", "har", "ridge"),
}
_PENALTY = 100.0
_RECENT = 500  # errors that a plain rule's quantiles rest on
_WEEK, _MONTH = 5, 20


def baseline_names(target: Target) -> tuple[str, ...]:
    """The baselines of a target; the first is the naive one."""
    return _NAMES[target]


@one_blas_thread()
def baseline_quantiles(name: str, windows: Windows, rows: NDArray[np.int64] | None = None) -> Floats:
    """What a baseline says, in the target's own unit.

    Args:
        name: One of `baseline_names(windows.target)`.
        windows: Rows to learn from (those with a known target) and to speak for.
        rows: Rows to speak for; without it the newest alone.

    Returns:
        (H, Q) for the newest row, or (len(rows), H, Q); quantiles ascend.

    Raises:
        UsageError: No such baseline of this target.
    """
    if name not in _NAMES[windows.target]:
        known = ", ".join(_NAMES[windows.target])
        raise UsageError(f"A baseline of {windows.target} is one of {known}; found {name!r}.")
    asked = np.array([len(windows) - 1]) if rows is None else rows
    if name in ("har", "ridge"):
        scaled = _linear(_design(name, windows), windows, asked)
    else:
        scaled = _ruled(_points(name, windows), windows, asked, centred=name != "random_walk")
    quantiles = windows.scale(asked).from_model(scaled)
    return quantiles[0] if rows is None else quantiles


def linear_features(windows: Windows) -> tuple[Floats, Floats]:
    """What the ridge knows of a row: (N, P) the past and its own events, (N, H, C) the target sessions' flags."""
    past, _ = lag_features(windows.steps, windows.target)
    events = [windows.flag_names.index(name) for name in EVENT_NAMES]
    return np.column_stack([past, windows.flags[:, events]])[windows.warm_up :], windows.future_flags


def _design(name: str, windows: Windows) -> Floats:
    """(N, H, P) features of a linear baseline."""
    if name == "ridge":
        past, known = linear_features(windows)
    else:
        past, known = _har_features(windows), windows.future_flags[..., : -len(EVENT_NAMES)]
    beside = np.broadcast_to(past[:, None], (len(windows), len(HORIZONS), past.shape[1]))
    return np.concatenate([beside, known], axis=-1)


def _har_features(windows: Windows) -> Floats:
    """(N, 3) the session, week and quarter of Corsi's HAR (2009), less the month, which is the level itself."""
    own = windows.steps[:, own_column(windows.target)]
    means = np.column_stack([trailing_mean(own, sessions) for sessions in (1, 5, 66)])
    return (means - trailing_mean(own, 22)[:, None])[windows.warm_up :]


def _linear(design: Floats, windows: Windows, rows: NDArray[np.int64]) -> Floats:
    """(len(rows), H, Q) a ridge per horizon, with its leave-one-out errors."""
    quantiles = np.empty((len(rows), len(HORIZONS), len(QUANTILES)))
    for place in range(len(HORIZONS)):
        known = np.isfinite(windows.scaled[:, place])
        truth = windows.scaled[known, place]
        ridge = fit_ridge(design[known, place], truth, penalty=_PENALTY, weights=np.ones(len(truth)))
        errors = np.quantile(ridge.loo_residuals, QUANTILES)
        quantiles[:, place] = ridge.forecast(design[rows, place])[:, None] + errors
    return quantiles


def _points(name: str, windows: Windows) -> Floats:
    """(N, H) the point forecasts of a rule in model scale."""
    at = windows.warm_up + np.arange(len(windows))
    if name == "seasonal":
        values = fill_forward(windows.values)[at[:, None] + np.array(HORIZONS) - _WEEK]
    elif name == "rolling_median":
        month = np.lib.stride_tricks.sliding_window_view(fill_forward(windows.values), _MONTH)
        values = np.repeat(np.median(month, axis=-1)[at - _MONTH + 1, None], len(HORIZONS), axis=1)
    else:
        values = np.repeat(windows.last_values[:, None], len(HORIZONS), axis=1)
    return windows.scale(np.arange(len(windows))).to_model(values)


def _ruled(points: Floats, windows: Windows, rows: NDArray[np.int64], *, centred: bool) -> Floats:
    """(len(rows), H, Q) points with quantiles of a rule's last known errors; centred leaves the median the point."""
    quantiles = np.empty((len(rows), len(HORIZONS), len(QUANTILES)))
    spread = windows.spread
    for place in range(len(HORIZONS)):
        # Errors are pooled in logs, so that a random walk's are returns and not returns over their spread.
        errors = (windows.scaled - points)[:, place] * spread[:, place]
        known = errors[np.isfinite(errors)][-_RECENT:]
        levels = np.quantile(known, QUANTILES)
        levels = levels - levels[MEDIAN] if centred else levels
        quantiles[:, place] = points[rows, place, None] + levels / spread[rows, place, None]
    return quantiles
