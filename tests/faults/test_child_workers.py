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

from forecasting.backtest.workers import IMPORTED, worker_context, worker_pool
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

STARTS_A_WORKER = """
import sys
from forecasting.backtest.workers import worker_context
context = worker_context(["interrupted", "shadow", "not_installed"])
worker = context.Process(target=print, args=[context.get_start_method()])
worker.start()
worker.join()
sys.exit(worker.exitcode)
"""  # without `if __name__ == "__main__"`: a worker that ran it too would start one of its own
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each worker is spawned")


@pytest.mark.slow
def test_a_backtest_ended_by_sigkill_leaves_no_worker_behind(tmp_path: Path) -> None:
    migrate.upgrade(f"sqlite:///{tmp_path / 'data' / 'forecasting.db'}")
    environment = processes.without_server(processes.environment_of(tmp_path, ""))
    words = ["flows.cli", "backtest", "--from", "2017-01-03", "--to", "2018-12-28", "--refit-every", "5"]
    words += ["--workers", "2"]
    log = tmp_path / "backtest.log"
    with processes.running(words, log=log, environment=environment) as backtest:
        parent = psutil.Process(backtest.pid)

        def all_once_two_work() -> list[psutil.Process]:
            found = parent.children(recursive=True)
            workers = [one for one in found if one.ppid() != parent.pid or "spawn_main" in str(one.cmdline())]
            return found if len(workers) == 2 and all(one.num_threads() > 1 for one in workers) else []

        started = processes.until(all_once_two_work, "two workers", log=log)
        backtest.kill()
        backtest.wait()
        _, left = psutil.wait_procs(started, timeout=20)
        assert left == []


def test_ctrl_c_ends_a_worker_and_is_no_result_of_its_work() -> None:
    with worker_pool(1) as pool:
        assert isinstance(pool.submit(signal.raise_signal, signal.SIGINT).exception(), BrokenProcessPool)


def test_ctrl_c_ends_a_worker_that_still_imports_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "script").write_text(INTERRUPTED)
    command, environment = [sys.executable, str(tmp_path / "script")], os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@LINUX
def test_workers_begin_with_their_imports_made_and_the_variables_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECASTING_BEFORE", "")
    worker_context(IMPORTED)  # the process of the imports, if no other test has started it
    monkeypatch.delenv("FORECASTING_BEFORE")
    monkeypatch.setenv("FORECASTING_NOW", "")
    with worker_pool(1) as pool:
        assert pool.submit(eval, "dict(__import__('os').environ)").result() == dict(os.environ)
        assert pool.submit(eval, "'torch' in __import__('sys').modules").result()


def run_starts_a_worker(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """What a program printed that starts a worker in the folder `elsewhere`, where a module has a marker's name."""
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "shadow").with_suffix(".py").write_text("open('imported', 'w')")
    interrupted = "import os, signal; os.kill(os.getpid(), signal.SIGINT); open('interrupted', 'w')"
    (folder / "interrupted").with_suffix(".py").write_text(interrupted)
    (folder / "script").write_text(STARTS_A_WORKER)
    command, environment = [sys.executable, str(folder / "script")], os.environ | {"PYTHONPATH": str(ROOT)} | variables
    away = {"cwd": folder / "elsewhere", "start_new_session": True}  # else Ctrl-C would be the tests' own too
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, **away)


@LINUX
def test_what_workers_import_is_found_where_their_parent_finds_it_and_ctrl_c_leaves_no_traceback(
    tmp_path: Path,
) -> None:
    ended = run_starts_a_worker(tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "forkserver\n", "")
    assert sorted(path.stem for path in (tmp_path / "elsewhere").iterdir()) == ["interrupted", "shadow"]


@LINUX
def test_where_no_socket_can_be_each_worker_imports_for_itself(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    ended = run_starts_a_worker(tmp_path, TMPDIR=str(deep))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "spawn\n", "")
