"""A fitted ensemble and its folder on disk: weights.safetensors and model.json, without pickle."""

import hashlib
import json
import secrets
import shutil
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

FORMAT = 2  # version of a checkpoint's folder
_WEIGHTS = "weights.safetensors"
_MODEL = "model.json"
FILES = (_WEIGHTS, _MODEL)  # names of the files in a checkpoint's folder
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
    settings_hash: str
    seed: int
    members: int
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


def save(checkpoint: Checkpoint, folder: Path) -> str:
    """The SHA-256 over both files of `checkpoint`, written to `folder`, complete or not at all.

    An older one there is replaced.
    """
    from safetensors.torch import save as to_bytes

    weights = to_bytes({name: tensor.contiguous() for name, tensor in checkpoint.weights.items()})
    card = asdict(checkpoint.card) | {"weights_sha256": hashlib.sha256(weights).hexdigest()}
    model = json.dumps(card, indent=1, allow_nan=False, default=date.isoformat).encode()
    folder.parent.mkdir(parents=True, exist_ok=True)
    written = folder.parent / f".{folder.name}-{secrets.token_hex(4)}"
    written.mkdir()  # under the umask, as every other folder: one of tempfile's is its user's alone
    (written / _WEIGHTS).write_bytes(weights)
    (written / _MODEL).write_bytes(model)
    # A rename cannot replace a folder that holds files; the old or the new one is there complete
    if folder.exists():
        old = written.with_suffix(".old")
        folder.rename(old)
        written.rename(folder)
        shutil.rmtree(old)
    else:
        written.rename(folder)
    return hashlib.sha256(model).hexdigest()


def load(path: Path, sha256: str) -> Checkpoint:
    """The checkpoint that `save` wrote to the folder `path`.

    Args:
        path: the folder.
        sha256: of model.json, which holds the weights' own.

    Raises:
        ArtifactError: A file is missing or altered, or of another format or architecture.
    """
    from safetensors.torch import load as from_bytes

    from forecasting.train.model import ARCHITECTURE

    card, weights = read_whole(path, sha256)
    version = (card.get("format"), card.get("architecture"))
    if version != (FORMAT, ARCHITECTURE):
        raise ArtifactError(
            f"Expected a model of format {FORMAT}, architecture {ARCHITECTURE}; found {version[0]} "
            f"and {version[1]} in {path}: it was written by other code. Fit from scratch (mode "
            "scratch), or run the code that wrote it."
        )
    return Checkpoint(_CARDS.validate_python(card), from_bytes(weights))


def read_whole(path: Path, sha256: str) -> tuple[dict[str, Any], bytes]:
    """The card and the weights as stored in the folder `path`, of any format, without torch."""
    card: dict[str, Any] = json.loads(read_unaltered(path / _MODEL, sha256))
    return card, read_unaltered(path / _WEIGHTS, card.pop("weights_sha256"))


def read_unaltered(path: Path, sha256: str) -> bytes:
    """The content of a model's file; an ArtifactError if it cannot be read or has another hash."""
    restore = "Restore it from a backup, or fit from scratch (mode scratch)."
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"Expected a model in {path}; found {error.strerror or error}. {restore}"
        ) from None
    actual = hashlib.sha256(content).hexdigest()
    if actual != sha256:
        raise ArtifactError(
            f"Expected SHA-256 {sha256[:16]} of {path}; found {actual[:16]}: the file has changed "
            f"since it was written. {restore}"
        )
    return content
