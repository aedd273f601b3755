"""Writes the bill of materials of an installation by the locks.

CycloneDX, pretrained weights included.

    make sbom

dist/sbom.cdx.json lists every package of runtime.lock and torch-cpu.lock with its hashes, and the
pretrained weights as machine-learning models: training span, hashes of their files, and the command
that made them. The same commit gives the same bytes. It does not list what the base image holds.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LOCKS = Path(__file__).parent
WEIGHTS = ROOT / "forecasting" / "train" / "weights"
OUT = ROOT / "dist" / "sbom.cdx.json"

Component = dict[str, Any]
"""A component of CycloneDX 1.6, as its JSON has it."""


def main() -> None:
    """Write and validate the bill; print what it holds."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    bom = bill_of_packages()
    models = [model_of(entry) for entry in json.loads((WEIGHTS / "index.json").read_text())]
    models += [trees_of(entry) for entry in json.loads((WEIGHTS / "trees.json").read_text())]
    root = bom["metadata"]["component"]
    root["version"] = version()
    packages = [component["bom-ref"] for component in bom["components"]]
    bom["components"] += models
    contents = packages + [model["bom-ref"] for model in models]
    bom["dependencies"] = [{"ref": root["bom-ref"], "dependsOn": contents}]
    text = json.dumps(bom, indent=1, sort_keys=True) + "\n"
    validate(text)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(text)
    print(f"{OUT.relative_to(ROOT)}: {len(packages)} packages, {len(models)} pretrained models")


def version() -> str:
    """The package's version, which pyproject.toml reads from there too."""
    (found,) = re.findall(
        r'^__version__ = "(.+)"$', (ROOT / "forecasting" / "__init__.py").read_text(), re.MULTILINE
    )
    return str(found)


def bill_of_packages() -> dict[str, Any]:
    """The bill that cyclonedx-py makes of the two locks, named after the packages rather than their lines."""
    locks = "".join((LOCKS / name).read_text() for name in ("runtime.lock", "torch-cpu.lock"))
    # It warns that its bill does not say what depends on what, which is added in `main`.
    command = [
        sys.executable,
        "-W",
        "ignore::UserWarning",
        "-m",
        "cyclonedx_py",
        "requirements",
        "-",
    ]
    options = [
        "--pyproject",
        str(ROOT / "pyproject.toml"),
        "--output-reproducible",
        "--spec-version",
        "1.6",
    ]
    made = subprocess.run(
        [*command, *options], input=locks, stdout=subprocess.PIPE, text=True, check=True
    )
    bom: dict[str, Any] = json.loads(made.stdout)
    for component in bom["components"]:
        component["bom-ref"] = component["purl"]
        del component["description"]  # its line of the lock
        if component["name"] == "torch":
            del component["externalReferences"]  # the package index, which has not this build
    return bom


def model_of(entry: dict[str, Any]) -> Component:
    """The component of pretrained weights.

    Args:
        entry: Theirs in index.json.

    Raises:
        SystemExit: A file is not the one that was made.
    """
    card = json.loads((WEIGHTS / entry["folder"] / "model.json").read_text())
    return {
        "type": "machine-learning-model",
        "bom-ref": f"weights/{entry['folder']}",
        "name": entry["folder"],
        "version": entry["trained_to"],
        "description": f"Pretrained weights for target {entry['target']}: {entry['members']} "
        "networks, averaged.",
        "licenses": [{"license": {"id": "MIT"}}],
        "components": files_of(entry, card["weights_sha256"]),
        "modelCard": model_card(entry, card),
        "properties": properties_of(entry, card),
    }


def files_of(entry: dict[str, Any], weights_sha256: str) -> list[Component]:
    """The two files of pretrained weights with their hashes.

    Args:
        entry: Theirs in index.json, whose sha256 is that of model.json.
        weights_sha256: Of the weights, from model.json.

    Raises:
        SystemExit: A file is not the one that was made.
    """
    expected = (("model.json", entry["sha256"]), ("weights.safetensors", weights_sha256))
    return [file_of(WEIGHTS / entry["folder"] / name, sha256) for name, sha256 in expected]


def file_of(path: Path, expected: str) -> Component:
    """A file with its hash.

    Raises:
        SystemExit: It is not the one that was made.
    """
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        raise SystemExit(
            f"Expected {path} with SHA-256 {expected}; it has {found}. Restore it from the release."
        )
    return {"type": "file", "name": path.name, "hashes": [{"alg": "SHA-256", "content": found}]}


def trees_of(entry: dict[str, Any]) -> Component:
    """The component of boosted trees, an entry of trees.json."""
    command = (
        "python benchmarks/base_weights.py PANEL.parquet --leave-out SBUX --to "
        f"{entry['trained_to']} --trees"
    )
    return {
        "type": "machine-learning-model",
        "bom-ref": f"weights/{entry['file']}",
        "name": entry["file"].removesuffix(".safetensors"),
        "version": entry["trained_to"],
        "description": f"Boosted trees for target volume, of {entry['rows']} rows of "
        f"{entry['symbols']} stocks.",
        "licenses": [{"license": {"id": "MIT"}}],
        "components": [file_of(WEIGHTS / entry["file"], entry["sha256"])],
        "properties": [{"name": "forecasting:command", "value": command}],
    }


def model_card(entry: dict[str, Any], card: dict[str, Any]) -> dict[str, Any]:
    """Task, network and training data, as CycloneDX has them."""
    stocks = {
        "type": "dataset",
        "name": f"Daily bars of {entry['symbols']} large US stocks, {card['trained_from']} to "
        f"{card['trained_to']}",
        "description": "Not shipped. docs/model.md describes the stocks, their dates and the "
        "limits.",
    }
    return {
        "modelParameters": {
            "task": "quantile forecasting of the next five sessions",
            "architectureFamily": "LSTM",
            "modelArchitecture": f"version {card['architecture']} in forecasting/train/model.py",
            "datasets": [stocks],
        }
    }


def properties_of(entry: dict[str, Any], card: dict[str, Any]) -> list[dict[str, str]]:
    """Span, rows, seed and kind of the training, and the command that did it."""
    options = f"--leave-out SBUX --to {card['trained_to']}" + " --market VIX.csv" * entry["market"]
    values = {name: card[name] for name in ("trained_from", "trained_to", "rows", "seed")} | {
        "earnings_dates": entry["earnings"],
        "market_series": entry["market"],
        "command": f"python benchmarks/base_weights.py PANEL.parquet {options}",
    }
    return [{"name": f"forecasting:{name}", "value": str(value)} for name, value in values.items()]


def validate(text: str) -> None:
    """Check the bill against the schema of CycloneDX.

    Raises:
        SystemExit: It does not fit.
    """
    # Of .venv-tools alone: the tests import this module without it.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise SystemExit(f"The bill of materials does not fit the schema of CycloneDX 1.6: {error}")


if __name__ == "__main__":
    main()
