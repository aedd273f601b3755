"""Fit the ensemble, from scratch or warm, on a rolling chronological window.

A fit from scratch trains pretrained weights for a few epochs at a low rate, unless their validation
loss is clearly worse than the linear model's. Then it starts from random weights and runs twice: on
the training rows, purged by the horizon from the validation rows, which choose the number of
epochs; then on all rows for that many epochs.

A warm fit continues from its parent for a fixed, small number of epochs: the parent was trained on
all but the newest rows, so no part of them could serve for early stopping.
"""

import math
from dataclasses import replace

import numpy as np
import torch

from forecasting.errors import ArtifactError, FitError
from forecasting.losses import Floats, row_losses
from forecasting.preprocess.windows import Windows
from forecasting.settings import Settings
from forecasting.train import loop
from forecasting.train.checkpoint import Checkpoint
from forecasting.train.linear import Rows, linear_quantiles, one_blas_thread
from forecasting.train.prepare import prepare, prepare_like, span_of, training_rows
from forecasting.train.pretrained import pretrained_for
from forecasting.vocabulary import HORIZONS

EPOCHS = 8  # the most epochs of a fit from random weights
PRETRAINED = loop.Hyperparameters(2, 2e-4)
"""Of a fit from pretrained weights. For volume no epoch does as well (MAE 1.932 for 1.933), for
range four (0.5823); 8 epochs at 6e-4 lose half the gain of pretraining (2015-2019, MAE 2.125 for
2.119)."""

WARM = loop.Hyperparameters(1, 1e-4)
"""Of a warm fit: at 5e-4 twenty nights in a row reduced the coverage of 80% intervals to 75% and
raised pinball."""

_RATE = 3e-3
MAX_LOSS_RATIO = 1.05
"""Validation loss of pretrained weights over the linear model's, above which the fit starts from
random weights.

Above it they were trained on other markets: for volume six stocks have 0.90 to 1.01, the S&P 500
and the Nasdaq 1.43 to 1.70. For close, which neither predicts well, it is 0.97 to 1.04.
"""
_VALIDATION_ROWS = 250  # a year


@one_blas_thread()
def fit(
    windows: Windows,
    *,
    settings: Settings,
    parent: Checkpoint | None = None,
    pretrained: Checkpoint | None = None,
) -> Checkpoint:
    """An ensemble on the CPU, fitted on every row of `windows` whose target is known.

    The same bits on one machine.

    With a `parent` warm: it continues from it with its scaler, effect and features unchanged; an
    ArtifactError for one
    of another size. Else from scratch: it starts from `pretrained`, or from random weights; of
    fewer members than `settings` they are used again, and differ by their random seed alone. A
    FitError where the validation loss or a weight is not finite, a ValueError for too few rows.
    """
    fitted = (
        _fit_warm(windows, parent, settings)
        if parent
        else _fit_from_scratch(windows, settings, pretrained)
    )
    for name, weight in fitted.weights.items():
        if not torch.isfinite(weight).all():
            start = fitted.card.base or "random weights"
            raise FitError(
                f"Expected finite weights after {fitted.card.epochs} epochs from {start}; {name} "
                "has others. "
                "See the bars and findings of the training window."
            )
    return fitted


def fit_scratch(windows: Windows, *, settings: Settings) -> Checkpoint:
    """A fit from scratch, begun from the newest weights of `pretrained_for`, which `base` of its card names."""
    return fit(windows, settings=settings, pretrained=pretrained_for(windows))


def _fit_from_scratch(
    windows: Windows, settings: Settings, pretrained: Checkpoint | None
) -> Checkpoint:
    prepared = prepare(windows, method="scratch", settings=settings)
    tensors = prepared.tensors
    rngs = [loop.generator(settings.seed, member) for member in range(settings.members)]
    if pretrained is not None:
        networks = loop.starting_networks(pretrained.weights, tensors, settings.members)
        # Out of sample for both: pretrained weights, unless trained on this symbol, and a linear
        # model of earlier rows.
        fitting, rows = split_validation(tensors.rows)
        quantiles = np.mean(
            [loop.forecast_rows(network, tensors, rows) for network in networks], axis=0
        )
        before = windows.cut(0, len(windows), known_to=int(fitting[-1]))
        scaled = before.scale(rows).to_model(linear_quantiles(before, rows))
        limit = MAX_LOSS_RATIO * _mean(
            _losses(tensors, rows, prepared.adjusted.to_adjusted(scaled, rows))
        )
        if _mean(_losses(tensors, rows, quantiles)) <= limit:
            weights = loop.train_members(
                networks,
                rngs,
                [tensors],
                PRETRAINED,
            )
            epochs = PRETRAINED.epochs
            card = replace(
                prepared.card,
                epochs=epochs,
                chain_epochs=epochs,
                base=pretrained.card.base,
            )
            return Checkpoint(card, weights)
    epochs, loss = _choose_epochs(tensors, settings.seed)
    random = (loop.new_network(tensors, rng) for rng in rngs)
    weights = loop.train_members(
        random,
        rngs,
        [tensors],
        loop.Hyperparameters(epochs, _RATE),
    )
    return Checkpoint(
        replace(
            prepared.card,
            epochs=epochs,
            chain_epochs=epochs,
            validation_loss=loss,
        ),
        weights,
    )


def _fit_warm(windows: Windows, parent: Checkpoint, settings: Settings) -> Checkpoint:
    check_parent(parent, settings)
    prepared = prepare_like(parent, windows)
    rows = training_rows(windows)
    tensors = replace(prepared.tensors, rows=rows)
    networks = loop.load_members(parent.weights, tensors)
    chain = parent.card.chain_epochs
    # The seed depends on the chain, so that two nights shuffle differently.
    rngs = [loop.generator(settings.seed + chain, member) for member in range(len(networks))]
    weights = loop.train_members(
        networks,
        rngs,
        [tensors],
        WARM,
    )
    card = replace(
        prepared.card,
        method="warm",
        epochs=WARM.epochs,
        chain_epochs=chain + WARM.epochs,
    )
    card = replace(
        card,
        settings_hash=settings.hash,
        seed=settings.seed,
        **span_of(windows, rows),
    )
    return Checkpoint(card, weights)


def _choose_epochs(tensors: loop.Tensors, seed: int) -> tuple[int, float]:
    """The number of epochs and its validation loss, for one network trained on the rows before the validation rows.

    The largest number whose loss is within one standard error of the difference from the least
    loss. The least itself
    is a noisy choice: following it, three or four epochs on most refits, cost 1% of error against
    all eight.
    """
    fitting, validation = split_validation(tensors.rows)
    before = replace(tensors, rows=fitting)
    rng = loop.generator(seed, 0)
    network = loop.new_network(before, rng)
    losses: list[Floats] = []

    def validate() -> None:
        losses.append(
            _losses(tensors, validation, loop.forecast_rows(network, tensors, validation))
        )

    loop.train(
        network,
        [before],
        loop.Hyperparameters(EPOCHS, _RATE),
        rng=rng,
        after_epoch=validate,
    )
    means = [_mean(loss) for loss in losses]
    if not np.isfinite(means).all():
        raise FitError(
            f"Expected a finite validation loss of {EPOCHS} epochs from random weights; found it "
            "after "
            f"{int(np.isfinite(means).sum())}. See the bars and findings of the training window."
        )
    best = int(np.argmin(means))
    for epochs in range(EPOCHS, best + 1, -1):
        worse = losses[epochs - 1] - losses[best]
        if worse.mean() <= worse.std() / len(worse) ** 0.5:
            return epochs, means[epochs - 1]
    return best + 1, means[best]


def split_validation(rows: Rows) -> tuple[Rows, Rows]:
    """Training and validation rows, purged: no target of a training row is in the past of a validation row."""
    held_out = min(_VALIDATION_ROWS, len(rows) // 5)
    return rows[: -held_out - len(HORIZONS)], rows[-held_out:]


def _losses(tensors: loop.Tensors, rows: Rows, quantiles: Floats) -> Floats:
    return row_losses(tensors.truth[rows].cpu().numpy(), quantiles)


def _mean(losses: Floats) -> float:
    """The mean of losses (n,); infinite without any, as of quantiles that are not finite."""
    return float(losses.mean()) if len(losses) else math.inf


def check_parent(parent: Checkpoint, settings: Settings) -> None:
    """Raise an ArtifactError where a warm fit under `settings` cannot continue from its parent."""
    if parent.card.members != settings.members:
        raise ArtifactError(
            f"Expected a parent of {settings.members} networks for a warm fit; found "
            f"{parent.card.members}. "
            "Fit from scratch (mode scratch), or set FORECASTING_MEMBERS back."
        )
