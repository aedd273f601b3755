"""What the content of a checkpoint must be before it is run, no matter who wrote it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from functools import lru_cache

import numpy as np
import torch
from pydantic import TypeAdapter

from forecasting.train.card import Card
from forecasting.vocabulary import HORIZONS


def check_content(card: Card, weights: Mapping[str, torch.Tensor]) -> None:
    """Return when the card's values have their types, shapes and bounds and the weights are those of its members.

    Raises:
        ValueError: They are not.
    """
    _types().validate_json(json.dumps(asdict(card)), strict=True)  # of Python's values strict takes a Card alone
    date.fromisoformat(card.trained_from), date.fromisoformat(card.trained_to)
    pairs = [(card.step_mean, card.step_scale), (card.past_mean, card.past_scale), (card.effect, card.flag_names)]
    pairs += [(row, card.market_mean) for row in card.market_effect]
    if any(len(one) != len(other) for one, other in pairs) or len(card.market_effect) != len(HORIZONS):
        raise ValueError("vectors of the card that belong together have other lengths")
    numbers = np.concatenate([*pairs[0], *pairs[1], card.effect, *card.market_effect, card.market_mean])
    if not np.isfinite([*numbers, card.effect_intercept]).all() or min(*card.step_scale, *card.past_scale) <= 0.0:
        raise ValueError("a number of the card is not finite, or a scale is not above 0")
    names = {name.partition(".")[0] for name in weights}
    if not names or card.members != len(names) or names != {str(member) for member in range(len(names))}:
        raise ValueError(f"expected the weights of {card.members} members")
    if any(f"{name}.linear_flags" not in weights for name in names):
        raise ValueError("a member has no weights of its future covariates")
    if any(tensor.dtype != torch.float32 or not tensor.numel() for tensor in weights.values()):
        raise ValueError("a weight is no float32, or empty")


@lru_cache(maxsize=1)
def _types() -> TypeAdapter[Card]:
    """The types of a card's fields; it is built on the first call."""
    return TypeAdapter(Card)
