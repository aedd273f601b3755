"""The Prefect server that runs are reported to, configured or of `serve`, and Prefect's worker.

That of `serve` requires a password: else every user and browser page of this machine could start
runs and read their logs.
"""

import json
import logging
import os
import re
import secrets
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
from prefect import get_client
from prefect.context import SyncClientContext
from prefect.events.worker import EventsWorker
from prefect.exceptions import ObjectNotFound
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_REQUEST_TIMEOUT,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED,
    PREFECT_HOME,
    PREFECT_SERVER_API_PORT,
    temporary_settings,
)

from flows import clock
from forecasting.errors import ForecastingError, UsageError
from forecasting.night.folders import SERVED
from forecasting.settings import read_settings
from forecasting.store import migrate

logger = logging.getLogger("forecasting.server")

AUTH = "prefect-auth"  # The file of the data folder with the password of the server of `serve`

OwnServer = tuple[psutil.Process, dict[Any, str]]
"""A server of `serve`: the process that listens, and Prefect's settings to reach it."""

START_S = 120.0  # seconds until a server must respond: the first start creates its database

# Since the last response; retries after the first would take minutes for each night
_outages: list[str] = []

_ONCE = {
    PREFECT_CLIENT_MAX_RETRIES: 0,
    PREFECT_API_REQUEST_TIMEOUT: 10.0,
    PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False,
}


def check_server() -> str:
    """The URL of the configured Prefect server, without a password in it, after a health check.

    Raises a UsageError where none is configured or it refuses the password, else a
    ForecastingError.
    """
    url = PREFECT_API_URL.value()
    if url is None:
        raise UsageError(
            "Expected a Prefect server in PREFECT_API_URL; none is configured. Start one with "
            "`PREFECT_SERVER_API_AUTH_STRING=admin:PASSWORD prefect server start` or `forecasting "
            f"serve`, then: export PREFECT_API_URL={own_url(4200)} "
            "PREFECT_API_AUTH_STRING=admin:PASSWORD"
        )
    shown = re.split("[?#]", re.sub("//.*@", "//", url))[0]  # a gateway's password may be in it
    try:
        # By Prefect's own client, which has its settings of certificates, keys and headers.
        with temporary_settings(_ONCE), get_client(sync_client=True) as client:
            client.api_version()  # which needs the password
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:  # of what is no version
        raise _not_reached(shown, error) from error
    if shown == url:
        _warn_if_open(url)
    return shown


def _not_reached(shown: str, error: Exception) -> ForecastingError:
    """What is wrong with the server at a URL, and what to do."""
    if isinstance(error, httpx.HTTPStatusError) and error.response.status_code in (401, 403):
        return UsageError(
            f"The Prefect server {shown} expects another password than PREFECT_API_AUTH_STRING has "
            f"({_reason(error)}). Set it to the server's "
            "PREFECT_SERVER_API_AUTH_STRING, or PREFECT_API_KEY to a gateway's key; for the server "
            f"of `forecasting serve`: export PREFECT_API_AUTH_STRING=$(cat {own_file(AUTH)})"
        )
    return ForecastingError(
        f"The Prefect server {shown} does not respond as Prefect's API does ({_reason(error)}). "
        "Check that it runs (`prefect server start`, `systemctl status prefect-server` or `docker "
        "compose ps`) and that PREFECT_API_URL is right, or unset it."
    )


def _warn_if_open(url: str) -> None:
    """Warn of a server that requires no password."""
    keyless = temporary_settings(_ONCE, restore_defaults={PREFECT_API_AUTH_STRING, PREFECT_API_KEY})
    with suppress(httpx.HTTPError, ValueError), keyless, get_client(sync_client=True) as client:
        if client.api_version():
            logger.warning(
                "The Prefect server %s requires no password: anyone who can reach it can run "
                "commands on its workers. Set PREFECT_SERVER_API_AUTH_STRING=USER:PASSWORD for it "
                "and PREFECT_API_AUTH_STRING here.",
                url,
            )


def _reason(failure: BaseException) -> str:
    """What failed; no text that may quote the URL or a header, which may have a password."""
    if isinstance(failure, httpx.HTTPStatusError):
        return f"{failure.response.status_code} {failure.response.reason_phrase}"
    if isinstance(failure, httpx.NetworkError):
        return str(failure)
    return type(failure).__name__


@contextmanager
def tolerate_outage(what: str) -> Iterator[None]:
    """A block in which an outage of the server is a warning about `what`: it only shows nights."""
    try:
        with ExitStack() as briefly:
            if _outages:  # settings of their own take 20 ms
                briefly.enter_context(temporary_settings(_ONCE))
                # Else Prefect reuses the run's client, with its timeout
                briefly.enter_context(SyncClientContext(httpx_settings={}))
            yield
        _outages.clear()
    except httpx.HTTPError as error:
        # Our own mistake
        if isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500:
            raise
        _outages.append(what)
        logger.warning(
            "Prefect's server did not receive %s: %s. The night continues.", what, _reason(error)
        )


@contextmanager
def ensure_server() -> Iterator[str]:
    """A block with a server, and how to sign in to it: the configured one, else one of our own.

    Our own ends with the block. The caller holds the lock of `serve`. One that a killed `serve`
    left behind is taken over; anything else at the port is an error. When our own ends, so does
    this process: who takes its port next would get the password and could name what the nights
    run.
    """
    if PREFECT_API_URL.value() is not None:
        yield check_server().removesuffix("/api")
        return
    # Prefect's runner sets its own later
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    process, own = served() or _start()
    ending = threading.Event()
    watcher = threading.Thread(target=_end_with, args=(process, ending), daemon=True)
    watcher.start()
    try:
        with temporary_settings(own):
            yield f"{check_server().removesuffix('/api')}, USER:PASSWORD in {own_file(AUTH)}"
    finally:
        # Before the server stops: they send in threads of their own.
        APILogWorker.drain_all(timeout=5)
        EventsWorker.drain_all(timeout=5)
        # The server's own end may be what has ended the block: it says so, and ends all
        watcher.join(timeout=0.5)
        ending.set()
        process.terminate()
        for hanging in psutil.wait_procs([process], timeout=5)[1]:
            hanging.kill()
        own_file(SERVED).unlink(missing_ok=True)


def served() -> OwnServer | None:
    """The server of `serve` on this data folder: the process that its file names, if it listens."""
    with suppress(
        OSError,
        ValueError,
        TypeError,
        psutil.Error,
    ):
        pid, port = json.loads(own_file(SERVED).read_text(encoding="utf-8"))
        password = own_file(AUTH).read_text(encoding="utf-8").strip()
        process = psutil.Process(pid)
        is_ours = process.uids().real == os.getuid() and _is_private(own_file(AUTH))
        if is_ours and _listens(process, port):
            return process, _settings(port, password)
    return None


def _settings(port: int, password: str) -> dict[Any, str]:
    """Prefect's settings to reach our own server."""
    return {PREFECT_API_URL: own_url(port), PREFECT_API_AUTH_STRING: password}


def _start() -> OwnServer:
    """A new server at the port of Prefect's own setting, named in the file of `served`."""
    port = PREFECT_SERVER_API_PORT.value()
    _check_free(port)
    password = own_password()
    defaults = {
        # Prefect's is in its own package, which only root may be able to write: there is no UI then
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(PREFECT_HOME.value() / "ui"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # Deletes runs that ended over 90 days ago, else kept for ever. Ours are in the ledger's
        # table runs.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_UI_URL": own_url(port).removesuffix("/api"),  # what messages link to
    }
    required = {
        "PREFECT_SERVER_API_AUTH_STRING": password,
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",  # at DEBUG uvicorn logs frames with the password
    }
    words = f"-P -m prefect server start --host 127.0.0.1 --port {port}"
    # Not by --background, in which the first line that the server logs ends it (3.9.1). In a
    # session of its own: Ctrl-C would stop it before the interrupted run is reported to it.
    process = psutil.Popen(
        [sys.executable, *words.split()],
        env=defaults | os.environ | required,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _await_own(process, port)
        own_file(SERVED).write_text(json.dumps([process.pid, port]), encoding="utf-8")
    except BaseException:
        process.kill()
        raise
    return process, _settings(port, password)


def _check_free(port: int) -> None:
    """Refuse a port at which another program listens, before anything is sent there."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)):
            return
    raise ForecastingError(
        f"Expected port {port} of 127.0.0.1 for the Prefect server of `serve`; another program "
        "listens there. Set PREFECT_SERVER_API_PORT to another one, or, to use a Prefect server "
        f"that you trust, PREFECT_API_URL={own_url(port)} and PREFECT_API_AUTH_STRING."
    )


def _await_own(process: psutil.Popen, port: int) -> None:
    """Return once the process listens at the port, which it does when it is ready."""
    deadline = time.monotonic() + START_S
    while not _listens(process, port):
        code = process.poll()
        if code is not None:
            raise ForecastingError(
                f"Our own Prefect server ended early (exit code {code}). Its message is above. Is "
                f"the disk of {PREFECT_HOME.value()} full, or port {port} taken? Free it, or set "
                "PREFECT_SERVER_API_PORT. "
                '"Can\'t locate revision": a newer Prefect made its database; upgrade, or set '
                "another PREFECT_HOME."
            )
        if time.monotonic() > deadline:
            raise ForecastingError(
                f"Our own Prefect server did not respond within {START_S:.0f} s at {own_url(port)}."
            )
        time.sleep(0.1)


def _listens(process: psutil.Process, port: int) -> bool:
    """Whether this very process listens at the port of loopback, as the operating system has it."""
    with suppress(psutil.Error):
        found = process.net_connections("tcp4")
        return any(
            one.status == psutil.CONN_LISTEN and one.laddr == ("127.0.0.1", port) for one in found
        )
    return False


def _end_with(server: psutil.Process, ending: threading.Event) -> None:
    """End this process, and those that it has started, with the server, unless the block ends."""
    code = server.wait()
    if ending.is_set():
        return
    sys.stderr.write(
        f"The Prefect server of `serve` has ended (exit code {code}), and so do `serve` and a "
        "night that it runs: another program could take its port. What is stored is complete. "
        "Start `serve` again; if it repeats, check the memory.\n"
    )
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            process.kill()
    os._exit(1)


def is_idle() -> bool:
    """Whether nights are deployed and no process asks for their runs, as one does every 10 s."""
    with suppress(ObjectNotFound), get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("nightly/nightly")
        if deployment.paused:
            return False
        polled = deployment.last_polled
        return polled is None or clock.now() - polled > timedelta(seconds=30)
    return False


def has_server() -> bool:
    """Whether a server is configured, or `serve` runs on this data folder."""
    return PREFECT_API_URL.value() is not None or served() is not None


@contextmanager
def reached_server() -> Iterator[str]:
    """The API's URL within the block: of the configured server, else of that of `serve`."""
    server = served() if PREFECT_API_URL.value() is None else None
    with temporary_settings(server[1] if server else {}):
        yield check_server()


def own_url(port: int) -> str:
    """The API's URL of a server of our own."""
    return f"http://127.0.0.1:{port}/api"


def own_file(name: str) -> Path:
    """The file SERVED or AUTH of the server of `serve`."""
    return read_settings().data_dir.absolute() / name


def own_password() -> str:
    """`USER:PASSWORD` of a server that starts, stored for its user alone.

    The one configured, else the one stored, unless others can read or have placed its file, else a
    new one.
    """
    path = own_file(AUTH)
    password = os.environ.get("PREFECT_SERVER_API_AUTH_STRING")
    if password and ":" not in password:
        raise UsageError(
            "Invalid PREFECT_SERVER_API_AUTH_STRING: expected USER:PASSWORD, found no colon."
        )
    if not password and _is_private(path):
        password = path.read_text(encoding="utf-8", errors="replace").strip()
    if not password:
        password = f"admin:{secrets.token_urlsafe(24)}"
    path.unlink(missing_ok=True)
    path.touch(0o600, exist_ok=False)
    path.write_text(f"{password}\n", encoding="utf-8")
    return password


def _is_private(path: Path) -> bool:
    """Whether a file, no link, is there, of this user, and of mode 0600."""
    if not os.path.lexists(path):
        return False
    state = path.lstat()
    return state.st_uid == os.getuid() and state.st_mode == stat.S_IFREG | 0o600


def start_worker(pool: str) -> None:
    """Become Prefect's worker of `pool`; does not return."""
    migrate.check_ready(read_settings().url)
    check_server()
    # SIGTERM ends it by one, which a script's `worker &` would ignore
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Replacing this process, rather than starting a child, lets systemd and Docker signal the
    # worker itself. Without a limit of its own: a second run of a deployment is to be cancelled by
    # its limit, not to wait as late.
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool]
    os.execv(sys.executable, command)  # noqa: S606 - our own interpreter, no shell
