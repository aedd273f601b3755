"""All forecasts of one origin, with their roles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from forecasting.losses import Floats, mixture_quantiles
from forecasting.predict.combine import Issued, Past, issue
from forecasting.predict.fallback import Published
from forecasting.preprocess.windows import H, Windows, from_model, to_model
from forecasting.train.baselines import VERSION, baseline_quantiles, usable_baselines
from forecasting.train.checkpoint import Checkpoint
from forecasting.train.linear import LinearForecast, fit_linear
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
    model_id: str, checkpoint: Checkpoint, windows: Windows, past: Past
) -> Candidate:
    """Return a network's forecast of the newest row, combined and calibrated.

    If a report is expected that nobody has announced, each model's forecast is a mixture: of its
    forecasts with the report on each session where it may come, and without it.
    """
    from forecasting.train.prepare import member_quantiles

    level = windows.level[-1]
    newest = np.array([len(windows) - 1])
    model = fit_linear(windows)
    probabilities = []
    raw = []
    linear_cases = []
    trees = []
    for probability, case in windows.cases():
        probabilities.append(probability)
        raw.append(member_quantiles(checkpoint, case, newest)[0][0])
        linear_cases.append(model.in_case(case).forecast())
        trees.append(tree_medians(case))
    network = from_model(mixture_quantiles(np.stack(raw), probabilities), level)
    linear = _mixed(linear_cases, probabilities, level)
    issued = issue(
        to_model(network, level),
        to_model(linear.quantiles, level),
        _mixed_medians(np.stack(trees), linear_cases, probabilities, level),
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


def _mixed(
    forecasts: Sequence[LinearForecast], probabilities: Sequence[float], level: Floats
) -> LinearForecast:
    """Return the mixture of a linear model's forecasts, with the mean of their effects."""
    if len(forecasts) == 1:
        return forecasts[0]
    quantiles = np.stack([to_model(forecast.quantiles, level) for forecast in forecasts])
    effects = {}
    for name in forecasts[0].effects:
        of_cases = [forecast.effects[name] for forecast in forecasts]
        effects[name] = np.average(of_cases, axis=0, weights=probabilities)
    return LinearForecast(from_model(mixture_quantiles(quantiles, probabilities), level), effects)


def _mixed_medians(
    trees: Floats,
    linear: Sequence[LinearForecast],
    probabilities: Sequence[float],
    level: Floats,
) -> Floats:
    """Return the trees' medians (H,) in a mixture of cases, from those of each case (K, H).

    The trees forecast a median alone, so the linear model's quantiles are moved to it.
    """
    if len(trees) == 1:
        return trees[0]
    quantiles = np.stack([to_model(forecast.quantiles, level) for forecast in linear])
    moved = quantiles + (trees - quantiles[..., MEDIAN])[..., None]
    return mixture_quantiles(moved, probabilities)[:, MEDIAN]


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
