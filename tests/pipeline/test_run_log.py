"""What a night's row says at each step, by kind and in words."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from forecasting import __version__
from forecasting.errors import DataLateError, HistoryError, UnavailableError
from forecasting.pipeline import run_log as module
from forecasting.pipeline.night import Night, make_night
from forecasting.pipeline.run_log import (
    add_notes,
    code_version,
    mark,
    mark_stopped,
    mark_without_bar,
    note_bar,
    open_run,
)
from forecasting.settings import Settings
from forecasting.store import connect, read, write
from tests.builders import LAST

NOW = datetime(2024, 3, 9, 10, 30, tzinfo=UTC)
EVE = date(2024, 3, 7)
WHY = "The bar of 2024-03-08 was not available by 09:00 America/New_York"


@pytest.fixture
def night(database_url: str, tmp_path: Path) -> Night:
    settings = Settings(data_dir=tmp_path, database_url=SecretStr(database_url))
    return make_night("SBUX", LAST, settings, now=lambda: NOW)


def opened(night: Night, **notes: Any) -> None:
    with connect.transaction(night.settings.url) as connection:
        open_run(connection, night, started_at=NOW, notes=notes)


def clock(night: Night) -> None:
    opened(night, clock="A clock.")


def market(night: Night) -> None:
    opened(night, market="No VIX.")


def waits(night: Night) -> None:
    mark(night, {"status": "late"}, {"waiting": "no bar yet"})


def waited(night: Night) -> None:
    with connect.transaction(night.settings.url) as connection:
        add_notes(connection, night, {"waiting": "", "waited": "Waited."})


def late(night: Night) -> None:
    mark_without_bar(night, WHY, EVE, error=DataLateError("", EVE))


def silent(night: Night) -> None:
    mark_without_bar(night, "no response", LAST, error=UnavailableError(""))


def stopped(night: Night) -> None:
    mark_stopped(night, HistoryError("too few"))


def came(night: Night) -> None:
    opened(night)
    with connect.transaction(night.settings.url) as connection:
        note_bar(connection, night)


def row(night: Night) -> dict[str, Any]:
    with connect.reading(night.settings.url) as connection:
        return read.row(connection, "runs", {"id": night.id}) or {}


Step = Callable[[Night], object]


@pytest.mark.parametrize(
    ("steps", "status", "note"),
    [
        ([clock, clock], "running", "A clock."),
        ([waits], "late", "no bar yet"),
        ([waits, market], "running", "No VIX."),
        ([waits, market, waited], "running", "Waited. No VIX."),
        ([clock, late], "late", f"{WHY}; the night continued with the bars up to 2024-03-07. A clock."),
        ([late, came], "running", f"{WHY}; its bar came later."),
        ([clock, silent], "failed", "no response; the night continued with the bars up to 2024-03-08. A clock."),
        ([silent, came], "running", "no response; the night continued with the bars up to 2024-03-08."),
        ([stopped], "failed", ""),
        ([stopped, opened], "running", ""),
    ],
)
def test_a_row_says_what_became_of_the_night_so_far(night: Night, steps: list[Step], status: str, note: str) -> None:
    for step in steps:
        step(night)
    found = row(night)
    assert (found["status"], found["note"]) == (status, note)


def test_a_night_that_is_done_is_not_marked_as_stopped(night: Night) -> None:
    opened(night)
    with connect.transaction(night.settings.url) as connection:
        write.update_run(connection, night.id, {"status": "done"})
    mark_stopped(night, HistoryError("a worker was lost"))
    assert (row(night)["status"], row(night)["error"]) == ("done", None)


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
