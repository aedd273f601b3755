"""Fit the ensemble, from scratch or warm, on a rolling chronological window.

A fit from scratch trains pretrained weights for a few epochs at a low rate, unless their validation
loss is clearly worse than the linear model's. Then it starts from random weights and runs twice: on
the training rows, purged by the horizon from the validation rows, which choose the number of
epochs; then on all rows for that many epochs.

A warm fit continues from its parent for a fixed, small number of epochs: the parent was trained on
all but the newest rows, so no part of them could serve for early stopping.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from forecasting.errors import FitError
from forecasting.losses import Floats, row_losses
from forecasting.preprocess.windows import MIN_ROWS, H, Rows, Windows
from forecasting.train import loop
from forecasting.train.checkpoint import SEED, Card, Checkpoint
from forecasting.train.linear import linear_quantiles
from forecasting.train.model import Network
from forecasting.train.prepare import Prepared, make_card, prepare, span_of

MEMBERS = 3
"""Networks of an ensemble. For volume three have 0.09% less pinball loss than one, eight 0.16% at
two and a half times the cost."""

EPOCHS = 8  # the most epochs of a fit from random weights
PRETRAINED = loop.Hyperparameters(2, 2e-4)
"""Of a fit from pretrained weights. For volume no epoch does as well (MAE 1.932 for 1.933), for
range four (0.5823); 8 epochs at 6e-4 lose half the gain of pretraining (2015-2019, MAE 2.125 for
2.119)."""

WARM = loop.Hyperparameters(1, 1e-4)
"""Of a warm fit. At 5e-4 twenty nights in a row reduced the coverage of 80% intervals to 75% and
raised pinball loss."""

RATE = 3e-3
MAX_LOSS_RATIO = 1.05
"""Validation loss of pretrained weights over the linear model's, above which the fit starts from
random weights.

Above it they were trained on other markets: for volume six stocks have 0.90 to 1.01, the S&P 500
and the Nasdaq 1.43 to 1.70.
"""
_VALIDATION_ROWS = 250  # a year


@loop.one_thread()
def fit_scratch(windows: Windows, *, pretrained: Checkpoint | None) -> Checkpoint:
    """An ensemble on the CPU, fitted on every row with a known target; the same bits on a machine.

    Args:
        windows: one row per origin; their last is tonight's.
        pretrained: where it starts (see `pretrained_for`); None for random weights.

    Raises:
        FitError: The validation loss or a weight is not finite.
        ValueError: Too few rows.
    """
    _check_rows(windows)
    card = make_card(windows, members=MEMBERS)
    prepared = prepare(card, windows)
    tensors = prepared.tensors
    rngs = [loop.generator(SEED, member) for member in range(MEMBERS)]
    if pretrained is not None and _suits(pretrained, prepared, windows):
        networks = loop.load_members(pretrained.weights, tensors, MEMBERS)
        hyperparameters = PRETRAINED
        card = replace(card, base=pretrained.card.base)
    else:
        epochs, loss = _choose_epochs(tensors)
        networks = [loop.new_network(tensors, rng) for rng in rngs]
        hyperparameters = loop.Hyperparameters(epochs, RATE)
        card = replace(card, validation_loss=loss)
    return _trained(card, networks, rngs, tensors, hyperparameters)


@loop.one_thread()
def fit_warm(windows: Windows, parent: Checkpoint) -> Checkpoint:
    """The fit continued from a parent, with its scaler and effects."""
    _check_rows(windows)
    tensors = prepare(parent.card, windows).tensors
    networks = loop.load_members(parent.weights, tensors, MEMBERS)
    # The seed depends on the chain, so that two nights shuffle differently.
    seed = SEED + parent.card.chain_epochs
    rngs = [loop.generator(seed, member) for member in range(MEMBERS)]
    card = replace(parent.card, method="warm", seed=SEED, members=MEMBERS, **span_of(windows))
    return _trained(card, networks, rngs, tensors, WARM)


def _check_rows(windows: Windows) -> None:
    known = int(np.isfinite(windows.scaled).any(axis=1).sum())
    if known < MIN_ROWS // 2:
        raise ValueError(
            f"Expected at least {MIN_ROWS // 2} rows with a known target; found {known}."
        )


def _trained(
    card: Card,
    networks: list[Network],
    rngs: list[torch.Generator],
    tensors: loop.Tensors,
    hyperparameters: loop.Hyperparameters,
) -> Checkpoint:
    weights = loop.train_members(networks, rngs, [tensors], hyperparameters)
    epochs = hyperparameters.epochs
    for name, weight in weights.items():
        if not torch.isfinite(weight).all():
            raise FitError(
                f"Expected finite weights after {epochs} epochs; {name} has others. See the bars "
                "and findings of the training window."
            )
    chain = card.chain_epochs + epochs
    return Checkpoint(replace(card, epochs=epochs, chain_epochs=chain), weights)


def _suits(pretrained: Checkpoint, prepared: Prepared, windows: Windows) -> bool:
    """Whether pretrained weights have no clearly larger validation loss than the linear model.

    Out of sample for both: the weights, unless trained on this symbol, and a linear model of
    earlier rows.
    """
    tensors = prepared.tensors
    fitting, rows = split_validation(tensors.rows)
    networks = loop.load_members(pretrained.weights, tensors, MEMBERS)
    quantiles = loop.forecast_members(networks, tensors, rows).mean(axis=0)
    before = windows.known_to(int(fitting[-1]))
    linear = linear_quantiles(before, rows, prepared.adjusted)
    limit = MAX_LOSS_RATIO * _mean(_losses(tensors, rows, linear))
    return _mean(_losses(tensors, rows, quantiles)) <= limit


def _choose_epochs(tensors: loop.Tensors) -> tuple[int, float]:
    """The number of epochs and its validation loss, for one network trained on the rows before.

    See `last_within_error`. The least loss itself is a noisy choice: following it, three or four
    epochs on most refits, cost 1% of error against all eight.
    """
    fitting, validation = split_validation(tensors.rows)
    before = replace(tensors, rows=fitting)
    rng = loop.generator(SEED, 0)
    network = loop.new_network(before, rng)
    losses: list[Floats] = []

    def validate() -> None:
        quantiles = loop.forecast_quantiles(network, tensors, validation)
        losses.append(_losses(tensors, validation, quantiles))

    hyperparameters = loop.Hyperparameters(EPOCHS, RATE)
    loop.train(network, [before], hyperparameters, rng=rng, after_epoch=validate)
    means = [_mean(loss) for loss in losses]
    if not np.isfinite(means).all():
        raise FitError(
            f"Expected a finite validation loss of {EPOCHS} epochs from random weights; found it "
            f"after {int(np.isfinite(means).sum())}. See the bars and findings of the training "
            "window."
        )
    chosen = last_within_error(losses, best=int(np.argmin(means)))
    return chosen + 1, means[chosen]


def last_within_error(losses: Sequence[Floats], *, best: int) -> int:
    """The last epoch whose mean loss is within one standard error of the difference from the best.

    Args:
        losses: Of each epoch the loss of every validation forecast, in one order.
        best: The epoch of least mean loss.
    """
    chosen = best
    for epoch in range(best + 1, len(losses)):
        worse = losses[epoch] - losses[best]
        if worse.mean() <= worse.std() / len(worse) ** 0.5:
            chosen = epoch
    return chosen


def split_validation(rows: Rows) -> tuple[Rows, Rows]:
    """Training and validation rows, purged: no target of the first is in the past of the others."""
    held_out = min(_VALIDATION_ROWS, len(rows) // 5)
    return rows[: -held_out - H], rows[-held_out:]


def _losses(tensors: loop.Tensors, rows: Rows, quantiles: Floats) -> Floats:
    return row_losses(tensors.truth[rows].cpu().numpy(), quantiles)


def _mean(losses: Floats) -> float:
    """The mean of losses (n,); infinite without any, as of quantiles that are not finite."""
    return float(losses.mean()) if len(losses) else math.inf
