"""All forecasts of one origin, their roles, and the rows to write. No store and no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from forecasting.errors import HistoryError
from forecasting.ids import short_id
from forecasting.losses import Floats
from forecasting.predict.forecasts import combine_and_calibrate, network_quantiles
from forecasting.predict.out_of_range import inputs_out_of_range, out_of_range_text
from forecasting.train.baselines import VERSION, baseline_names, baseline_quantiles
from forecasting.vocabulary import BASELINE, CHAMPION, HORIZONS, QUANTILE_COLUMNS, SILENCED, Role

if TYPE_CHECKING:
    from forecasting.predict.calibration import Past
    from forecasting.predict.fallback import Published
    from forecasting.preprocess.windows import Windows
    from forecasting.train.checkpoint import Checkpoint


@dataclass(frozen=True)
class Candidate:
    """One model's forecast of an origin.

    Attributes:
        model_id: Its row in `models`.
        forecaster: `lstm`, or the baseline's name.
        role: Its role when issued.
        quantiles: (H, Q) in the target's own unit.
        past_forecasts: Per horizon, the number of closed forecasts that calibrated it.
        calibration: Per horizon, the JSON that a later night calibrates on; empty for a baseline.
        out_of_range: Inputs outside the range of the training data, as text; empty for none.
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
    """The finite forecast of each baseline; its row in `models` identifies the rule, which is refitted each night.

    Raises:
        HistoryError: No baseline has a finite forecast.
    """
    target = windows.target
    found = [
        Candidate(
            short_id("baseline", name, VERSION, symbol, target, settings_hash),
            name,
            BASELINE,
            baseline_quantiles(name, windows),
        )
        for name in baseline_names(target)
    ]
    finite = [candidate for candidate in found if candidate.is_finite]
    if not finite:
        raise HistoryError(
            f"Expected a finite forecast of {symbol} {target} from one of {', '.join(baseline_names(target))}; found "
            "none. See the bars and findings of the training window."
        )
    return finite


def network_candidate(
    model: Mapping[str, Any],
    role: Role,
    checkpoint: Checkpoint,
    windows: Windows,
    past: Past,
    *,
    linear: Floats,
) -> Candidate:
    """A network's forecast, combined with the linear model's and calibrated on closed forecasts.

    Args:
        model: Its row in `models`.
        role: champion or challenger.
        checkpoint: Its weights.
        windows: The newest row is forecast.
        past: As for `combine_and_calibrate`.
        linear: (H, Q) the linear model's quantiles, which are the same for every network.

    Raises:
        ArtifactError: The checkpoint's features differ from the windows'.
    """
    network = network_quantiles(checkpoint, windows)
    issued = combine_and_calibrate(network, linear, past, scale=windows.scale(), target=windows.target)
    outside = inputs_out_of_range(windows, trained_from=model["trained_from"], trained_to=model["trained_to"])
    return Candidate(
        model["id"],
        model["name"],
        role,
        issued.quantiles,
        tuple(int(n) for n in issued.past_forecasts),
        tuple(issued.calibration),
        out_of_range_text(outside),
    )


def assign_roles(candidates: Sequence[Candidate], published: Published) -> list[Candidate]:
    """The candidates with the published one as `champion`; a champion that is not published becomes `silenced`.

    Candidates that are not finite are left out; the published one is finite.
    """
    finite = [candidate for candidate in candidates if candidate.is_finite]
    if published.forecaster == CHAMPION:
        return finite
    return [replace(candidate, role=_role(candidate, published)) for candidate in finite]


def _role(candidate: Candidate, published: Published) -> Role:
    if candidate.forecaster == published.forecaster:
        return CHAMPION
    return SILENCED if candidate.role == CHAMPION else candidate.role


def forecast_rows(
    candidates: Sequence[Candidate],
    published: Published,
    *,
    about: Mapping[str, Any],
    sessions: Sequence[date],
    calendar: Sequence[str],
) -> list[dict[str, Any]]:
    """The rows of table forecasts, one per candidate and horizon.

    Args:
        candidates: With their roles assigned.
        published: Gives status and reason of the rows in the champion's role.
        about: The columns that all rows share: symbol, target, origin_session, kind, last_value, issued_at, data_as_of,
            fetch_id and run_id.
        sessions: The target session of each horizon.
        calendar: What is special about each of them, as text; empty for an ordinary session.
    """
    return [
        {
            **about,
            "model_id": candidate.model_id,
            "role": candidate.role,
            "status": published.status if candidate.role == CHAMPION else "ok",
            "reason": published.reason if candidate.role == CHAMPION else "",
            "horizon": horizon,
            "target_session": sessions[place],
            "calendar": calendar[place],
            "past_forecasts": candidate.past_forecasts[place],
            "calibration": candidate.calibration[place],
            "outside": candidate.out_of_range,
            **{name: float(value) for name, value in zip(QUANTILE_COLUMNS, candidate.quantiles[place], strict=True)},
        }
        for candidate in candidates
        for place, horizon in enumerate(HORIZONS)
    ]
