"""Every forecast of one origin: who made it, in which role, and the rows to write. No store and no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from forecasting.ids import short_id
from forecasting.losses import Floats
from forecasting.predict.forecasts import combine_and_calibrate, network_quantiles
from forecasting.predict.out_of_range import inputs_out_of_range, out_of_range_text
from forecasting.train.baselines import VERSION, baseline_names, baseline_quantiles
from forecasting.train.linear_model import linear_quantiles
from forecasting.vocabulary import BASELINE, CHAMPION, HORIZONS, QUANTILE_COLUMNS, SILENCED, Role

if TYPE_CHECKING:
    import pandas as pd

    from forecasting.predict.fallback import Published
    from forecasting.preprocess.windows import Windows
    from forecasting.train.checkpoint import Checkpoint


@dataclass(frozen=True)
class Candidate:
    """One model's forecast of an origin.

    Attributes:
        model_id: Its row in `models`.
        forecaster: `lstm`, or the baseline's name.
        role: As it will be issued.
        quantiles: (H, Q) in the target's own unit.
        past_forecasts: Per horizon, how many closed forecasts calibrated it.
        calibration: Per horizon, the JSON that a later night calibrates on; empty for a baseline.
        out_of_range: Inputs beyond the model's training range, in words; empty for none.
    """

    model_id: str
    forecaster: str
    role: Role
    quantiles: Floats
    past_forecasts: tuple[int, ...] = (0,) * len(HORIZONS)
    calibration: tuple[str, ...] = ("",) * len(HORIZONS)
    out_of_range: str = ""

    @property
    def is_finite(self) -> bool:
        """Whether every quantile is a finite number."""
        return bool(np.isfinite(self.quantiles).all())


def baseline_candidates(windows: Windows, *, symbol: str, settings_hash: str) -> list[Candidate]:
    """The forecast of each baseline; its model row stands for the rule, which is fitted anew each night."""
    target = windows.target
    return [
        Candidate(
            short_id("baseline", name, VERSION, symbol, target, settings_hash),
            name,
            BASELINE,
            baseline_quantiles(name, windows),
        )
        for name in baseline_names(target)
    ]


def network_candidate(
    model: Mapping[str, Any], role: Role, checkpoint: Checkpoint, windows: Windows, past: pd.DataFrame
) -> Candidate:
    """A network's forecast, combined with the linear model's and calibrated on closed forecasts.

    Args:
        model: Its row in `models`.
        role: champion or challenger.
        checkpoint: Its weights.
        windows: The newest row is forecast.
        past: As for `combine_and_calibrate`.

    Raises:
        ArtifactError: The checkpoint has other features than the windows.
    """
    network, linear = network_quantiles(checkpoint, windows), linear_quantiles(windows)
    issued = combine_and_calibrate(network, linear, past, scale=windows.scale(), target=windows.target)
    beyond = inputs_out_of_range(windows, trained_from=model["trained_from"], trained_to=model["trained_to"])
    return Candidate(
        model["id"],
        model["name"],
        role,
        issued.quantiles,
        tuple(int(n) for n in issued.past_forecasts),
        tuple(issued.calibration),
        out_of_range_text(beyond),
    )


def assign_roles(candidates: Sequence[Candidate], published: Published) -> list[Candidate]:
    """The candidates with the published one in the champion's role; a replaced champion is kept as `silenced`.

    A candidate that is not finite is left out where a baseline is published.
    """
    if published.forecaster == CHAMPION:
        return list(candidates)
    finite = [one for one in candidates if one.is_finite]
    silenced = [replace(one, role=SILENCED) if one.role == CHAMPION else one for one in finite]
    return [replace(one, role=CHAMPION) if one.forecaster == published.forecaster else one for one in silenced]


def forecast_rows(
    candidates: Sequence[Candidate], published: Published, *, about: Mapping[str, Any], sessions: Sequence[date]
) -> list[dict[str, Any]]:
    """The rows of table forecasts, one per candidate and horizon.

    Args:
        candidates: With their roles assigned.
        published: Gives status and reason of the rows in the champion's role.
        about: The columns that all rows share: symbol, target, origin_session, kind, last_value, issued_at, data_as_of,
            fetch_id and run_id.
        sessions: The target session of each horizon.
    """
    return [
        {
            **about,
            "model_id": one.model_id,
            "role": one.role,
            "status": published.status if one.role == CHAMPION else "ok",
            "reason": published.reason if one.role == CHAMPION else "",
            "horizon": horizon,
            "target_session": sessions[place],
            "past_forecasts": one.past_forecasts[place],
            "calibration": one.calibration[place],
            "outside": one.out_of_range,
            **{name: float(value) for name, value in zip(QUANTILE_COLUMNS, one.quantiles[place], strict=True)},
        }
        for one in candidates
        for place, horizon in enumerate(HORIZONS)
    ]
