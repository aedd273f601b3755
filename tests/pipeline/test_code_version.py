from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from forecasting import __version__
from forecasting.pipeline import run_log as module
from forecasting.pipeline.run_log import code_version


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout with one commit, which the code is made to believe it lies in."""
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "--quiet"], [*author, "commit", "--quiet", "--allow-empty", "--message", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    monkeypatch.setattr(module, "__file__", str(tmp_path / "forecasting" / "pipeline" / "run_log.py"))
    code_version.cache_clear()
    yield tmp_path
    code_version.cache_clear()


def test_the_commit_is_part_of_the_version_also_where_the_checkout_is_another_user_s(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = subprocess.run(["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own switch for this refusal
    assert code_version() == f"{__version__}+{head.stdout[:7]}"


def test_a_checkout_on_a_machine_without_git_has_the_version_alone(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    assert code_version() == __version__
