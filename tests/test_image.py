"""The steps of deploy/Dockerfile, run by hand, because a test machine may have no engine to build an image."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


def steps() -> list[tuple[str, str]]:
    """Instruction and arguments of each step, without comments and line continuations."""
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in joined.splitlines()]


def arguments_of(instruction: str) -> list[list[str]]:
    return [shlex.split(rest) for name, rest in steps() if name == instruction]


def variables() -> dict[str, str]:
    return dict(word.split("=", 1) for words in arguments_of("ENV") for word in words)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's /app: what COPY takes, and nothing else."""
    folder = tmp_path_factory.mktemp("app")
    for *sources, target in arguments_of("COPY"):
        for source in sources:
            place = folder / target / source if target.endswith("/") else folder / target
            place.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
            else:
                shutil.copy(ROOT / source, place)
    return folder


def run_in_image(app: Path, folder: Path, *command: str) -> str:
    """Output of a command run in another folder with the image's variables, and `folder` in place of /data."""
    in_image = {name: value.replace("/data", str(folder / "data")) for name, value in variables().items()}
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(app)} | in_image
    done = subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_build_context_holds_what_copy_takes_and_nothing_else() -> None:
    in_context = re.findall(r"^!(.+)$", (ROOT / "deploy" / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    taken = [source for *sources, _ in arguments_of("COPY") for source in sources]
    within = {source for source in taken for folder in taken if source.startswith(f"{folder}/")}
    assert sorted(in_context) == sorted(set(taken) - within)
    assert all((ROOT / source).exists() for source in taken)


def test_the_packages_installed_before_the_code_are_those_of_pyproject() -> None:
    (made,) = [rest for name, rest in steps() if name == "RUN" and "--editable" in rest]
    packages = re.search(r"for package in ([^;]+);", made)
    assert packages is not None
    copied = {source for *sources, _ in arguments_of("COPY") for source in sources if (ROOT / source).is_dir()}
    assert set(packages.group(1).split()) == copied
    built = yaml.safe_load(
        re.search(r"packages\.find = \{ include = (\[.*\]) \}", (ROOT / "pyproject.toml").read_text())[1]
    )  # type: ignore[index]
    assert {name.rstrip("*") for name in built} == copied


def test_every_package_of_the_image_is_installed_by_hash() -> None:
    installed = re.findall(r"pip install ([^&]*)", " && ".join(rest for name, rest in steps() if name == "RUN"))
    *locked, ours = [shlex.split(command) for command in installed]
    assert [command[-1] for command in locked] == ["deploy/locks/runtime.lock", "deploy/locks/torch-cpu.lock"]
    assert all({"--no-deps", "--require-hashes"} <= set(command) for command in locked)
    assert ours == ["--no-deps", "--no-build-isolation", "--editable", "."]


def test_base_images_are_named_by_digest() -> None:
    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"].values()
    named = [base for (base,) in arguments_of("FROM")] + [service["image"] for service in services]
    others = [image for image in named if image != "forecasting"]  # built here
    assert len(others) == 3
    assert [image for image in others if not re.fullmatch(r"[a-z]+:[\w.-]+@sha256:[0-9a-f]{64}", image)] == []


def test_nothing_in_the_image_runs_as_root_or_writes_outside_its_volume() -> None:
    ((user,),) = arguments_of("USER")
    ((volume,),) = arguments_of("VOLUME")
    assert user != "root"
    assert f"chown {user} {volume}" in " ".join(rest for name, rest in steps() if name == "RUN")
    assert [name for name, _ in steps()].index("USER") > max(
        position for position, (name, _) in enumerate(steps()) if name in ("RUN", "COPY")
    )
    folders = {name: value for name, value in variables().items() if value.startswith("/")}
    assert {"PREFECT_HOME", "PREFECT_SERVER_UI_STATIC_DIRECTORY", "FORECASTING_DATA_DIR"} <= set(folders)
    assert all(value.startswith(f"{volume}/") for value in folders.values())


@pytest.mark.slow
def test_the_copied_code_migrates_and_loads_every_deployment(app: Path, tmp_path: Path) -> None:
    entries = yaml.safe_load((app / "deploy" / "prefect.yaml").read_text())["deployments"]
    entrypoints = sorted({str(app / entry["entrypoint"]) for entry in entries})
    assert len(entrypoints) == 3
    script = """import sys; from prefect.flows import load_flow_from_entrypoint as load; from flows.cli import main
for name in sys.argv[1:]: load(name)
sys.argv = ["forecasting", "db", "upgrade"]; main()"""
    assert "at revision" in run_in_image(app, tmp_path, "-c", script, *entrypoints)
    assert (tmp_path / "data" / "forecasting" / "forecasting.db").exists()
