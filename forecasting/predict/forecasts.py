"""The forecast issued at an origin: the network's and the linear model's quantiles, combined and calibrated."""

import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from forecasting.losses import Floats
from forecasting.predict.calibration import (
    MAX_FORECASTS,
    Past,
    combine,
    known_forecasts,
    learn_factors,
    learn_weight,
    raw_values,
    widen,
)
from forecasting.preprocess.targets import Scale
from forecasting.preprocess.windows import Windows
from forecasting.sessions import closes_at, next_sessions, opens_at
from forecasting.vocabulary import HORIZONS, Kind, Target

if TYPE_CHECKING:
    from forecasting.train.checkpoint import Checkpoint


@dataclass(frozen=True)
class Issued:
    """One origin's forecast, ready to store.

    Attributes:
        quantiles: (H, Q) in the target's own unit; ascending.
        past_forecasts: (H,) number of closed forecasts that the calibration uses.
        calibration: H JSON texts: raw quantiles of network and linear model in model scale, the row's scaling, the
            weight and the factors. `read_past` reads them on a later night.
    """

    quantiles: Floats
    past_forecasts: NDArray[np.int64]
    calibration: list[str]


def network_quantiles(checkpoint: "Checkpoint", windows: Windows, rows: NDArray[np.int64] | None = None) -> Floats:
    """The ensemble's uncalibrated quantiles in the target's own unit.

    Args:
        checkpoint: A fitted ensemble.
        windows: The rows to forecast.
        rows: Positions of the rows; None for the newest only.

    Returns:
        (H, Q) for the newest row, or (len(rows), H, Q); quantiles ascend.

    Raises:
        ArtifactError: The checkpoint's features differ from the windows'.
    """
    from forecasting.train.ensemble import scaled_quantiles

    asked = np.array([len(windows) - 1]) if rows is None else rows
    quantiles = windows.scale(asked).from_model(scaled_quantiles(checkpoint, windows, asked))
    return quantiles[0] if rows is None else quantiles


def combine_and_calibrate(network: Floats, linear: Floats, past: Past, *, scale: Scale, target: Target) -> Issued:
    """The forecast to issue at one origin.

    Args:
        network: (H, Q) raw quantiles in the target's own unit.
        linear: (H, Q) the linear model's.
        past: Earlier forecasts whose target session is at or before the origin, as `read_past` has them.
        scale: `windows.scale()` of the origin's row.
        target: What is forecast; sets the usual weight and factor.
    """
    return issue(scale.to_model(network), scale.to_model(linear), past, scale=scale, target=target)


def issue(network: Floats, linear: Floats, past: Past, *, scale: Scale, target: Target) -> Issued:
    """The same from arrays in model scale; used directly by the backtest, which has no store."""
    past = Past(past.actual[-MAX_FORECASTS:], past.network[-MAX_FORECASTS:], past.linear[-MAX_FORECASTS:])
    weight, known = learn_weight(past, target), known_forecasts(past)
    factors = learn_factors(past, weight, target)
    quantiles = scale.from_model(widen(combine(network, linear, weight), factors))
    texts = [
        json.dumps(raw_values(network, linear, scale, place) | {"weight": weight, "factors": factors.tolist()})
        for place in range(len(HORIZONS))
    ]
    return Issued(quantiles, known, texts)


def kind_of(issued_at: datetime, origin_session: date, exchange: str) -> Kind:
    """Live if issued before the first target session opened, late if before it closed, else replay."""
    first_target = next_sessions(origin_session, 1, exchange)[0]
    if issued_at < opens_at(first_target, exchange):
        return "live"
    return "late" if issued_at < closes_at(first_target, exchange) else "replay"
