"""Base weights: one ensemble that has learned from many symbols, from which a fit on any symbol may start.

Each symbol is seen through its own effect and its own scaler, and so is the symbol that starts from the base: what is
shared is how a session's volume follows from the sessions before it and from what is due.

Bases of several spans ship with the package, made by benchmarks/base_weights.py. None is ever used for an origin inside
its own span: a replay of 2016 starts from the base that had seen 2014. Of each span there are two: one for symbols
whose earnings dates are told, from stocks whose own were read off their bars, and one for symbols without any.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from forecasting.preprocess.future_covariates import EVENT_NAMES
from forecasting.preprocess.windows import Windows
from forecasting.settings import Settings
from forecasting.train.checkpoint import Checkpoint, load
from forecasting.train.model import Network
from forecasting.train.prepare import prepare
from forecasting.train.threads import one_blas_thread
from forecasting.train.training_loop import Hyperparameters, generator, named_weights, new_network, train

EPOCHS = 2
"""Passes over all symbols; four are no better (2.297 against 2.299)."""

HYPERPARAMETERS = Hyperparameters(EPOCHS, 3e-3, batch_size=16)
_SHIPPED = Path(__file__).with_name("weights")


def pretrained_for(windows: Windows, settings: Settings) -> Checkpoint | None:
    """The newest shipped base that has seen no session after the newest that `windows` may learn from.

    It is one that knows earnings where the symbol's are told: the other trusts lags less, for those it learned from
    held reactions (SBUX, 2015-2019, volume: error 0.9 % more; without dates the one that knows them errs 1.1 % more).

    Returns:
        It, named in its card; None where there is none: an older origin.

    Raises:
        ArtifactError: A shipped file is missing or altered, or was made by other code.
    """
    newest = windows.sessions[windows.learnable_sessions - 1]
    usable = [
        one
        for one in shipped_weights()
        if (one["target"], one["earnings"]) == (windows.target, windows.has_events)
        and np.datetime64(str(one["trained_to"])) <= newest
    ]
    if not usable:
        return None
    chosen = max(usable, key=lambda one: str(one["trained_to"]))
    base = load(_SHIPPED / str(chosen["folder"]), str(chosen["sha256"]))
    return replace(base, card=replace(base.card, base=str(chosen["folder"])))


def shipped_weights() -> list[dict[str, str | int | bool]]:
    """What ships: target, trained_to, whether it knows earnings, members, symbols, folder and sha256 of each base."""
    shipped: list[dict[str, str | int | bool]] = json.loads((_SHIPPED / "index.json").read_text())
    return shipped


@one_blas_thread()
def pretrain(
    panel: Sequence[Windows], *, settings: Settings, hyperparameters: Hyperparameters = HYPERPARAMETERS
) -> Checkpoint:
    """An ensemble fitted on all of `panel` together; its card's span is the widest, its scaler the first symbol's.

    Args:
        panel: Windows of one target, one a symbol, of any span.
        settings: `members` and `seed` are used.
        hyperparameters: How long and how fast: a few symbols want more passes than many.

    Raises:
        ValueError: A symbol with too few rows that have a known target.
    """
    prepared = [prepare(windows, method="base", settings=settings) for windows in panel]
    training = [one.training for one in prepared]
    eventless = not any(windows.has_events for windows in panel)
    weights: dict[str, Tensor] = {}
    for member in range(settings.members):
        rng = generator(settings.seed, member)
        network = new_network(training[0].tensors, training[0].rows, rng)
        train(network, training, hyperparameters, rng=rng)
        if eventless:
            _forget_events(network)
        weights |= named_weights(network, member)
    cards = [one.card for one in prepared]
    card = replace(
        cards[0],
        trained_from=min(card.trained_from for card in cards),
        trained_to=max(card.trained_to for card in cards),
        rows=sum(card.rows for card in cards),
        epochs=hyperparameters.epochs,
        chain_epochs=hyperparameters.epochs,
    )
    return Checkpoint(card, weights)


def _forget_events(network: Network) -> None:
    # No symbol had events: what stands in their columns is what was drawn, rng to one that has some.
    places = slice(-len(EVENT_NAMES), None)
    with torch.no_grad():
        network.from_past.weight[:, places] = 0.0
        network.from_flags.weight[:, places] = 0.0
