"""The workflows: actions by commit, no right that a job was not given by name, and commands that the Makefile has."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_named_by_commit_with_its_release_beside_it(path: Path) -> None:
    used = re.findall(r"uses: (.*)", path.read_text())
    assert used
    assert [line for line in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_no_right_and_a_job_only_those_it_names(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {}
    rights = {f"{name}: {right}" for job in workflow["jobs"].values() for name, right in job["permissions"].items()}
    assert rights <= {"contents: read", "id-token: write", "attestations: write"}
    assert ("id-token: write" in rights) == (path.stem == "release")


def test_the_makefile_has_what_the_workflows_run() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    runs = [step["run"] for path in WORKFLOWS for job in yaml.safe_load(path.read_text())["jobs"].values()
            for step in job["steps"] if "run" in step]  # fmt: skip
    made = {
        word for run in runs if run.startswith("make ") for word in run.split(" && ")[0].split()[1:] if word.isalpha()
    }
    assert {"test", "lock", "audit", "sbom", "dist"} == made
    assert made <= targets


def test_a_campaign_has_a_thousand_worlds_on_sqlite_and_two_hundred_on_postgres_and_others_each_time(
    tmp_path: Path,
) -> None:
    job = yaml.safe_load((ROOT / ".github" / "workflows" / "campaigns.yml").read_text())["jobs"]["worlds"]
    (script,) = (step["run"] for step in job["steps"] if "WORLD_SEEDS" in step.get("run", ""))
    stub = tmp_path / ".venv" / "bin" / "pytest"
    stub.parent.mkdir(parents=True)
    stub.write_text('#!/bin/sh\necho "$WORLD_NIGHTS $WORLD_SEEDS $6"\n')
    stub.chmod(0o755)
    matrix, seeds = job["strategy"]["matrix"], dict[str, list[int]]()
    for run, database, part in itertools.product((1, 2), matrix["database"], matrix["part"]):
        name = database["name"]
        given = {"RUN": str(run), "PART": str(part), "DATABASE": name, "SEEDS": str(database["seeds"])}
        printed = subprocess.check_output(["bash", "-ec", script], cwd=tmp_path, env=os.environ | given, text=True)
        nights, span, wanted = printed.strip().split(" ", 2)
        assert (nights, wanted) == ("60", f"worlds_keep and {name}")
        seeds.setdefault(name, []).extend(range(*map(int, span.split(":"))))
    assert {name: (len(found), len({*found})) for name, found in seeds.items()} == {
        "sqlite": (2_000, 2_000),
        "postgres": (400, 400),
    }


@pytest.mark.parametrize("python", ["/nonexistent/python3.11", "/bin/false"], ids=["gone", "another"])
def test_make_makes_an_environment_anew_whose_python_is_gone_or_another(tmp_path: Path, python: str) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", *(f"deploy/locks/{name}.lock" for name in ("installer", "runtime", "torch-cpu"))):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    link = tmp_path / ".venv" / "bin" / "python"
    link.parent.mkdir(parents=True)
    link.symlink_to(python)
    own = tmp_path / "own"  # stands in for `python -m venv`, which takes seconds and keeps a link that is there, too
    own.write_text(f'#!/bin/sh\n[ "$2" != venv ] && exec {sys.executable} "$@"\nmkdir -p $3/bin\n'
                   f'[ -L $3/bin/python ] || ln -s {sys.executable} $3/bin/python\n')  # fmt: skip
    own.chmod(0o755)
    command = ["make", f"PYTHON={own}", "PIP=:", "UV=:", ".venv/.installed"]
    marker = tmp_path / ".venv" / "marker"
    for kept in (False, True):  # the second time it is of this Python
        marker.touch()
        os.utime(tmp_path / "pyproject.toml", (4e9, 4e9))
        made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (made.returncode, marker.exists()) == (0, kept), made.stderr
        assert link.resolve() == Path(sys.executable).resolve()


def test_the_locks_that_a_workflow_compares_are_there() -> None:
    (compared,) = re.findall(r"git diff --exit-code -- ([^#\n]+)", (WORKFLOWS[0].parent / "audit.yml").read_text())
    assert all(list(ROOT.glob(pattern)) for pattern in compared.split())
