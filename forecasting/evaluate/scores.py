"""Scores and costs of quantile forecasts.

Every error is forecast minus actual: positive is too high. A NaN actual gives a NaN score, so a
caller drops forecasts without an actual before it averages. Lower is better, except in `skill`.
"""

import math
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from forecasting.losses import EXACT, Floats, pinball
from forecasting.preprocess.windows import actual_of
from forecasting.vocabulary import MEDIAN, QUANTILE_COLUMNS, QUANTILES, Target

INTERVALS: dict[int, tuple[int, int]] = {80: (1, 5), 90: (0, 6)}
"""Nominal coverage in per cent -> positions of the interval's ends among QUANTILES."""

RATIOS = (1, 3, 9, 19)  # cost ratios whose level is one of QUANTILES: 0.5, 0.25, 0.1 and 0.05
MEAN_SESSIONS = 5
"""Newest sessions with a known dollar volume, whose mean log is what R² compares with."""

_BAR = ("open", "high", "low", "close", "volume")
_DAYS = ("origin_session", "target_session")


@dataclass(frozen=True)
class ScoreRow:
    """The score of a forecast or total, of table scores or total_scores."""

    model_id: str
    symbol: str
    target: str
    kind: str
    stage: str
    role: str
    model: str
    horizon: int
    bar_version: int
    issued_at: datetime
    origin_session: date
    target_session: date
    actual: float
    error: float
    pinball: float
    interval_score: float
    inside_80: bool
    inside_90: bool
    scored_at: datetime


def interval_score(actual: ArrayLike, quantiles: ArrayLike) -> Floats:
    """(...) weighted interval scores of (..., Q) quantiles, in the target's unit.

    Of the median, the 80 and the 90% interval: Bracher, Ray, Gneiting and Reich (2021), "Evaluating
    epidemic forecasts in an interval format", equation 1 with weights 1/2 for the median and
    alpha/2 for the interval that leaves alpha outside. Equals twice the mean pinball loss over
    those five levels.
    """
    actuals = np.asarray(actual, dtype=float)
    forecasts = np.asarray(quantiles, dtype=float)
    total: Floats = 0.5 * np.abs(actuals - forecasts[..., MEDIAN])
    for percent, (low, high) in INTERVALS.items():
        lower = forecasts[..., low]
        upper = forecasts[..., high]
        alpha = 1.0 - percent / 100
        missed = np.maximum(lower - actuals, 0.0) + np.maximum(actuals - upper, 0.0)
        total = total + alpha / 2 * (upper - lower) + missed
    return total / (len(INTERVALS) + 0.5)


def inside(actual: ArrayLike, quantiles: ArrayLike, percent: Literal[80, 90]) -> NDArray[np.bool_]:
    """(...) whether each actual is in the central interval, its ends included; False where NaN."""
    actuals = np.asarray(actual, dtype=float)
    forecasts = np.asarray(quantiles, dtype=float)
    low, high = INTERVALS[percent]
    return (forecasts[..., low] <= actuals) & (actuals <= forecasts[..., high])


def skill(score: float, baseline_score: float) -> float:
    """1 - score / baseline_score: 0.1 is a tenth better than the baseline, negative is worse.

    NaN when the baseline's score is 0, or what rounding leaves of it: a perfect forecast.
    """
    return 1.0 - score / baseline_score if baseline_score > EXACT * score else math.nan


def score_rows(unscored: pd.DataFrame, *, target: Target, scored_at: datetime) -> list[ScoreRow]:
    """Rows for the table `scores` of forecasts whose bar has an actual.

    Args:
        unscored: a row per forecast and bar version, all of one target: the columns of `forecasts`,
            `model` (the model's name), `stage`, `bar_version` and the bar's open, high, low, close
            and volume (NaN unknown).
        target: what they forecast.
        scored_at: the instant of the scores.
    """
    if unscored.empty:
        return []
    bars = unscored[list(_BAR)].astype(float)  # NULL volumes arrive as None
    actual = actual_of(target, bars).to_numpy()
    known = np.isfinite(actual)
    closed = unscored.loc[known].assign(actual=actual[known]).reset_index(drop=True)
    return scored_rows(closed, scored_at=scored_at)


def scored_rows(closed: pd.DataFrame, *, scored_at: datetime) -> list[ScoreRow]:
    """Rows of scores of forecasts, or totals, whose value is in column `actual`."""
    if closed.empty:
        return []
    actual = closed["actual"].to_numpy(dtype=float)
    quantiles = closed[list(QUANTILE_COLUMNS)].to_numpy(dtype=float)  # (N, Q)
    shared = (field.name for field in fields(ScoreRow) if field.name in closed)
    scores = {
        **{name: closed[name] for name in shared},
        **{name: pd.to_datetime(closed[name]).dt.date for name in _DAYS},
        "actual": actual,
        "error": quantiles[:, MEDIAN] - actual,
        "pinball": pinball(actual, quantiles),
        "interval_score": interval_score(actual, quantiles),
        "inside_80": inside(actual, quantiles, 80),
        "inside_90": inside(actual, quantiles, 90),
    }
    rows = zip(*(values.tolist() for values in scores.values()), strict=True)
    return [ScoreRow(**dict(zip(scores, row, strict=True)), scored_at=scored_at) for row in rows]


def optimal_level(ratio: float) -> float:
    """The level, 0 to 1, of the quantile with the least expected cost; 0.5 for a ratio of 1.

    A forecast q of an actual y costs `ratio` * (q - y) where it is too high and y - q where it is
    too low, in the target's unit. The expected cost is least at the quantile of level 1 / (1 +
    ratio): the newsvendor's solution (Arrow, Harris and Marschak 1951), the pinball loss of Koenker
    and Bassett (1978) times 1 + ratio; Gneiting (2011), "Quantiles as optimal point forecasts".
    """
    return 1.0 / (1.0 + ratio)


def nearest_level(ratio: float) -> float:
    """The level of `optimal_level`, or the outermost of QUANTILES where it lies beyond."""
    return min(max(optimal_level(ratio), QUANTILES[0]), QUANTILES[-1])


def quantile_at(quantiles: ArrayLike, level: float) -> Floats:
    """(...) quantile at a level within QUANTILES, linear between the two neighbouring ones."""
    forecasts = np.asarray(quantiles, dtype=float)
    rows = forecasts.reshape(-1, len(QUANTILES))
    found = [np.interp(level, QUANTILES, row) for row in rows]
    return np.reshape(found, forecasts.shape[:-1])


@dataclass(frozen=True)
class DollarVolumes:
    """What R² needs beside the forecasts, for n origins; dollars stand for the bars' currency."""

    close: Floats  # (n,) close of the newest session up to the origin with a known dollar volume
    mean: Floats  # (n,) mean log dollar volume of that session and the four known ones before it
    actual: Floats  # (n, H) log dollar volume of the target sessions; NaN where unknown


def dollar_volumes(
    bars: pd.DataFrame, origins: NDArray[np.datetime64], target_sessions: NDArray[np.datetime64]
) -> DollarVolumes:
    """The dollar volumes at n origins (n,) and of their target sessions (n, H), by bars up to each.

    A close or volume of 0 is unknown.
    """
    known = bars[(bars["close"] > 0.0) & (bars["volume"] > 0.0)].astype(np.float64)
    series = known[["close"]].assign(log=np.log(known["close"] * known["volume"]))
    series["mean"] = series["log"].rolling(MEAN_SESSIONS, min_periods=1).mean()
    at_origin = series.reindex(pd.DatetimeIndex(origins), method="ffill")
    ahead = series["log"].reindex(pd.DatetimeIndex(target_sessions.ravel()))
    return DollarVolumes(
        close=at_origin["close"].to_numpy(dtype=np.float64),
        mean=at_origin["mean"].to_numpy(dtype=np.float64),
        actual=ahead.to_numpy(dtype=np.float64).reshape(target_sessions.shape),
    )


def dollar_volume_r2(volumes: DollarVolumes, shares: Floats) -> float:
    """R² of log dollar volume: 1 is exact, 0 as good as its mean of five sessions, negative worse.

    Goyenko, Kelly, Moskowitz, Su and Zhang (2024), "Trading Volume Alpha", NBER working paper
    33037: with y the log of shares traded times the closing price, R² = 1 - sum (y - forecast of
    y)² / sum (y - mean of the five newest y)².

    A forecast of shares becomes one of dollars at the close of its origin: the price is taken for a
    random walk, and its move until the target session is part of the error, of the forecast's and
    of the mean's. Both sides of a split have the same dollars. Differences from the paper: the
    forecast is the median, not the mean of the log; one symbol at a time, where the paper pools
    stocks and sessions; horizons beyond the first, against the origin's mean.

    `shares` are (n, H) median forecasts; of several horizons R² is that of the mean of their mean
    squared errors.
    """
    ours = np.log(shares) + np.log(volumes.close)[:, None] - volumes.actual
    means = volumes.mean[:, None] - volumes.actual
    return skill(mean_of(ours**2), mean_of(means**2))


def mean_of(values: Floats) -> float:
    """The mean over the horizons of the mean over origins, of the known values (n, H)."""
    return float(np.nanmean(values, axis=0).mean())
