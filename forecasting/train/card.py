"""The metadata of a checkpoint."""

from dataclasses import dataclass
from typing import Literal

from forecasting.preprocess.future_covariates import EVENT_NAMES
from forecasting.vocabulary import Target

FORMAT = 2
"""Version of a checkpoint's folder."""

Vector = tuple[float, ...]


@dataclass(frozen=True)
class Card:
    """The metadata of a checkpoint; every field can be written as JSON and read back to the bit.

    Attributes:
        target: What it forecasts.
        method: scratch, warm, or base (pretrained on many symbols).
        flag_names: The flags it was fitted with, in order.
        effect: (C,) coefficients of the flags' effect, and effect_intercept.
        market_mean, market_effect: (M,) and (H, M) of the market's effect; zeros without a market series.
        step_mean, step_scale: (S,) standardisation of the look-back's features, from training rows alone.
        past_mean, past_scale: (P,) the same of a row's features.
        trained_from, trained_to: Oldest origin and newest session whose value was used in training.
        rows: Training rows.
        epochs: Epochs of this fit; chain_epochs those since the last fit from scratch, this one included.
        validation_loss: Pinball loss, model scale, on the purged validation rows that chose the epochs (warm: its
            parent's); None if the epochs are fixed.
        base: The pretrained weights that its chain of fits started from, or that it holds: the name of a
            shipped folder; empty for random weights.
        settings_hash, seed, members: The settings of the fit.
        architecture, format: Versions of the network's shape and of the folder.
    """

    target: Target
    method: Literal["scratch", "warm", "base"]
    flag_names: tuple[str, ...]
    effect: Vector
    effect_intercept: float
    market_mean: Vector
    market_effect: tuple[Vector, ...]
    step_mean: Vector
    step_scale: Vector
    past_mean: Vector
    past_scale: Vector
    trained_from: str
    trained_to: str
    rows: int
    epochs: int
    chain_epochs: int
    validation_loss: float | None
    base: str
    settings_hash: str
    seed: int
    members: int
    architecture: int
    format: int = FORMAT

    @property
    def has_events(self) -> bool:
        """Whether its effects were estimated with earnings dates: a flag that is never set has an effect 0."""
        return any(self.effect[-len(EVENT_NAMES) :])

    @property
    def has_market(self) -> bool:
        """Whether it was fitted with a market series."""
        return any(map(any, self.market_effect))
