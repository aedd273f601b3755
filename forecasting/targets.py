"""What differs between the targets: their values, models and words; all else is the same."""

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.vocabulary import BASELINES

PRICE_TOLERANCE = 1e-5
"""Relative difference up to which two prices are the same: those of Yahoo's responses, and of
another share basis, differ in their last digits."""

Values = TypeVar("Values", float, NDArray[np.float64], pd.Series)


@dataclass(frozen=True)
class TargetRules:
    """One target; the defaults are those of a value that scales with its usual level."""

    # Values
    columns: tuple[str, ...]  # of a bar that its value needs
    unit: Literal["shares", "percent"]
    # What losses are rounded to, in its unit, so that their sums are exact in any order
    grain: float
    # Models
    baselines: tuple[str, ...]  # the naive one first, the usually strongest last
    reference: str  # the one that skill is measured against: best one session ahead
    network_weight: float  # the usual one; the linear model has the rest
    first_factor: float  # of widths before anything has closed: in-sample they are too narrow
    # Words
    label: str
    verb: str
    # Values
    per_split: bool = False  # whether it grows with new shares per share
    note: str = ""
    # Models
    effect_half_life: float = np.inf  # sessions after which one weighs half in a calendar effect
    has_totals: bool = False  # whether its sessions add up: only then are totals forecast
    has_trees: bool = False  # where trees gain (docs/experiments.md)

    def to_present(self, values: Values, split_factor: Values | float) -> Values:
        """Values of before a split, on the share basis after it.

        `split_factor` is new shares per share.
        """
        return values * split_factor if self.per_split else values

    def to_issued(self, values: Values, split_factor: Values | float) -> Values:
        """The inverse of `to_present`: values of after a split on the share basis before it."""
        return values * (1.0 / split_factor) if self.per_split else values


TARGETS: dict[str, TargetRules] = {
    "volume": TargetRules(
        columns=("volume",),
        unit="shares",
        grain=2.0**-10,
        baselines=BASELINES,
        reference="ridge",
        network_weight=1.0,
        first_factor=1.0,
        label="daily volume",
        verb="is expected to trade",
        per_split=True,
        # The effect of index funds grows: from 2020 on a Russell reconstitution traded twice the
        # ten-year mean. Effects on the range are stable, and estimated best from every session.
        effect_half_life=1000.0,
        has_totals=True,
        has_trees=True,
    ),
    "range": TargetRules(
        columns=("high", "low"),
        unit="percent",
        grain=2.0**-40,
        baselines=("last_value", "rolling_median", "har", "ridge"),
        reference="ridge",
        network_weight=0.9,
        first_factor=1.05,  # it varies less in-sample than later
        label="daily range, log(high / low)",
        verb="is expected to move over a range of",
        note="A range is log(high / low): 0.015 is 1.5%.",
    ),
}
