"""What differs between the targets: their values, models and words; all else is the same."""

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PRICE_TOLERANCE = 1e-5
"""Relative difference up to which two prices are the same: those of Yahoo's responses, and of
another share basis, differ in their last digits."""

Values = TypeVar(
    "Values",
    float,
    NDArray[np.float64],
    pd.Series,
)


@dataclass(frozen=True)
class TargetRules:
    """One target; the defaults are those of a value that scales with its usual level."""

    # Values
    columns: tuple[str, ...]  # of a bar that its value needs
    unit: Literal["shares", "money", "percent"]
    # What losses are rounded to, in its unit, so that their sums are exact in any order
    grain: float
    # Models
    baselines: tuple[str, ...]  # the naive one first
    reference: str  # the one that skill is measured against: best one session ahead
    network_weight: float  # the usual one; the linear model has the rest
    first_factor: float  # of widths before anything has closed: in-sample they are too narrow
    row_half_life: float  # sessions after which a row's weight in the linear model is half
    # Words
    label: str
    verb: str
    # Values
    per_split: Literal[1, 0, -1] = 0  # whether it grows, stays or shrinks with new shares per share
    usual_sessions: int = 20  # newest known values, whose median is the usual one
    usual_name: str = "the usual"
    usual_of: str = "median of the last 20 sessions up to"  # a day
    change_decimals: int = 0  # of a change against usual in percent
    note: str = ""
    # Models
    moves_width: bool = False  # whether inputs move only its width: its median is a random walk's
    past_series: Literal["log_volume", "log_range"] = "log_range"  # of bars, it depends on
    effect_half_life: float = np.inf  # sessions after which one weighs half in a calendar effect
    has_totals: bool = False  # whether its sessions add up: only then are totals forecast
    has_trees: bool = False  # where trees gain (docs/experiments.md)

    def to_present(self, values: Values, split_factor: Values | float) -> Values:
        """Values of before a split, on the share basis after it.

        `split_factor` is new shares per share.
        """
        if self.per_split == 0:
            return values
        return values * split_factor if self.per_split == 1 else values * (1.0 / split_factor)

    def to_issued(self, values: Values, split_factor: Values | float) -> Values:
        """The inverse of `to_present`: values of after a split on the share basis before it."""
        if self.per_split == 0:
            return values
        return values * (1.0 / split_factor) if self.per_split == 1 else values * split_factor


TARGETS: dict[str, TargetRules] = {
    "volume": TargetRules(
        columns=("volume",),
        unit="shares",
        grain=2.0**-10,
        baselines=("last_value", "seasonal", "rolling_median", "har", "ridge"),
        reference="ridge",
        network_weight=1.0,
        first_factor=1.0,
        row_half_life=1000.0,
        label="daily volume",
        verb="is expected to trade",
        per_split=1,
        past_series="log_volume",
        # The effect of index funds grows: from 2020 on a Russell reconstitution traded twice the
        # ten-year mean. Effects on the range are stable, and estimated best from every session.
        effect_half_life=1000.0,
        has_totals=True,
        has_trees=True,
    ),
    "close": TargetRules(
        columns=("close",),
        unit="money",
        grain=2.0**-30,
        baselines=("random_walk", "har_volatility"),
        reference="har_volatility",
        network_weight=0.3,  # the linear model has the gaps, on which the width depends
        first_factor=1.02,
        row_half_life=2000.0,  # a single return is a noisy measure of width
        label="closing price",
        verb="is expected to close at",
        per_split=-1,
        usual_sessions=1,
        usual_name="the last close,",
        usual_of="close of",
        change_decimals=1,
        note="vs_usual is of the price, why of the width of its 80% interval.",
        moves_width=True,
    ),
    "range": TargetRules(
        columns=("high", "low"),
        unit="percent",
        grain=2.0**-40,
        baselines=("last_value", "rolling_median", "har", "ridge"),
        reference="ridge",
        network_weight=0.9,
        first_factor=1.05,  # it varies less in-sample than later
        row_half_life=1000.0,
        label="daily range, log(high / low)",
        verb="is expected to move over a range of",
        note="A range is log(high / low): 0.015 is 1.5%.",
    ),
}
