"""Scores of quantile forecasts against actual values. Every error is forecast minus actual: positive is too high.

A NaN actual gives a NaN score, so a caller drops forecasts without an actual before it averages. Lower is better,
except in `skill`.
"""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from forecasting.losses import EXACT, Floats, pinball
from forecasting.preprocess.targets import actual_of
from forecasting.vocabulary import CHALLENGER, CHAMPION, MEDIAN, PUBLISHED_LINE, QUANTILE_COLUMNS, Target

INTERVALS: dict[int, tuple[int, int]] = {80: (1, 5), 90: (0, 6)}
"""Nominal coverage in per cent -> positions of the interval's ends among QUANTILES."""

_BAR = ("open", "high", "low", "close", "volume")


def mae(actual: ArrayLike, forecast: ArrayLike) -> float:
    """Mean absolute error, in the target's unit; the median is the point forecast that minimises it."""
    errors = np.asarray(forecast, dtype=float) - np.asarray(actual, dtype=float)
    if not errors.size:
        raise ValueError("Expected at least one scored forecast to average, found none; drop empty spans first.")
    return float(np.mean(np.abs(errors)))


def interval_score(actual: ArrayLike, quantiles: ArrayLike) -> Floats:
    """Weighted interval score of the median and the 80 and 90 % intervals, in the target's unit.

    Bracher, Ray, Gneiting and Reich (2021), "Evaluating epidemic forecasts in an interval format", equation 1 with
    weights 1/2 for the median and alpha/2 for the interval that leaves alpha outside. Equals twice the mean pinball
    loss over those five levels.

    Args:
        actual: (...) actual values.
        quantiles: (..., Q) forecasts at QUANTILES, ascending.

    Returns:
        (...) scores, at least 0.
    """
    actuals, forecasts = np.asarray(actual, dtype=float), np.asarray(quantiles, dtype=float)
    total: Floats = 0.5 * np.abs(actuals - forecasts[..., MEDIAN])
    for percent, (low, high) in INTERVALS.items():
        lower, upper, alpha = forecasts[..., low], forecasts[..., high], 1.0 - percent / 100
        missed = np.maximum(lower - actuals, 0.0) + np.maximum(actuals - upper, 0.0)
        total = total + alpha / 2 * (upper - lower) + missed
    return total / (len(INTERVALS) + 0.5)


def inside(actual: ArrayLike, quantiles: ArrayLike, percent: Literal[80, 90]) -> NDArray[np.bool_]:
    """Whether each actual fell into the central `percent` interval, its ends included; False where NaN."""
    actuals, forecasts = np.asarray(actual, dtype=float), np.asarray(quantiles, dtype=float)
    low, high = INTERVALS[percent]
    within: NDArray[np.bool_] = (forecasts[..., low] <= actuals) & (actuals <= forecasts[..., high])
    return within


def skill(score: float, baseline_score: float) -> float:
    """1 - score / baseline_score: 0.1 is a tenth better than the baseline, negative is worse.

    NaN when the baseline's score is 0, or what rounding leaves of it: a perfect forecast.
    """
    return 1.0 - score / baseline_score if baseline_score > EXACT * score else math.nan


def score_rows(due: pd.DataFrame, *, target: Target, scored_at: datetime) -> list[dict[str, Any]]:
    """Rows for the table `scores`, one for each forecast in `due` whose bar has an actual value.

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
    quantiles = due[list(QUANTILE_COLUMNS)].to_numpy(dtype=float)  # (N, Q)
    key = ["model_id", "symbol", "target", "kind", "stage", "role", "model"]
    rows = pd.DataFrame({name: due[name].astype(object) for name in key}).assign(
        origin_session=[_date(value) for value in due["origin_session"]],
        target_session=[_date(value) for value in due["target_session"]],
        issued_at=pd.Series([pd.Timestamp(value).to_pydatetime() for value in due["issued_at"]], dtype=object),
        horizon=due["horizon"].astype(int),
        bar_version=due["bar_version"].astype(int),
        actual=actual,
        error=quantiles[:, MEDIAN] - actual,
        pinball=pinball(actual, quantiles),
        interval_score=interval_score(actual, quantiles),
        inside_80=inside(actual, quantiles, 80),
        inside_90=inside(actual, quantiles, 90),
    )
    # to_dict converts NumPy scalars to Python values, which database drivers accept.
    return [
        {**{str(name): value for name, value in row.items()}, "scored_at": scored_at} for row in rows.to_dict("records")
    ]


def _actuals(due: pd.DataFrame, target: Target) -> Floats:
    bars = due[list(_BAR)].astype(float)  # NULL volumes arrive as None
    bars.index = pd.DatetimeIndex(pd.to_datetime(due["target_session"]), name="session")
    return np.asarray(actual_of(target, bars), dtype=float)


def _date(value: date | pd.Timestamp) -> date:
    return pd.Timestamp(value).date()


def lines_of(role: str, model: str) -> tuple[str, ...]:
    """The lines of a forecast with this role, by a model of this name.

    The published line holds what was published each night, whichever model made it. A baseline's line, and the
    network's (`lstm`), hold its own forecast of every night, published or not: on a night on which a baseline is
    published, the baseline's line and the published line have the same loss. All challengers share one line.
    """
    if role == CHALLENGER:
        return (CHALLENGER,)
    return (PUBLISHED_LINE, model) if role == CHAMPION else (model,)


def by_line(rows: pd.DataFrame, *, model: str) -> pd.DataFrame:
    """The rows with column `line`, once for each line that a row counts in; the index is new.

    Args:
        rows: One a forecast, with column role.
        model: Name of the column that holds the model's name.
    """
    lines = [lines_of(str(role), str(name)) for role, name in zip(rows["role"], rows[model], strict=True)]
    once_each = rows.iloc[np.repeat(np.arange(len(rows)), [len(some) for some in lines])].reset_index(drop=True)
    return once_each.assign(line=pd.Series([line for some in lines for line in some], dtype=object))
