"""From two raw forecasts to the one that is issued: a weight and conformal factors, learned on past forecasts alone.

Everything happens in model scale (see preprocess/targets.py) and per horizon. A past forecast counts once its target
session has closed; its raw quantiles, as issued, travel with it, so that changing this page's rules changes no history.
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
"""Past forecasts under which nothing is calibrated: the raw quantiles are issued."""

MAX_FORECASTS = 500
"""Past forecasts that are looked at, at most."""

_HALF_LIFE = 250.0  # forecasts: coverage drifts, so the older ones count less
_BOUNDS = (0.5, 2.5)
_SIDES = np.sign(np.array(QUANTILES) - 0.5)
_OUTWARD = np.maximum(QUANTILES, 1.0 - np.array(QUANTILES))  # seen outwards from the median, 0.05 is a 0.95
# Standard error of the log of a normal's quantile, times the root of the draws it rests on; the median needs none.
_LOG_ERROR = np.array([1.285, 1.334, 2.019, 1.0, 2.019, 1.334, 1.285])
# Standard errors at which a factor is believed by half; at 2 an 80 % interval of volume covered 82.6 %. A close's
# quantiles are those of past returns and so cover by themselves: there a factor is mostly chance.
_SHRINKAGE: dict[Target, float] = {"volume": 0.8, "range": 0.8, "close": 2.0}
# And one horizon's and side's own difference: many are looked at, and their misses come in clusters.
_SHRINKAGE_OWN: dict[Target, float] = {"volume": 8.0, "range": 8.0, "close": 16.0}
_LEAST = 1e-9  # a quantile that stands on the median has no distance to stretch
_WEIGHTS = np.linspace(0.0, 1.0, 11)  # of the network; the linear has the rest
# Until enough is known. The linear knows the gaps that a close's width comes from; of the rest the network knows more.
_USUAL_WEIGHTS: dict[Target, float] = {"volume": 1.0, "range": 0.9, "close": 0.5}
_PRIOR = 600.0  # forecasts' worth of belief in it


@dataclass(frozen=True)
class Past:
    """Forecasts whose targets have closed, one row per origin, oldest first, in model scale.

    Attributes:
        actual: (n, H) NaN where that horizon has not closed.
        network: (n, H, Q) raw quantiles as issued, and linear.
    """

    actual: Floats
    network: Floats
    linear: Floats


def raw_text(network: Floats, linear: Floats, scale: Scale, place: int) -> dict[str, object]:
    """What the ledger keeps of one horizon's raw forecasts, ready for JSON, so that a later night can learn from it."""
    return {
        "network": network[place].tolist(),
        "partner": linear[place].tolist(),
        "level": float(scale.level),
        "spread": float(scale.spread[place]),
    }


def read_past(past: "pd.DataFrame") -> Past:
    """The ledger's past forecasts as arrays.

    Args:
        past: Columns origin_session, horizon, actual (own unit, NaN where unknown) and calibration (the JSON that was
            issued with the forecast). Rows without JSON carry no raw quantiles and are left out.
    """
    told = past[past["calibration"].astype(str).str.startswith("{")]
    origins, at = np.unique(told["origin_session"].to_numpy(dtype="datetime64[D]"), return_inverse=True)
    place = told["horizon"].to_numpy(dtype=np.int64) - 1
    raw = [json.loads(text) for text in told["calibration"]]
    actual = np.full((len(origins), H), np.nan)
    both = np.full((2, len(origins), H, Q), np.nan)
    if raw:
        level, spread = (np.array([entry[name] for entry in raw]) for name in ("level", "spread"))
        actual[at, place] = (np.log(told["actual"].to_numpy(dtype=np.float64)) - level) / spread
        both[0, at, place] = [entry["network"] for entry in raw]
        both[1, at, place] = [entry["partner"] for entry in raw]
    return Past(np.where(np.isfinite(both[0, ..., MEDIAN]), actual, np.nan), both[0], both[1])


def learn_weight(past: Past, target: Target) -> float:
    """The network's share of the combined forecast, in tenths; the target's usual until MIN_FORECASTS are closed.

    Least pinball loss over recent past forecasts of all horizons, drawn towards the usual share.
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
    # An average of losses is itself uncertain: a weight has to earn its distance from the usual one.
    belief = _PRIOR / (_PRIOR + recent.sum())
    return float(_WEIGHTS[int(np.argmin(losses * (1.0 + 0.1 * belief * (_WEIGHTS - usual) ** 2)))])


def combine(network: Floats, linear: Floats, weight: float) -> Floats:
    """Weighted mean of the quantiles, level by level: as sharp as its parts, where a mixture would be wider."""
    combined: Floats = weight * network + (1.0 - weight) * linear
    return combined


def known_forecasts(past: Past) -> NDArray[np.int64]:
    """(H,) past forecasts per horizon whose target has closed."""
    known: NDArray[np.int64] = np.isfinite(past.actual).sum(axis=0)
    return known


def learn_factors(past: Past, weight: float, target: Target) -> Floats:
    """(H, Q) by what to stretch each combined quantile's distance from the median, 1 where nothing is learned.

    Conformal: a factor is the weighted quantile, at its level, of past actuals' distance from the median in units of
    the quantile's own; newer forecasts count more, so it follows a drift. First one for either side of all horizons
    together, which errs least; then each horizon's and side's own, as far as it cannot be chance that it differs.
    A horizon with fewer than `MIN_FORECASTS` forecasts stays at 1 and has_enough_targets none.
    """
    factors = np.ones((H, Q))
    combined, known = combine(past.network, past.linear, weight), np.isfinite(past.actual)
    places = np.flatnonzero(known.sum(axis=0) >= MIN_FORECASTS)
    if len(places) == 0:
        return factors
    reached = [
        _distance_ratio(past.actual[known[:, place], place], combined[known[:, place], place]) for place in places
    ]
    recent = [0.5 ** (np.arange(len(each))[::-1] / _HALF_LIFE) for each in reached]
    shared = _shared_factor(np.concatenate(reached), np.concatenate(recent))
    # Horizons overlap: together they tell as much of one side as either side of one horizon does, so the same error.
    shared = _shrink(shared, recent[0], _SHRINKAGE[target])
    for place, each, weights in zip(places, reached, recent, strict=True):
        own = np.clip(_quantiles_of_columns(each, weights, _OUTWARD), *_BOUNDS)
        factors[place] = shared * _shrink(own / shared, weights, _SHRINKAGE_OWN[target])
    factors[:, MEDIAN] = 1.0
    return factors


def _distance_ratio(actual: Floats, quantiles: Floats) -> Floats:
    """(n, Q) how far actuals (n,) lie from the median on each quantile's side, in units of its own distance."""
    median = quantiles[:, [MEDIAN]]
    reached: Floats = _SIDES * (actual[:, None] - median) / np.maximum(_SIDES * (quantiles - median), _LEAST)
    return reached


def _shared_factor(reached: Floats, weights: Floats) -> Floats:
    """(Q,) the factor at which both quantiles of a pair together cover what they should (Romano et al. 2019)."""
    either = np.maximum(reached, reached[:, ::-1])
    return np.clip(_quantiles_of_columns(either, weights, 2.0 * _OUTWARD - 1.0), *_BOUNDS)


def _shrink(learned: Floats, weights: Floats, chance: float) -> Floats:
    """(Q,) the factors drawn nearer to 1, by half where their log is `chance` times the error it is known with.

    From 500 forecasts one of 2 stays nearly what it is; one of 1.03 is noise, and following noise costs pinball loss.
    """
    far = np.log(learned) ** 2
    error = (chance * _LOG_ERROR) ** 2 * (weights**2).sum() / weights.sum() ** 2
    drawn: Floats = learned ** (far / (far + error))
    return drawn


def widen(quantiles: Floats, factors: Floats) -> Floats:
    """Quantiles (.., H, Q) at `factors` times their distance from the median; sorted, should neighbours now cross."""
    median = quantiles[..., MEDIAN : MEDIAN + 1]
    return np.sort(median + factors * (quantiles - median), axis=-1)


def _quantiles_of_columns(ratios: Floats, weights: Floats, levels: Floats) -> Floats:
    """(Q,) of each column of (n, Q) the value below which its level's share of the weight lies."""
    return np.array([weighted_quantiles(ratios[:, k], levels[k : k + 1], weights)[0] for k in range(Q)])
