"""Pretrained weights: an ensemble trained on many symbols (a global model), from which a fit on any symbol may start.

Weights for several spans ship with the package, made by benchmarks/base_weights.py. They are never used for an origin
inside their own span: a replay of 2016 starts from weights trained up to 2014. Each span has four, with and without
earnings dates and a market series. `forecasting pretrain` makes others from a user's own symbols (`OwnWeights`).
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from forecasting.errors import ArtifactError
from forecasting.preprocess.future_covariates import EVENT_NAMES
from forecasting.preprocess.windows import Windows
from forecasting.settings import Settings
from forecasting.train.checkpoint import Checkpoint, load
from forecasting.train.linear import one_blas_thread
from forecasting.train.loop import Hyperparameters, generator, new_network, starting_networks, train_members
from forecasting.train.prepare import prepare
from forecasting.vocabulary import Progress, Target

logger = logging.getLogger("forecasting.train")
EPOCHS = 2  # epochs over all symbols; four are no better (2.297 against 2.299)
HYPERPARAMETERS = Hyperparameters(EPOCHS, 3e-3, batch_size=16)
CONTINUED = Hyperparameters(EPOCHS, 1e-3, batch_size=16)
"""From shipped weights on, over a user's own symbols.

Ten symbols from random weights lose 2% of volume against shipped weights, from shipped ones two years old 0%.
"""

_SHIPPED = Path(__file__).with_name("weights")


@dataclass(frozen=True)
class Kind:
    """Which symbols' fits may start from pretrained weights."""

    target: Target  # what they forecast
    earnings: bool  # whether their symbols have earnings dates
    market: bool  # whether they have a market series

    def name(self, trained_to: date, suffix: str = "") -> str:
        """The name of weights of this kind, which is that of their folder: `volume-2024-03-08-earnings-market`."""
        parts = [self.target, str(trained_to), *["earnings"] * self.earnings, *["market"] * self.market]
        return "-".join([*parts, suffix] if suffix else parts)


@dataclass(frozen=True)
class OwnWeights:
    """Pretrained weights made of a user's own symbols: what a caller needs to choose and load them."""

    name: str  # as `Kind.name` makes it, the part after the kind included; it names them in a card
    trained_to: date  # the newest session whose value was used in training
    folder: Path  # where `checkpoint.save` wrote them
    sha256: str  # the hash that it returned


def kind_of(windows: Windows) -> Kind:
    """The kind of weights that a fit on `windows` starts from."""
    return Kind(windows.target, windows.has_events, windows.has_market)


def pretrained_for(windows: Windows, own: Sequence[OwnWeights] = ()) -> Checkpoint | None:
    """The newest weights for `windows`: shipped ones, or those of `own`, which are preferred where both are as new.

    Shipped weights are trained on no session after the newest learnable one, own weights on older ones alone; None for
    an origin before every span. With earnings dates, those trained with dates: others have an error 0.9% larger (SBUX,
    volume, 2015-2019), and the other way round 1.1%. Of `own`, one whose files are missing, altered or of other code is
    left out, with a warning; such a shipped file raises ArtifactError.
    """
    kind, newest = kind_of(windows), windows.sessions[windows.learnable_sessions - 1].item()
    of_kind = [weights for weights in own if weights.name.rpartition("-")[0] == kind.name(weights.trained_to)]
    usable = [weights for weights in of_kind if weights.trained_to < newest]
    shipped = shipped_for(kind, newest)
    for weights in sorted([*usable, *shipped], key=lambda weights: weights.trained_to, reverse=True):
        try:
            return load_named(weights)
        except ArtifactError as error:
            if weights in shipped:
                raise
            logger.warning("own pretrained weights %s are left out: %s", weights.name, error)
    return None


def shipped_for(kind: Kind, newest: date) -> list[OwnWeights]:
    """The newest shipped weights of a kind that were trained on no session after `newest`: one or none."""
    of_kind = [
        OwnWeights(name, date.fromisoformat(str(entry["trained_to"])), _SHIPPED / name, str(entry["sha256"]))
        for entry in shipped_weights()
        for name in [str(entry["folder"])]
        if (entry["target"], entry["earnings"], entry["market"]) == (kind.target, kind.earnings, kind.market)
    ]
    usable = [weights for weights in of_kind if weights.trained_to <= newest]
    return sorted(usable, key=lambda weights: weights.trained_to)[-1:]


def load_named(weights: OwnWeights) -> Checkpoint:
    """Their checkpoint, with their name in its card."""
    checkpoint = load(weights.folder, weights.sha256)
    return replace(checkpoint, card=replace(checkpoint.card, base=weights.name))


def shipped_weights() -> list[dict[str, str | int | bool]]:
    """Index of the shipped weights: target, trained_to, earnings, market, members, symbols, folder and hash of each."""
    return json.loads((_SHIPPED / "index.json").read_text())


@one_blas_thread()
def pretrain(
    panel: Sequence[Windows],
    *,
    settings: Settings,
    start: Checkpoint | None = None,
    progress: Progress = lambda done, total: None,
) -> Checkpoint:
    """An ensemble fitted on all of `panel` together; its card's span is the widest, its scaler the first symbol's.

    `panel` has windows of one target, one per symbol, of any span. `start` is where each network begins, in turn where
    it has fewer, and is named as `base` in the card; random without it. `progress` counts networks.
    """
    prepared = [prepare(windows, method="base", settings=settings) for windows in panel]
    training, hyperparameters = [symbol.tensors for symbol in prepared], CONTINUED if start else HYPERPARAMETERS
    has_events = any(windows.has_events for windows in panel)
    rngs = [generator(settings.seed, member) for member in range(settings.members)]
    random = (new_network(training[0], rng) for rng in rngs)
    networks = starting_networks(start.weights, training[0], settings.members) if start else random
    weights = train_members(networks, rngs, training, hyperparameters, progress)
    for name, weight in weights.items():
        # Without events the weights of their columns are still random, noise to a symbol that has some.
        if not has_events and name.endswith(("from_past.weight", "from_flags.weight")):
            weight[:, -len(EVENT_NAMES) :] = 0.0
    cards = [symbol.card for symbol in prepared]
    card = replace(
        cards[0],
        trained_from=min(card.trained_from for card in cards),
        trained_to=max(card.trained_to for card in cards),
        rows=sum(card.rows for card in cards),
        epochs=hyperparameters.epochs,
        chain_epochs=hyperparameters.epochs,
        base=start.card.base if start else "",
    )
    return Checkpoint(card, weights)
