"""Whether the forecasts of a backtest are better than others of the same nights: the verdict."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from forecasting.evaluate.scores import mean_of, skill
from forecasting.evaluate.significance import ENOUGH_NIGHTS, p_value_of_enough
from forecasting.losses import Floats, pinball

Verdict = Literal["use", "no_better", "own_better", "too_few"]

A_YEAR = 240
"""Nights, of the 250 that a backtest has, some may be without a bar."""

ORDER_SHARE = 0.10
"""Of tomorrow's expected volume: the size of the order by which forecasters are compared."""

LIMIT_SHARE = 0.15
"""Of tomorrow's volume: what that order should not exceed."""


@dataclass(frozen=True)
class Lead:
    """The published forecasts over those of another forecaster, on the nights that have both."""

    n: int
    share: float  # 1 - pinball loss / its pinball loss; NaN where its loss is 0
    p_value: float | None  # of equal loss: Diebold and Mariano's; None for too few nights

    @property
    def is_sure(self) -> bool:
        """Whether its sign can be relied on where it says that the other is better."""
        return self.n >= A_YEAR or (self.p_value is not None and self.p_value < 0.05)


@dataclass(frozen=True)
class Comparison:
    """The forecasts of the next session against those of each other forecaster."""

    nights: int
    mae: float  # of the median, in the target's unit
    mae_share: float  # of the mean actual value
    coverage_80: float
    leads: dict[str, Lead]  # over each other forecaster
    # Share of nights on which ORDER_SHARE of the median was over LIMIT_SHARE of the volume, as
    # `published` and by forecaster; empty but for volume
    over_limit: dict[str, float]
    verdict: Verdict


def lead_over(actual: Floats, ours: Floats, theirs: Floats) -> Lead:
    """The lead in pinball loss of `ours` over `theirs`, quantiles (n, Q) of the same nights."""
    our_loss = pinball(actual, ours)
    their_loss = pinball(actual, theirs)
    both = np.isfinite(our_loss) & np.isfinite(their_loss)
    return Lead(
        int(both.sum()),
        skill(mean_of(our_loss[both]), mean_of(their_loss[both])),
        p_value_of_enough(our_loss[both], their_loss[both], horizon=1),
    )


def verdict_of(leads: Mapping[str, Lead], *, reference: str, own: Collection[str] = ()) -> Verdict:
    """What to do with these forecasts, by their leads over the reference baseline and your own.

    They are to be used where they lost less, and not where they lost more on A_YEAR of nights, or
    on fewer with a p below 0.05. Chosen by `benchmarks/decisions.py`: on stocks of the choosing
    set 31 of 147 spans of 60 nights were behind the ridge, and of all the next year was ahead.

    Args:
        leads: Over each other forecaster.
        reference: The target's reference baseline.
        own: The user's forecasters.
    """
    compared = {name: leads[name] for name in (*own, reference) if leads[name].n >= ENOUGH_NIGHTS}
    behind = {name: lead for name, lead in compared.items() if lead.share < 0}
    for name, lead in behind.items():
        if lead.is_sure:
            return "no_better" if name == reference else "own_better"
    return "too_few" if behind or reference not in compared else "use"


def over_limit(actual: Floats, medians: Floats) -> float:
    """Share of nights on which an order by the median was over the limit, of those that have both.

    Args:
        actual: (n,) volumes.
        medians: (n,) forecasts of these.
    """
    known = np.isfinite(actual) & np.isfinite(medians)
    orders = ORDER_SHARE * medians[known]
    return float(np.mean(orders > LIMIT_SHARE * actual[known])) if known.any() else np.nan
