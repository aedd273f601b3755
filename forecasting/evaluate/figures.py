"""The figures of a backtest: what its nights published and every baseline, against what came, in the target's unit."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.evaluate.scores import DollarVolumes, dollar_volume_r2, inside, skill
from forecasting.evaluate.significance import SIZE, confidence_set, p_value_of_enough
from forecasting.losses import Floats, absolute_error, pinball
from forecasting.targets import TARGETS
from forecasting.vocabulary import HORIZONS, LSTM, MEDIAN, QUANTILE_COLUMNS, Target

MIN_PAIRS = len(HORIZONS) + 1
"""Origins whose values are known at a horizon: fewer have no Diebold-Mariano test with the lag of
the last one."""

Loss = Callable[[Floats, Floats], Floats]
"""(n, H) losses of quantiles (n, H, Q) against actuals (n, H); NaN where unknown."""


def ranking_loss(target: Target) -> Loss:
    """The loss that ranks and tests baselines: absolute error.

    Where the median is not predictable, pinball.
    """
    return pinball if TARGETS[target].moves_width else absolute_error


@dataclass(frozen=True)
class Figures:
    """The figures of one horizon, or their means over all.

    The fields are keys of the backtest's document.
    """

    mae: float  # of the median, in the target's own unit; naive is the first baseline
    mae_naive: float
    baselines: dict[str, float]
    best_baseline: str  # the one of least ranking loss: absolute error, for close pinball
    skill_vs_naive: float  # 1 - mae / mae_naive; positive is better than naive
    skill_vs_best: float  # the same against the best baseline, in the ranking loss
    # two-sided, of equal loss with the best baseline; None for too few origins
    dm_p_value: float | None
    pinball: float  # mean over the seven levels
    # The baseline of least pinball loss, the skill against it in that loss, and the test's p
    best_in_pinball: str
    pinball_vs_best: float
    pinball_p_value: float | None
    coverage_80: float  # share of actuals inside the central intervals
    coverage_90: float
    # Of log dollar volume over its mean of five sessions; None but for volume
    r2_dollar_volume: float | None
    r2_baselines: dict[str, float]  # the baselines'; empty for other targets


@dataclass(frozen=True)
class BacktestResult:
    """What the nights of n origins published, and what came, in the target's own unit."""

    symbol: str
    target: Target
    origins: NDArray[np.datetime64]  # (n,) days
    target_sessions: NDArray[np.datetime64]  # (n, H) days
    actual: Floats  # (n, H) NaN where unknown
    issued: Floats  # (n, H, Q) published, by the network or by a baseline in its place
    baselines: dict[str, Floats]  # (n, H, Q) of each, refitted every night, the naive one first
    # How many published the network or a baseline, and how many fits were made in which way
    nights: dict[str, int]
    seconds: float
    # Closes and dollar volumes, for R² of target volume; None for other targets
    dollars: DollarVolumes | None = None
    # Up to the newest bar, by their list
    earnings_dates: dict[str, int] = field(default_factory=dict)

    @property
    def fits(self) -> int:
        """How many nights fitted a network."""
        return self.nights["scratch"] + self.nights["warm"]

    def document(self) -> dict[str, object]:
        """The result as the JSON document of `forecasting backtest`."""
        each = {"ours": self.issued, **self.baselines}
        loss = ranking_loss(self.target)
        losses = pd.DataFrame(
            {name: loss(self.actual, issued).mean(axis=1) for name, issued in each.items()}
        )
        # Of origins known throughout
        included, p_values = confidence_set(losses, block=HORIZONS[-1])
        return {
            "symbol": self.symbol,
            "target": self.target,
            "from": str(self.origins[0]),
            "to": str(self.origins[-1]),
            "earnings_dates": self.earnings_dates,
            "origins": len(self.origins),
            "refits": self.fits,
            "nights": self.nights,
            "seconds": round(self.seconds, 3),
            "overall": asdict(self.figures()),
            "horizons": {str(horizon): asdict(self.figures(horizon)) for horizon in HORIZONS},
            "confidence_set": {
                "loss": "pinball" if TARGETS[self.target].moves_width else "mae",
                "level": 1.0 - SIZE,
                "included": included,
                "p_values": p_values,
            },
        }

    def figures(self, horizon: int | None = None) -> Figures:
        """The figures of one horizon, or their means over all."""
        at = slice(None) if horizon is None else slice(horizon - 1, horizon)
        actual = self.actual[:, at]
        issued = self.issued[:, at]
        # The naive one first
        baselines = {name: quantiles[:, at] for name, quantiles in self.baselines.items()}

        def against_best(loss: Loss) -> tuple[str, float, float | None]:
            losses = {name: loss(actual, quantiles) for name, quantiles in baselines.items()}
            best = min(losses, key=lambda name: mean_of(losses[name]))
            ours = loss(actual, issued)
            p = p_value_of_enough(
                ours.mean(axis=1), losses[best].mean(axis=1), horizon=horizon or HORIZONS[-1]
            )
            return best, skill(mean_of(ours), mean_of(losses[best])), p

        best_baseline, skill_vs_best, dm_p_value = against_best(ranking_loss(self.target))
        best_in_pinball, pinball_vs_best, pinball_p_value = against_best(pinball)
        errors = {
            name: mean_of(absolute_error(actual, quantiles))
            for name, quantiles in baselines.items()
        }
        mae = mean_of(absolute_error(actual, issued))
        naive = next(iter(errors.values()))
        return Figures(
            mae=mae,
            mae_naive=naive,
            baselines=errors,
            best_baseline=best_baseline,
            skill_vs_naive=skill(mae, naive),
            skill_vs_best=skill_vs_best,
            dm_p_value=dm_p_value,
            pinball=mean_of(pinball(actual, issued)),
            best_in_pinball=best_in_pinball,
            pinball_vs_best=pinball_vs_best,
            pinball_p_value=pinball_p_value,
            coverage_80=mean_of(np.where(np.isfinite(actual), inside(actual, issued, 80), np.nan)),
            coverage_90=mean_of(np.where(np.isfinite(actual), inside(actual, issued, 90), np.nan)),
            r2_dollar_volume=self._r2(issued, at),
            r2_baselines={
                name: r2
                for name, made in baselines.items()
                if (r2 := self._r2(made, at)) is not None
            },
        )

    def _r2(self, quantiles: Floats, at: slice) -> float | None:
        """R² of log dollar volume of the medians of some horizons.

        None for a target that is no volume.
        """
        if self.dollars is None:
            return None
        dollars = replace(self.dollars, actual=self.dollars.actual[:, at])
        return dollar_volume_r2(dollars, quantiles[..., MEDIAN])

    def metric_rows(self) -> list[dict[str, object]]:
        """The same figures as rows of the table metrics, without model_id and run_id, which the caller adds."""
        about = {"symbol": self.symbol, "target": self.target, "scope": "published"}
        span = {"window_from": self.origins[0].item(), "window_to": self.origins[-1].item()}
        known = np.isfinite(self.actual)
        rows: list[dict[str, object]] = []
        for horizon in (0, *HORIZONS):  # 0 is the mean over all
            n = int(known[:, horizon - 1].sum() if horizon else known.any(axis=1).sum())
            for metric, value, baseline, p_value in _metrics(self.figures(horizon or None)):
                row = {**about, **span, "horizon": horizon, "metric": metric, "value": value}
                rows.append(row | {"n": n, "baseline": baseline, "p_value": p_value})
        return rows


def mean_of(values: Floats) -> float:
    """The mean over the horizons of the mean over origins, of the known values (n, H)."""
    return float(np.nanmean(values, axis=0).mean())


def _metrics(part: Figures) -> list[tuple[str, float, str, float | None]]:
    """Name and value of each figure, the baseline that it is against or of, and its p-value."""
    values = {
        name: value
        for name, value in asdict(part).items()
        if isinstance(value, float) and "p_value" not in name
    }
    tests = {"skill_vs_best": (part.best_baseline, part.dm_p_value)}
    tests["pinball_vs_best"] = part.best_in_pinball, part.pinball_p_value
    rows = [(metric, value, *tests.get(metric, ("", None))) for metric, value in values.items()]
    for prefix, of_baselines in (("mae", part.baselines), ("r2", part.r2_baselines)):
        rows += [(f"{prefix}_{name}", value, name, None) for name, value in of_baselines.items()]
    return rows


def forecast_frame(result: BacktestResult) -> pd.DataFrame:
    """A row a forecaster, origin and horizon, ascending by origin and horizon, what was published before the baselines.

    Columns symbol, target, model (text; `lstm` is what was published), origin_session,
    target_session (naive midnights), horizon (int64), q05 to q95, actual (NaN where unknown), error
    (q50 - actual) and pinball (float64, in the target's unit).
    """
    n = len(result.origins)
    shared = {
        "origin_session": np.repeat(result.origins.astype("datetime64[ns]"), len(HORIZONS)),
        "target_session": result.target_sessions.astype("datetime64[ns]").ravel(),
        "horizon": np.tile(np.array(HORIZONS, dtype=np.int64), n),
    }
    frames = []
    for name, issued in {LSTM: result.issued, **result.baselines}.items():
        flat = {"symbol": result.symbol, "target": result.target, "model": name, **shared}
        flat |= dict(zip(QUANTILE_COLUMNS, issued.reshape(n * len(HORIZONS), -1).T, strict=True))
        flat |= {
            "actual": result.actual.ravel(),
            "error": (issued[..., MEDIAN] - result.actual).ravel(),
        }
        frames.append(pd.DataFrame(flat | {"pinball": pinball(result.actual, issued).ravel()}))
    frame = pd.concat(frames).astype(dict.fromkeys(("symbol", "target", "model"), "string"))
    return frame.sort_values(["origin_session", "horizon"], kind="stable", ignore_index=True)


def figure_frame(result: BacktestResult) -> pd.DataFrame:
    """A row a figure: the columns of table metrics but for the ids.

    Those without a test have p_value NaN.
    """
    texts = dict.fromkeys(("symbol", "target", "scope", "metric", "baseline"), "string")
    types = {
        "window_from": "datetime64[ns]",
        "window_to": "datetime64[ns]",
        **texts,
        "p_value": "float64",
    }
    return pd.DataFrame(result.metric_rows()).astype(types)
