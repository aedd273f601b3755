"""`serve` and the Prefect server that it starts: due and missed nights, its password, and kills."""

import json
import os
import re
import signal
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from forecasting.store import migrate
from tests.flows import prefect_api, processes
from tests.nights import nights_done

pytestmark = pytest.mark.slow

NIGHTLY = "nightly/nightly"
PASSWORD = "admin:geheim"


@pytest.fixture
def port():
    return str(processes.free_port())


@pytest.fixture
def url(port, monkeypatch):
    """The API's URL of the server that `serve` starts; requests of this process have its
    password."""
    monkeypatch.setattr(processes.API, "auth", tuple(PASSWORD.split(":")))
    return f"http://127.0.0.1:{port}/api"


@pytest.fixture
def environment(tmp_path, port):
    """Of `serve`, whose server is killed after the test."""
    migrate.upgrade(f"sqlite:///{tmp_path / 'data' / 'forecasting.db'}")
    prefect = {
        "PREFECT_SERVER_API_PORT": port,
        "PREFECT_SERVER_LOGGING_LEVEL": "DEBUG",  # lines that nobody reads
        "PREFECT_SERVER_API_AUTH_STRING": PASSWORD,
        "PREFECT_API_AUTH_STRING": PASSWORD,
    }
    yield processes.without_server(processes.environment_of(tmp_path, "")) | prefect
    processes.kill_tree(server_of(tmp_path))


def server_of(folder):
    """The process of the server that Prefect has started in the background."""
    return int((folder / "prefect" / "server.pid").read_text())


@contextmanager
def serving(folder, url, environment, *options):
    """Within the block a `serve`: its process and its log."""
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
        processes.until(lambda: prefect_api.deployment_id(url, NIGHTLY), "the deployment", log=log)
        yield process, log


def check_password(url, log):
    """It is required, and no log has it."""
    assert f"Prefect: {url.removesuffix('/api')}." in log.read_text()
    assert processes.API.get(f"{url}/deployments/name/{NIGHTLY}", auth=None).status_code == 401
    with connect(f"ws{url[4:]}/events/in", subprotocols=[Subprotocol("prefect")]) as socket:
        socket.send(json.dumps({"type": "auth", "token": PASSWORD}))
        assert json.loads(socket.recv(timeout=30)) == {"type": "auth_success"}
    assert PASSWORD.partition(":")[2] not in log.read_text()


def check_deployment(url, log):
    """One schedule for all targets, and no limit, which a run that a power cut has ended would fill
    for ever."""

    def found():
        one = processes.API.get(f"{url}/deployments/name/{NIGHTLY}").json()
        scheduled = [schedule["slug"] for schedule in one["schedules"] if schedule["active"]]
        return scheduled, one["global_concurrency_limit"]

    processes.until(lambda: found() == (["nightly"], None), "the schedules", log=log)


def check_a_due_night(url, log, folder):
    """It runs when it is due, alone, and its whole log arrives."""
    due = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    run = prefect_api.start_run(url, NIGHTLY, at=due)
    assert prefect_api.end_of(url, run, log=log)["state_name"] == "Completed"
    assert nights_done(f"sqlite:///{folder / 'data' / 'forecasting.db'}") == 1
    wanted = {"logs": {"flow_run_id": {"any_": [run]}}}

    def written():
        logs = processes.API.post(f"{url}/logs/filter", json=wanted).json()
        return next(
            (one["message"] for one in logs if "wrote 30 forecasts of ^GSPC" in one["message"]), ""
        )

    # The run's process sends what is left of its log after its last state.
    assert "\\xa0" not in processes.until(written, "the log", log=log)
    line = next(line for line in log.read_text().splitlines() if "next night starts on" in line)
    start = r"\^GSPC volume: the next night starts on \w{3} [\w ]+ at 0[5-8]:30 E[SD]T\. "
    assert re.match(start, line)


def test_serve_runs_due_and_missed_nights_on_a_server_that_outlives_it(environment, url, tmp_path):
    with serving(tmp_path, url, environment) as (process, log):
        check_password(url, log)
        check_deployment(url, log)
        check_a_due_night(url, log, tmp_path)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
        assert "Stopped; run the same command to continue.\n" in log.read_text()
    assert processes.healthy(url)
    server = server_of(tmp_path)
    before = f"{datetime.now(UTC) - timedelta(hours=1):%FT%TZ}"
    missed = prefect_api.start_run(url, NIGHTLY, at=before, target="volume")
    with serving(tmp_path, url, environment) as (killed, log):
        assert prefect_api.end_of(url, missed, log=log)["state_name"] == "Completed"
        killed.kill()
        killed.wait()
    assert server_of(tmp_path) == server
    os.kill(server, signal.SIGKILL)
    processes.until(lambda: not processes.healthy(url), "the server's end")
    with serving(tmp_path, url, environment) as (_, log):
        check_deployment(url, log)
    assert server_of(tmp_path) != server
