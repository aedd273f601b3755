"""From windows to the inputs of a fit: effects of calendar and market, scaler, tensors and training rows.

The market series' effect is estimated with the linear model and removed before the network. As an input of the network,
a series that all symbols share says which day it is: networks pretrained on 94 stocks learned its past by heart, and
lost 6 % (close) where a ridge gains 1 %. So its effect is estimated as the calendar's is, in closed form and for each
symbol, and the network learns what remains.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from forecasting.errors import ArtifactError
from forecasting.losses import Floats
from forecasting.preprocess.market import MARKET_NAMES
from forecasting.preprocess.windows import MIN_ROWS, Windows
from forecasting.settings import Settings
from forecasting.train.calendar_effects import AdjustedWindows, CalendarEffect, Rows, adjust, fit_effect
from forecasting.train.checkpoint import Card, Checkpoint, Vector
from forecasting.train.linear import fit_ridges
from forecasting.train.loop import TrainingRows, make_tensors
from forecasting.train.model import ARCHITECTURE
from forecasting.vocabulary import HORIZONS


@dataclass(frozen=True)
class Prepared:
    """One symbol's inputs for training or inference."""

    card: Card  # scaler and effect, with the rows and settings that they come from
    adjusted: AdjustedWindows  # the windows with the effect removed
    training: TrainingRows  # standardised tensors, and the training rows


def prepare(windows: Windows, *, method: Literal["scratch", "warm", "base"], settings: Settings) -> Prepared:
    """The windows with their own effects and scaler, estimated on the rows with a known target alone."""
    from sklearn.preprocessing import StandardScaler

    rows = training_rows(windows)
    effect = fit_effect(windows)
    adjusted = adjust(windows, effect)
    market = fit_market_effect(windows, effect, adjusted)
    adjusted = without_market(adjusted, windows, market)
    step, past = (StandardScaler().fit(part) for part in (adjusted.steps[windows.warm_up + rows], adjusted.past[rows]))
    card = Card(
        target=windows.target,
        method=method,
        flag_names=windows.flag_names,
        effect=tuple(effect.coefficients.tolist()),
        effect_intercept=effect.intercept,
        market_mean=tuple(market.mean.tolist()),
        market_effect=tuple(map(tuple, market.coefficients.tolist())),
        step_mean=tuple(step.mean_.tolist()),
        step_scale=tuple(step.scale_.tolist()),
        past_mean=tuple(past.mean_.tolist()),
        past_scale=tuple(past.scale_.tolist()),
        trained_from="",
        trained_to="",
        rows=0,
        epochs=0,
        chain_epochs=0,
        validation_loss=None,
        base="",
        settings_hash=settings.hash,
        seed=settings.seed,
        members=settings.members,
        architecture=ARCHITECTURE,
    )
    card = with_span(card, windows, rows)
    return Prepared(card, adjusted, TrainingRows(make_tensors(card, adjusted, windows.warm_up), rows))


def prepare_like(checkpoint: Checkpoint, windows: Windows) -> Prepared:
    """The windows with the scaler and effects of `checkpoint`; every row is in `training`."""
    check_target_and_flags(checkpoint, windows)
    card = checkpoint.card
    adjusted = _adjusted_like(windows, card.effect, card.effect_intercept, card.market_mean, card.market_effect)
    check_features(card, adjusted)
    return Prepared(
        card, adjusted, TrainingRows(make_tensors(card, adjusted, windows.warm_up), np.arange(len(windows)))
    )


@lru_cache(maxsize=1)  # a warm fit has the effects of the champion, with which it is compared: the same five times
def _adjusted_like(
    windows: Windows, effect: Vector, intercept: float, market_mean: Vector, market_effect: tuple[Vector, ...]
) -> AdjustedWindows:
    """The windows without these effects, which are of a card."""
    adjusted = adjust(windows, CalendarEffect(np.array(effect), intercept))
    return without_market(adjusted, windows, MarketEffect(np.array(market_mean), np.array(market_effect)))


def check_features(card: Card, adjusted: AdjustedWindows) -> None:
    """Raise ArtifactError unless the card has as many features as the adjusted windows."""
    found = (len(card.step_mean), len(card.past_mean))
    expected = (adjusted.steps.shape[1], adjusted.past.shape[1])
    if found != expected:
        raise ArtifactError(
            f"Expected a model with {expected[0]} features of a session and {expected[1]} of a row; found {found[0]} "
            f"and {found[1]}: it was written by other code. Fit from scratch (--mode scratch)."
        )


def check_target_and_flags(checkpoint: Checkpoint, windows: Windows) -> None:
    """Raise ArtifactError unless the checkpoint has the windows' target and flags."""
    card = checkpoint.card
    if (card.target, card.flag_names) != (windows.target, windows.flag_names):
        raise ArtifactError(
            f"Expected a model of {windows.target} with {len(windows.flag_names)} calendar and event flags; found one "
            f"of {card.target} with {len(card.flag_names)}. Fit from scratch (--mode scratch)."
        )


def training_rows(windows: Windows) -> Rows:
    """The rows from the first to the last with a known target; the loss masks those between without one."""
    known = np.flatnonzero(np.isfinite(windows.scaled).any(axis=1))
    if len(known) < MIN_ROWS // 2:
        raise ValueError(f"Expected at least {MIN_ROWS // 2} rows with a known target; found {len(known)}.")
    return np.arange(known[0], known[-1] + 1)


def with_span(card: Card, windows: Windows, rows: Rows) -> Card:
    """The card with the span of `rows`: oldest origin, newest learnable session and number of rows."""
    oldest, newest = windows.origins[rows[0]], windows.sessions[windows.learnable_sessions - 1]
    return replace(card, trained_from=str(oldest), trained_to=str(newest), rows=len(rows))


@dataclass(frozen=True)
class MarketEffect:
    """The effect of the market's features on the centre of the targets; for close on the log of their width."""

    mean: Floats  # (M,) of the features `MARKET_NAMES`, at which the effect is 0
    coefficients: Floats  # (H, M) one per horizon and feature

    def of(self, market: Floats) -> Floats:
        """(N, H) the effect of features (N, M); one that is unknown counts as its mean."""
        deviation = np.nan_to_num(market - self.mean)
        # Not a matrix product: its bits may depend on the number of rows.
        effect: Floats = (deviation[:, None] * self.coefficients).sum(axis=-1)
        return effect


NO_EFFECT = MarketEffect(np.zeros(len(MARKET_NAMES)), np.zeros((len(HORIZONS), len(MARKET_NAMES))))
"""Of a symbol without a market series."""


def fit_market_effect(windows: Windows, effect: CalendarEffect, adjusted: AdjustedWindows) -> MarketEffect:
    """The part that the market's features have in the ridges of the linear model; `NO_EFFECT` without the series."""
    if not windows.has_market:
        return NO_EFFECT
    market = slice(len(MARKET_NAMES))
    ridges = fit_ridges(windows, effect, adjusted)
    coefficients = [ridge.coefficients[market] / ridge.scale[market] for ridge in ridges]
    return MarketEffect(ridges[0].mean[market], np.stack(coefficients))


def without_market(adjusted: AdjustedWindows, windows: Windows, effect: MarketEffect) -> AdjustedWindows:
    """The adjusted windows with `effect` removed from their targets."""
    if not effect.coefficients.any():
        return adjusted
    moved = effect.of(windows.market_features())
    if windows.target == "close":
        width, centre = adjusted.width * np.exp(moved), adjusted.centre
    else:
        width, centre = adjusted.width, adjusted.centre + moved
    return replace(adjusted, centre=centre, width=width, truth=(windows.scaled - centre) / width)
