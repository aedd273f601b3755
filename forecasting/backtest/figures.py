"""The figures of a backtest: ours, every baseline's, and whether the difference between them is luck."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from forecasting.evaluate.scores import inside, skill
from forecasting.evaluate.significance import ConfidenceSet, confidence_set, diebold_mariano
from forecasting.losses import Floats, absolute_error, pinball
from forecasting.vocabulary import HORIZONS, Target

Loss = Callable[[Floats, Floats], Floats]
"""(n, H) losses of quantiles (n, H, Q) against actuals (n, H); NaN where not known."""


def ranking_loss(target: Target) -> Loss:
    """What baselines are ranked and tested by: absolute error, and for close, whose median none knows, pinball."""
    return pinball if target == "close" else absolute_error


@dataclass(frozen=True)
class Figures:
    """One horizon's figures, or the mean over all; the fields are the keys of the document of `forecasting backtest`.

    Attributes:
        mae: Of the median, in the target's own unit; mae_naive and baselines are the baselines' (naive is the first).
        best_baseline: Least loss: absolute error, and for close, whose median none claims to know, pinball.
        skill_vs_naive: 1 - mae / mae_naive; positive is better than naive.
        skill_vs_best: The same against the best baseline in the loss that it was chosen by.
        dm_p_value: Two-sided, of equal loss against the best baseline (Diebold-Mariano, small-sample correction).
        pinball: Mean over the seven levels.
        coverage_80, coverage_90: Share of actuals inside the central intervals.
    """

    mae: float
    mae_naive: float
    baselines: dict[str, float]
    best_baseline: str
    skill_vs_naive: float
    skill_vs_best: float
    dm_p_value: float
    pinball: float
    coverage_80: float
    coverage_90: float


def figures(
    target: Target, actual: Floats, issued: Floats, baselines: dict[str, Floats], *, horizon: int | None = None
) -> Figures:
    """The figures of one horizon or, without it, their means over the horizons.

    Args:
        target: Chooses the loss by which baselines are ranked and tested.
        actual: (n, H) in the target's own unit; NaN where not known.
        issued: (n, H, Q) quantiles.
        baselines: (n, H, Q) each; the first is the naive one.
        horizon: 1 .. H, or None for all.
    """
    at = slice(None) if horizon is None else slice(horizon - 1, horizon)
    actual, issued = actual[:, at], issued[:, at]
    rivals = {name: quantiles[:, at] for name, quantiles in baselines.items()}
    loss = ranking_loss(target)
    losses = {name: loss(actual, quantiles) for name, quantiles in rivals.items()}
    errors = {name: _mean(absolute_error(actual, quantiles)) for name, quantiles in rivals.items()}
    best = min(losses, key=lambda name: _mean(losses[name]))
    ours, mae, naive = loss(actual, issued), _mean(absolute_error(actual, issued)), next(iter(errors.values()))
    test = diebold_mariano(ours.mean(axis=1), losses[best].mean(axis=1), horizon=horizon or HORIZONS[-1])
    return Figures(
        mae=mae,
        mae_naive=naive,
        baselines=errors,
        best_baseline=best,
        skill_vs_naive=skill(mae, naive),
        skill_vs_best=skill(_mean(ours), _mean(losses[best])),
        dm_p_value=test.p_value,
        pinball=_mean(pinball(actual, issued)),
        coverage_80=_mean(np.where(np.isfinite(actual), inside(actual, issued, 80), np.nan)),
        coverage_90=_mean(np.where(np.isfinite(actual), inside(actual, issued, 90), np.nan)),
    )


def best_set(actual: Floats, issued: Floats, baselines: dict[str, Floats], *, loss: Loss) -> ConfidenceSet:
    """Which of ours (named `ours`) and the baselines cannot be told from the best: the 90 % model confidence set.

    Args:
        actual: (n, H) NaN where not known; an origin counts once all its horizons are.
        issued: (n, H, Q) ours.
        baselines: (n, H, Q) each.
        loss: By which they are held against each other, in its mean over the horizons.
    """
    import pandas as pd

    said = {"ours": issued, **baselines}
    losses = {name: loss(actual, quantiles).mean(axis=1) for name, quantiles in said.items()}
    return confidence_set(pd.DataFrame(losses), block=HORIZONS[-1])


def metric_rows(one: Figures, *, horizon: int, n: int) -> list[dict[str, object]]:
    """The figures as rows of the table metrics, from horizon (0 is the mean over all) to p_value."""
    values = {name: value for name, value in asdict(one).items() if isinstance(value, float) and name != "dm_p_value"}
    against = {"skill_vs_best": (one.best_baseline, one.dm_p_value)}
    rows: list[dict[str, object]] = []
    for metric, value in values.items():
        baseline, p_value = against.get(metric, ("", None))
        row = {"horizon": horizon, "metric": metric, "value": value, "n": n, "baseline": baseline, "p_value": p_value}
        rows.append(row)
    for name, value in one.baselines.items():
        row = {"metric": f"mae_{name}", "value": value, "n": n, "baseline": name, "p_value": None}
        rows.append({"horizon": horizon} | row)
    return rows


def _mean(values: Floats) -> float:
    """Mean over the horizons of the mean over origins of what is known."""
    return float(np.nanmean(values, axis=0).mean())
