"""The workflows: actions by commit, no right that a job was not given by name, and commands that the Makefile has."""

from __future__ import annotations

import re
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


def test_the_locks_that_a_workflow_compares_are_there() -> None:
    (compared,) = re.findall(r"git diff --exit-code -- ([^#\n]+)", (WORKFLOWS[0].parent / "audit.yml").read_text())
    assert all(list(ROOT.glob(pattern)) for pattern in compared.split())
