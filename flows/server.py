"""The Prefect server that runs are reported to: the one configured, else that of `serve`.

And Prefect's worker.

Our own requires a password: else every user and browser page of this machine could start runs and
read their logs.
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
from contextlib import contextmanager, nullcontext, suppress
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
    PREFECT_SERVER_LOGGING_LEVEL,
    temporary_settings,
)

from flows import clock
from forecasting.errors import ForecastingError, UsageError
from forecasting.night.folders import SERVED
from forecasting.settings import read_settings
from forecasting.store import migrate

logger = logging.getLogger("forecasting.server")

AUTH = "prefect-auth"
OwnServer = tuple[psutil.Process, dict[Any, str]]
"""A server that `serve` has started: the process that listens, and Prefect's settings to reach it."""

START_S = 120.0  # seconds until a server must respond: the first start creates its database

# Since the last response; retries after the first would take minutes for each night
_outages: list[str] = []

_ONCE = {PREFECT_CLIENT_MAX_RETRIES: 0, PREFECT_API_REQUEST_TIMEOUT: 15.0}
_ONCE |= {PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False}
_IN_OUTAGE = _ONCE | {PREFECT_API_REQUEST_TIMEOUT: 5.0}


def check_server() -> str:
    """The URL of the configured Prefect server, without a password in it, after a health check."""
    if (url := PREFECT_API_URL.value()) is None:
        raise UsageError(
            "Expected a Prefect server in PREFECT_API_URL; none is configured. Start one with "
            "`PREFECT_SERVER_API_AUTH_STRING=admin:PASSWORD prefect server start` or `forecasting "
            "serve`, then: export "
            f"PREFECT_API_URL={own_url(4200)} PREFECT_API_AUTH_STRING=admin:PASSWORD"
        )
    shown = re.split("[?#]", re.sub("//.*@", "//", url))[0]  # a gateway's password may be in it
    try:
        # By Prefect's own client, which has its settings of certificates, keys and headers.
        with temporary_settings(_ONCE), get_client(sync_client=True) as client:
            failure: BaseException | None = client.api_healthcheck()
            if failure is None:
                client.api_version()  # which needs the password
    # A response that is no version is a ValueError
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        if isinstance(error, httpx.HTTPStatusError) and error.response.status_code in (401, 403):
            raise UsageError(
                f"The Prefect server {shown} expects a password; "
                f"{'another one' if PREFECT_API_AUTH_STRING.value() else 'none'} was found in "
                "PREFECT_API_AUTH_STRING. "
                "Set it to the server's PREFECT_SERVER_API_AUTH_STRING; for the server of "
                "`forecasting serve`: export "
                f"PREFECT_API_AUTH_STRING=$(cat {own_file(AUTH)})"
            ) from error
        failure = error
    if failure is not None:
        is_other = isinstance(failure, httpx.HTTPStatusError | ValueError)
        does = "responds, but not as Prefect's API does" if is_other else "does not respond"
        raise ForecastingError(
            f"The Prefect server {shown} {does} ({_reason(failure)}). Check that it runs (`prefect "
            "server start`, "
            "`systemctl status prefect-server` or `docker compose ps`) and that PREFECT_API_URL is "
            "right, or unset it."
        )
    if shown == url:
        _warn_if_open(url)
    return shown


def _warn_if_open(url: str) -> None:
    """Warn of a server that requires no password."""
    keyless = temporary_settings(_ONCE, restore_defaults={PREFECT_API_AUTH_STRING, PREFECT_API_KEY})
    with suppress(httpx.HTTPError, ValueError), keyless, get_client(sync_client=True) as client:
        if client.api_version():
            logger.warning(
                "The Prefect server %s requires no password: anyone who can reach it can run "
                "commands on its workers. "
                "Set PREFECT_SERVER_API_AUTH_STRING=USER:PASSWORD for it and "
                "PREFECT_API_AUTH_STRING here.",
                url,
            )


def _reason(failure: BaseException) -> str:
    """What failed, without URL and headers, which may have a password."""
    if isinstance(failure, httpx.HTTPStatusError):
        return f"{failure.response.status_code} {failure.response.reason_phrase}"
    if isinstance(failure, httpx.InvalidURL):
        return "that is no URL"
    if isinstance(failure, httpx.LocalProtocolError):
        return "a header, as of PREFECT_CLIENT_CUSTOM_HEADERS, is not valid"
    return str(failure) or type(failure).__name__


@contextmanager
def tolerate_outage(what: str) -> Iterator[None]:
    """A block that a server ends with a warning where it does not receive `what`: Prefect only displays nights."""
    # Settings of their own take 20 ms. Prefect reuses the run's client, with its timeout, unless a
    # context has others.
    changed = temporary_settings(_IN_OUTAGE) if _outages else nullcontext()
    client = SyncClientContext(httpx_settings={}) if _outages else nullcontext()
    try:
        with changed, client:
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
    """A block with a server: the configured one, else one of our own, which ends with the block.

    How to sign in to it.

    The caller holds the lock of `serve`. One that a killed `serve` left behind is taken over;
    anything else at the port
    is an error. When our own ends, so does this process: who takes its port next would get the
    password and could name what the nights run.
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
            user = own[PREFECT_API_AUTH_STRING].partition(":")[0]
            file = own_file(AUTH)
            yield f"{check_server().removesuffix('/api')}, user {user}, password in {file}"
    finally:
        # Before the server stops: they send in threads of their own.
        APILogWorker.drain_all(timeout=5)
        EventsWorker.drain_all(timeout=5)
        # The server's own end may be what has ended the block: it says so, and ends all
        watcher.join(timeout=0.5)
        ending.set()
        process.terminate()
        try:
            process.wait(timeout=5)
        except psutil.TimeoutExpired:
            process.kill()
        own_file(SERVED).unlink(missing_ok=True)


def served() -> OwnServer | None:
    """The server of `serve` on this data folder.

    The process that its file names, while it listens at the port.
    """
    with suppress(
        OSError,
        ValueError,
        TypeError,
        psutil.Error,
        ForecastingError,
    ):
        pid, port = json.loads(own_file(SERVED).read_text(encoding="utf-8"))
        process = psutil.Process(pid)
        if process.uids().real == os.getuid() and _listens(process, port):
            return process, {
                PREFECT_API_URL: own_url(port),
                PREFECT_API_AUTH_STRING: own_password(),
            }
    return None


def _start() -> OwnServer:
    """A new server at the port of Prefect's own setting, named in the file of `served`."""
    port = PREFECT_SERVER_API_PORT.value()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ForecastingError(
                f"Expected port {port} of 127.0.0.1 for the Prefect server of `serve`; it cannot "
                "be had: "
                f"{error.strerror}. Set PREFECT_SERVER_API_PORT to another one, or, to use a "
                "Prefect server that you "
                f"trust, PREFECT_API_URL={own_url(port)} and PREFECT_API_AUTH_STRING."
            ) from None
    password = own_password(os.environ.get("PREFECT_SERVER_API_AUTH_STRING"))
    defaults = {
        # Prefect's default is its own package's folder; where only root may write that, there is no
        # UI.
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(PREFECT_HOME.value() / "ui"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # Deletes runs that ended over 90 days ago, else kept for ever. Ours are in the ledger's
        # table runs.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_UI_URL": own_url(port).removesuffix("/api"),  # what messages link to
    }
    environment = defaults | os.environ | {"PREFECT_SERVER_API_AUTH_STRING": password}
    # At which uvicorn logs frames, with the password
    if PREFECT_SERVER_LOGGING_LEVEL.value() == "DEBUG":
        environment["PREFECT_SERVER_LOGGING_LEVEL"] = "INFO"
    # In a session of its own: Ctrl-C would stop it before the interrupted run is reported to it.
    process = psutil.Popen(
        [
            sys.executable,
            "-P",
            "-m",
            "prefect",
            "server",
            "start",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ],
        env=environment,
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
    return process, {PREFECT_API_URL: own_url(port), PREFECT_API_AUTH_STRING: password}


def _await_own(process: psutil.Popen, port: int) -> None:
    deadline = time.monotonic() + START_S
    while not (_listens(process, port) and is_healthy(own_url(port))):
        if (code := process.poll()) is not None:
            raise ForecastingError(
                f"Our own Prefect server ended early (exit code {code}). Its message is above. Is "
                "the disk of "
                f"{PREFECT_HOME.value()} full, or port {port} taken? Free it, or set "
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


def is_healthy(url: str) -> bool:
    """Whether a Prefect server responds at the URL."""
    with suppress(httpx.HTTPError, ValueError):
        return httpx.get(f"{url}/health", timeout=5).json() is True
    return False


def _end_with(server: psutil.Process, ending: threading.Event) -> None:
    code = server.wait()
    if ending.is_set():
        return
    sys.stderr.write(
        f"The Prefect server of `serve` has ended (exit code {code}), and so do `serve` and a "
        "night that it runs: "
        "another program could take its port. What is stored is complete. Start `serve` again; if "
        "it repeats, check "
        "the memory.\n"
    )
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            process.kill()
    os._exit(1)


def is_idle() -> bool:
    """Whether nights are deployed to the server and no process has asked for their runs lately.

    One does every 10 s.
    """
    with suppress(ObjectNotFound), get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("nightly/nightly")
        polled = deployment.last_polled
        return not deployment.paused and (
            polled is None or clock.now() - polled > timedelta(seconds=30)
        )
    return False


def has_server() -> bool:
    """Whether a server is configured, or `serve` runs on this data folder."""
    return PREFECT_API_URL.value() is not None or served() is not None


@contextmanager
def reached_server() -> Iterator[str]:
    """The API's URL within the block.

    Of the configured server, else of that of `serve` on this data folder.
    """
    server = served() if PREFECT_API_URL.value() is None else None
    with temporary_settings(server[1] if server else {}):
        yield check_server()


def own_url(port: int) -> str:
    """The API's URL of a server of our own."""
    return f"http://127.0.0.1:{port}/api"


def own_file(name: str) -> Path:
    """The file of the server of `serve` that has its process and port (SERVED), or its password (AUTH)."""
    return read_settings().data_dir.absolute() / name


def own_password(new: str | None = None) -> str:
    """`USER:PASSWORD` of the server of `serve`: `new`, which is stored, else what is stored, generated at first."""
    path = own_file(AUTH)
    if new and ":" not in new:
        raise UsageError(
            "Invalid PREFECT_SERVER_API_AUTH_STRING: expected USER:PASSWORD, found no colon."
        )
    if new or not os.path.lexists(path):
        path.unlink(missing_ok=True)
        path.touch(0o600, exist_ok=False)
        path.write_text(f"{new or f'admin:{secrets.token_urlsafe(24)}'}\n", encoding="utf-8")
    found = path.lstat()
    is_private = (
        stat.S_ISREG(found.st_mode) and not found.st_mode & 0o077 and found.st_uid == os.getuid()
    )
    if not is_private or ":" not in (
        password := path.read_text(encoding="utf-8", errors="replace").strip()
    ):
        raise ForecastingError(
            f"Expected in {path}, a file of this user with mode 0600, USER:PASSWORD; found mode "
            f"{stat.S_IMODE(found.st_mode):04o} or another content. Delete it; it is generated "
            "anew."
        )
    return password


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
