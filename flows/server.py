"""The Prefect server that runs are reported to: one configured, else one that `serve` starts."""

import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta

import httpx
from prefect import get_client
from prefect.context import SyncClientContext
from prefect.exceptions import ObjectNotFound
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

logger = logging.getLogger("forecasting.server")

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

    Raises a UsageError where it refuses the password, else a ForecastingError.
    """
    url = str(PREFECT_API_URL.value())
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
            "PREFECT_SERVER_API_AUTH_STRING, or PREFECT_API_KEY to a gateway's key."
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
    """A block with a Prefect server, and the URL of its API.

    It is the configured one, else Prefect's own on loopback, which is started where it does not run
    and runs on after the block.
    """
    if PREFECT_API_URL.value() is not None:
        yield check_server()
        return
    with temporary_settings(
        {PREFECT_API_URL: f"http://127.0.0.1:{PREFECT_SERVER_API_PORT.value()}/api"}
    ):
        pid_file = PREFECT_HOME.value() / "server.pid"  # Prefect's
        if not (pid_file.exists() and _is_healthy()):
            # Prefect would take that of a killed server for one that runs
            pid_file.unlink(missing_ok=True)
            _start()
        yield check_server()


def _start() -> None:
    """Start Prefect's own server in the background, and return once it responds."""
    url = str(PREFECT_API_URL.value())
    defaults = {
        # Prefect's is in its own package, which only root may be able to write: there is no UI then
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(PREFECT_HOME.value() / "ui"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # Deletes runs that ended over 90 days ago, else kept for ever. Ours are in the ledger's
        # table runs.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_UI_URL": url.removesuffix("/api"),  # what messages link to
    }
    # The first line that a server in the background prints ends it (3.9.1)
    required = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"}
    words = "-P -m prefect server start --background --host 127.0.0.1"
    started = subprocess.run(  # noqa: S603 - our own interpreter, no shell
        [sys.executable, *words.split()],
        env=defaults | os.environ | required,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        # Ctrl-C would stop it before the interrupted run is reported to it
        start_new_session=True,
    )
    if started.returncode:
        said = (started.stderr or started.stdout).strip()
        raise ForecastingError(
            f"Prefect's own server cannot be started: {said} Set PREFECT_SERVER_API_PORT to "
            f"another port, or, to use a Prefect server that you trust, PREFECT_API_URL={url} and "
            "PREFECT_API_AUTH_STRING."
        )
    deadline = time.monotonic() + START_S
    while not _is_healthy():
        if time.monotonic() > deadline:
            raise ForecastingError(
                f"Prefect's own server did not respond within {START_S:.0f} s at {url}. "
                f"`PREFECT_HOME={PREFECT_HOME.value()} prefect server start` says why."
            )
        time.sleep(0.2)


def _is_healthy() -> bool:
    """Whether a server responds at the configured URL."""
    with temporary_settings(_ONCE), get_client(sync_client=True) as client:
        return client.api_healthcheck() is None


def is_idle() -> bool:
    """Whether nights are deployed and no process asks for their runs, as one does every 10 s."""
    with suppress(ObjectNotFound), get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("nightly/nightly")
        if deployment.paused:
            return False
        polled = deployment.last_polled
        return polled is None or clock.now() - polled > timedelta(seconds=30)
    return False
