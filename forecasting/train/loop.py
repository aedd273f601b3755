"""Batching, training and inference of one network; fit.py sets epochs and starting weights.

All of it is on the CPU, also where there is a GPU: there the same seed would give other bits than
on a machine without one.

A sequence is LOOKBACK sessions; the loss is computed on its last _LOSS_ROWS rows, so one LSTM pass
trains on many origins. A forecast uses the LOOKBACK sessions of its own row alone: it cannot depend
on the other rows requested.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.optim.adamw import adamw

from forecasting.losses import Floats
from forecasting.preprocess.windows import LOOKBACK, H, Rows
from forecasting.train.linear import one_blas_thread
from forecasting.train.model import Network, initialise, pinball
from forecasting.vocabulary import QUANTILES

# Of each sequence; the LOOKBACK - _LOSS_ROWS rows before them warm up the LSTM state
_LOSS_ROWS = 44
_WEIGHT_DECAY = 1e-3
_RISING = 0.3  # share of the steps on which the rate rises
_PEAK_BY_FIRST = 25.0  # the peak rate by the first rate
_FIRST_BY_LAST = 1e4  # the first rate by the last one
_BETAS = (0.85, 0.95)  # of the first moment, at the peak rate and at the ends
_MAX_GRADIENT_NORM = 1.0
_ROWS_PER_PASS = 32  # rows forecast in one pass


@dataclass(frozen=True)
class Tensors:
    """Standardised float32 inputs and targets of one symbol."""

    steps: Tensor  # (D, S) features of each session
    past: Tensor  # (N, P) features of each row
    future: Tensor  # (N, H, K) future covariates
    truth: Tensor  # (N, H) targets
    rows: Rows  # those to train on
    warm_up: int  # D - N

    @property
    def ends(self) -> Rows:
        """The last row of each of the sequences that tile the rows, newest first."""
        return self.rows[-1] - _LOSS_ROWS * np.arange(len(self.rows) // _LOSS_ROWS)

    def batch(self, ends: Rows, length: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The LOOKBACK sessions up to each of the rows `ends`, and the last `length` rows' tensors.

        They are what the network has of the past and the future, and the truth.
        """
        sessions = torch.as_tensor(ends[:, None] + self.warm_up + np.arange(1 - LOOKBACK, 1))
        rows = torch.as_tensor(ends[:, None] + np.arange(1 - length, 1))
        return self.steps[sessions], self.past[rows], self.future[rows], self.truth[rows]


@dataclass(frozen=True)
class Hyperparameters:
    """Passes over the rows, the peak of the one-cycle learning rate, and sequences in a batch."""

    epochs: int
    learning_rate: float
    batch_size: int = 8

    def steps(self, sequences: int) -> int:
        """The number of batches in all epochs."""
        return self.epochs * math.ceil(sequences / self.batch_size)


@contextmanager
def one_thread() -> Iterator[None]:
    """A context, or decorator, in which torch and BLAS use one thread; afterwards as before.

    Two threads sum in another order, so that the same seed would give other bits; on a busy machine
    4 s became 52.
    """
    with one_blas_thread():
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def generator(seed: int, member: int) -> torch.Generator:
    """The random generator of one member; the generator of the process is not used."""
    return torch.Generator().manual_seed(seed * 1009 + member)


def empty_network(tensors: Tensors) -> Network:
    """A network of the right shape on the meta device, without weights."""
    with torch.device("meta"):  # elsewhere the constructor would use the generator of the process
        return Network(tensors.steps.shape[-1], tensors.past.shape[-1], tensors.future.shape[-1])


def new_network(tensors: Tensors, rng: torch.Generator) -> Network:
    """A random network whose first output is the empirical quantiles of the targets of the rows."""
    network = empty_network(tensors)
    # Not to_empty: of a meta tensor it imports torch.fx's symbolic shapes, half a second of a
    # process.
    weights = {name: torch.empty(weight.shape) for name, weight in network.state_dict().items()}
    network.load_state_dict(weights, assign=True)
    initialise(network, tensors.truth[torch.as_tensor(tensors.rows)], rng)
    return network


def train(
    network: Network,
    panel: Sequence[Tensors],
    hyperparameters: Hyperparameters,
    *,
    rng: torch.Generator,
    after_epoch: Callable[[], None] | None = None,
) -> None:
    """Train `network` in place on the rows of all symbols together.

    Every random number comes from `rng`.
    """
    dropout = torch.Generator().manual_seed(int(torch.randint(2**31, (), generator=rng)))
    steps = hyperparameters.steps(sum(len(symbol.ends) for symbol in panel))
    take_step = _adamw(list(network.parameters()), steps, peak=hyperparameters.learning_rate)
    for _ in range(hyperparameters.epochs):
        for batch in _shuffled_batches(panel, hyperparameters.batch_size, rng):
            sessions, past, future, truth = batch
            quantiles = network(sessions, past, future, dropout)
            pinball(truth, quantiles).backward()  # type: ignore[no-untyped-call]  # torch's own
            take_step()
            network.zero_grad()
        if after_epoch is not None:
            after_epoch()


def _adamw(weights: list[Tensor], steps: int, *, peak: float) -> Callable[[], None]:
    """A function that takes the next of `steps` steps of the weights along their gradients.

    The bits are those of torch.optim.AdamW under OneCycleLR, by torch's function for a step: the
    two classes import torch._dynamo, 830 modules, 1.2 s of CPU a process, where a night takes 3 s.
    """
    first = [torch.zeros_like(weight) for weight in weights]
    second = [torch.zeros_like(weight) for weight in weights]
    counts = [torch.tensor(0.0) for _ in weights]
    taken = itertools.count()

    def take_step() -> None:
        torch.nn.utils.clip_grad_norm_(weights, _MAX_GRADIENT_NORM)
        rate, beta = one_cycle(next(taken), steps, peak=peak)
        with torch.no_grad():
            adamw(
                weights,
                [cast(Tensor, weight.grad) for weight in weights],
                first,
                second,
                [],
                counts,
                foreach=True,
                amsgrad=False,
                maximize=False,
                weight_decay=_WEIGHT_DECAY,
                lr=rate,
                beta1=beta,
                beta2=0.999,
                eps=1e-8,
            )

    return take_step


def one_cycle(step: int, steps: int, *, peak: float) -> tuple[float, float]:
    """Learning rate and first beta of step 0 to `steps`, as in torch's OneCycleLR.

    Smith and Topin (2018).
    """
    start = peak / _PEAK_BY_FIRST
    top = _RISING * (steps + 1) - 1
    if step <= top:
        share = step / top
        return _half_cosine(start, peak, share), _half_cosine(_BETAS[1], _BETAS[0], share)
    share = (step - top) / (steps - top)
    last = start / _FIRST_BY_LAST
    return _half_cosine(peak, last, share), _half_cosine(_BETAS[0], _BETAS[1], share)


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)


def train_members(
    networks: Sequence[Network],
    rngs: Sequence[torch.Generator],
    panel: Sequence[Tensors],
    hyperparameters: Hyperparameters,
) -> dict[str, Tensor]:
    """The weights of every member, trained one after the other: faster than all in one batch."""
    weights: dict[str, Tensor] = {}
    for member, (network, rng) in enumerate(zip(networks, rngs, strict=True)):
        train(network, panel, hyperparameters, rng=rng)
        weights |= named_weights(network, member)
    return weights


def forecast_quantiles(network: Network, tensors: Tensors, rows: Rows) -> Floats:
    """(len(rows), H, Q) quantiles of one network for `rows`, each independent of the other rows.

    The last bits of a matrix product depend on its shape, on a row's position in it and on the
    processor. Computing in double precision and rounding to single removes these differences; the
    weights themselves come back unchanged.
    """
    quantiles = np.empty((len(rows), H, len(QUANTILES)), dtype=np.float32)
    network.double()
    with torch.inference_mode(), np.errstate(over="ignore"):
        for start in range(0, len(rows), _ROWS_PER_PASS):
            batch = rows[start : start + _ROWS_PER_PASS]
            steps, past, future = (values.double() for values in tensors.batch(batch, 1)[:3])
            quantiles[start : start + len(batch)] = network(steps, past, future)[:, 0].numpy()
    network.float()
    return quantiles.astype(np.float64)


def forecast_members(networks: Sequence[Network], tensors: Tensors, rows: Rows) -> Floats:
    """(M, len(rows), H, Q) quantiles of each network."""
    return np.stack([forecast_quantiles(network, tensors, rows) for network in networks])


def named_weights(network: Network, member: int) -> dict[str, Tensor]:
    """A copy of the network's weights under `member.parameter`."""
    return {
        f"{member}.{name}": weight.detach().clone() for name, weight in network.state_dict().items()
    }


def load_members(weights: dict[str, Tensor], tensors: Tensors, count: int) -> list[Network]:
    """`count` networks with weights as `named_weights` returns them, its members used in turn."""
    by_member = defaultdict[int, dict[str, Tensor]](dict)
    for name, weight in weights.items():
        member, parameter = name.split(".", 1)
        by_member[int(member)][parameter] = weight
    networks = []
    for place in range(count):
        of_member = by_member[place % len(by_member)]
        # Copies: training changes them in place
        copies = {name: weight.to(torch.float32, copy=True) for name, weight in of_member.items()}
        network = empty_network(tensors)
        network.load_state_dict(copies, assign=True)
        networks.append(network)
    return networks


def _shuffled_batches(
    panel: Sequence[Tensors], batch_size: int, rng: torch.Generator
) -> Iterator[tuple[Tensor, ...]]:
    """Batches of shuffled sequences that tile each symbol's rows from a random offset."""
    ends_by_symbol = []
    for symbol in panel:
        spare = len(symbol.rows) - len(symbol.ends) * _LOSS_ROWS
        offset = torch.randint(spare + 1, (), generator=rng)
        ends_by_symbol.append(symbol.ends - int(offset))
    counts = [len(ends) for ends in ends_by_symbol]
    order = torch.randperm(sum(counts), generator=rng).numpy()
    ends = np.concatenate(ends_by_symbol)[order]
    symbols = np.repeat(np.arange(len(panel)), counts)[order]
    for part in np.array_split(np.arange(len(order)), math.ceil(len(order) / batch_size)):
        batches = [
            panel[symbol].batch(ends[part][symbols[part] == symbol], _LOSS_ROWS)
            for symbol in np.unique(symbols[part])
        ]
        yield tuple(torch.cat(pieces) for pieces in zip(*batches, strict=True))
