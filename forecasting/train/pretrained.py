"""Pretrained weights: an ensemble trained on many symbols (a global model), from which a fit on any symbol may start.

Each symbol has its own calendar effect and scaler, in pretraining as in the fits that start from it; the weights hold
what is shared: how a session's value depends on the sessions before it and on the future covariates.

Weights for several spans ship with the package, made by benchmarks/base_weights.py. They are never used for an origin
inside their own span: a replay of 2016 starts from weights trained up to 2014. Each span has four: for symbols with
earnings dates, trained on stocks whose dates were inferred from their bars, or without; and with or without a market
series, whose effect is removed in training as in the fits that start from them.
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
"""Epochs over all symbols; four are no better (2.297 against 2.299)."""

HYPERPARAMETERS = Hyperparameters(EPOCHS, 3e-3, batch_size=16)
_SHIPPED = Path(__file__).with_name("weights")


def pretrained_for(windows: Windows, settings: Settings) -> Checkpoint | None:
    """The newest shipped weights trained on no session after the newest learnable one of `windows`.

    For a symbol with earnings dates, weights trained with dates: without dates the training lags contain reactions, and
    the weights of lags come out smaller (SBUX, 2015-2019, volume: error 0.9 % more; for a symbol without dates, weights
    trained with dates have 1.1 % more).

    Returns:
        The checkpoint, named in its card; None for an origin before every span.

    Raises:
        ArtifactError: A shipped file is missing or altered, or was written by other code.
    """
    newest = windows.sessions[windows.learnable_sessions - 1]
    usable = [
        entry
        for entry in shipped_weights()
        if (entry["target"], entry["earnings"], entry["market"])
        == (windows.target, windows.has_events, windows.has_market)
        and np.datetime64(str(entry["trained_to"])) <= newest
    ]
    if not usable:
        return None
    chosen = max(usable, key=lambda entry: str(entry["trained_to"]))
    checkpoint = load(_SHIPPED / str(chosen["folder"]), str(chosen["sha256"]))
    return replace(checkpoint, card=replace(checkpoint.card, base=str(chosen["folder"])))


def shipped_weights() -> list[dict[str, str | int | bool]]:
    """Index of the shipped weights: target, trained_to, earnings, market, members, symbols, folder and hash of each."""
    shipped: list[dict[str, str | int | bool]] = json.loads((_SHIPPED / "index.json").read_text())
    return shipped


@one_blas_thread()
def pretrain(
    panel: Sequence[Windows], *, settings: Settings, hyperparameters: Hyperparameters = HYPERPARAMETERS
) -> Checkpoint:
    """An ensemble fitted on all of `panel` together; its card's span is the widest, its scaler the first symbol's.

    Args:
        panel: Windows of one target, one per symbol, of any span.
        settings: `members` and `seed` are used.
        hyperparameters: A few symbols need more epochs than many.

    Raises:
        ValueError: A symbol with too few rows that have a known target.
    """
    prepared = [prepare(windows, method="base", settings=settings) for windows in panel]
    training = [symbol.training for symbol in prepared]
    has_events = any(windows.has_events for windows in panel)
    weights: dict[str, Tensor] = {}
    for member in range(settings.members):
        rng = generator(settings.seed, member)
        network = new_network(training[0].tensors, training[0].rows, rng)
        train(network, training, hyperparameters, rng=rng)
        if not has_events:
            _zero_event_weights(network)
        weights |= named_weights(network, member)
    cards = [symbol.card for symbol in prepared]
    card = replace(
        cards[0],
        trained_from=min(card.trained_from for card in cards),
        trained_to=max(card.trained_to for card in cards),
        rows=sum(card.rows for card in cards),
        epochs=hyperparameters.epochs,
        chain_epochs=hyperparameters.epochs,
    )
    return Checkpoint(card, weights)


def _zero_event_weights(network: Network) -> None:
    # No symbol had events: the weights of their columns are still random, noise to a symbol that has some.
    columns = slice(-len(EVENT_NAMES), None)
    with torch.no_grad():
        network.from_past.weight[:, columns] = 0.0
        network.from_flags.weight[:, columns] = 0.0
