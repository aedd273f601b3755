"""Between windows and networks: the inputs of a fit, and the forecasts of an ensemble.

The inputs are the effects of calendar and market, the scaler and the tensors. The market series'
effect is estimated in closed form and removed before the network. As an input of it, a series that
all symbols share says which day it is: networks pretrained on 94 stocks lost 6% where a ridge gains
1% (closes, a target of releases up to 0.3).
"""

from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from forecasting.losses import Floats
from forecasting.preprocess.windows import MARKET_NAMES, H, Rows, Windows
from forecasting.train.checkpoint import Card, Checkpoint, Vector
from forecasting.train.linear import (
    AdjustedWindows,
    CalendarEffect,
    adjust,
    fit_effect,
    fit_horizons,
)
from forecasting.train.loop import Tensors, forecast_members, load_members, one_thread
from forecasting.train.model import ARCHITECTURE

_INPUT_LIMIT = 6.0  # standard deviations at which inputs are clipped


@dataclass(frozen=True)
class Prepared:
    """One symbol's inputs for training or inference."""

    adjusted: AdjustedWindows  # the windows with the effects of a card removed
    tensors: Tensors  # the same, standardised by its scaler


def make_card(windows: Windows, *, members: int) -> Card:
    """A card of an ensemble with the windows' own effects and scaler.

    They are estimated on rows with a known target.
    """
    from sklearn.preprocessing import StandardScaler

    rows = training_rows(windows)
    effect = fit_effect(windows)
    adjusted = adjust(windows, effect)
    mean, coefficients = _market_effect(windows, adjusted)
    step = StandardScaler().fit(adjusted.steps[windows.warm_up + rows])
    past = StandardScaler().fit(adjusted.past[rows])
    return Card(
        target=windows.target,
        method="scratch",
        flag_names=windows.flag_names,
        effect=tuple(effect.coefficients.tolist()),
        effect_intercept=effect.intercept,
        market_mean=tuple(mean.tolist()),
        market_effect=tuple(map(tuple, coefficients.tolist())),
        step_mean=tuple(step.mean_.tolist()),
        step_scale=tuple(step.scale_.tolist()),
        past_mean=tuple(past.mean_.tolist()),
        past_scale=tuple(past.scale_.tolist()),
        members=members,
        architecture=ARCHITECTURE,
        **span_of(windows),
    )


def _market_effect(windows: Windows, adjusted: AdjustedWindows) -> tuple[Floats, Floats]:
    """(M,) mean of the market's features and (H, M) their slopes in the linear model's ridges."""
    size = len(MARKET_NAMES)
    if not windows.has_market:
        return np.zeros(size), np.zeros((H, size))
    ridges = [fit.ridge for fit in fit_horizons(windows, adjusted)]
    return ridges[0].mean[:size], np.stack([ridge.slopes[:size] for ridge in ridges])


def prepare(card: Card, windows: Windows) -> Prepared:
    """The windows by the effects and scaler of `card`."""
    adjusted = _adjusted(
        windows, card.effect, card.effect_intercept, card.market_mean, card.market_effect
    )

    def put(values: Floats) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32)

    def scaled(values: Floats, mean: Vector, scale: Vector) -> Tensor:
        # A foreign card's scale may be minute: what is infinite is clipped
        with np.errstate(over="ignore"):
            deviations = (values - np.array(mean)) / np.array(scale)
        return put(np.clip(deviations, -_INPUT_LIMIT, _INPUT_LIMIT))

    tensors = Tensors(
        steps=scaled(adjusted.steps, card.step_mean, card.step_scale),
        past=scaled(adjusted.past, card.past_mean, card.past_scale),
        future=put(adjusted.future),
        truth=put(adjusted.truth),
        rows=training_rows(windows),
        warm_up=windows.warm_up,
    )
    return Prepared(adjusted, tensors)


@lru_cache(maxsize=1)  # a warm fit has the effects of its parent, with which it is compared
def _adjusted(
    windows: Windows,
    effect: Vector,
    intercept: float,
    market_mean: Vector,
    market_effect: tuple[Vector, ...],
) -> AdjustedWindows:
    adjusted = adjust(windows, CalendarEffect(np.array(effect), intercept))
    return without_market(adjusted, windows, np.array(market_mean), np.array(market_effect))


def without_market(
    adjusted: AdjustedWindows, windows: Windows, mean: Floats, coefficients: Floats
) -> AdjustedWindows:
    """The adjusted windows without the market's effect on the centre of their targets.

    The effect is linear, with coefficients (H, M), and 0 at the mean (M,) of the features
    `MARKET_NAMES` or where one is NaN.
    """
    if not coefficients.any():
        return adjusted
    deviation = np.nan_to_num(windows.market_features - mean)
    # Not a matrix product: its bits may depend on the number of rows.
    moved = (deviation[:, None] * coefficients).sum(axis=-1)  # (N, H)
    centre = adjusted.centre + moved
    return replace(adjusted, centre=centre, truth=windows.scaled - centre)


def training_rows(windows: Windows) -> Rows:
    """The rows from the first to the last with a known target.

    The loss masks those between without one.
    """
    known = np.flatnonzero(np.isfinite(windows.scaled).any(axis=1))
    return np.arange(known.min(initial=len(windows)), known.max(initial=-1) + 1)


class Span(TypedDict):
    """The span of the training rows, as fields of a card."""

    trained_from: date
    trained_to: date
    rows: int


def span_of(windows: Windows) -> Span:
    """The oldest origin of the training rows, the newest learnable session and their number."""
    rows = training_rows(windows)
    oldest = windows.origins[rows[0]].item()
    newest = windows.sessions[windows.learnable_sessions - 1].item()
    return {"trained_from": oldest, "trained_to": newest, "rows": len(rows)}


@one_thread()
def member_quantiles(checkpoint: Checkpoint, windows: Windows, rows: Rows) -> tuple[Floats, Floats]:
    """(n, H, Q) the ensemble's quantiles at `rows`, (M, n, H, Q) its members', in model scale."""
    prepared = prepare(checkpoint.card, windows)
    networks = load_members(checkpoint.weights, prepared.tensors, checkpoint.card.members)
    adjusted = forecast_members(networks, prepared.tensors, rows)
    from_adjusted = prepared.adjusted.from_adjusted
    return from_adjusted(adjusted.mean(axis=0), rows), from_adjusted(adjusted, rows)
