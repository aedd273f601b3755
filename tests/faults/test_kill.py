"""The night as a process of its own, killed for real at random moments, then run again: the tables of one clean run."""

from __future__ import annotations

import random
import shutil
import signal
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from forecasting.settings import read_settings
from forecasting.store import connect
from forecasting.store.schema import metadata
from tests.builders import LAST
from tests.faults.forks import fork, fork_command, server_environment
from tests.nights import night, timeless

pytestmark = pytest.mark.usefixtures("prefect_server")

KILLS = 2


def start(log: Path) -> ForkServerProcess:
    """The started night of LAST, through the command line and Prefect's engine."""
    return fork_command("run", "--as-of", str(LAST), environment=server_environment(), log=log)


def run_clean(log: Path) -> float:
    """Run a night to its end; the seconds that it took."""
    fork(print).join()  # the process that forks is started, and has imported everything, before the time is taken
    started = time.perf_counter()
    process = start(log)
    process.join(120)
    assert process.exitcode == 0, log.read_text()
    return time.perf_counter() - started


def killed_after(seconds: float, log: Path) -> bool:
    """Whether the night was still running when it was killed."""
    process = start(log)
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def test_a_night_killed_at_any_moment_and_run_again_equals_one_clean_run(night_folder: Path, tmp_path: Path) -> None:
    lasted = run_clean(tmp_path / "clean.log")
    clean = {name: timeless(name) for name in metadata.tables}
    with connect.transaction(read_settings().url) as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    shutil.rmtree(night_folder)
    moments = random.Random(5)
    killed = [killed_after(moments.uniform(0.1, 0.6) * lasted, tmp_path / f"{n}.log") for n in range(KILLS)]
    assert any(killed)
    night(LAST)
    assert {name: timeless(name) for name in metadata.tables} == clean


def test_of_two_nights_started_together_one_works_and_the_other_says_so(night_folder: Path, tmp_path: Path) -> None:
    logs = [tmp_path / "first.log", tmp_path / "second.log"]
    both = [start(log) for log in logs]
    for process in both:
        process.join(180)
    codes, said = [process.exitcode for process in both], [log.read_text() for log in logs]
    # Where the second starts after the first has ended, it finds the night done: also nothing doubled.
    assert 0 in codes
    refused = [words for code, words in zip(codes, said, strict=True) if code]
    assert all("already" in words or "holds" in words or "lock" in words for words in refused), said
    assert len(timeless("runs")) == 1
    assert len(timeless("forecasts")) == 30
