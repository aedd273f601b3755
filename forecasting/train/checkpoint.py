"""A fitted ensemble: its card as JSON and its weights as safetensors, without pickle."""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter

from forecasting.errors import ArtifactError
from forecasting.preprocess.future_covariates import AFTER_EVENTS
from forecasting.vocabulary import Target

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 2  # version of a card
SEED = 0
"""Of all random numbers of a fit. Every fit has the same, so that a night made again has the same
bits."""

TENSORS_FILE = "weights.safetensors"
CARD_FILE = "model.json"
"""The files of a checkpoint that ships with the package."""

Vector = tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Card:
    """The metadata of a checkpoint; every field can be written as JSON and read back to the bit."""

    target: Target
    method: Literal["scratch", "warm", "base"]  # base: pretrained on many symbols
    flag_names: tuple[str, ...]  # the flags it was fitted with, in order
    effect: Vector  # (C,) coefficients of the flags' effect
    effect_intercept: float
    market_mean: Vector  # (M,)
    market_effect: tuple[Vector, ...]  # (H, M) zeros without a market series
    step_mean: Vector  # (S,) standardisation of the look-back's features, from training rows alone
    step_scale: Vector
    past_mean: Vector  # (P,) the same of a row's features
    past_scale: Vector
    trained_from: date  # oldest origin
    trained_to: date  # newest session whose value was used in training
    rows: int
    epochs: int = 0
    chain_epochs: int = 0  # since the last fit from scratch, which is included
    # On the purged rows that chose the epochs; None if these are fixed
    validation_loss: float | None = None
    # Pretrained weights that its chain started from, or that it holds, by name; empty for random
    # ones
    base: str = ""
    seed: int = SEED
    members: int  # networks of the ensemble
    architecture: int
    format: int = FORMAT

    @property
    def has_events(self) -> bool:
        """Whether its effects were estimated with earnings dates.

        A flag that is never set has an effect 0.
        """
        return any(self.effect[AFTER_EVENTS])

    @property
    def has_market(self) -> bool:
        """Whether it was fitted with a market series."""
        return any(map(any, self.market_effect))


_CARDS = TypeAdapter(Card)


@dataclass(frozen=True)
class Checkpoint:
    """A card and the CPU tensors of its members, named `member.parameter`."""

    card: Card
    weights: "dict[str, Tensor]"


def pack(checkpoint: Checkpoint) -> tuple[str, bytes]:
    """The card as JSON, with the SHA-256 of the weights, and the weights as safetensors."""
    from safetensors.torch import save as to_bytes

    weights = to_bytes({name: tensor.contiguous() for name, tensor in checkpoint.weights.items()})
    card = asdict(checkpoint.card) | {"weights_sha256": sha256_of(weights)}
    return json.dumps(card, indent=1, allow_nan=False, default=date.isoformat), weights


def unpack(text: str, weights: bytes, sha256: str, *, place: str) -> Checkpoint:
    """The checkpoint that `pack` has made.

    Args:
        text: the card.
        weights: the weights.
        sha256: of the card, which holds the weights' own.
        place: where both were, for the error.

    Raises:
        ArtifactError: One of them is altered, or of another format or architecture.
    """
    from safetensors.torch import load as from_bytes

    from forecasting.train.model import ARCHITECTURE

    check_unaltered(text.encode(), sha256, place=place)
    card: dict[str, Any] = json.loads(text)
    check_unaltered(weights, card.pop("weights_sha256"), place=place)
    version = (card.get("format"), card.get("architecture"))
    if version != (FORMAT, ARCHITECTURE):
        raise ArtifactError(
            f"Expected a model of format {FORMAT}, architecture {ARCHITECTURE}; found {version[0]} "
            f"and {version[1]} in {place}: it was written by other code. Fit from scratch (mode "
            "scratch), or run the code that wrote it."
        )
    return Checkpoint(_CARDS.validate_python(card), from_bytes(weights))


def load(folder: Path, sha256: str) -> Checkpoint:
    """The checkpoint whose card and weights are files of a folder; as `unpack`."""
    text = read_file(folder / CARD_FILE).decode()
    return unpack(text, read_file(folder / TENSORS_FILE), sha256, place=str(folder))


def read_file(path: Path) -> bytes:
    """The content of a model's file; an ArtifactError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"Expected a model in {path}; found {error.strerror or error}. Install the package "
            "anew."
        ) from None


def check_unaltered(content: bytes, sha256: str, *, place: str) -> None:
    """Raise an ArtifactError for content with another hash."""
    actual = sha256_of(content)
    if actual != sha256:
        raise ArtifactError(
            f"Expected SHA-256 {sha256[:16]} in {place}; found {actual[:16]}: the model has "
            "changed since it was written. Restore it from a backup, or fit from scratch (mode "
            "scratch)."
        )


def sha256_of(content: bytes) -> str:
    """The SHA-256 of bytes, as hex digits."""
    return hashlib.sha256(content).hexdigest()
