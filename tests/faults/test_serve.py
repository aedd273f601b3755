"""`serve` and its Prefect server: due and missed nights, its password, and that each ends with the
other."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from forecasting.store import migrate
from tests.flows import prefect_api, processes
from tests.nights import nights_done

pytestmark = pytest.mark.slow

NIGHTLY = "nightly/nightly"


@dataclass(frozen=True)
class Serving:
    """A `serve` with a server of its own."""

    process: psutil.Process
    server: psutil.Process
    url: str
    password: str
    log: Path


@pytest.fixture
def environment(tmp_path):
    migrate.upgrade(f"sqlite:///{tmp_path / 'data' / 'forecasting.db'}")
    port = {
        "PREFECT_SERVER_API_PORT": str(processes.free_port()),
        "PREFECT_SERVER_LOGGING_LEVEL": "DEBUG",
    }
    return processes.without_server(processes.environment_of(tmp_path, "")) | port


@contextmanager
def serving(folder, environment, patch, *options):
    """Within the block a `serve`; requests of this process have its password."""
    log = folder / "serve.log"
    log.write_text("")
    with ExitStack() as stack:
        with processes.fresh_database(folder / "prefect"):
            words = ["flows.cli", "serve", *options]
            process = stack.enter_context(
                processes.running(words, log=log, environment=environment)
            )
            processes.until(
                lambda: "the next night starts on" in log.read_text(), "the banner", log=log
            )
        pid, port = json.loads((folder / "data" / "prefect-server.json").read_text())
        password = (folder / "data" / "prefect-auth").read_text().strip()
        url = f"http://127.0.0.1:{port}/api"
        patch.setattr(processes.API, "auth", tuple(password.split(":", 1)))
        processes.until(lambda: prefect_api.deployment_id(url, NIGHTLY), "the deployment", log=log)
        yield Serving(psutil.Process(process.pid), psutil.Process(pid), url, password, log)


def check_password(served, environment, folder):
    """It is required, and no command line and no log has it."""
    assert stat.S_IMODE((folder / "data" / "prefect-auth").stat().st_mode) == 0o600
    banner = (
        f"Prefect: {served.url.removesuffix('/api')}, USER:PASSWORD in {folder}/data/prefect-auth."
    )
    assert banner in served.log.read_text()
    secret = served.password.partition(":")[2]
    assert (
        processes.API.get(f"{served.url}/deployments/name/{NIGHTLY}", auth=None).status_code == 401
    )
    commands = [" ".join(process.cmdline()) for process in served.process.children(recursive=True)]
    assert not any(secret in command for command in commands)
    code, _, refused = processes.here(
        "worker", environment=environment | {"PREFECT_API_URL": served.url}
    )
    assert (code, refused.count("\n")) == (2, 1)
    assert "expects another password than PREFECT_API_AUTH_STRING has" in refused
    with connect(f"ws{served.url[4:]}/events/in", subprotocols=[Subprotocol("prefect")]) as socket:
        socket.send(json.dumps({"type": "auth", "token": served.password}))
        assert json.loads(socket.recv(timeout=30)) == {"type": "auth_success"}
    assert secret not in served.log.read_text() + refused


def check_deployment(served):
    """One schedule for all targets, and no limit, which a run that a power cut has ended would fill
    for ever."""

    def found():
        one = processes.API.get(f"{served.url}/deployments/name/{NIGHTLY}").json()
        scheduled = [schedule["slug"] for schedule in one["schedules"] if schedule["active"]]
        return scheduled, one["global_concurrency_limit"]

    processes.until(lambda: found() == (["nightly"], None), "the schedules", log=served.log)


def check_a_due_night(served, folder):
    """It runs when it is due, alone, and its whole log arrives."""
    due = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    run = prefect_api.start_run(served.url, NIGHTLY, at=due)
    assert prefect_api.end_of(served.url, run, log=served.log)["state_name"] == "Completed"
    assert nights_done(f"sqlite:///{folder / 'data' / 'forecasting.db'}") == 1
    wanted = {"logs": {"flow_run_id": {"any_": [run]}}}

    def written():
        logs = processes.API.post(f"{served.url}/logs/filter", json=wanted).json()
        return next(
            (one["message"] for one in logs if "wrote 30 forecasts of ^GSPC" in one["message"]), ""
        )

    # The run's process sends what is left of its log after its last state.
    assert "\\xa0" not in processes.until(written, "the log", log=served.log)
    line = next(
        line for line in served.log.read_text().splitlines() if "the next night starts on" in line
    )
    start = r"\^GSPC volume: the next night starts on \w{3} [\w ]+ at 0[5-8]:30 E[SD]T\. "
    assert re.match(start, line)


def test_serve_requires_its_password_runs_due_nights_and_ends_with_its_server(
    environment, tmp_path, monkeypatch
):
    with serving(tmp_path, environment, monkeypatch) as served:
        check_password(served, environment, tmp_path)
        check_deployment(served)
        check_a_due_night(served, tmp_path)
        served.server.kill()
        assert served.process.wait(timeout=5) == 1
        said = served.log.read_text()  # and a warning of Prefect's own
        words = ("The Prefect server of `serve` has ended (exit code -9)", "does not expect")
        assert [said.count(one) for one in words] == [1, 0]


def test_serve_takes_over_the_server_of_a_killed_one_and_its_missed_and_cut_off_nights(
    environment, tmp_path, monkeypatch
):
    with serving(tmp_path, environment, monkeypatch) as killed:
        killed.process.kill()
        killed.process.wait()
        assert killed.server.is_running()
        before = f"{datetime.now(UTC) - timedelta(hours=1):%FT%TZ}"
        missed = prefect_api.start_run(killed.url, NIGHTLY, at=before, target="volume")
        cut_off = run_without_process(killed.url)
        # As before 0.3
        limit = {
            "concurrency_limit": 1,
            "concurrency_options": {"collision_strategy": "CANCEL_NEW"},
        }
        named = prefect_api.deployment_id(killed.url, NIGHTLY)
        processes.API.patch(f"{killed.url}/deployments/{named}", json=limit).raise_for_status()
        options = ("--target", "volume", "--target", "range")
        with serving(tmp_path, environment, monkeypatch, *options) as served:
            assert served.server == killed.server
            check_deployment(served)
            again = prefect_api.end_of(served.url, missed, log=served.log)
            assert again["state_name"] in ("Completed", "Skipped")
            assert prefect_api.run(served.url, cut_off)["state_name"] == "Crashed"
            interrupt_in_a_terminal(served)
    psutil.wait_procs([killed.server], timeout=10)
    assert not killed.server.is_running()
    assert not (tmp_path / "data" / "prefect-server.json").exists()


def run_without_process(url):
    """A run that is Running for its server alone."""
    run = prefect_api.start_run(
        url, NIGHTLY, at=f"{datetime.now(UTC) + timedelta(days=1):%FT%TZ}", target="volume"
    )
    for name in ("PENDING", "RUNNING"):
        body = {"state": {"type": name}, "force": name == "RUNNING"}
        processes.API.post(f"{url}/flow_runs/{run}/set_state", json=body).raise_for_status()
    return run


def interrupt_in_a_terminal(served):
    """End `serve` by Ctrl-C, which every process of its terminal receives."""
    for process in [*served.process.children(), served.process]:
        if os.getpgid(process.pid) == os.getpgid(served.process.pid):
            process.send_signal(signal.SIGINT)
    served.process.wait(timeout=60)
    assert "Stopped; run the same command to continue.\n" in served.log.read_text()
