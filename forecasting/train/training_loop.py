"""Batching, training and inference of one network; fit.py sets epochs and starting weights.

A sequence is LOOKBACK sessions; the loss is taken on its last rows at once, so that one pass of the LSTM trains on many
origins. A forecast runs the LOOKBACK sessions of its own row alone: it cannot depend on which others are asked for.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from forecasting.errors import ArtifactError
from forecasting.losses import Floats
from forecasting.preprocess.features import LOOKBACK
from forecasting.train.calendar_effects import AdjustedWindows, Rows
from forecasting.train.checkpoint import Card, Vector
from forecasting.train.model import Network, initialise, pinball
from forecasting.vocabulary import HORIZONS, QUANTILES

_SPAN = 44  # rows a sequence is scored on; the LOOKBACK - _SPAN before them only wake the LSTM up
_DECAY = 1e-3
_NORM = 1.0
_CLIP = 6.0  # standard deviations beyond which an input says no more
_TOGETHER = 32  # rows forecast in one pass


@dataclass(frozen=True)
class Tensors:
    """Standardised float32 inputs: steps (D, S), past (N, P), known (N, H, K), truth (N, H).

    Beside them the warm-up D - N, and whether the target has a direction to learn.
    """

    steps: Tensor
    past: Tensor
    known: Tensor
    truth: Tensor
    warm_up: int
    directed: bool

    def batch(self, ends: Rows, length: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The LOOKBACK sessions up to each row of `ends`, and past, known and truth of the last `length` of them."""
        sessions = torch.as_tensor(ends[:, None] + self.warm_up + np.arange(1 - LOOKBACK, 1))
        rows = torch.as_tensor(ends[:, None] + np.arange(1 - length, 1))
        return self.steps[sessions], self.past[rows], self.known[rows], self.truth[rows]


@dataclass(frozen=True)
class Schedule:
    """Passes over the rows, the peak of the learning rate's one cycle through them, and sequences in a batch."""

    epochs: int
    rate: float
    batch: int = 8


@dataclass(frozen=True)
class TrainingRows:
    """One symbol's tensors and the rows of them to learn from."""

    tensors: Tensors
    rows: Rows

    @property
    def spans(self) -> int:
        """Sequences that a pass over the rows makes."""
        return len(self.rows) // _SPAN


def standardise(features: Floats) -> tuple[Vector, Vector]:
    """Mean and scale of each column (N, P), as scikit-learn's StandardScaler has them: a constant one has scale 1."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(features)
    return tuple(scaler.mean_.tolist()), tuple(scaler.scale_.tolist())


def make_tensors(card: Card, adjusted: AdjustedWindows, warm_up: int) -> Tensors:
    """The inputs as the card's scaler sees them, on the GPU where there is one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def put(values: Floats) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=device)

    def scaled(values: Floats, mean: Vector, scale: Vector) -> Tensor:
        return put(np.clip((values - np.array(mean)) / np.array(scale), -_CLIP, _CLIP))

    return Tensors(
        steps=scaled(adjusted.steps, card.step_mean, card.step_scale),
        past=scaled(adjusted.past, card.past_mean, card.past_scale),
        known=put(adjusted.known),
        truth=put(adjusted.truth),
        warm_up=warm_up,
        directed=card.target != "close",
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the block torch computes on one thread; the caller's number is put back.

    Two threads sum in another order, so that the same seed would give other bits; and for networks this small they gain
    nothing on a free machine and cost tenfold on a busy one (measured: a fit of 4 s took 52 s).
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def generator(seed: int, member: int) -> torch.Generator:
    """The source of every draw of one member, on the CPU; the process's own generator is left alone."""
    return torch.Generator().manual_seed(seed * 1009 + member)


def empty_network(tensors: Tensors) -> Network:
    """A network of the right shape whose weights are still to be set."""
    with torch.device("meta"):  # built for real, it would draw from the process's generator
        shape = (tensors.steps.shape[-1], tensors.past.shape[-1], tensors.known.shape[-1])
        network = Network(*shape, directed=tensors.directed)
    return network.to_empty(device="cpu")


def new_network(tensors: Tensors, rows: Rows, rng: torch.Generator) -> Network:
    """A network with drawn weights that speaks the quantiles of the truth of `rows`."""
    network = empty_network(tensors)
    initialise(network, tensors.truth[torch.as_tensor(rows)].cpu(), rng)
    return network.to(tensors.steps.device)


def train(
    network: Network,
    training: list[TrainingRows],
    schedule: Schedule,
    *,
    rng: torch.Generator,
    after_epoch: Callable[[], None] | None = None,
) -> None:
    """Train `network` in place on the training together, as the schedule says; every draw comes from `rng`."""
    device = training[0].tensors.steps.device
    dropout = torch.Generator(device).manual_seed(int(torch.randint(2**31, (), generator=rng)))
    optimiser = torch.optim.AdamW(network.parameters(), lr=schedule.rate, weight_decay=_DECAY, foreach=True)
    per_epoch = -(-sum(one.spans for one in training) // schedule.batch)
    total = schedule.epochs * per_epoch + 1
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, schedule.rate, total_steps=total, pct_start=0.3)
    for _ in range(schedule.epochs):
        with one_thread():
            for steps, past, known, truth in _shuffled(training, schedule.batch, rng):
                optimiser.zero_grad()
                pinball(truth, network(steps, past, known, dropout)).backward()  # type: ignore[no-untyped-call]  # torch's own
                torch.nn.utils.clip_grad_norm_(network.parameters(), _NORM)
                optimiser.step()
                cycle.step()
        if after_epoch is not None:
            after_epoch()


def predict_rows(network: Network, tensors: Tensors, rows: Rows) -> Floats:
    """(len(rows), H, Q) quantiles of one network for `rows`, whatever other rows are asked for beside them.

    The last bits of a matrix product depend on its shape, on a row's place in it and on the processor. Computed in
    double precision and rounded to single, what differs lies far below what is kept.
    """
    spoken = np.empty((len(rows), len(HORIZONS), len(QUANTILES)), dtype=np.float32)
    exact = copy.deepcopy(network).double()
    with one_thread(), torch.inference_mode():
        for start in range(0, len(rows), _TOGETHER):
            some = rows[start : start + _TOGETHER]
            steps, past, known = (values.double() for values in tensors.batch(some, 1)[:3])
            spoken[start : start + len(some)] = exact(steps, past, known)[:, 0].cpu().numpy()
    return spoken.astype(np.float64)


def named_weights(network: Network, member: int) -> dict[str, Tensor]:
    """The network's weights as CPU tensors under `member.parameter`."""
    return {f"{member}.{name}": weight.detach().cpu().clone() for name, weight in network.state_dict().items()}


def load_members(weights: dict[str, Tensor], tensors: Tensors) -> list[Network]:
    """The networks that `named` took apart, ready to speak or to train on.

    Raises:
        ArtifactError: The weights are of another shape than this code's network.
    """
    networks = []
    for member in range(1 + max(int(name.split(".")[0]) for name in weights)):
        network = empty_network(tensors)
        prefix = f"{member}."
        own = {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}
        try:
            network.load_state_dict(own)
        except RuntimeError as error:
            raise ArtifactError(
                f"Weights of this code's network were expected; found others: {' '.join(str(error).split())[:300]}. "
                "Fit from scratch (--mode scratch), or run the code that made them."
            ) from None
        networks.append(network.to(tensors.steps.device))
    return networks


def _shuffled(training: list[TrainingRows], batch: int, rng: torch.Generator) -> Iterator[tuple[Tensor, ...]]:
    """Sequences that tile every training's rows from a drawn offset, shuffled together, in batches."""
    whose, ends = [], []
    for at, one in enumerate(training):
        spare = len(one.rows) - one.spans * _SPAN
        offset = int(torch.randint(min(spare + 1, _SPAN), (), generator=rng))
        ends.append(one.rows[-1] - offset - _SPAN * np.arange(one.spans))
        whose.append(np.full(one.spans, at))
    order = torch.randperm(sum(map(len, ends)), generator=rng).numpy()
    shuffled, owners = np.concatenate(ends)[order], np.concatenate(whose)[order]
    for part in np.array_split(np.arange(len(order)), -(-len(order) // batch)):
        drawn = [
            training[owner].tensors.batch(shuffled[part][owners[part] == owner], _SPAN)
            for owner in np.unique(owners[part])
        ]
        yield tuple(torch.cat(pieces) for pieces in zip(*drawn, strict=True))
