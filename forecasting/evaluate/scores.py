"""Scores of quantile forecasts against what happened. Every error is forecast minus actual: positive is too high.

NaN goes in as NaN out, so a caller leaves out what has no actual before it averages. Lower is better everywhere but in
`skill` and `coverage`.
"""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from forecasting.losses import Floats, pinball
from forecasting.preprocess.targets import actual_of
from forecasting.vocabulary import MEDIAN, QUANTILE_COLUMNS, Target

INTERVALS: dict[int, tuple[int, int]] = {80: (1, 5), 90: (0, 6)}
"""Nominal coverage in per cent -> positions of the interval's ends among QUANTILES."""

_BAR = ("open", "high", "low", "close", "volume")


def mae(actual: ArrayLike, forecast: ArrayLike) -> float:
    """Mean absolute error, in the target's unit; the median is the point forecast that minimises it."""
    return float(np.mean(np.abs(_errors(actual, forecast))))


def bias(actual: ArrayLike, forecast: ArrayLike) -> float:
    """Mean of forecast minus actual: positive when the forecasts are too high."""
    return float(np.mean(_errors(actual, forecast)))


def interval_score(actual: ArrayLike, quantiles: ArrayLike) -> Floats:
    """Weighted interval score of the median and the 80 and 90 % intervals, in the target's unit.

    Bracher, Ray, Gneiting and Reich (2021), "Evaluating epidemic forecasts in an interval format", equation 1 with
    weights 1/2 for the median and alpha/2 for the interval that leaves alpha outside. Equals twice the mean pinball
    loss over those five levels.

    Args:
        actual: (...) what happened.
        quantiles: (..., Q) forecasts at QUANTILES, ascending.

    Returns:
        (...) scores, at least 0.
    """
    happened, said = np.asarray(actual, dtype=float), np.asarray(quantiles, dtype=float)
    total: Floats = 0.5 * np.abs(happened - said[..., MEDIAN])
    for percent, (low, high) in INTERVALS.items():
        lower, upper, alpha = said[..., low], said[..., high], 1.0 - percent / 100
        missed = np.maximum(lower - happened, 0.0) + np.maximum(happened - upper, 0.0)
        total = total + alpha / 2 * (upper - lower) + missed
    return total / (len(INTERVALS) + 0.5)


def inside(actual: ArrayLike, quantiles: ArrayLike, percent: Literal[80, 90]) -> NDArray[np.bool_]:
    """Whether each actual fell into the central `percent` interval, its ends included; False where NaN."""
    happened, said = np.asarray(actual, dtype=float), np.asarray(quantiles, dtype=float)
    low, high = INTERVALS[percent]
    within: NDArray[np.bool_] = (said[..., low] <= happened) & (happened <= said[..., high])
    return within


def coverage(actual: ArrayLike, quantiles: ArrayLike, percent: Literal[80, 90]) -> float:
    """Share of the actuals, 0 to 1, inside the central `percent` interval; NaN actuals count as outside."""
    return float(np.mean(_some(inside(actual, quantiles, percent))))


def width(quantiles: ArrayLike, percent: Literal[80, 90]) -> Floats:
    """(...) upper end minus lower end of the central `percent` interval, in the target's unit."""
    said = np.asarray(quantiles, dtype=float)
    low, high = INTERVALS[percent]
    widths: Floats = said[..., high] - said[..., low]
    return widths


def skill(score: float, baseline_score: float) -> float:
    """1 - score / baseline_score: 0.1 is a tenth better than the baseline, negative is worse.

    NaN when the baseline's score is 0: nothing can be said in per cent of a perfect forecast.
    """
    return 1.0 - score / baseline_score if baseline_score else math.nan


def score_rows(due: pd.DataFrame, *, target: Target, scored_at: datetime) -> list[dict[str, Any]]:
    """Rows for the table `scores`, one for each forecast in `due` whose bar says what happened.

    Args:
        due: A row per forecast and bar version: the columns of `forecasts`, `model` (the model's name), `stage`,
            `bar_version` and the bar's open, high, low, close and volume (NaN unknown).
        target: What was forecast; all of `due` is of this target.
        scored_at: Aware UTC instant that goes into every row.

    Returns:
        Plain Python values under exactly the columns of `scores`. No row where the actual is NaN or infinite.
    """
    if due.empty:
        return []
    actual = _actuals(due, target)
    known = np.isfinite(actual)
    due, actual = due.loc[known].reset_index(drop=True), actual[known]
    said = due[list(QUANTILE_COLUMNS)].to_numpy(dtype=float)  # (N, Q)
    key = ["model_id", "symbol", "target", "kind", "stage", "role", "model"]
    rows = pd.DataFrame({name: due[name].astype(object) for name in key}).assign(
        origin_session=[_date(value) for value in due["origin_session"]],
        target_session=[_date(value) for value in due["target_session"]],
        issued_at=pd.Series([pd.Timestamp(value).to_pydatetime() for value in due["issued_at"]], dtype=object),
        horizon=due["horizon"].astype(int),
        bar_version=due["bar_version"].astype(int),
        actual=actual,
        error=said[:, MEDIAN] - actual,
        pinball=pinball(actual, said),
        interval_score=interval_score(actual, said),
        inside_80=inside(actual, said, 80),
        inside_90=inside(actual, said, 90),
    )
    # to_dict turns NumPy scalars into the Python ones that database drivers take.
    return [
        {**{str(name): value for name, value in row.items()}, "scored_at": scored_at} for row in rows.to_dict("records")
    ]


def _actuals(due: pd.DataFrame, target: Target) -> Floats:
    bars = due[list(_BAR)].astype(float)  # NULL volumes arrive as None
    bars.index = pd.DatetimeIndex(pd.to_datetime(due["target_session"]), name="session")
    return np.asarray(actual_of(target, bars), dtype=float)


def _date(value: date | pd.Timestamp) -> date:
    return pd.Timestamp(value).date()


def _errors(actual: ArrayLike, forecast: ArrayLike) -> Floats:
    return _some(np.asarray(forecast, dtype=float) - np.asarray(actual, dtype=float))


def _some(values: NDArray[Any]) -> NDArray[Any]:
    if not values.size:
        raise ValueError("a mean needs at least one scored forecast; got none. Leave empty spans out before scoring.")
    return values
