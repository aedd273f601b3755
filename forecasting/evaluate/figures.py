"""The figures of a backtest: its nights and every baseline against what came."""

from dataclasses import asdict, dataclass, field, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.evaluate.comparison import Comparison, lead_over, over_limit, verdict_of
from forecasting.evaluate.scores import DollarVolumes, dollar_volume_r2, inside, mean_of, skill
from forecasting.evaluate.significance import p_value_of_enough
from forecasting.losses import Floats, absolute_error, pinball
from forecasting.targets import TARGETS
from forecasting.vocabulary import (
    HORIZONS,
    LSTM,
    MEDIAN,
    PUBLISHED,
    QUANTILE_COLUMNS,
    Target,
)

MIN_PAIRS = len(HORIZONS) + 1
"""Origins whose values are known at a horizon: fewer have no Diebold-Mariano test with the lag of
the last one."""


@dataclass(frozen=True)
class Figures:
    """The figures of one horizon, or their means over all."""

    mae: float  # of the median, in the target's own unit
    baselines: dict[str, float]  # the same of each baseline, the naive one first
    pinball: float  # mean over the seven levels
    # The target's reference baseline, the skill against it in pinball loss, and the two-sided p of
    # equal loss; None for too few origins
    reference: str
    reference_skill: float
    reference_p_value: float | None
    coverage_80: float  # share of actuals inside the central intervals
    coverage_90: float
    # Of log dollar volume over its mean of five sessions; None but for volume
    r2_dollar_volume: float | None
    r2_baselines: dict[str, float]  # the baselines'; empty for other targets


@dataclass(frozen=True)
class TotalFigures:
    """The figures of the volume of the next sessions together, for one number of sessions."""

    pinball: float  # mean over the seven levels
    skill_vs_reference: float
    coverage_80: float  # share of actual totals inside the central intervals
    coverage_90: float


@dataclass(frozen=True)
class BacktestSummary:
    """What is shown of a backtest."""

    symbol: str
    target: Target
    first: str  # origin session, as text
    last: str
    earnings_dates: dict[str, int]
    origins: int
    refits: int
    nights: dict[str, int]
    seconds: float
    next_session: Comparison
    overall: Figures
    horizons: dict[str, Figures]
    totals: dict[str, TotalFigures]  # by the number of sessions as text; empty but for volume


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
    # (n, H + 2, Q) of the next 1 to 5, 10 and 20 sessions together, published and of the reference
    # baseline, NaN for 1; None but for volume
    totals: tuple[Floats, Floats] | None = None
    rivals: dict[str, Floats] = field(default_factory=dict)  # (n, H, Q) of each, as baselines
    # Up to the newest bar, by their list
    earnings_dates: dict[str, int] = field(default_factory=dict)

    @property
    def fits(self) -> int:
        """How many nights fitted a network."""
        return self.nights["scratch"] + self.nights["warm"]

    def summary(self) -> BacktestSummary:
        """What is shown of it."""
        return BacktestSummary(
            symbol=self.symbol,
            target=self.target,
            first=str(self.origins[0]),
            last=str(self.origins[-1]),
            earnings_dates=self.earnings_dates,
            origins=len(self.origins),
            refits=self.fits,
            nights=self.nights,
            seconds=round(self.seconds, 3),
            next_session=self.comparison(),
            overall=self.figures(),
            horizons={str(horizon): self.figures(horizon) for horizon in HORIZONS},
            totals=self._totals(),
        )

    def comparison(self) -> Comparison:
        """The forecasts of the next session against those of each other forecaster."""
        actual, issued = self.actual[:, 0], self.issued[:, 0]
        both = self.baselines | self.rivals
        others = {name: both[name][:, 0] for name in both}
        leads = {name: lead_over(actual, issued, theirs) for name, theirs in others.items()}
        rules = TARGETS[self.target]
        medians = {PUBLISHED: issued, **others} if rules.has_totals else {}
        figures = self.figures(1)
        return Comparison(
            nights=int(np.isfinite(actual).sum()),
            mae=figures.mae,
            mae_share=figures.mae / mean_of(actual),
            coverage_80=figures.coverage_80,
            leads=leads,
            over_limit={
                name: over_limit(actual, quantiles[:, MEDIAN])
                for name, quantiles in medians.items()
            },
            verdict=verdict_of(leads, reference=rules.reference, own=self.rivals),
        )

    def figures(self, horizon: int | None = None) -> Figures:
        """The figures of one horizon, or their means over all."""
        at = slice(None) if horizon is None else slice(horizon - 1, horizon)
        actual = self.actual[:, at]
        issued = self.issued[:, at]
        baselines = {name: quantiles[:, at] for name, quantiles in self.baselines.items()}
        reference = TARGETS[self.target].reference
        ours = pinball(actual, issued)
        theirs = pinball(actual, baselines[reference])
        r2 = {name: self._r2(quantiles, at) for name, quantiles in baselines.items()}
        return Figures(
            mae=mean_of(absolute_error(actual, issued)),
            baselines={
                name: mean_of(absolute_error(actual, quantiles))
                for name, quantiles in baselines.items()
            },
            pinball=mean_of(ours),
            reference=reference,
            reference_skill=skill(mean_of(ours), mean_of(theirs)),
            reference_p_value=p_value_of_enough(
                ours.mean(axis=1), theirs.mean(axis=1), horizon=horizon or HORIZONS[-1]
            ),
            coverage_80=_coverage(actual, issued, 80),
            coverage_90=_coverage(actual, issued, 90),
            r2_dollar_volume=self._r2(issued, at),
            r2_baselines={name: value for name, value in r2.items() if value is not None},
        )

    def _totals(self) -> dict[str, TotalFigures]:
        """Return the figures of the totals by their number of sessions; empty but for volume."""
        if self.totals is None:
            return {}
        by_length = {}
        for sessions in HORIZONS[1:]:
            at = slice(sessions - 1, sessions)
            actual = np.cumsum(self.actual, axis=1)[:, at]
            issued, reference = (quantiles[:, at] for quantiles in self.totals)
            loss = mean_of(pinball(actual, issued))
            by_length[str(sessions)] = TotalFigures(
                pinball=loss,
                skill_vs_reference=skill(loss, mean_of(pinball(actual, reference))),
                coverage_80=_coverage(actual, issued, 80),
                coverage_90=_coverage(actual, issued, 90),
            )
        return by_length

    def _r2(self, quantiles: Floats, at: slice) -> float | None:
        """R² of log dollar volume of the medians of some horizons; None without dollars."""
        if self.dollars is None:
            return None
        dollars = replace(self.dollars, actual=self.dollars.actual[:, at])
        return dollar_volume_r2(dollars, quantiles[..., MEDIAN])


def _coverage(actual: Floats, quantiles: Floats, percent: Literal[80, 90]) -> float:
    within = inside(actual, quantiles, percent)
    return mean_of(np.where(np.isfinite(actual), within, np.nan))


def _metrics(part: Figures) -> list[tuple[str, float, str, float | None]]:
    """Name and value of each figure, the baseline that it is against or of, and its p-value."""
    tests = {"reference_skill": (part.reference, part.reference_p_value)}
    rows = [
        (name, value, *tests.get(name, ("", None)))
        for name, value in asdict(part).items()
        if isinstance(value, float) and not name.endswith("p_value")
    ]
    for prefix, of_baselines in (("mae", part.baselines), ("r2", part.r2_baselines)):
        rows += [(f"{prefix}_{name}", value, name, None) for name, value in of_baselines.items()]
    return rows


def forecast_frame(result: BacktestResult) -> pd.DataFrame:
    """A row a forecaster, origin and horizon, by origin and horizon, the published first.

    Columns symbol, target, model (text; `lstm` is what was published), origin_session,
    target_session (naive midnights), horizon (int64), q05 to q95, actual (NaN where unknown), error
    (q50 - actual) and pinball (float64, in the target's unit).
    """
    horizons = len(HORIZONS)
    shared = {
        "symbol": result.symbol,
        "target": result.target,
        "model": "",
        "origin_session": np.repeat(result.origins.astype("datetime64[ns]"), horizons),
        "target_session": result.target_sessions.astype("datetime64[ns]").ravel(),
        "horizon": np.tile(np.array(HORIZONS, dtype=np.int64), len(result.origins)),
    }
    actual = result.actual.ravel()
    frames = []
    for name, issued in {LSTM: result.issued, **result.baselines, **result.rivals}.items():
        by_level = issued.reshape(len(actual), -1).T
        quantiles = dict(zip(QUANTILE_COLUMNS, by_level, strict=True))
        frame = pd.DataFrame(shared | {"model": name} | quantiles)
        frames.append(
            frame.assign(
                actual=actual,
                error=by_level[MEDIAN] - actual,
                pinball=pinball(result.actual, issued).ravel(),
            )
        )
    frame = pd.concat(frames).astype(dict.fromkeys(("symbol", "target", "model"), "string"))
    return frame.sort_values(["origin_session", "horizon"], kind="stable", ignore_index=True)


def comparison_frame(result: BacktestResult) -> pd.DataFrame:
    """A row a forecaster that the published forecasts are compared with, of the next session."""
    found = result.comparison()
    rows = [
        {"symbol": result.symbol, "forecaster": name, **asdict(lead), "verdict": found.verdict}
        for name, lead in found.leads.items()
    ]
    return pd.DataFrame(rows).rename(columns={"share": "lead"}).astype({"p_value": "float64"})


def figure_frame(result: BacktestResult) -> pd.DataFrame:
    """A row a figure: the columns of table metrics but for the ids; p_value NaN without a test."""
    shared = {
        "symbol": result.symbol,
        "target": result.target,
        "scope": "published",
        "window_from": result.origins[0],
        "window_to": result.origins[-1],
    }
    known = np.isfinite(result.actual)
    rows = []
    for horizon in (0, *HORIZONS):  # 0 is the mean over all
        n = int(known[:, horizon - 1].sum() if horizon else known.any(axis=1).sum())
        for metric, value, baseline, p_value in _metrics(result.figures(horizon or None)):
            row = {"horizon": horizon, "metric": metric, "value": value, "n": n}
            rows.append({**shared, **row, "baseline": baseline, "p_value": p_value})
    texts = dict.fromkeys(("symbol", "target", "scope", "metric", "baseline"), "string")
    days = dict.fromkeys(("window_from", "window_to"), "datetime64[ns]")
    return pd.DataFrame(rows).astype(texts | days | {"p_value": "float64"})
