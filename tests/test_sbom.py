"""The pretrained weights in the bill of materials; `make sbom` adds the packages and checks it against the schema."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import sbom

from forecasting import __version__

ENTRIES = json.loads((sbom.WEIGHTS / "index.json").read_text())


def test_every_set_of_shipped_weights_is_a_model_with_span_files_and_command() -> None:
    assert sbom.version() == __version__
    models = [sbom.model_of(entry) for entry in ENTRIES]
    assert {model["name"] for model in models} == {path.name for path in sbom.WEIGHTS.iterdir() if path.is_dir()}
    (newest,) = [model for model in models if model["name"] == "volume-2024-03-08-market"]
    said = {one["name"].removeprefix("forecasting:"): one["value"] for one in newest["properties"]}
    assert (said["trained_from"], said["trained_to"], said["rows"]) == ("2014-04-03", "2024-03-08", "234906")
    assert said["command"] == (
        "python benchmarks/base_weights.py PANEL.parquet --leave-out SBUX --to 2024-03-08 --market VIX.csv"
    )
    weights = (sbom.WEIGHTS / "volume-2024-03-08-market" / "weights.safetensors").read_bytes()
    hashes = {file["name"]: file["hashes"][0]["content"] for file in newest["components"]}
    assert hashes["weights.safetensors"] == hashlib.sha256(weights).hexdigest()


def test_every_file_of_shipped_trees_is_a_model_with_its_hash() -> None:
    models = [sbom.trees_of(entry) for entry in json.loads((sbom.WEIGHTS / "trees.json").read_text())]
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sbom.WEIGHTS.glob("*.safetensors")}
    assert {file["name"]: file["hashes"][0]["content"] for one in models for file in one["components"]} == files
    assert models


def test_weights_that_are_not_those_of_the_index_end_the_bill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ENTRIES[0]
    folder = tmp_path / entry["folder"]
    folder.mkdir()
    for name in ("model.json", "weights.safetensors"):
        (folder / name).write_bytes((sbom.WEIGHTS / entry["folder"] / name).read_bytes())
    (folder / "weights.safetensors").write_bytes(b"others")
    monkeypatch.setattr(sbom, "WEIGHTS", tmp_path)
    with pytest.raises(SystemExit, match=r"Expected .*weights\.safetensors with SHA-256"):
        sbom.model_of(entry)
