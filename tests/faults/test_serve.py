"""The Prefect server of `serve`: it requires a password, ends with it, and it with its server."""

from __future__ import annotations

import json
import signal
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from forecasting.store import migrate
from tests.flows import processes

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Serving:
    """A `serve` with a server of its own."""

    process: psutil.Process
    server: psutil.Process
    url: str
    password: str
    log: Path


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    migrate.upgrade(f"sqlite:///{tmp_path / 'data' / 'forecasting.db'}")
    port = {"PREFECT_SERVER_API_PORT": str(processes.free_port()), "PREFECT_SERVER_LOGGING_LEVEL": "DEBUG"}
    return processes.without_server(processes.environment_of(tmp_path, "")) | port


@contextmanager
def serving(folder: Path, environment: dict[str, str]) -> Iterator[Serving]:
    log = folder / "serve.log"
    log.write_text("")
    with ExitStack() as stack:
        with processes.fresh_database(folder / "prefect"):
            process = stack.enter_context(processes.running(["flows.cli", "serve"], log=log, environment=environment))
            processes.until(lambda: "the next night starts on" in log.read_text(), "the banner", log=log)
        pid, port = json.loads((folder / "data" / "prefect-server.json").read_text())
        password = (folder / "data" / "prefect-auth").read_text().strip()
        url, signed = f"http://127.0.0.1:{port}/api", tuple(password.split(":", 1))
        wanted = f"{url}/deployments/filter"
        processes.until(lambda: processes.API.post(wanted, json={}, auth=signed).json(), "the deployment", log=log)
        yield Serving(psutil.Process(process.pid), psutil.Process(pid), url, password, log)


def check_password(served: Serving, environment: dict[str, str], folder: Path) -> None:
    """It is required, and no command line and no log has it."""
    assert stat.S_IMODE((folder / "data" / "prefect-auth").stat().st_mode) == 0o600
    banner = f"Prefect: {served.url.removesuffix('/api')}, user admin, password in {folder}/data/prefect-auth."
    assert banner in served.log.read_text()
    user, _, secret = served.password.partition(":")
    assert processes.API.post(f"{served.url}/deployments/filter", json={}).status_code == 401
    found = processes.API.post(f"{served.url}/deployments/filter", json={}, auth=(user, secret))
    assert len(found.raise_for_status().json()) == 1
    commands = [" ".join(process.cmdline()) for process in served.process.children(recursive=True)]
    assert not any(secret in command for command in commands)
    code, _, refused = processes.here("worker", environment=environment | {"PREFECT_API_URL": served.url})
    assert (code, refused.count("\n")) == (2, 1)
    assert "expects a password; none was found in PREFECT_API_AUTH_STRING" in refused
    with connect(f"ws{served.url[4:]}/events/in", subprotocols=[Subprotocol("prefect")]) as socket:
        socket.send(json.dumps({"type": "auth", "token": served.password}))
        assert json.loads(socket.recv(timeout=30)) == {"type": "auth_success"}
    assert secret not in served.log.read_text() + refused


def test_serve_requires_its_password_ends_with_its_server_and_takes_over_that_of_a_killed_one(environment, tmp_path):
    with serving(tmp_path, environment) as first:
        check_password(first, environment, tmp_path)
        first.server.kill()
        assert first.process.wait(timeout=5) == 1
        said = first.log.read_text()  # and a warning of Prefect's own
        assert said.count("The Prefect server of `serve` has ended (exit code -9)") == 1
        assert "does not expect" not in said
    with serving(tmp_path, environment) as second:
        second.process.kill()
        second.process.wait()
        assert second.server.is_running()
        with serving(tmp_path, environment) as third:
            assert third.server == second.server
            third.process.send_signal(signal.SIGTERM)
            third.process.wait(timeout=60)
        psutil.wait_procs([second.server], timeout=10)
        assert not second.server.is_running()
        assert not (tmp_path / "data" / "prefect-server.json").exists()
