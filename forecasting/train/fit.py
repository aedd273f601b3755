"""Fit the ensemble, from scratch or warm, on a rolling chronological window; and let it speak.

Given base weights (see base.py) a fit from scratch starts from them and goes gently for a fixed number of epochs, for
they are good as they are; unless on the later rows they do clearly worse than the linear partner, fitted on the older
ones. Without them it runs twice: first on the older rows, purged by the horizon from the later ones, on which the
number of epochs is read; then on all rows for that many epochs, so that the newest sessions are learned from too.

A warm fit goes on from its parent for a fixed, small number of epochs: its parent has seen all but the newest rows, so
no part of them could tell when to stop.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from forecasting.errors import ArtifactError
from forecasting.losses import Floats, row_losses
from forecasting.preprocess.features import LOOKBACK
from forecasting.preprocess.windows import Windows
from forecasting.settings import Settings
from forecasting.train.calendar_effects import Rows
from forecasting.train.checkpoint import Checkpoint
from forecasting.train.linear_model import linear_quantiles
from forecasting.train.model import Network
from forecasting.train.prepare import Prepared, check_alike, prepare, prepare_like, training_rows, with_span
from forecasting.train.threads import one_blas_thread
from forecasting.train.training_loop import (
    Hyperparameters,
    Tensors,
    TrainingRows,
    generator,
    load_members,
    named_weights,
    new_network,
    predict_rows,
    train,
)
from forecasting.vocabulary import HORIZONS

EPOCHS = 8
"""At most so many passes over the rows from scratch."""

BASE_EPOCHS = 2
"""Passes of a fit from base weights: for volume none would do better (MAE 1.932 for 1.933), for range four (0.5823)."""

WARM_EPOCHS = 1
"""Passes of a warm fit."""

_RATE = 3e-3
_BASE_RATE = 2e-4  # at 6e-4 for 8 epochs half of what the base knows is gone again (2015-2019, MAE 2.125 for 2.119)
# A base that loses by more to the linear partner knows other markets: in volume stocks have 0.74 to 0.97 of its loss on
# the later rows, the S&P 500 and the Nasdaq 1.33 to 1.67. In close, where both know little, it is 0.86 to 1.05.
MAX_LOSS_RATIO = 1.05
_WARM_RATE = 1e-4  # at 5e-4 twenty nights in a row narrowed 80 % intervals to 75 % cover and lost pinball
_VALIDATION = 250  # later rows that choose the epochs: a year


@one_blas_thread()
def fit(
    windows: Windows,
    *,
    mode: Literal["scratch", "warm"],
    parent: Checkpoint | None,
    settings: Settings,
    base: Checkpoint | None = None,
    tolerance: float | None = None,
) -> Checkpoint:
    """An ensemble fitted on every row of `windows` whose target is known.

    Args:
        windows: The rolling window; rows with no known target are not learned from.
        mode: scratch looks at no parent; warm goes on from it with its scaler, effect and features as they are.
        parent: Where a warm fit starts.
        settings: `members` and `seed` are used.
        base: Weights that a fit from scratch starts from; without them from drawn ones. A warm fit looks at none. Where
            it has fewer members than asked for, they are started from again: those twins differ by their draws alone.
        tolerance: How many times the linear partner's loss the base may have on the later rows; without it a shipped
            base's, which has never seen the symbol.

    Returns:
        A checkpoint of CPU tensors. The same arguments give the same bits on the same machine.

    Raises:
        ArtifactError: A warm fit without a parent, or from one of another size; a parent or base of another target or
            with other features.
        ValueError: Too few rows with a known target.
    """
    if mode == "warm":
        return _warm(windows, _fitting(parent, settings), settings)
    return _scratch(windows, settings, base, tolerance or MAX_LOSS_RATIO)


def scaled_quantiles(checkpoint: Checkpoint, windows: Windows, rows: Rows) -> Floats:
    """(len(rows), H, Q) the ensemble's mean quantiles in the windows' model scale; they ascend.

    Raises:
        ArtifactError: The checkpoint knows other features than the windows hold.
    """
    seen = prepare_like(checkpoint, windows)
    tensors, adjusted = seen.training.tensors, seen.adjusted
    mean = np.mean(
        [predict_rows(network, tensors, rows) for network in load_members(checkpoint.weights, tensors)], axis=0
    )
    return adjusted.from_adjusted(mean, rows)


def _scratch(windows: Windows, settings: Settings, base: Checkpoint | None, tolerance: float) -> Checkpoint:
    prepared = prepare(windows, method="scratch", settings=settings)
    training = prepared.training
    rngs = [generator(settings.seed, member) for member in range(settings.members)]
    if base is not None:
        prepare_like(base, windows)  # refuses a base of another target or other features
        networks = _started(base, training, settings.members)
        if validation_loss_of(networks, training) <= tolerance * _linear_loss(windows, prepared):
            weights = _trained(networks, rngs, training, Hyperparameters(BASE_EPOCHS, _BASE_RATE))
            card = replace(prepared.card, epochs=BASE_EPOCHS, chain_epochs=BASE_EPOCHS, base=base.card.base)
            return Checkpoint(card, weights)
    epochs, loss = _choose_epochs(training, settings.seed)
    drawn = (new_network(training.tensors, training.rows, rng) for rng in rngs)
    weights = _trained(drawn, rngs, training, Hyperparameters(epochs, _RATE))
    return Checkpoint(replace(prepared.card, epochs=epochs, chain_epochs=epochs, validation_loss=loss), weights)


def _started(base: Checkpoint, training: TrainingRows, count: int) -> list[Network]:
    """`count` networks that stand where the base's members do, in turn."""
    rounds = -(-count // base.card.members)
    return [network for _ in range(rounds) for network in load_members(base.weights, training.tensors)][:count]


def _warm(windows: Windows, parent: Checkpoint, settings: Settings) -> Checkpoint:
    seen, rows = prepare_like(parent, windows), training_rows(windows)
    training = TrainingRows(seen.training.tensors, rows)
    networks = load_members(parent.weights, training.tensors)
    chain = parent.card.chain_epochs
    rngs = [generator(settings.seed + chain, member) for member in range(len(networks))]  # no two nights shuffle alike
    weights = _trained(networks, rngs, training, Hyperparameters(WARM_EPOCHS, _WARM_RATE))
    card = replace(seen.card, method="warm", epochs=WARM_EPOCHS, chain_epochs=chain + WARM_EPOCHS)
    card = replace(card, settings_hash=settings.hash, seed=settings.seed)
    return Checkpoint(with_span(card, windows, rows), weights)


def _trained(
    networks: Iterable[Network], rngs: list[torch.Generator], training: TrainingRows, hyperparameters: Hyperparameters
) -> dict[str, Tensor]:
    """The weights of every member after training, one after the other: faster on a CPU than all in one batch."""
    weights: dict[str, Tensor] = {}
    for member, (network, rng) in enumerate(zip(networks, rngs, strict=True)):
        train(network, [training], hyperparameters, rng=rng)
        weights |= named_weights(network, member)
    return weights


def _choose_epochs(training: TrainingRows, seed: int) -> tuple[int, float]:
    """How many epochs to train for and their loss, read on the later rows by one network that has not seen them.

    The most epochs whose loss cannot be told from the least: within one standard error of the difference. The least
    itself is a noisy choice: following it, three or four epochs on most refits, cost 1 % of error against all eight.
    """
    tensors = training.tensors
    older, later = split_validation(training.rows)
    rng = generator(seed, 0)
    network = new_network(tensors, older, rng)
    truth = tensors.truth[later].cpu().numpy()
    losses: list[Floats] = []
    train(
        network,
        [TrainingRows(tensors, older)],
        Hyperparameters(EPOCHS, _RATE),
        rng=rng,
        after_epoch=lambda: losses.append(row_losses(truth, predict_rows(network, tensors, later))),
    )
    means = [float(loss.mean()) for loss in losses]
    best = int(np.argmin(means))
    for epochs in range(EPOCHS, best + 1, -1):
        worse = losses[epochs - 1] - losses[best]
        if worse.mean() <= worse.std() / len(worse) ** 0.5:
            return epochs, means[epochs - 1]
    return best + 1, means[best]


def split_validation(rows: Rows) -> tuple[Rows, Rows]:
    """The older rows and the later ones that judge; purged: no older row's target is a later row's past."""
    held = min(_VALIDATION, len(rows) // 5)
    return rows[: -held - len(HORIZONS)], rows[-held:]


def before_validation(windows: Windows, rows: Rows) -> Windows:
    """The windows as known before the later of `rows`: what may be learned from by whatever is judged on those."""
    older, _ = split_validation(rows)
    return windows.cut(0, len(windows), known_to=int(older[-1]))


def validation_loss_of(networks: list[Network], training: TrainingRows) -> float:
    """The loss of base networks on the later rows, unseen by them unless they learned from this very symbol."""
    _, later = split_validation(training.rows)
    return _loss(
        np.mean([predict_rows(network, training.tensors, later) for network in networks], axis=0), training, later
    )


def _linear_loss(windows: Windows, prepared: Prepared) -> float:
    """The loss of the linear partner on the later rows, learned from the older ones alone."""
    _, later = split_validation(prepared.training.rows)
    then = before_validation(windows, prepared.training.rows)
    said = then.scale(later).to_model(linear_quantiles(then, later))
    return _loss(prepared.adjusted.to_adjusted(said, later), prepared.training, later)


def _loss(said: Floats, training: TrainingRows, rows: Rows) -> float:
    return float(row_losses(training.tensors.truth[rows].cpu().numpy(), said).mean())


def check_parent(parent: Checkpoint, windows: Windows, settings: Settings) -> None:
    """Nothing, when a warm fit under `settings` can go on from `parent`.

    Raises:
        ArtifactError: It is of another target, other features or another number of members.
    """
    check_alike(parent, windows)
    _fitting(parent, settings)


def check_runs(checkpoint: Checkpoint) -> None:
    """Let the checkpoint speak once, on inputs of nothing, to see that this code can run it.

    Raises:
        ArtifactError: Its weights do not fit this code's network, or what it says is not finite.
    """
    card, flags = checkpoint.card, checkpoint.weights.get("0.linear_flags")
    tensors = Tensors(
        steps=torch.zeros(LOOKBACK, len(card.step_mean)),
        past=torch.zeros(1, len(card.past_mean)),
        future=torch.zeros(1, len(HORIZONS), 0 if flags is None else len(flags)),
        truth=torch.zeros(1, len(HORIZONS)),
        warm_up=LOOKBACK - 1,
        directed=card.target != "close",
    )
    for network in load_members(checkpoint.weights, tensors):
        if not np.isfinite(predict_rows(network, tensors, np.array([0]))).all():
            raise ArtifactError(
                "A model was expected to say finite quantiles of a plain session; a member of this one does not. "
                "Promote another, or fit from scratch (--mode scratch)."
            )


def _fitting(parent: Checkpoint | None, settings: Settings) -> Checkpoint:
    """The checkpoint that a warm fit goes on from, if it can."""
    if parent is None:
        raise ArtifactError(
            "A warm fit was expected to have a parent; found none. Fit from scratch (--mode scratch) first."
        )
    if parent.card.members != settings.members:
        raise ArtifactError(
            f"A fit of {settings.members} networks was expected to start from as many; its parent has "
            f"{parent.card.members}. Fit from scratch (--mode scratch), or set FORECASTING_MEMBERS back."
        )
    return parent
