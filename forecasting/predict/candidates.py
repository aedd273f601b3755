"""All forecasts of one origin, their roles, and the rows to write. No store and no clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np

from forecasting.losses import Floats
from forecasting.predict.combine import Issued, Past, issue
from forecasting.predict.fallback import Published
from forecasting.predict.totals import total_quantiles
from forecasting.preprocess.windows import (
    H,
    Windows,
    from_model,
    to_model,
)
from forecasting.targets import TARGETS
from forecasting.train.baselines import VERSION, baseline_quantiles, usable_baselines
from forecasting.train.checkpoint import Checkpoint
from forecasting.train.linear import LinearForecast
from forecasting.train.trees import tree_medians
from forecasting.vocabulary import (
    BASELINE,
    HORIZONS,
    LSTM,
    MEDIAN,
    NETWORK,
    PUBLISHED,
    QUANTILE_COLUMNS,
    Role,
    short_id,
)


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
    model_id: str,
    checkpoint: Checkpoint,
    windows: Windows,
    past: Past,
    linear: LinearForecast,
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


def factor_rows(candidates: Sequence[Candidate], about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of table forecast_parts: why each published median is what it is.

    `about` as in `forecast_rows`.
    """
    published = next(candidate for candidate in candidates if candidate.role == PUBLISHED)
    shared = {name: about[name] for name in ("symbol", "target", "origin_session", "kind")}
    shared["model_id"] = published.model_id
    rows = []
    for h, horizon in enumerate(HORIZONS):
        for place, (part, factors) in enumerate(published.factors.items(), start=1):
            of_part = {"horizon": horizon, "part": part, "place": place}
            rows.append({**shared, **of_part, "factor": float(factors[h])})
    return rows


def total_rows(
    candidates: Sequence[Candidate],
    about: Mapping[str, Any],
    *,
    sessions: Sequence[date],
    factor: float,
) -> list[dict[str, Any]]:
    """The rows of table total_forecasts: of what is published and of the reference baseline.

    `about` and `sessions` as in `forecast_rows`; `factor` of the published totals.
    """
    names = ("symbol", "target", "origin_session", "kind", "issued_at")
    shared = {name: about[name] for name in names}
    rows = []
    for candidate in candidates:
        is_published = candidate.role == PUBLISHED
        if not is_published and candidate.forecaster != TARGETS[about["target"]].reference:
            continue
        shared["model_id"] = candidate.model_id
        shared["role"] = candidate.role
        shared["factor"] = factor if is_published else 1.0
        totals = total_quantiles(candidate.quantiles, shared["factor"]).tolist()
        for h in range(1, len(HORIZONS)):
            of_total = {"horizon": HORIZONS[h], "target_session": sessions[h]}
            rows.append(shared | of_total | dict(zip(QUANTILE_COLUMNS, totals[h], strict=True)))
    return rows


def assign_roles(candidates: Sequence[Candidate], published: Published) -> list[Candidate]:
    """The finite candidates, the published one with that role."""
    finite = [candidate for candidate in candidates if candidate.is_finite]
    return [
        replace(candidate, role=PUBLISHED)
        if published.forecaster in (candidate.role, candidate.forecaster)
        else candidate
        for candidate in finite
    ]


def forecast_rows(
    candidates: Sequence[Candidate],
    published: Published,
    *,
    about: Mapping[str, Any],
    sessions: Sequence[date],
    calendar: Sequence[str],
) -> list[dict[str, Any]]:
    """The rows of table forecasts, one a candidate and horizon.

    Args:
        candidates: with the roles of `assign_roles`.
        published: its status and reason are those of the published rows.
        about: columns of each row.
        sessions: (H,) the target sessions.
        calendar: (H,) what is special about them, in words.
    """
    rows = []
    for candidate in candidates:
        is_published = candidate.role == PUBLISHED
        shared = {
            **about,
            "model_id": candidate.model_id,
            "role": candidate.role,
            "status": published.status if is_published else "ok",
            "reason": published.reason if is_published else "",
        }
        for h, horizon in enumerate(HORIZONS):
            of_horizon = {
                "horizon": horizon,
                "target_session": sessions[h],
                "calendar": calendar[h],
                "past_forecasts": candidate.past_forecasts[h],
                "calibration": candidate.calibration[h],
            }
            quantiles = zip(QUANTILE_COLUMNS, candidate.quantiles[h].tolist(), strict=True)
            rows.append(shared | of_horizon | dict(quantiles))
    return rows
