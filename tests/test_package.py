"""What leaves the repository: the wheel, the image by the steps of its Dockerfile, the workflows,
and make."""

import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from forecasting import __version__

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = re.sub(
    r"^#.*\n", "", (ROOT / "deploy" / "Dockerfile").read_text(), flags=re.M
).replace("\\\n", " ")
STEPS = [
    (line.split()[0], line.partition(" ")[2].strip())
    for line in DOCKERFILE.splitlines()
    if line.strip()
]
"""Instruction and arguments of each step of the image."""


def arguments_of(instruction):
    return [shlex.split(rest) for name, rest in STEPS if name == instruction]


VARIABLES = dict(word.split("=", 1) for words in arguments_of("ENV") for word in words)


def test_every_package_is_installed_by_hash_and_every_base_image_named_by_digest():
    *locked, ours = [
        shlex.split(command) for command in re.findall(r"pip install ([^&\n]*)", DOCKERFILE)
    ]
    assert [command[-1] for command in locked] == [
        "deploy/locks/runtime.lock",
        "deploy/locks/torch-cpu.lock",
    ]
    assert all({"--no-deps", "--require-hashes"} <= set(command) for command in locked)
    assert ours == ["--no-deps", "--no-build-isolation", "--editable", "."]
    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"].values()
    named = [base for (base,) in arguments_of("FROM")] + [service["image"] for service in services]
    others = [image for image in named if image != "forecasting"]  # built here
    assert len(others) == 3
    assert [
        image for image in others if not re.fullmatch(r"[a-z]+:[\w.-]+@sha256:[0-9a-f]{64}", image)
    ] == []


def test_nothing_in_the_image_runs_as_root_or_writes_outside_its_volume():
    ((user,),) = arguments_of("USER")
    ((volume,),) = arguments_of("VOLUME")
    names = [name for name, _ in STEPS]
    assert user != "root"
    assert f"chown {user} {volume}" in DOCKERFILE
    assert names.index("USER") > max(
        place for place, name in enumerate(names) if name in ("RUN", "COPY")
    )
    folders = {name: value for name, value in VARIABLES.items() if value.startswith("/")}
    assert {"PREFECT_HOME", "PREFECT_SERVER_UI_STATIC_DIRECTORY", "FORECASTING_DATA_DIR"} <= set(
        folders
    )
    assert all(value.startswith(f"{volume}/") for value in folders.values())


END = "-- end --"
COMMANDS = f"""
import sys
from flows.cli import main
entrypoints, *commands = sys.argv[1:]
for words in commands:
    sys.argv = ["forecasting", *words.split()]
    try:
        main()
    except SystemExit as left:
        assert not left.code, words
    print("{END}")
from prefect.flows import load_flow_from_entrypoint as load
for name in entrypoints.split():
    load(name)
import migrations
print(migrations.__file__)
"""
"""Runs commands and loads flows in one process, which imports everything once, and prints where
from."""


@pytest.mark.slow
def test_the_wheel_migrates_a_database_explains_itself_and_loads_every_deployment_in_an_empty_folder(
    tmp_path,
):
    """With the variables of the image, which has the same packages."""
    source = tmp_path / "source"
    unpacked = tmp_path / "unpacked"
    empty = tmp_path / "empty"
    source.mkdir()
    empty.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "forecasting", "flows", "migrations"):
        subprocess.run(["cp", "-r", str(ROOT / name), str(source)], check=True)
    # Without an environment of its own, whose packages would come from the network.
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(source)]
    subprocess.run(command, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(unpacked)
    names = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    assert {
        "migrations/env.py",
        "migrations/script.py.mako",
        "flows/nightly.py",
        "forecasting/py.typed",
    } <= names
    assert f"forecasting-{__version__}.dist-info/METADATA" in names
    shipped = {
        "report/templates/page.html",
        "ingest/earnings_dates.txt.gz",
    }
    assert {f"forecasting/{name}" for name in shipped} <= names
    says = {
        "db upgrade": "at revision",
        "--help": "Usage",
        "--version": __version__,
    }
    deployments = yaml.safe_load((ROOT / "deploy" / "prefect.yaml").read_text())["deployments"]
    entrypoints = sorted({str(unpacked / one["entrypoint"]) for one in deployments})
    assert len(entrypoints) == 2
    in_image = {
        name: value.replace("/data", str(tmp_path / "data")) for name, value in VARIABLES.items()
    }
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    environment |= {"PYTHONPATH": str(unpacked), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-c", COMMANDS, " ".join(entrypoints), *says]
    done = subprocess.run(
        command, cwd=empty, env=environment | in_image, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    *printed, imported_from = done.stdout.split(END)
    assert [
        text for text, part in zip(printed, says.values(), strict=True) if part not in text
    ] == []
    assert (tmp_path / "data" / "forecasting" / "forecasting.db").exists()
    assert imported_from.strip().startswith(str(unpacked))


# The workflows.
