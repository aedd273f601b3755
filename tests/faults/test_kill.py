"""The night as a process of its own, killed for real at drawn moments, then run again: the tables of one clean run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from forecasting.settings import read_settings
from forecasting.store import database
from forecasting.store.tables import metadata
from tests.builders import LAST
from tests.nights import timeless

pytestmark = pytest.mark.usefixtures("prefect_server")

KILLS = 2


def start(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "flows.cli", "run", "--as-of", str(LAST)]
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def killed_after(seconds: float, environment: dict[str, str]) -> bool:
    """Whether the night was still running when it was killed."""
    process = start(environment)
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        return True
    return False


def test_a_night_killed_at_any_moment_and_run_again_equals_one_clean_run(night_folder: Path) -> None:
    from prefect.settings import PREFECT_API_URL

    environment = os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value())}
    drawn = random.Random(5)
    killed = [killed_after(drawn.uniform(2.0, 8.0), environment) for _ in range(KILLS)]
    assert any(killed)
    finished = start(environment)
    _, said = finished.communicate(timeout=120)
    assert finished.returncode == 0, said.decode()
    again = {name: timeless(name) for name in metadata.tables}
    with database.transaction(read_settings().url) as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    clean = start(environment)
    clean.communicate(timeout=120)
    assert clean.returncode == 0
    assert {name: timeless(name) for name in metadata.tables} == again


def test_of_two_nights_started_together_one_works_and_the_other_says_so(night_folder: Path) -> None:
    from prefect.settings import PREFECT_API_URL

    environment = os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value())}
    both = [start(environment), start(environment)]
    said = [process.communicate(timeout=180)[1].decode() for process in both]
    codes = [process.returncode for process in both]
    # Where the second starts after the first has ended, it finds the night done: also nothing doubled.
    assert 0 in codes
    refused = [words for code, words in zip(codes, said, strict=True) if code]
    assert all("already" in words or "holds" in words or "lock" in words for words in refused), said
    assert len(timeless("runs")) == 1
    assert len(timeless("forecasts")) == 30
