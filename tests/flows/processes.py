"""Real processes for the tests: a Prefect server, `forecasting serve`, Prefect's worker.

All end with it.
"""

import fcntl
import gc
import io
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import (
    ExitStack,
    chdir,
    closing,
    contextmanager,
    redirect_stderr,
    redirect_stdout,
    suppress,
)
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import psutil
import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 240.0

FRESH_DATABASE = Path(tempfile.gettempdir()) / (
    f"forecasting-tests-{os.environ.get('PYTEST_XDIST_TESTRUNUID', uuid.uuid4().hex)}-prefect.db"
)
"""What the first Prefect server of this test run migrated, which takes 10 s of CPU; the others
begin with a copy."""

FRESH_LOCK = FRESH_DATABASE.with_suffix(".lock")
"""Held by the worker of pytest-xdist whose server is the first; another one's waits for its
database."""


class Patient(httpx.HTTPTransport):
    """Repeats a request that Prefect refuses with 503 while its SQLite is locked, as its own client
    does."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        last = time.monotonic() + TIMEOUT_S
        while (
            answer := super().handle_request(request)
        ).status_code == 503 and time.monotonic() < last:
            answer.close()
            time.sleep(0.2)
        return answer


API = httpx.Client(
    transport=Patient(verify=False, limits=httpx.Limits(max_keepalive_connections=0)), timeout=30
)
"""Requests to servers of tests. `httpx.get` loads all certificates for each, 12 ms of CPU; none of
these uses TLS.

No connection is kept, since some of these servers are killed and started again.
"""


@dataclass(frozen=True)
class Served:
    """A running Prefect server: its API's URL, and what starts it again after a kill."""

    url: str
    start: Callable[[], str]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(found: Callable[[], Any], what: str, *, log: Path | None = None, pause_s: float = 0.2):
    """The first true result; at the deadline it fails with what was waited for and the log's end."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        answer = found()
        if answer:
            return answer
        time.sleep(pause_s)
    pytest.fail(f"waited {TIMEOUT_S:.0f} s for {what}\n{log.read_text()[-3000:] if log else ''}")


@contextmanager
def running(
    command: list[str], *, log: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """The process of a Python module, and whatever it starts, all killed at the end of the block."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env=dict(environment),
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        kill_tree(process.pid)
        process.wait()


def here(
    *words: str, environment: Mapping[str, str], program: str = "forecasting"
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command of `forecasting` or `prefect`, run
    in this process.

    Spares the 4 s of a new one's imports; of Prefect's variables, the URL and the password of the
    API alone have an effect.
    """
    from prefect.cli import app
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    from flows import cli

    out = io.StringIO()
    err = io.StringIO()
    code = 0
    url = environment["PREFECT_API_URL"]
    password = environment.get("PREFECT_API_AUTH_STRING")
    with (
        mock.patch.dict(os.environ, environment, clear=True),
        mock.patch.object(sys, "argv", [program, *words]),
        temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: password}),
        warnings.catch_warnings(),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        # What a process of its own would do with other packages' deprecations
        warnings.simplefilter("ignore")
        try:
            {"forecasting": cli.main, "prefect": app}[program]()
        except SystemExit as left:
            code = int(left.code or 0)
        if program == "prefect":
            # Closes the sockets that it leaves open, while the warnings about them are ignored
            gc.collect()
    return code, out.getvalue(), err.getvalue()


def deploy(environment: Mapping[str, str]):
    """Run the commands in the first lines of deploy/prefect.yaml."""
    for words in (
        "work-pool create forecasting --type process",
        "deploy --all --prefect-file deploy/prefect.yaml --no-prompt",
    ):
        with chdir(ROOT):
            code, out, err = here(*words.split(), environment=environment, program="prefect")
        assert code == 0, out + err


def kill_tree(pid: int):
    """SIGKILL to a process and its descendants: a power cut."""
    with suppress(psutil.NoSuchProcess):
        tree = [*psutil.Process(pid).children(recursive=True), psutil.Process(pid)]
        for process in tree:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(tree, timeout=10)


def environment_of(folder: Path, url: str, symbol_file: Path | None = None) -> dict[str, str]:
    """The environment of every process of a test: nothing of the user's."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    source = {"SOURCE": "sample"}
    if symbol_file is not None:
        source = {"SOURCE": f"csv:{symbol_file}", "SYMBOLS": "TEST"}
    small = {"DATA_DIR": f"{folder / 'data'}"} | source
    # Polled every second instead of every ten or fifteen: the tests wait for nothing else.
    prefect = {
        "HOME": f"{folder / 'prefect'}",
        "API_URL": url,
        "SERVER_ANALYTICS_ENABLED": "false",
        "WORKER_QUERY_SECONDS": "1",
        "RUNNER_POLL_FREQUENCY": "1",
    }
    return {
        **kept,
        **{f"FORECASTING_{name}": value for name, value in small.items()},
        **{f"PREFECT_{name}": value for name, value in prefect.items()},
        "HOME": str(folder),
        "OMP_NUM_THREADS": "1",
        "DO_NOT_TRACK": "1",
    }


@contextmanager
def prefect_server(folder: Path, *, port: int | None = None, **settings: str) -> Iterator[str]:
    """The API's URL of a server on loopback with a database in `folder`.

    Killed at the end of the block.
    """
    port = port or free_port()
    url = f"http://127.0.0.1:{port}/api"
    environment = without_server(environment_of(folder, url)) | settings
    # The API's URL for the browser; without it the UI uses Prefect's default port.
    environment |= {"PREFECT_SERVER_UI_API_URL": url, "PREFECT_UI_URL": url.removesuffix("/api")}
    log = folder / "server.log"
    command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with ExitStack() as stack:
        with fresh_database(folder / "prefect"):
            stack.enter_context(running(command, log=log, environment=environment))
            until(lambda: healthy(url), "the Prefect server", log=log)
        yield url


def kill_server(url: str):
    """SIGKILL to the server that listens at the URL."""
    (pid,) = {
        one.pid
        for one in psutil.net_connections("tcp4")
        if one.status == psutil.CONN_LISTEN and one.laddr.port == httpx.URL(url).port and one.pid
    }
    kill_tree(pid)


@contextmanager
def fresh_database(home: Path) -> Iterator[None]:
    """Around the start of a server with this PREFECT_HOME.

    The first of a test run migrates, others wait and copy.
    """
    own = home / "prefect.db"
    with FRESH_LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if FRESH_DATABASE.exists():
            fcntl.flock(lock, fcntl.LOCK_UN)
            home.mkdir(parents=True, exist_ok=True)
            if not own.exists():
                shutil.copy(FRESH_DATABASE, own)
            yield
            return
        yield
        draft = FRESH_DATABASE.with_suffix(f".{os.getpid()}")
        with closing(sqlite3.connect(own)) as served, closing(sqlite3.connect(draft)) as copy:
            served.backup(copy)  # with what is still in the write-ahead log
        draft.replace(FRESH_DATABASE)


def without_server(environment: Mapping[str, str]) -> dict[str, str]:
    """The same environment with no Prefect server named in it."""
    return {name: value for name, value in environment.items() if name != "PREFECT_API_URL"}


def healthy(url: str) -> bool:
    try:
        return API.get(f"{url}/health", timeout=5).json() is True
    except (httpx.HTTPError, ValueError):
        return False
