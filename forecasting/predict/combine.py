"""The forecast issued at an origin: the network's and the linear model's, combined and calibrated.

A weight and online conformal factors are estimated in model scale on past forecasts whose target
session has closed; raw quantiles are stored with each, so that a change of these rules changes no
history.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from forecasting.losses import Floats, pinball
from forecasting.preprocess.windows import H, from_model
from forecasting.sessions import closes_at, next_sessions, opens_at
from forecasting.targets import TARGETS
from forecasting.vocabulary import MEDIAN, QUANTILES, Kind, Target

Q = len(QUANTILES)
# Minimum number of past forecasts to learn the weight from; with fewer the usual one is used
MIN_FORECASTS = 60
MAX_FORECASTS = 500  # maximum number of past forecasts that are used
_HALF_LIFE = 250.0  # forecasts: which model is better drifts, so older ones have less weight
_PRIOR = 600.0  # weight of the usual share or weight, in forecasts
_SIDES = np.sign(np.array(QUANTILES) - 0.5)
_MIN_DISTANCE = 1e-9  # for a quantile equal to the median, which has no distance to widen
_BOUNDS = (0.5, 2.5)
# Change of a log factor by one session outside, inside it is a fraction. 0.005 leaves some spans of
# 500 forecasts at a coverage of 75%.
_STEP = 0.015
# Nominal share outside the pair of a level
_OUTSIDE = 2.0 * np.minimum(QUANTILES, 1.0 - np.array(QUANTILES))
_WEIGHTS = np.linspace(0.0, 1.0, 11)  # of the network; the linear model has the rest
# Of the trees; of 0.3 to 0.5, which gain as much, the one that loses least where they are worse
_USUAL_SHARE = 0.3


@dataclass(frozen=True)
class Past:
    """Forecasts whose targets have closed, one row per origin, oldest first, in model scale."""

    actual: Floats  # (n, H) NaN where that horizon has not closed
    network: Floats  # (n, H, Q) raw quantiles as issued
    linear: Floats  # (n, H, Q) the linear model's
    trees: Floats  # (n, H) the medians of the boosted trees; NaN without


def read_past(past: pd.DataFrame) -> Past:
    """Past forecasts of the store as arrays; rows without raw quantiles are left out.

    Args:
        past: columns origin_session, horizon, actual (own unit, NaN where unknown) and calibration,
            the JSON issued with them.
    """
    with_raw = past[past["calibration"] != ""]
    raw = [_raw(text) for text in with_raw["calibration"]]
    origins, at = np.unique(
        with_raw["origin_session"].to_numpy(dtype="datetime64[D]"), return_inverse=True
    )
    horizon = with_raw["horizon"].to_numpy(dtype=np.int64) - 1

    def placed(values: ArrayLike, *shape: int) -> Floats:
        """(n, H, ..) the values, one a forecast, by origin and horizon."""
        by_origin = np.full((len(origins), H, *shape), np.nan)
        by_origin[at, horizon] = np.reshape(values, (len(raw), *shape))
        return by_origin

    level = np.array([entry["level"] for entry in raw])
    actual = np.log(with_raw["actual"].to_numpy(dtype=np.float64)) - level
    return Past(
        actual=placed(actual),
        network=placed([entry["network"] for entry in raw], Q),
        linear=placed([entry["partner"] for entry in raw], Q),
        trees=placed([entry.get("trees", np.nan) for entry in raw]),
    )


@lru_cache(maxsize=2 * MAX_FORECASTS * H)  # a night reads nearly the same ones as that before it
def _raw(text: str) -> dict[str, Any]:
    """What a JSON text of a past forecast holds."""
    return json.loads(text)


def learn_weight(past: Past, target: Target) -> float:
    """The network's share of the combined forecast, in tenths; the usual one of too few."""
    usual = TARGETS[target].network_weight
    return _learned(past.actual, lambda share: combine(past.network, past.linear, share), usual)


def learn_share(past: Past, combined: Floats) -> float:
    """The trees' share of the median, in tenths, learned as in `learn_weight`.

    `combined` are the past quantiles (n, H, Q) of network and linear model.
    """
    actual = np.where(np.isfinite(past.trees), past.actual, np.nan)
    return _learned(actual, lambda share: with_trees(combined, past.trees, share), _USUAL_SHARE)


def _learned(actual: Floats, quantiles: Callable[[float], Floats], usual: float) -> float:
    """The one of _WEIGHTS with the least recent pinball loss over all horizons, regularised."""
    known = np.isfinite(actual)
    if known.sum(axis=0).min() < MIN_FORECASTS:
        return usual
    age = np.arange(len(actual))[::-1]
    recent = (0.5 ** (age / _HALF_LIFE))[:, None]
    sums = [np.nansum(recent * pinball(actual, quantiles(weight))) for weight in _WEIGHTS]
    losses = np.array(sums) / np.sum(recent * known)
    # An average of losses is itself uncertain: a distance from the usual weight is penalised.
    prior = _PRIOR / (_PRIOR + recent.sum())
    penalised = losses * (1.0 + 0.1 * prior * (_WEIGHTS - usual) ** 2)
    return float(_WEIGHTS[np.argmin(penalised)])


def combine(network: Floats, linear: Floats, weight: float) -> Floats:
    """The weighted mean of the quantiles, level by level: as sharp as both, unlike a mixture."""
    return weight * network + (1.0 - weight) * linear


def with_trees(quantiles: Floats, trees: Floats, share: float) -> Floats:
    """(.., H, Q) quantiles moved by a share of the way from their median to the trees' (.., H).

    They stay where the trees' median is NaN.
    """
    moved = share * (trees - quantiles[..., MEDIAN])
    return quantiles + np.where(np.isfinite(moved), moved, 0.0)[..., None]


def learn_factors(actual: Floats, quantiles: Floats, target: Target) -> Floats:
    """(Q,) factors for the distance of tonight's combined quantiles from their median.

    Quantile tracking, an online conformal rule (Gibbs and Candes 2021; Angelopoulos, Candes and
    Tibshirani 2023): the log factor of a pair of levels rises with each target that closes outside
    the pair as it was widened then, and falls with each one inside, at rates that balance at
    nominal coverage. All horizons and both sides have one factor: factors of their own were mostly
    noise. They start at the target's usual factor with the oldest forecast.
    """
    # (n, H, Q) log of the actuals' distance from the median on each quantile's side, in units of
    # the quantile's: NaN where unknown; minus infinity on the other side of the median, and for the
    # median.
    median = quantiles[..., [MEDIAN]]
    usual = np.maximum(_SIDES * (quantiles - median), _MIN_DISTANCE)
    with np.errstate(divide="ignore"):
        # The maximum of NaN is NaN
        distances = np.log(np.maximum(_SIDES * (actual[..., None] - median), 0.0) / usual)
    logs = np.zeros((len(actual) + 1, Q))  # of each night; the last one is tonight
    logs[0] = np.log(TARGETS[target].first_factor)
    for night in range(1, len(logs)):
        places = np.arange(min(H, night))
        rows = night - 1 - places  # the forecasts whose target is the session of this night
        closed = distances[rows, places]
        outside = (closed > logs[rows]).astype(float)
        excess = np.where(np.isnan(closed), 0.0, outside - _OUTSIDE / 2.0).sum(axis=0)
        moved = logs[night - 1] + _STEP / H * (excess + excess[::-1])
        logs[night] = np.clip(moved, *np.log(_BOUNDS))
    factors: Floats = np.exp(logs[-1])
    factors[MEDIAN] = 1.0
    return factors


def widen(quantiles: Floats, factors: Floats) -> Floats:
    """(.., H, Q) quantiles at `factors` times their distance from the median, sorted."""
    median = quantiles[..., MEDIAN : MEDIAN + 1]
    return np.sort(median + factors * (quantiles - median), axis=-1)


@dataclass(frozen=True)
class Issued:
    """One origin's forecast, ready to store."""

    quantiles: Floats  # (H, Q) in the target's own unit; ascending
    past_forecasts: NDArray[np.int64]  # (H,) number of closed forecasts that the calibration uses
    # H JSON texts with the raw quantiles, scaling, weights and factors, for `read_past`
    calibration: list[str]
    by_trees: Floats  # (H,) what the trees have multiplied the median by


def issue(
    network: Floats, linear: Floats, trees: Floats, past: Past, *, level: Floats, target: Target
) -> Issued:
    """The forecast to issue at one origin.

    Args:
        network: (H, Q) in model scale, as all of these.
        linear: (H, Q) the linear model's.
        trees: (H,) the trees' medians; NaN without.
        past: of the origins before.
        level: () that of this origin.
        target: what is forecast.
    """
    past = Past(*(values[-MAX_FORECASTS:] for values in vars(past).values()))
    weight = learn_weight(past, target)
    past_combined = combine(past.network, past.linear, weight)
    share = learn_share(past, past_combined)
    factors = learn_factors(past.actual, with_trees(past_combined, past.trees, share), target)
    combined = combine(network, linear, weight)
    moved = with_trees(combined, trees, share)
    texts = []
    for h in range(H):
        raw = {"trees": float(trees[h])} if np.isfinite(trees[h]) else {}
        raw |= {
            "network": network[h].tolist(),
            "partner": linear[h].tolist(),
            "level": float(level),
            "weight": weight,
            "share": share,
            "factors": factors.tolist(),
        }
        texts.append(json.dumps(raw))
    return Issued(
        quantiles=from_model(widen(moved, factors), level),
        past_forecasts=np.isfinite(past.actual).sum(axis=0),
        calibration=texts,
        by_trees=from_model(moved, level)[:, MEDIAN] / from_model(combined, level)[:, MEDIAN],
    )


def forecast_kind(issued_at: datetime, origin_session: date, exchange: str) -> Kind:
    """`live` if issued before its first target session opened, `late` before it closed."""
    first_target = next_sessions(origin_session, 1, exchange)[0]
    if issued_at < opens_at(first_target, exchange):
        return "live"
    return "late" if issued_at < closes_at(first_target, exchange) else "replay"
