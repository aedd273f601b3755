"""The article's network: an LSTM of 2 units over one step, 128 ReLU units, trained by Adam on all rows at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

EPOCHS, LOSS_EVERY = 1_000, 100
"""Passes over the training rows, and epochs between two recorded losses."""

_HIDDEN, _DENSE, _LEARNING_RATE = 2, 128, 1e-3

Scaled = NDArray[np.float32]
Losses: TypeAlias = tuple[tuple[int, float], ...]


def fit_network(
    x: Scaled, y: Scaled, *, train_rows: int, seed: int, epochs: int, done: Callable[[], None]
) -> tuple[Scaled, Losses]:
    """Forecasts of all N rows after training on the first of them, and the losses during training.

    Args:
        x: (N, F) scaled inputs.
        y: (N, 1) scaled targets.
        train_rows: The number of training rows, from the first.
        seed: Of the random weights.
        epochs: Passes over the training rows.
        done: Called at the end.

    Returns:
        (N, 1) in the scale of `y`, and (epoch, mean squared error on the training rows) every LOSS_EVERY epochs.
    """
    import torch
    from torch import nn

    from forecasting.train.loop import one_thread

    steps, targets = torch.from_numpy(x)[:, None, :], torch.from_numpy(y)  # (N, 1, F), (N, 1)
    losses: list[tuple[int, float]] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        lstm = nn.LSTM(x.shape[1], _HIDDEN, batch_first=True)
        head = nn.Sequential(nn.ReLU(), nn.Linear(_HIDDEN, _DENSE), nn.ReLU(), nn.Linear(_DENSE, 1))
    optimiser = torch.optim.Adam([*lstm.parameters(), *head.parameters()], lr=_LEARNING_RATE)
    with one_thread():
        for epoch in range(epochs):
            optimiser.zero_grad()
            loss = nn.functional.mse_loss(_forward(lstm, head, steps[:train_rows]), targets[:train_rows])
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
            optimiser.step()
            if epoch % LOSS_EVERY == 0:
                losses.append((epoch, float(loss.detach())))
        with torch.no_grad():
            forecasts: Scaled = _forward(lstm, head, steps).numpy()
    done()
    return forecasts, tuple(losses)


def _forward(lstm: nn.Module, head: nn.Module, steps: Tensor) -> Tensor:
    _, (last, _) = lstm(steps)  # (1, N, 2)
    forecasts: Tensor = head(last[0])  # (N, 1)
    return forecasts
