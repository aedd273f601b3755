"""All forecasts of one origin, with their roles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from forecasting.losses import Floats
from forecasting.predict.combine import Issued, Past, issue
from forecasting.predict.fallback import Published
from forecasting.preprocess.windows import H, Windows, from_model, to_model
from forecasting.train.baselines import VERSION, baseline_quantiles, usable_baselines
from forecasting.train.checkpoint import Checkpoint
from forecasting.train.linear import LinearForecast
from forecasting.train.trees import tree_medians
from forecasting.vocabulary import BASELINE, LSTM, MEDIAN, NETWORK, PUBLISHED, Role, short_id


@dataclass(frozen=True)
class Candidate:
    """One model's forecast of an origin."""

    model_id: str  # its row in `models`
    forecaster: str  # `lstm`, or the baseline's name
    role: Role
    quantiles: Floats  # (H, Q) in the target's own unit
    # Closed ones that calibrated it, per horizon
    past_forecasts: Sequence[int] = (0,) * H
    calibration: Sequence[str] = ("",) * H  # JSON that a later night calibrates on
    factors: Mapping[str, Floats] = field(default_factory=dict)  # why: (H,) of each part, in order

    @property
    def is_finite(self) -> bool:
        """Whether every quantile is a finite number."""
        return bool(np.isfinite(self.quantiles).all())


def baseline_candidates(windows: Windows, *, symbol: str, settings: str) -> list[Candidate]:
    """The finite forecast of each baseline.

    Its row in `models` identifies the rule, which is refitted each night.
    """
    usual = usual_levels(windows)
    candidates = []
    for name in usable_baselines(windows):
        quantiles = baseline_quantiles(name, windows)
        parts = [name, VERSION, symbol, windows.target, settings]
        candidate = Candidate(
            model_id=short_id("baseline", *parts),
            forecaster=name,
            role=BASELINE,
            quantiles=quantiles,
            factors={"usual": usual, "baseline": quantiles[:, MEDIAN] / usual},
        )
        candidates.append(candidate)
    return [candidate for candidate in candidates if candidate.is_finite]


def network_candidate(
    model_id: str, checkpoint: Checkpoint, windows: Windows, past: Past, linear: LinearForecast
) -> Candidate:
    """A network's forecast of the newest row, combined and calibrated."""
    from forecasting.train.prepare import member_quantiles

    level = windows.level[-1]
    raw, _ = member_quantiles(checkpoint, windows, np.array([len(windows) - 1]))
    network = from_model(raw[0], level)
    issued = issue(
        to_model(network, level),
        to_model(linear.quantiles, level),
        tree_medians(windows),
        past,
        level=level,
        target=windows.target,
    )
    return Candidate(
        model_id=model_id,
        forecaster=LSTM,
        role=NETWORK,
        quantiles=issued.quantiles,
        past_forecasts=issued.past_forecasts.tolist(),
        calibration=issued.calibration,
        factors=_factors(windows, linear, network, issued),
    )


def usual_levels(windows: Windows) -> Floats:
    """(H,) the median of the last 20 known values."""
    known = windows.values[np.isfinite(windows.values)]
    return np.full(H, np.median(known[-20:]))


def _factors(
    windows: Windows, linear: LinearForecast, network: Floats, issued: Issued
) -> dict[str, Floats]:
    """The parts of a network's forecast, from the usual level on: their product is its median."""
    usual = usual_levels(windows)
    of_linear = linear.quantiles[:, MEDIAN]
    of_network = network[:, MEDIAN]
    of_issued = issued.quantiles[:, MEDIAN]
    effects = {name: np.exp(effect) for name, effect in linear.effects.items()}
    return {
        "usual": usual,
        **effects,
        "recent": of_linear / usual / np.prod(list(effects.values()), axis=0),
        "network": of_network / of_linear,
        "trees": issued.by_trees,
        "combination": of_issued / of_network / issued.by_trees,
    }


def assign_roles(candidates: Sequence[Candidate], published: Published) -> list[Candidate]:
    """The finite candidates, the published one with that role."""
    finite = [candidate for candidate in candidates if candidate.is_finite]
    return [
        replace(candidate, role=PUBLISHED)
        if published.forecaster in (candidate.role, candidate.forecaster)
        else candidate
        for candidate in finite
    ]
