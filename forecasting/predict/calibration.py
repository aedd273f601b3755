"""Calibration of the combined forecast: a weight and conformal factors, estimated on past forecasts only.

All values are in model scale (see preprocess/targets.py) and per horizon. A past forecast counts once its target
session has closed; its raw quantiles are stored with it, so that a change of these rules changes no history.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from forecasting.losses import Floats, pinball, weighted_quantiles
from forecasting.preprocess.targets import Scale
from forecasting.vocabulary import HORIZONS, MEDIAN, QUANTILES, Target

if TYPE_CHECKING:
    import pandas as pd

H, Q = len(HORIZONS), len(QUANTILES)

MIN_FORECASTS = 60
"""Minimum number of past forecasts to calibrate; with fewer the raw quantiles are issued."""

MAX_FORECASTS = 500
"""Maximum number of past forecasts that are used."""

_HALF_LIFE = 250.0  # forecasts: coverage drifts, so older ones have less weight
_BOUNDS = (0.5, 2.5)
_SIDES = np.sign(np.array(QUANTILES) - 0.5)
_OUTWARD = np.maximum(QUANTILES, 1.0 - np.array(QUANTILES))  # outwards from the median, 0.05 is a 0.95
# Standard error of the log of a normal's quantile, times the root of the sample size; unused for the median.
_LOG_ERROR = np.array([1.285, 1.334, 2.019, 1.0, 2.019, 1.334, 1.285])
# Standard errors at which the log of a factor is halved; at 2 an 80 % interval of volume covered 82.6 %. A close's
# quantiles are those of past returns, which have the right coverage already: there a factor is mostly noise.
_SHRINKAGE: dict[Target, float] = {"volume": 0.8, "range": 0.8, "close": 2.0}
# The same for the difference of one horizon and side: there are many of them, and their misses cluster.
_SHRINKAGE_OWN: dict[Target, float] = {"volume": 8.0, "range": 8.0, "close": 16.0}
_MIN_DISTANCE = 1e-9  # for a quantile equal to the median, which has no distance to widen
_WEIGHTS = np.linspace(0.0, 1.0, 11)  # of the network; the linear model has the rest
# Prior weights. The linear model has the gaps, on which a close's width depends; for the rest the network is better.
_USUAL_WEIGHTS: dict[Target, float] = {"volume": 1.0, "range": 0.9, "close": 0.5}
_PRIOR = 600.0  # weight of the prior, in forecasts


@dataclass(frozen=True)
class Past:
    """Forecasts whose targets have closed, one row per origin, oldest first, in model scale.

    Attributes:
        actual: (n, H) NaN where that horizon has not closed.
        network: (n, H, Q) raw quantiles as issued.
        linear: (n, H, Q) the linear model's.
    """

    actual: Floats
    network: Floats
    linear: Floats


def raw_text(network: Floats, linear: Floats, scale: Scale, place: int) -> dict[str, object]:
    """One horizon's raw forecasts and scaling, as JSON values, which `read_past` reads on a later night."""
    return {
        "network": network[place].tolist(),
        "partner": linear[place].tolist(),
        "level": float(scale.level),
        "spread": float(scale.spread[place]),
    }


def read_past(past: "pd.DataFrame") -> Past:
    """Past forecasts of the store as arrays.

    Args:
        past: Columns origin_session, horizon, actual (own unit, NaN where unknown) and calibration (the JSON that was
            issued with the forecast). Rows without JSON have no raw quantiles and are left out.
    """
    with_raw = past[past["calibration"].astype(str).str.startswith("{")]
    origins, at = np.unique(with_raw["origin_session"].to_numpy(dtype="datetime64[D]"), return_inverse=True)
    place = with_raw["horizon"].to_numpy(dtype=np.int64) - 1
    raw = [json.loads(text) for text in with_raw["calibration"]]
    actual = np.full((len(origins), H), np.nan)
    both = np.full((2, len(origins), H, Q), np.nan)
    if raw:
        level, spread = (np.array([entry[name] for entry in raw]) for name in ("level", "spread"))
        actual[at, place] = (np.log(with_raw["actual"].to_numpy(dtype=np.float64)) - level) / spread
        both[0, at, place] = [entry["network"] for entry in raw]
        both[1, at, place] = [entry["partner"] for entry in raw]
    return Past(np.where(np.isfinite(both[0, ..., MEDIAN]), actual, np.nan), both[0], both[1])


def learn_weight(past: Past, target: Target) -> float:
    """The network's share of the combined forecast, in tenths; the target's usual one below MIN_FORECASTS.

    Minimises pinball loss over recent past forecasts of all horizons, regularised towards the usual share.
    """
    usual = _USUAL_WEIGHTS[target]
    if known_forecasts(past).min() < MIN_FORECASTS:
        return usual
    age = np.arange(len(past.actual))[::-1]
    recent = (0.5 ** (age / _HALF_LIFE))[:, None]
    losses = np.array(
        [np.nansum(recent * pinball(past.actual, combine(past.network, past.linear, weight))) for weight in _WEIGHTS]
    )
    losses = losses / np.sum(recent * np.isfinite(past.actual))
    # An average of losses is itself uncertain: a distance from the usual weight is penalised.
    prior = _PRIOR / (_PRIOR + recent.sum())
    return float(_WEIGHTS[int(np.argmin(losses * (1.0 + 0.1 * prior * (_WEIGHTS - usual) ** 2)))])


def combine(network: Floats, linear: Floats, weight: float) -> Floats:
    """Weighted mean of the quantiles, level by level; as sharp as its members, while a mixture would be wider."""
    combined: Floats = weight * network + (1.0 - weight) * linear
    return combined


def known_forecasts(past: Past) -> NDArray[np.int64]:
    """(H,) past forecasts per horizon whose target has closed."""
    known: NDArray[np.int64] = np.isfinite(past.actual).sum(axis=0)
    return known


def learn_factors(past: Past, weight: float, target: Target) -> Floats:
    """(H, Q) factors for each combined quantile's distance from the median; 1 where nothing is estimated.

    Conformal: a factor is the weighted quantile, at its level, of past actuals' distance from the median in units of
    the quantile's own; newer forecasts have more weight, so that it follows a drift. First one factor for both sides
    of all horizons together, which has the smallest error; then one for each horizon and side, shrunk to the first as
    far as the difference may be noise. A horizon with fewer than `MIN_FORECASTS` forecasts stays at 1 and contributes
    to no other.
    """
    factors = np.ones((H, Q))
    combined, known = combine(past.network, past.linear, weight), np.isfinite(past.actual)
    places = np.flatnonzero(known.sum(axis=0) >= MIN_FORECASTS)
    if len(places) == 0:
        return factors
    ratios = [
        _distance_ratio(past.actual[known[:, place], place], combined[known[:, place], place]) for place in places
    ]
    recent = [0.5 ** (np.arange(len(ratio))[::-1] / _HALF_LIFE) for ratio in ratios]
    shared = _shared_factor(np.concatenate(ratios), np.concatenate(recent))
    # Horizons overlap: all of them together hold as much information as one horizon, so its standard error is used.
    shared = _shrink(shared, recent[0], _SHRINKAGE[target])
    for place, ratio, weights in zip(places, ratios, recent, strict=True):
        own = np.clip(_quantiles_of_columns(ratio, weights, _OUTWARD), *_BOUNDS)
        factors[place] = shared * _shrink(own / shared, weights, _SHRINKAGE_OWN[target])
    factors[:, MEDIAN] = 1.0
    return factors


def _distance_ratio(actual: Floats, quantiles: Floats) -> Floats:
    """(n, Q) distance of actuals (n,) from the median on each quantile's side, in units of the quantile's distance."""
    median = quantiles[:, [MEDIAN]]
    ratios: Floats = _SIDES * (actual[:, None] - median) / np.maximum(_SIDES * (quantiles - median), _MIN_DISTANCE)
    return ratios


def _shared_factor(ratios: Floats, weights: Floats) -> Floats:
    """(Q,) factors at which both quantiles of a pair together have nominal coverage (Romano et al. 2019)."""
    either_side = np.maximum(ratios, ratios[:, ::-1])
    return np.clip(_quantiles_of_columns(either_side, weights, 2.0 * _OUTWARD - 1.0), *_BOUNDS)


def _shrink(factors: Floats, weights: Floats, strength: float) -> Floats:
    """(Q,) the factors shrunk towards 1; the log of one is halved where it is `strength` times its standard error.

    From 500 forecasts a factor of 2 hardly changes; one of 1.03 is noise, which would cost pinball loss.
    """
    signal = np.log(factors) ** 2
    noise = (strength * _LOG_ERROR) ** 2 * (weights**2).sum() / weights.sum() ** 2
    shrunk: Floats = factors ** (signal / (signal + noise))
    return shrunk


def widen(quantiles: Floats, factors: Floats) -> Floats:
    """Quantiles (.., H, Q) at `factors` times their distance from the median; sorted, in case neighbours cross."""
    median = quantiles[..., MEDIAN : MEDIAN + 1]
    return np.sort(median + factors * (quantiles - median), axis=-1)


def _quantiles_of_columns(ratios: Floats, weights: Floats, levels: Floats) -> Floats:
    """(Q,) weighted quantile of each column of (n, Q) at its own level."""
    return np.array([weighted_quantiles(ratios[:, k], levels[k : k + 1], weights)[0] for k in range(Q)])
