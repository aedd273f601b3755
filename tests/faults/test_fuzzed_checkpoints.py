"""Models whose files somebody else wrote, with the right hashes: one that runs, or one paragraph."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from forecasting.errors import ArtifactError, ForecastingError
from forecasting.preprocess.windows import Windows
from forecasting.train import checkpoint as checkpoints
from forecasting.train.ensemble import check_runs, scaled_quantiles
from forecasting.train.fit import fit
from tests.faults.fuzzing import case, counts, damaged, ended
from tests.train.windows import SETTINGS, some_windows

ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 10**30, 1.5, -0.0, float("nan"), float("inf"), "", "x", "..", "9999-99-99", [], {}, [[]]),
    *([None], ["x"], [1e308] * 3, {"a": 1}, "volume", "close", 2, [0.0], [float("nan")], "a" * 5000, "\x1b[31m\n"),
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small model."""
    fitted = fit(some_windows(), mode="scratch", parent=None, settings=SETTINGS)
    return checkpoints.save(fitted, tmp_path_factory.mktemp("models") / "a").path


def run(folder: Path, windows: Windows) -> Any:
    """The quantiles of the model in a folder, by the hash of what lies there."""
    sha256 = hashlib.sha256((folder / "model.json").read_bytes()).hexdigest()
    loaded = checkpoints.load(folder, sha256)
    check_runs(loaded)
    return scaled_quantiles(loaded, windows, np.array([290]))


def other_card(card: dict[str, Any], chosen: random.Random) -> dict[str, Any]:
    card = json.loads(json.dumps(card))
    name = chosen.choice(sorted(card))
    change = chosen.randrange(5)
    if change == 0:
        del card[name]
    elif change == 1:
        card[chosen.choice(("extra", "__class__", name.upper()))] = chosen.choice(ODD)
    elif change == 2 and isinstance(card[name], list) and card[name]:
        card[name][chosen.randrange(len(card[name]))] = chosen.choice(ODD)
    elif change == 3 and isinstance(card[name], list):
        card[name] = chosen.choice((card[name][:-1], card[name] * 2, card[name] + [0.0]))
    else:
        card[name] = chosen.choice(ODD)
    return card


def other_weights(weights: dict[str, torch.Tensor], chosen: random.Random) -> dict[str, torch.Tensor]:
    weights = dict(weights)
    name = chosen.choice(sorted(weights))
    tensor = weights[name]
    kind = chosen.choice((torch.float64, torch.float16, torch.int64, torch.bool, torch.bfloat16))
    odd = chosen.choice((float("nan"), float("inf"), 1e38))
    changed: list[torch.Tensor] = [tensor.to(kind), torch.full_like(tensor, odd), tensor.reshape(-1), tensor[:0]]
    change = chosen.randrange(7)
    if change < 4:
        weights[name] = changed[change].contiguous()
    elif change == 4:
        del weights[name]
    elif change == 5:
        weights[chosen.choice(("x.y", "999999999.a", "-1.a", "a", ".", "../0.a", "0.extra"))] = tensor.clone()
    else:
        weights = {}
    return weights


@counts(40, 12_000)
def test_a_foreign_model_runs_or_is_refused_in_one_paragraph(cases: int, sound: Path, tmp_path: Path) -> None:
    windows, folder = some_windows(), tmp_path / "a"
    folder.mkdir()
    files = {name: (sound / name).read_bytes() for name in checkpoints.FILES}
    expected = run(sound, windows)
    card, weights = json.loads(files["model.json"]), load(files["weights.safetensors"])
    for place in range(cases):
        chosen = random.Random(place)
        stored, content = card, files["weights.safetensors"]
        change = chosen.randrange(4)
        if change == 0:
            content = save(other_weights(weights, chosen))
        elif change == 1:
            content = damaged(content[:3000], chosen) + content[3000:]
        elif change == 2:
            stored = other_card(card, chosen)
        if "weights_sha256" in stored and change < 2:
            stored = stored | {"weights_sha256": hashlib.sha256(content).hexdigest()}
        model = json.dumps(stored, indent=1).encode()
        (folder / "weights.safetensors").write_bytes(content)
        (folder / "model.json").write_bytes(damaged(model, chosen) if change == 3 else model)
        with case(place, (change, {name: value for name, value in stored.items() if value != card.get(name)})):
            quantiles = ended(lambda: run(folder, windows))
            if isinstance(quantiles, ForecastingError):
                assert isinstance(quantiles, ArtifactError)
            else:
                assert quantiles.shape == expected.shape  # where not finite, a night leaves them out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def as_torch_file(content: object) -> bytes:
    """As `torch.save` writes it, which is pickle in a zip file."""
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


class Program:
    """What runs a command when it is unpickled."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.made}",)


@pytest.mark.parametrize("name", checkpoints.FILES)
@pytest.mark.parametrize("write", [pickle.dumps, as_torch_file])
def test_a_model_that_wants_to_run_code_is_refused_and_runs_none(
    name: str, write: Callable[[object], bytes], sound: Path, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    folder = Path(shutil.copytree(sound, tmp_path / "a"))
    (folder / name).write_bytes(write(Program(made)))
    if name == "weights.safetensors":
        card = json.loads((folder / "model.json").read_bytes())
        card["weights_sha256"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises(ArtifactError, match="its content is another"):
        run(folder, some_windows())
    assert not made.exists()
