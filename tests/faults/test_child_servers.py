"""A Prefect server of our own ends with the process that started it, also after SIGKILL, and requires a password."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from flows.operations.child import start_child, stop_child
from forecasting.store import migrate
from tests.flows import processes

SLEEPER, TALKER = "sleeper", "talkative"


@pytest.fixture
def ledger(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'data' / 'forecasting.db'}"
    migrate.upgrade(url)
    return url


def servers_of(pid: int) -> list[psutil.Process]:
    return [
        child for child in psutil.Process(pid).children(recursive=True) if "flows.operations.child" in child.cmdline()
    ]


def addresses_of(server: psutil.Process) -> list[str]:
    return [
        f"http://{here.laddr.ip}:{here.laddr.port}/api" for here in server.net_connections() if here.status == "LISTEN"
    ]


@pytest.mark.slow
def test_a_one_off_run_ended_by_sigkill_leaves_no_server_behind(ledger: str, tmp_path: Path) -> None:
    environment = processes.without_server(processes.environment_of(tmp_path, ""))
    processes.put_fresh_database(tmp_path / "prefect")
    log = tmp_path / "run.log"
    with processes.running(["flows.cli", "run"], log=log, environment=environment) as night:
        (server,) = processes.until(lambda: servers_of(night.pid), "the temporary server", log=log)
        (url,) = processes.until(lambda: addresses_of(server), "its port", log=log)
        processes.until(lambda: processes.healthy(url), "its response", log=log)
        assert processes.API.post(f"{url}/flow_runs/filter", json={}).status_code == 401
        night.kill()
        night.wait()
        psutil.wait_procs([server], timeout=10)
        assert not server.is_running()


def test_a_child_ends_when_its_pipe_is_closed_also_without_the_kernel_s_signal(tmp_path: Path) -> None:
    (tmp_path / f"{SLEEPER}.py").write_text("import time\nopen('up', 'w').close()\ntime.sleep(60)\n")
    code = "import flows.operations.child as c, os; c.ctypes.CDLL = lambda _: type('', (), {'prctl': lambda *_: 0}); "
    code += f"c.run_as_child(os.getppid(), '{SLEEPER}', [])"
    environment = {"PYTHONPATH": f"{processes.ROOT}:{tmp_path}", "PATH": "/usr/bin:/bin"}
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, env=environment, cwd=tmp_path)
    assert child.stdin is not None
    processes.until((tmp_path / "up").exists, "the child")
    assert child.poll() is None
    child.stdin.close()
    assert child.wait(timeout=10) == 1


def test_a_child_leaves_out_what_uvicorn_logs_at_debug_a_password_among_it(tmp_path: Path) -> None:
    server = "import logging, uvicorn\nuvicorn.Config('x:y', log_level='debug')\n"
    server += "[logging.getLogger('uvicorn.error').log(level, 'at %d', level) for level in (10, 20)]\n"
    (tmp_path / f"{TALKER}.py").write_text(server)
    child = [sys.executable, "-m", "flows.operations.child", str(os.getpid()), TALKER]
    environment = {"PYTHONPATH": f"{processes.ROOT}:{tmp_path}", "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(child, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as started:
        assert started.stderr is not None
        told = started.stderr.read()
    assert "at 20" in told
    assert "at 10" not in told


def test_a_child_is_no_process_of_the_terminal_which_ctrl_c_would_end_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{SLEEPER}.py").write_text("import time\nopen('up', 'w').close()\ntime.sleep(60)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    child = start_child(SLEEPER, [], environment={"PATH": "/usr/bin:/bin"})
    try:
        processes.until((tmp_path / "up").exists, "the child")
        assert os.getsid(child.pid) == child.pid != os.getsid(0)
    finally:
        stop_child(child)


def test_a_child_is_found_where_its_parent_is_not_in_the_folder_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "__init__.py").write_text("raise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    child = start_child("platform", [], environment={"PATH": "/usr/bin:/bin"})
    try:
        assert child.wait(timeout=60) == 0
    finally:
        stop_child(child)
