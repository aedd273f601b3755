"""The night as a command through Prefect's engine, killed for real at drawn statements, then run again: as a clean one.

The statement is drawn, not the second: how fast a machine is today changes nothing.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from flows import cli
from forecasting.settings import read_settings
from forecasting.store import connect
from forecasting.store.schema import metadata
from tests.builders import LAST
from tests.faults.boundaries import counted
from tests.faults.forks import fork_in, server_environment
from tests.nights import night, timeless

pytestmark = pytest.mark.usefixtures("prefect_server")


def run_command(kill_at: int) -> None:
    """The command of the night of LAST, killed at a boundary; 0 is none."""
    sys.argv = ["forecasting", "run", "--as-of", str(LAST)]
    with counted(read_settings().data_dir) as boundaries, boundaries.process():
        boundaries.plan(kill_at, lambda: os.kill(os.getpid(), signal.SIGKILL))
        cli.main()


def start(log: Path, kill_at: int = 0) -> ForkServerProcess:
    return fork_in(server_environment(), log, run_command, kill_at)


def test_a_night_killed_at_any_statement_and_run_again_equals_one_clean_run(night_folder: Path, tmp_path: Path) -> None:
    with counted(night_folder) as boundaries, boundaries.process():
        night(LAST)
    clean = {name: timeless(name) for name in metadata.tables}
    with connect.transaction(read_settings().url) as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    shutil.rmtree(night_folder)
    drawn = random.Random(5)
    for part in (0.5, 1.0):  # after an early kill the second run begins anew, and may be killed later
        log = tmp_path / f"{part}.log"
        process = start(log, drawn.randint(1, int(part * 0.8 * boundaries.passed)))
        process.join(180)
        assert process.exitcode == -signal.SIGKILL, log.read_text()
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
