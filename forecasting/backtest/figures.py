"""The figures of a backtest: the project's, every baseline's, and the significance of the difference."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np

from forecasting.evaluate.scores import DollarVolumes, dollar_volume_r2, inside, skill
from forecasting.evaluate.significance import ConfidenceSet, confidence_set, p_value_of_enough
from forecasting.losses import Floats, absolute_error, pinball
from forecasting.vocabulary import HORIZONS, MEDIAN, Target

Loss = Callable[[Floats, Floats], Floats]
"""(n, H) losses of quantiles (n, H, Q) against actuals (n, H); NaN where unknown."""


def ranking_loss(target: Target) -> Loss:
    """The loss that ranks and tests baselines: absolute error; for close, whose median is not predictable, pinball."""
    return pinball if target == "close" else absolute_error


@dataclass(frozen=True)
class Figures:
    """The figures of one horizon, or their means over all; the fields are keys of the backtest's document."""

    mae: float  # of the median, in the target's own unit; naive is the first baseline
    mae_naive: float
    baselines: dict[str, float]
    best_baseline: str  # the one of least ranking loss: absolute error, for close pinball
    skill_vs_naive: float  # 1 - mae / mae_naive; positive is better than naive
    skill_vs_best: float  # the same against the best baseline, in the ranking loss
    dm_p_value: float | None  # two-sided, of equal loss with the best baseline; None for too few origins
    pinball: float  # mean over the seven levels
    coverage_80: float  # share of actuals inside the central intervals
    coverage_90: float
    r2_dollar_volume: float | None  # of log dollar volume over its mean of five sessions; None but for volume
    r2_baselines: dict[str, float]  # the baselines'; empty for other targets


def figures(
    target: Target,
    actual: Floats,
    issued: Floats,
    baselines: dict[str, Floats],
    *,
    horizon: int | None = None,
    dollars: DollarVolumes | None = None,
) -> Figures:
    """The figures of one horizon or, without it, their means over the horizons.

    Args:
        target: Sets the ranking loss.
        actual: (n, H) in the target's own unit; NaN where unknown.
        issued: (n, H, Q) quantiles.
        baselines: (n, H, Q) each; the first is the naive one.
        horizon: 1 .. H, or None for all.
        dollars: Of the n origins, for target volume; None for the others, which have no R².
    """
    at = slice(None) if horizon is None else slice(horizon - 1, horizon)
    actual, issued = actual[:, at], issued[:, at]
    baselines = {name: quantiles[:, at] for name, quantiles in baselines.items()}
    loss = ranking_loss(target)
    losses = {name: loss(actual, quantiles) for name, quantiles in baselines.items()}
    errors = {name: _mean(absolute_error(actual, quantiles)) for name, quantiles in baselines.items()}
    best = min(losses, key=lambda name: _mean(losses[name]))
    dollars = None if dollars is None else replace(dollars, actual=dollars.actual[:, at])
    ours, mae, naive = loss(actual, issued), _mean(absolute_error(actual, issued)), next(iter(errors.values()))
    both = ours.mean(axis=1), losses[best].mean(axis=1)
    return Figures(
        mae=mae,
        mae_naive=naive,
        baselines=errors,
        best_baseline=best,
        skill_vs_naive=skill(mae, naive),
        skill_vs_best=skill(_mean(ours), _mean(losses[best])),
        dm_p_value=p_value_of_enough(*both, horizon=horizon or HORIZONS[-1]),
        pinball=_mean(pinball(actual, issued)),
        coverage_80=_mean(np.where(np.isfinite(actual), inside(actual, issued, 80), np.nan)),
        coverage_90=_mean(np.where(np.isfinite(actual), inside(actual, issued, 90), np.nan)),
        r2_dollar_volume=_r2(dollars, {"ours": issued}).get("ours"),
        r2_baselines=_r2(dollars, baselines),
    )


def _r2(dollars: DollarVolumes | None, forecasts: dict[str, Floats]) -> dict[str, float]:
    """R² of the medians of quantiles (n, H, Q), by forecaster; empty without dollar volumes."""
    if dollars is None:
        return {}
    return {name: dollar_volume_r2(dollars, quantiles[..., MEDIAN]) for name, quantiles in forecasts.items()}


def best_set(actual: Floats, issued: Floats, baselines: dict[str, Floats], *, loss: Loss) -> ConfidenceSet:
    """The 90 % model confidence set of the issued forecasts (named `ours`) and the baselines, by a mean over horizons.

    Only origins with all horizons known count; shapes as in `figures`.
    """
    import pandas as pd

    forecasts = {"ours": issued, **baselines}
    losses = {name: loss(actual, quantiles).mean(axis=1) for name, quantiles in forecasts.items()}
    return confidence_set(pd.DataFrame(losses), block=HORIZONS[-1])


def metric_rows(part: Figures, *, horizon: int, n: int) -> list[dict[str, object]]:
    """Rows of the table metrics, with columns horizon (0 is the mean over all) to p_value."""
    values = {name: value for name, value in asdict(part).items() if isinstance(value, float) and name != "dm_p_value"}
    tests = {"skill_vs_best": (part.best_baseline, part.dm_p_value)}
    rows: list[dict[str, object]] = []
    for metric, value in values.items():
        baseline, p_value = tests.get(metric, ("", None))
        row = {"horizon": horizon, "metric": metric, "value": value, "n": n, "baseline": baseline, "p_value": p_value}
        rows.append(row)
    for prefix, of_baselines in (("mae", part.baselines), ("r2", part.r2_baselines)):
        for name, value in of_baselines.items():
            row = {"metric": f"{prefix}_{name}", "value": value, "n": n, "baseline": name, "p_value": None}
            rows.append({"horizon": horizon} | row)
    return rows


def _mean(values: Floats) -> float:
    """Mean over the horizons of the mean over origins, of the known values."""
    return float(np.nanmean(values, axis=0).mean())
