import json
import os
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from forecasting.errors import ArtifactError
from forecasting.preprocess.windows import make_windows
from forecasting.train.checkpoint import Checkpoint, load, save
from forecasting.train.fit import fit
from forecasting.train.prepare import scaled_quantiles
from tests.builders import LAST, no_events, random_bars
from tests.train.windows import SETTINGS, scratch_fit, some_windows


@pytest.fixture
def checkpoint() -> Checkpoint:
    return scratch_fit()


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "models" / "a"


@pytest.fixture
def hash_of(checkpoint, path) -> str:
    return save(checkpoint, path)


def test_a_saved_checkpoint_is_loaded_equal_to_the_bit(checkpoint, path, hash_of):
    loaded = load(path, hash_of)
    assert loaded.card == checkpoint.card
    assert all(torch.equal(weight, loaded.weights[name]) for name, weight in checkpoint.weights.items())
    rows = np.arange(290, 300)
    np.testing.assert_array_equal(
        scaled_quantiles(loaded, some_windows(), rows), scaled_quantiles(checkpoint, some_windows(), rows)
    )


def test_the_same_checkpoint_has_the_same_hash_and_replaces_itself(checkpoint, path, hash_of):
    assert save(checkpoint, path) == hash_of
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("step", ["write_bytes", "rename"])
def test_a_kill_while_writing_leaves_the_old_folder_complete_and_no_new(checkpoint, path, hash_of, monkeypatch, step):
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, step, killed)
    for folder in (path, path.with_name("new")):
        with pytest.raises(KeyboardInterrupt):
            save(checkpoint, folder)
    assert load(path, hash_of).card == checkpoint.card
    assert not path.with_name("new").exists()


@pytest.mark.parametrize("name", ["weights.safetensors", "model.json"])
def test_a_missing_or_altered_file_is_refused_by_its_name(path, hash_of, name):
    content = bytearray((path / name).read_bytes())
    content[-10] ^= 1
    (path / name).write_bytes(bytes(content))
    with pytest.raises(ArtifactError, match=f"{name}.* has changed"):
        load(path, hash_of)
    (path / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name}; found No such file"):
        load(path, hash_of)


@pytest.mark.parametrize("version", ["format", "architecture"])
def test_another_version_is_refused_even_when_its_hash_is_right(path, hash_of, version):
    model = path / "model.json"
    model.write_text(json.dumps(json.loads(model.read_text()) | {version: 99}))
    with pytest.raises(ArtifactError, match=r"found .*99.* written by other code"):
        load(path, sha256(model.read_bytes()).hexdigest())


def test_a_card_has_events_if_its_fit_had_and_a_warm_fit_keeps_that(checkpoint):
    bars = random_bars(days=560, seed=5)
    without = make_windows(
        bars, no_events(), origin=LAST, target="volume", exchange="XNYS", train_sessions=SETTINGS.train_sessions
    )
    assert (some_windows().has_events, without.has_events) == (True, False)
    plain = fit(without, mode="scratch", parent=None, settings=SETTINGS)
    assert (checkpoint.card.has_events, plain.card.has_events) == (True, False)
    assert not fit(some_windows(), mode="warm", parent=plain, settings=SETTINGS).card.has_events


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a GPU: the checkpoint is written on it and loaded without it"
)
@pytest.mark.parametrize("mode", ["scratch", "warm"])
def test_a_checkpoint_fitted_on_a_gpu_forecasts_the_same_on_a_cpu(checkpoint, tmp_path, monkeypatch, mode):
    fitted = fit(some_windows(), mode=mode, parent=checkpoint, settings=SETTINGS)  # so was the module's own
    saved, rows = save(fitted, tmp_path / "gpu"), np.arange(250, 300)
    on_gpu = scaled_quantiles(fitted, some_windows(), rows)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    loaded = load(tmp_path / "gpu", saved)
    assert {weight.device.type for weight in loaded.weights.values()} == {"cpu"}
    np.testing.assert_allclose(scaled_quantiles(loaded, some_windows(), rows), on_gpu, atol=2e-3)


def test_a_folder_of_weights_has_the_permissions_of_the_umask(checkpoint, tmp_path):
    before = os.umask(0o002)
    try:
        save(checkpoint, saved := tmp_path / "models" / "shared")
    finally:
        os.umask(before)
    assert [f"{path.stat().st_mode & 0o777:o}" for path in (saved, *saved.iterdir())] == ["775", "664", "664"]
