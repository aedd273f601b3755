"""The locks: hashes that image, units and CI install by, made of uv.lock within the ranges of pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / "deploy" / "locks"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
EXPORTS = ["installer.lock", "runtime.lock", "development.lock", "mutation.lock", "tools.lock"]

Pins = dict[tuple[str, str], set[str]]
"""Hashes of each (name, version)."""


def pins_of(name: str) -> Pins:
    """The pins of a file in deploy/locks/."""
    text = re.sub(r"^#.*\n", "", (LOCKS / name).read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found: Pins = {}
    for line in text.splitlines():
        requirement, *hashes = line.split(" --hash=")
        pinned = Requirement(requirement.strip())
        (exact,) = pinned.specifier
        assert exact.operator == "=="
        found[canonicalize_name(pinned.name), exact.version] = {one.strip() for one in hashes}
    return found


LOCKED: Pins = {
    (package["name"], package["version"]): {
        file["hash"] for file in [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
    }
    for package in PACKAGES
    if "version" in package
}


def names_of(pins: Pins) -> set[str]:
    return {name for name, _ in pins}


def constraints_of(name: str) -> list[tuple[str, str]]:
    """(name, version) of each line of a file of constraints; a version a line where Pythons differ."""
    lines = [line for line in (LOCKS / name).read_text().splitlines() if not line.startswith("#")]
    return [(canonicalize_name(one.name), next(iter(one.specifier)).version) for one in map(Requirement, lines)]


def required(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


@pytest.mark.parametrize("name", EXPORTS)
def test_every_pin_has_the_hashes_of_uv_s_lock_without_cuda_and_the_address_of_an_index(name: str) -> None:
    pins = pins_of(name)
    assert len(pins) == 1 if name == "installer.lock" else len(pins) > 20
    assert all(pins.values())
    assert {pin: hashes for pin, hashes in pins.items() if LOCKED.get(pin) != hashes} == {}
    assert [one for one in names_of(pins) if one.startswith(("nvidia", "cuda", "triton", "torch"))] == []
    assert "://" not in (LOCKS / name).read_text()


def test_the_lock_was_made_of_the_dependencies_that_pyproject_states_now() -> None:
    (ours,) = [package for package in PACKAGES if package["name"] == "forecasting"]
    stated = [(None, Requirement(text)) for text in PROJECT["project"]["dependencies"]]
    for extra, texts in PROJECT["project"]["optional-dependencies"].items():
        stated += [(extra, Requirement(text)) for text in texts]
    expected = {(extra, canonicalize_name(one.name), one.specifier) for extra, one in stated}
    locked = {
        (extra[1] if (extra := re.search(r"extra == '(\w+)'", one.get("marker", ""))) else None, one["name"],
         Requirement(f"{one['name']}{one.get('specifier', '')}").specifier)
        for one in ours["metadata"]["requires-dist"]
    }  # fmt: skip
    assert locked == expected


def test_a_night_and_the_tests_have_every_package_that_they_need() -> None:
    runtime, development = pins_of("runtime.lock"), pins_of("development.lock")
    stated = required(PROJECT["project"]["dependencies"])
    assert stated - names_of(runtime) == {"torch"}
    assert "setuptools" in names_of(runtime)  # without it, pip fetches the build backend unchecked
    assert runtime.items() <= development.items()
    assert required(PROJECT["project"]["optional-dependencies"]["dev"]) <= names_of(development)


def test_torch_without_cuda_is_the_locked_release_for_each_python_and_processor() -> None:
    ((name, version),) = pins_of("torch-cpu.lock")
    assert (name, version.removesuffix("+cpu")) in LOCKED
    assert len(pins_of("torch-cpu.lock")[name, version]) == len(["3.11", "3.12", "3.13"]) * len(["x86_64", "aarch64"])


def test_what_computes_a_forecast_is_one_release_for_every_python() -> None:
    computing = ["numpy", "pandas", "scikit-learn", "scipy", "torch"]
    assert sorted(name for name, _ in LOCKED if name in computing) == computing


def test_uv_s_lock_names_pypi_and_its_files_alone() -> None:
    hosts = set(re.findall(r"\w+://[^/\"]+", (ROOT / "uv.lock").read_text()))
    assert hosts == {"https://pypi.org", "https://files.pythonhosted.org"}


def test_the_oldest_and_newest_releases_are_those_that_pyproject_allows_the_oldest_the_lower_bounds() -> None:
    for text in PROJECT["project"]["dependencies"]:
        stated = Requirement(text)
        found = {
            file: [version for package, version in constraints_of(file) if package == canonicalize_name(stated.name)]
            for file in ("oldest.txt", "newest.txt")
        }
        assert all(found.values())
        assert [one for versions in found.values() for one in versions if one not in stated.specifier] == []
        (bound,) = [Version(one.version).release for one in stated.specifier if one.operator == ">="]
        (oldest,) = found["oldest.txt"]
        assert Version(oldest).release[: len(bound)] == bound
