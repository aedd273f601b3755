"""What a release consists of: locks by hash within the ranges of pyproject.toml, audited, and a
bill of materials."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import sbom
from audit import LOCKS
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from forecasting import __version__

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
EXPORTS = ["installer.lock", "runtime.lock", "development.lock", "mutation.lock", "tools.lock"]

Pins = dict[tuple[str, str], set[str]]
"""Hashes of each (name, version)."""

LOCKED: Pins = {
    (package["name"], package["version"]): {
        file["hash"]
        for file in [
            *package.get("wheels", []),
            *([package["sdist"]] if "sdist" in package else []),
        ]
    }
    for package in PACKAGES
    if "version" in package
}


def pins_of(name):
    """The pins of a file in deploy/locks/."""
    text = re.sub(r"^#.*\n", "", (LOCKS / name).read_text(), flags=re.MULTILINE).replace(
        "\\\n", " "
    )
    found = {}
    for line in text.splitlines():
        requirement, *hashes = line.split(" --hash=")
        pinned = Requirement(requirement.strip())
        (exact,) = pinned.specifier
        assert exact.operator == "=="
        found[canonicalize_name(pinned.name), exact.version] = {one.strip() for one in hashes}
    return found


def names_of(pins):
    return {name for name, _ in pins}


def required(requirements):
    return {canonicalize_name(Requirement(text).name) for text in requirements}


@pytest.mark.parametrize("name", EXPORTS)
def test_every_pin_has_the_hashes_of_uv_s_lock_without_cuda_and_the_address_of_an_index(
    name,
):
    pins = pins_of(name)
    assert len(pins) == 1 if name == "installer.lock" else len(pins) > 20
    assert all(pins.values())
    assert {pin: hashes for pin, hashes in pins.items() if LOCKED.get(pin) != hashes} == {}
    assert [
        one for one in names_of(pins) if one.startswith(("nvidia", "cuda", "triton", "torch"))
    ] == []
    assert "://" not in (LOCKS / name).read_text()
    addresses = set(re.findall(r"\w+://[^/\"]+", (ROOT / "uv.lock").read_text()))
    assert addresses == {"https://pypi.org", "https://files.pythonhosted.org"}


def test_the_lock_was_made_of_the_dependencies_that_pyproject_states_now():
    (ours,) = [package for package in PACKAGES if package["name"] == "forecasting"]
    stated = [(None, Requirement(text)) for text in PROJECT["dependencies"]]
    for extra, texts in PROJECT["optional-dependencies"].items():
        stated += [(extra, Requirement(text)) for text in texts]
    locked = {
        (extra[1] if (extra := re.search(r"extra == "
                                         r"'(\w+)'", one.get("marker", ""))) else None, one["name"],
         Requirement(f"{one['name']}{one.get('specifier', '')}").specifier)
        for one in ours["metadata"]["requires-dist"]
    }  # fmt: skip
    assert locked == {(extra, canonicalize_name(one.name), one.specifier) for extra, one in stated}


def test_a_night_and_the_tests_have_every_package_that_they_need_and_one_release_computes_on_every_python():
    runtime, development, torch = (
        pins_of(f"{name}.lock") for name in ("runtime", "development", "torch-cpu")
    )
    assert required(PROJECT["dependencies"]) - names_of(runtime) == {"torch"}
    assert "setuptools" in names_of(runtime)  # without it, pip fetches the build backend unchecked
    assert runtime.items() <= development.items()
    assert required(PROJECT["optional-dependencies"]["dev"]) <= names_of(development)
    (((name, version), hashes),) = torch.items()
    assert (name, version.removesuffix("+cpu")) in LOCKED
    assert len(hashes) == len(["3.11", "3.12", "3.13"]) * len(["x86_64", "aarch64"])
    computing = ["numpy", "pandas", "scikit-learn", "scipy", "torch"]
    assert sorted(name for name, _ in LOCKED if name in computing) == computing


# The audit.


# The bill of materials, to which `make sbom` adds the packages.

MADE = "python benchmarks/base_weights.py PANEL.parquet --leave-out SBUX --to 2024-03-08"
ENTRIES = json.loads((sbom.WEIGHTS / "index.json").read_text())


def test_every_set_of_shipped_weights_is_a_model_with_span_and_command():
    assert sbom.version() == __version__
    models = [sbom.model_of(entry) for entry in ENTRIES]
    assert {model["name"] for model in models} == {
        path.name for path in sbom.WEIGHTS.iterdir() if path.is_dir()
    }
    (newest,) = [model for model in models if model["name"] == "volume-2024-03-08-market"]
    said = {one["name"].removeprefix("forecasting:"): one["value"] for one in newest["properties"]}
    made = {"trained_from": "2014-04-03", "trained_to": "2024-03-08", "rows": "234906"}
    assert said | made | {"command": f"{MADE} --market VIX.csv"} == said
