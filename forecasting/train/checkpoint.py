"""A fitted ensemble and its folder on disk: weights.safetensors and model.json, without pickle."""

import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from forecasting.errors import ArtifactError
from forecasting.preprocess.future_covariates import EVENT_NAMES
from forecasting.vocabulary import Target

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 2
"""Version of the folder's layout."""

_WEIGHTS, _MODEL = "weights.safetensors", "model.json"
FILES = (_WEIGHTS, _MODEL)
"""Names of the files in a checkpoint's folder."""

Vector = tuple[float, ...]


@dataclass(frozen=True)
class Artifact:
    """The folder of a checkpoint and the SHA-256 that covers both of its files."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class Card:
    """The metadata of a checkpoint; every field can be written as JSON and read back to the bit.

    Attributes:
        target: What it forecasts.
        method: scratch, warm, or base (pretrained on many symbols).
        flag_names: The flags it was fitted with, in order.
        effect: (C,) coefficients of the flags' effect, and effect_intercept.
        market_mean, market_effect: (M,) and (H, M) of the market's effect; zeros without a market series.
        step_mean, step_scale: (S,) standardisation of the look-back's features, from training rows alone.
        past_mean, past_scale: (P,) the same of a row's features.
        trained_from, trained_to: Oldest origin and newest session whose value was used in training.
        rows: Training rows.
        epochs: Epochs of this fit; chain_epochs those since the last fit from scratch, this one included.
        validation_loss: Pinball loss, model scale, on the purged validation rows that chose the epochs (warm: its
            parent's); None if the epochs are fixed.
        base: The pretrained weights that its chain of fits started from, or that it holds: the name of a shipped folder
            or COMPANION_TRAINED; empty for random weights.
        settings_hash, seed, members: The settings of the fit.
        architecture, format: Versions of the network's shape and of the folder.
    """

    target: Target
    method: Literal["scratch", "warm", "base"]
    flag_names: tuple[str, ...]
    effect: Vector
    effect_intercept: float
    market_mean: Vector
    market_effect: tuple[Vector, ...]
    step_mean: Vector
    step_scale: Vector
    past_mean: Vector
    past_scale: Vector
    trained_from: str
    trained_to: str
    rows: int
    epochs: int
    chain_epochs: int
    validation_loss: float | None
    base: str
    settings_hash: str
    seed: int
    members: int
    architecture: int
    format: int = FORMAT

    @property
    def has_events(self) -> bool:
        """Whether its effects were estimated with earnings dates: a flag that is never set has an effect 0."""
        return any(self.effect[-len(EVENT_NAMES) :])

    @property
    def has_market(self) -> bool:
        """Whether it was fitted with a market series."""
        return any(map(any, self.market_effect))


@dataclass(frozen=True)
class Checkpoint:
    """A card and the CPU tensors of its members, named `member.parameter`."""

    card: Card
    weights: "dict[str, Tensor]"

    @property
    def trained_from(self) -> date:
        """The oldest training row's origin."""
        return date.fromisoformat(self.card.trained_from)

    @property
    def trained_to(self) -> date:
        """The newest session whose value was used in training."""
        return date.fromisoformat(self.card.trained_to)


def save(checkpoint: Checkpoint, folder: Path) -> Artifact:
    """Write `checkpoint` to `folder`, complete or not at all, replacing an older one; its path and hash."""
    from safetensors.torch import save as to_bytes

    weights = to_bytes({name: tensor.contiguous() for name, tensor in checkpoint.weights.items()})
    card = asdict(checkpoint.card) | {"weights_sha256": hashlib.sha256(weights).hexdigest()}
    model = json.dumps(card, indent=1, allow_nan=False).encode()
    folder.parent.mkdir(parents=True, exist_ok=True)
    written = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    (written / _WEIGHTS).write_bytes(weights)
    (written / _MODEL).write_bytes(model)
    _move(written, folder)
    return Artifact(folder, hashlib.sha256(model).hexdigest())


def load(path: Path, sha256: str) -> Checkpoint:
    """The checkpoint in the folder `path`.

    Args:
        path: The folder that `save` wrote.
        sha256: The hash that `save` returned: of model.json, which itself holds the hash of the weights.

    Raises:
        ArtifactError: A file is missing or altered, or of another format or architecture.
    """
    from safetensors.torch import load as from_bytes

    from forecasting.train.model import ARCHITECTURE

    card, weights = read_whole(path, sha256)
    found = (card.get("format"), card.get("architecture"))
    if found != (FORMAT, ARCHITECTURE) or set(card) != {field.name for field in fields(Card)}:
        raise ArtifactError(
            f"Expected a model of format {FORMAT}, architecture {ARCHITECTURE}; found {found[0]} and {found[1]} in "
            f"{path}: it was written by other code. Fit from scratch (--mode scratch), or run the code that wrote it."
        )
    return Checkpoint(_card(card), from_bytes(weights))


def read_whole(path: Path, sha256: str) -> tuple[dict[str, Any], bytes]:
    """The card and the weights as stored in the folder `path`, of any format; does not load torch.

    Raises:
        ArtifactError: A file is missing or altered.
    """
    model, weights = _read(path / _MODEL), _read(path / _WEIGHTS)
    _check_hash(path / _MODEL, sha256, hashlib.sha256(model).hexdigest())
    card: dict[str, Any] = json.loads(model)
    _check_hash(path / _WEIGHTS, card.pop("weights_sha256"), hashlib.sha256(weights).hexdigest())
    return card, weights


def _move(written: Path, folder: Path) -> None:
    """Move the folder `written` to `folder`; the old or the new one exists complete at every moment."""
    if folder.exists():  # a rename cannot replace a folder that holds files
        old = written.with_suffix(".old")
        folder.rename(old)
        written.rename(folder)
        shutil.rmtree(old)
    else:
        written.rename(folder)


def _card(stored: dict[str, object]) -> Card:
    return Card(**{name: _tuples(value) for name, value in stored.items()})  # type: ignore[arg-type]  # from our own JSON


def _tuples(value: object) -> object:
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"Expected a model in {path}; found {error.strerror or error}. Restore the artifacts folder from a backup, "
            "roll back to another model, or fit from scratch (--mode scratch)."
        ) from None


def _check_hash(path: Path, expected: str, found: str) -> None:
    if expected != found:
        raise ArtifactError(
            f"Expected SHA-256 {expected[:16]} of {path}; found {found[:16]}: the file has changed since it was "
            "written. Restore it from a backup, roll back to another model, or fit from scratch (--mode scratch)."
        )
