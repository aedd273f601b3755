"""The worker processes of a backtest end with it, also after SIGKILL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import psutil
import pytest

from forecasting.backtest.workers import worker_pool
from forecasting.store import migrate
from tests.flows import processes

ROOT = Path(__file__).parent.parent.parent
INTERRUPTED = """
import signal, sys
from multiprocessing import get_context
import flows
if __name__ == "__main__":
    worker = get_context("spawn").Process(target=print)
    worker.start()
    worker.join()
    sys.exit(worker.exitcode + signal.SIGINT)
signal.raise_signal(signal.SIGINT)
"""


@pytest.mark.slow
def test_a_backtest_ended_by_sigkill_leaves_no_worker_behind(tmp_path: Path) -> None:
    migrate.upgrade(f"sqlite:///{tmp_path / 'data' / 'forecasting.db'}")
    environment = processes.without_server(processes.environment_of(tmp_path, ""))
    words = ["flows.cli", "backtest", "--from", "2017-01-03", "--to", "2018-12-28", "--refit-every", "5"]
    words += ["--workers", "2"]
    log = tmp_path / "backtest.log"
    with processes.running(words, log=log, environment=environment) as backtest:
        parent = psutil.Process(backtest.pid)

        def two() -> list[psutil.Process]:
            found = [child for child in parent.children() if any("spawn_main" in word for word in child.cmdline())]
            return found if len(found) == 2 and all(child.num_threads() > 1 for child in found) else []

        workers = processes.until(two, "two workers", log=log)
        backtest.kill()
        backtest.wait()
        _, left = psutil.wait_procs(workers, timeout=20)
        assert left == []


def test_ctrl_c_ends_a_worker_and_is_no_result_of_its_work() -> None:
    with worker_pool(1) as pool:
        assert isinstance(pool.submit(signal.raise_signal, signal.SIGINT).exception(), BrokenProcessPool)


def test_ctrl_c_ends_a_worker_that_still_imports_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "script").write_text(INTERRUPTED)
    command, environment = [sys.executable, str(tmp_path / "script")], os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
