"""Batching, training and inference of one network; fit.py sets epochs and starting weights.

A sequence is LOOKBACK sessions; the loss is computed on its last _LOSS_ROWS rows, so one LSTM pass
trains on
many origins. A forecast uses the LOOKBACK sessions of its own row alone: it cannot depend on the
other rows requested.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.optim.adamw import adamw

from forecasting.losses import Floats, row_losses
from forecasting.preprocess.windows import LOOKBACK
from forecasting.targets import TARGETS
from forecasting.train.checkpoint import Card, Vector
from forecasting.train.linear import IN_TURN, AdjustedWindows, Rows
from forecasting.train.model import Network, initialise, pinball
from forecasting.vocabulary import HORIZONS, QUANTILES, Progress

# Of each sequence; the LOOKBACK - _LOSS_ROWS rows before them warm up the LSTM state
_LOSS_ROWS = 44
_WEIGHT_DECAY = 1e-3
_RISING = 0.3  # share of the steps on which the rate rises
_PEAK_BY_FIRST = 25.0  # the peak rate by the first rate
_FIRST_BY_LAST = 1e4  # the first rate by the last one
_BETAS = (0.85, 0.95)  # of the first moment, at the peak rate and at the ends
_MAX_GRADIENT_NORM = 1.0
_INPUT_LIMIT = 6.0  # standard deviations at which inputs are clipped
_ROWS_PER_PASS = 32  # rows forecast in one pass


@dataclass(frozen=True)
class Tensors:
    """Standardised float32 inputs and targets of one symbol."""

    steps: Tensor  # (D, S) features of each session
    past: Tensor  # (N, P) features of each row
    future: Tensor  # (N, H, K) future covariates
    truth: Tensor  # (N, H) targets
    rows: Rows  # those to train on, or all
    warm_up: int  # D - N
    directed: bool  # whether the median may depend on the inputs

    @property
    def ends(self) -> Rows:
        """The last row of each of the sequences that tile the rows, newest first."""
        return self.rows[-1] - _LOSS_ROWS * np.arange(len(self.rows) // _LOSS_ROWS)

    def batch(self, ends: Rows, length: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The LOOKBACK sessions up to each row of `ends`, and past, future and truth of the last `length` of them."""
        sessions = torch.as_tensor(ends[:, None] + self.warm_up + np.arange(1 - LOOKBACK, 1))
        rows = torch.as_tensor(ends[:, None] + np.arange(1 - length, 1))
        return self.steps[sessions], self.past[rows], self.future[rows], self.truth[rows]


@dataclass(frozen=True)
class Hyperparameters:
    """Passes over the rows, the peak of the one-cycle learning rate, and sequences in a batch."""

    epochs: int
    learning_rate: float
    batch_size: int = 8

    def reach(self, rows: int) -> float:
        """The most that training on so many rows can move one weight.

        A step of Adam is at most 1.3 times its rate, by Cauchy and Schwarz over thirty steps with
        these betas, and the mean rate of a one-cycle schedule is about half its peak: together 0.7,
        the rest is for weight decay.
        """
        return self.epochs * -(-(rows // _LOSS_ROWS) // self.batch_size) * self.learning_rate


def make_tensors(card: Card, adjusted: AdjustedWindows, rows: Rows, warm_up: int) -> Tensors:
    """The inputs standardised by the card's scaler, on the GPU if there is one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def put(values: Floats) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=device)

    def scaled(values: Floats, mean: Vector, scale: Vector) -> Tensor:
        # A foreign card's scale may be minute: what is infinite is clipped
        with np.errstate(over="ignore"):
            deviations = (values - np.array(mean)) / np.array(scale)
        return put(np.clip(deviations, -_INPUT_LIMIT, _INPUT_LIMIT))

    with one_thread():  # beside another worker, copies by two threads took a tenth of a night
        return Tensors(
            steps=scaled(adjusted.steps, card.step_mean, card.step_scale),
            past=scaled(adjusted.past, card.past_mean, card.past_scale),
            future=put(adjusted.future),
            truth=put(adjusted.truth),
            rows=rows,
            warm_up=warm_up,
            directed=not TARGETS[card.target].moves_width,
        )


@contextmanager
def one_thread() -> Iterator[None]:
    """A context in which torch uses one thread; the caller's number is restored afterwards.

    Two threads sum in another order, so that the same seed would give other bits; on a busy machine
    4 s became 52.
    """
    with IN_TURN:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def generator(seed: int, member: int) -> torch.Generator:
    """The random generator of one member, on the CPU; the generator of the process is not used."""
    return torch.Generator().manual_seed(seed * 1009 + member)


def empty_network(tensors: Tensors) -> Network:
    """A network of the right shape on the meta device, without weights."""
    shape = (values.shape[-1] for values in (tensors.steps, tensors.past, tensors.future))
    with torch.device("meta"):  # elsewhere the constructor would use the generator of the process
        return Network(*shape, directed=tensors.directed)


def new_network(tensors: Tensors, rng: torch.Generator) -> Network:
    """A randomly initialised network whose first output is the empirical quantiles of the targets of the rows."""
    network = empty_network(tensors)
    # Not to_empty: of a meta tensor it imports torch.fx's symbolic shapes, half a second of a
    # process.
    network.load_state_dict(
        {name: torch.empty(it.shape) for name, it in network.state_dict().items()}, assign=True
    )
    initialise(network, tensors.truth[torch.as_tensor(tensors.rows)].cpu(), rng)
    return network.to(tensors.steps.device)


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

    The bits are those of torch.optim.AdamW under OneCycleLR, by torch's function for a step: the
    two classes import torch._dynamo, 830 modules, 1.2 s of CPU a process, where a night takes 3 s.
    """
    dropout = torch.Generator(panel[0].steps.device).manual_seed(
        int(torch.randint(2**31, (), generator=rng))
    )
    weights = list[Tensor](network.parameters())
    taken = itertools.count()
    first, second = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))
    counts = [torch.tensor(0.0) for _ in weights]
    move = partial(
        adamw,
        foreach=True,
        amsgrad=False,
        maximize=False,
        weight_decay=_WEIGHT_DECAY,
        beta2=0.999,
        eps=1e-8,
    )
    steps = hyperparameters.epochs * -(
        -sum(len(symbol.ends) for symbol in panel) // hyperparameters.batch_size
    )
    for _ in range(hyperparameters.epochs):
        with one_thread():
            for sessions, past, future, truth in _shuffled_batches(
                panel, hyperparameters.batch_size, rng
            ):
                pinball(
                    truth,
                    network(
                        sessions,
                        past,
                        future,
                        dropout,
                    ),
                ).backward()  # type: ignore[no-untyped-call]  # torch's own
                torch.nn.utils.clip_grad_norm_(weights, _MAX_GRADIENT_NORM)
                rate, beta = one_cycle(next(taken), steps, peak=hyperparameters.learning_rate)
                gradients = [
                    gradient for weight in weights if (gradient := weight.grad) is not None
                ]
                with torch.no_grad():
                    move(
                        weights,
                        gradients,
                        first,
                        second,
                        [],
                        counts,
                        lr=rate,
                        beta1=beta,
                    )
                network.zero_grad()
        if after_epoch is not None:
            after_epoch()


def train_members(
    networks: Iterable[Network],
    rngs: Sequence[torch.Generator],
    panel: Sequence[Tensors],
    hyperparameters: Hyperparameters,
    progress: Progress = lambda done, total: None,
) -> dict[str, Tensor]:
    """The weights of every member, trained one after the other.

    Faster on a CPU than all in one batch.
    """
    weights: dict[str, Tensor] = {}
    for member, (network, rng) in enumerate(zip(networks, rngs, strict=True)):
        train(
            network,
            panel,
            hyperparameters,
            rng=rng,
        )
        weights |= named_weights(network, member)
        progress(member + 1, len(rngs))
    return weights


def one_cycle(step: int, steps: int, *, peak: float) -> tuple[float, float]:
    """Learning rate and first beta of step 0 to `steps`, as of torch's OneCycleLR (Smith and Topin 2018)."""

    def half_cosine(start: float, end: float) -> float:
        return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)

    start = peak / _PEAK_BY_FIRST
    top = _RISING * (steps + 1) - 1
    if step <= top:
        share = step / top
        return half_cosine(start, peak), half_cosine(_BETAS[1], _BETAS[0])
    share = (step - top) / (steps - top)
    return half_cosine(peak, start / _FIRST_BY_LAST), half_cosine(_BETAS[0], _BETAS[1])


def training_losses(network: Network, tensors: Tensors) -> Floats:
    """(n,) adjusted pinball loss, without dropout, of each known row in the sequences that tile the rows."""
    with one_thread(), torch.inference_mode():
        steps, past, future, truth = tensors.batch(tensors.ends, _LOSS_ROWS)
        quantiles = network(steps, past, future)
    return row_losses(
        truth.flatten(0, 1).double().cpu().numpy(), quantiles.flatten(0, 1).double().cpu().numpy()
    )


def forecast_rows(network: Network, tensors: Tensors, rows: Rows) -> Floats:
    """(len(rows), H, Q) quantiles of one network for `rows`.

    Each row's are independent of the other rows.

    The last bits of a matrix product depend on its shape, on a row's position in it and on the
    processor. Computing in double precision and rounding to single removes these differences; the
    weights themselves come back unchanged.
    """
    quantiles = np.empty((len(rows), len(HORIZONS), len(QUANTILES)), dtype=np.float32)
    network.double()
    with one_thread(), torch.inference_mode(), np.errstate(over="ignore"):
        for start in range(0, len(rows), _ROWS_PER_PASS):
            batch = rows[start : start + _ROWS_PER_PASS]
            steps, past, future = (values.double() for values in tensors.batch(batch, 1)[:3])
            quantiles[start : start + len(batch)] = network(steps, past, future)[:, 0].cpu().numpy()
    network.float()
    return quantiles.astype(np.float64)


def named_weights(network: Network, member: int) -> dict[str, Tensor]:
    """The network's weights as CPU tensors under `member.parameter`."""
    return {
        f"{member}.{name}": weight.detach().cpu().clone()
        for name, weight in network.state_dict().items()
    }


def load_members(weights: dict[str, Tensor], tensors: Tensors) -> list[Network]:
    """The networks whose weights `named_weights` returned."""
    networks = []
    for member in range(len({name.partition(".")[0] for name in weights})):
        network = empty_network(tensors)
        prefix = f"{member}."
        own = {
            # Training changes it in place
            name.removeprefix(prefix): weight.to(dtype=torch.float32, copy=True)
            for name, weight in weights.items()
            if name.startswith(prefix)
        }
        network.load_state_dict(own, assign=True)
        networks.append(network.to(tensors.steps.device))
    return networks


def starting_networks(weights: dict[str, Tensor], tensors: Tensors, count: int) -> list[Network]:
    """`count` networks for training, with the weights of the members in turn."""
    networks: list[Network] = []
    while len(networks) < count:
        networks += load_members(weights, tensors)
    return networks[:count]


def _shuffled_batches(
    panel: Sequence[Tensors], batch_size: int, rng: torch.Generator
) -> Iterator[tuple[Tensor, ...]]:
    """Batches of sequences that tile every symbol's rows from a random offset, shuffled over all symbols."""
    ends_by_symbol = []
    for symbol in panel:
        spare = len(symbol.rows) - len(symbol.ends) * _LOSS_ROWS
        ends_by_symbol.append(
            symbol.ends - int(torch.randint(min(spare + 1, _LOSS_ROWS), (), generator=rng))
        )
    counts = list(map(len, ends_by_symbol))
    order = torch.randperm(sum(counts), generator=rng).numpy()
    ends = np.concatenate(ends_by_symbol)[order]
    owners = np.repeat(np.arange(len(panel)), counts)[order]
    for part in np.array_split(np.arange(len(order)), -(-len(order) // batch_size)):
        own = owners[part]
        batches = [
            panel[owner].batch(ends[part][own == owner], _LOSS_ROWS) for owner in np.unique(own)
        ]
        yield tuple(torch.cat(pieces) for pieces in zip(*batches, strict=True))
