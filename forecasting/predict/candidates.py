"""All forecasts of one origin, their roles, and the rows to write. No store and no clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np

from forecasting.errors import HistoryError
from forecasting.losses import Floats
from forecasting.predict.combine import Issued, Past, issue, network_quantiles
from forecasting.predict.fallback import Published
from forecasting.preprocess.windows import (
    LEVEL_SESSIONS,
    LOOKBACK,
    STEP_NAMES,
    Windows,
    trailing_mean,
)
from forecasting.targets import TARGETS
from forecasting.train.baselines import VERSION, baseline_quantiles
from forecasting.train.checkpoint import Checkpoint
from forecasting.train.linear import LinearForecast
from forecasting.train.trees import tree_medians
from forecasting.vocabulary import (
    BASELINE,
    CHAMPION,
    HIGH_80,
    HORIZONS,
    LOW_80,
    MEDIAN,
    QUANTILE_COLUMNS,
    SILENCED,
    Role,
    Target,
    short_id,
)

_LESS_LEVEL = {"volume": "log_volume", "range": "log_range"}


@dataclass(frozen=True)
class Candidate:
    """One model's forecast of an origin."""

    model_id: str  # its row in `models`
    forecaster: str  # `lstm`, or the baseline's name
    role: Role
    quantiles: Floats  # (H, Q) in the target's own unit
    # Closed ones that calibrated it, per horizon
    past_forecasts: tuple[int, ...] = (0,) * len(HORIZONS)
    calibration: tuple[str, ...] = ("",) * len(HORIZONS)  # JSON that a later night calibrates on
    out_of_range: str = ""  # inputs outside the range of the training data, as text; empty for none
    factors: Mapping[str, Floats] = field(default_factory=dict)  # why: (H,) of each part, in order

    @property
    def is_finite(self) -> bool:
        """Whether every quantile is a finite number."""
        return bool(np.isfinite(self.quantiles).all())


def baseline_candidates(windows: Windows, *, symbol: str, settings_hash: str) -> list[Candidate]:
    """The finite forecast of each baseline.

    Its row in `models` identifies the rule, which is refitted each night.
    """
    target = windows.target
    usual = usual_sizes(windows)
    finite = []
    for name in TARGETS[target].baselines:
        quantiles = baseline_quantiles(name, windows)
        model_id = short_id(
            "baseline",
            name,
            VERSION,
            symbol,
            target,
            settings_hash,
        )
        factors = {"usual": usual, "baseline": _ratio(sizes(quantiles, target), usual)}
        if np.isfinite(quantiles).all():
            finite.append(
                Candidate(
                    model_id,
                    name,
                    BASELINE,
                    quantiles,
                    factors=factors,
                )
            )
    if not finite:
        raise HistoryError(
            f"Expected a finite forecast of {symbol} {target} from one of "
            f"{', '.join(TARGETS[target].baselines)}; "
            "found none. See the bars and findings of the training window."
        )
    return finite


def network_candidate(
    model: Mapping[str, Any],
    role: Role,
    checkpoint: Checkpoint,
    windows: Windows,
    past: Past,
    linear: LinearForecast,
) -> Candidate:
    """A network's forecast of the newest row, combined and calibrated.

    `model` is its row in table models.
    """
    network = network_quantiles(checkpoint, windows)
    scale = windows.scale()
    trees = tree_medians(windows)
    models = scale.to_model(network), scale.to_model(linear.quantiles)
    issued = issue(
        *models,
        trees,
        past,
        scale=scale,
        target=windows.target,
    )
    outside = inputs_out_of_range(
        windows, trained_from=model["trained_from"], trained_to=model["trained_to"]
    )
    return Candidate(
        model["id"],
        model["name"],
        role,
        issued.quantiles,
        tuple(int(n) for n in issued.past_forecasts),
        tuple(issued.calibration),
        ", ".join(f"{name} {session}" for name, session in outside.items()),
        _factors(
            windows,
            linear,
            network,
            issued,
        ),
    )


def sizes(quantiles: Floats, target: Target) -> Floats:
    """(H,) what the parts explain: the median, for close the log width of the 80% interval.

    Of quantiles (H, Q).
    """
    return (
        np.log(quantiles[:, HIGH_80] / quantiles[:, LOW_80])
        if TARGETS[target].moves_width
        else quantiles[:, MEDIAN]
    )


def usual_sizes(windows: Windows) -> Floats:
    """(H,) the median of the last 20 known values.

    For close the width of a random walk's interval.
    """
    if TARGETS[windows.target].moves_width:
        return sizes(baseline_quantiles("random_walk", windows), windows.target)
    known = windows.values[np.isfinite(windows.values)]
    return np.full(len(HORIZONS), np.median(known[-20:]))


def _ratio(size: Floats, base: Floats) -> Floats:
    """(H,) `size` over `base`; 1 where one of them is 0, as the width of an interval of closes that do not move."""
    return np.divide(
        size,
        base,
        out=np.ones_like(size),
        where=(size > 0.0) & (base > 0.0),
    )


def _factors(
    windows: Windows, linear: LinearForecast, network: Floats, issued: Issued
) -> dict[str, Floats]:
    """The parts of a network's forecast, from the usual level on.

    Their product is `sizes` of what is issued.
    """
    usual = usual_sizes(windows)
    each = (linear.quantiles, network, issued.quantiles)
    of_linear, of_network, of_issued = (sizes(quantiles, windows.target) for quantiles in each)
    effects = {name: np.exp(effect) for name, effect in linear.effects.items()}
    return {
        "usual": usual,
        **effects,
        "recent": _ratio(of_linear, usual) / np.prod(list(effects.values()), axis=0),
        "network": _ratio(of_network, of_linear),
        "trees": issued.by_trees,
        "combination": _ratio(of_issued, of_network) / issued.by_trees,
    }


def factor_rows(candidates: Sequence[Candidate], about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of table forecast_parts: why each published median is what it is.

    `about` as in `forecast_rows`.
    """
    shared = {name: about[name] for name in ("symbol", "target", "origin_session", "kind")}
    return [
        {
            **shared,
            "model_id": candidate.model_id,
            "horizon": horizon,
            "part": part,
            "place": order,
            "factor": factor,
        }
        for candidate in candidates
        if candidate.role == CHAMPION
        for h, horizon in enumerate(HORIZONS)
        for order, (part, by) in enumerate(candidate.factors.items(), start=1)
        for factor in [float(by[h])]
    ]


def assign_roles(candidates: Sequence[Candidate], published: Published) -> list[Candidate]:
    """The finite candidates, the published one as `champion`.

    A champion that is not published becomes `silenced`.
    """
    finite = [candidate for candidate in candidates if candidate.is_finite]
    if published.forecaster == CHAMPION:
        return finite
    silenced = [
        replace(candidate, role=SILENCED) if candidate.role == CHAMPION else candidate
        for candidate in finite
    ]
    return [
        replace(one, role=CHAMPION) if one.forecaster == published.forecaster else one
        for one in silenced
    ]


def forecast_rows(
    candidates: Sequence[Candidate],
    published: Published,
    *,
    about: Mapping[str, Any],
    sessions: Sequence[date],
    calendar: Sequence[str],
) -> list[dict[str, Any]]:
    """The rows of table forecasts: `about` in each.

    By horizon, the target session and what is special about it.
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
            **{
                name: float(value)
                for name, value in zip(QUANTILE_COLUMNS, candidate.quantiles[place], strict=True)
            },
        }
        for candidate in candidates
        for place, horizon in enumerate(HORIZONS)
    ]


def inputs_out_of_range(
    windows: Windows, *, trained_from: date, trained_to: date
) -> dict[str, date]:
    """The inputs of the look-back outside the range of those in training, with the newest such session of each.

    Logs of volume and range are less their mean over LEVEL_SESSIONS, so that growth over the years
    does not count. `trained_to` was a target, not an input.
    """
    sessions = len(windows.steps)
    first = int(np.searchsorted(windows.sessions, np.datetime64(trained_from))) - LOOKBACK + 1
    first = max(first, LEVEL_SESSIONS - 1)  # earlier sessions have no mean
    stop = int(np.searchsorted(windows.sessions[:sessions], np.datetime64(trained_to)))
    if stop <= first:
        return {}
    newest = max(stop, sessions - LOOKBACK)
    steps = {name: windows.steps[:, place] for place, name in enumerate(STEP_NAMES)}
    compared = {
        name: steps[step] - trailing_mean(steps[step], LEVEL_SESSIONS)
        for name, step in _LESS_LEVEL.items()
    }
    compared |= {name: steps[name] for name in ("return", "gap")}
    found = {}
    for name, values in compared.items():
        trained = values[first:stop]
        now = values[newest:]
        outside = np.flatnonzero((now < trained.min()) | (now > trained.max()))
        if len(outside):
            found[name] = windows.sessions[newest + outside[-1]].astype(object)
    return found
