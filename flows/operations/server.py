"""The Prefect server that runs are reported to: the one configured, else one of our own beside `forecasting serve`."""

import logging
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, PREFECT_SERVER_API_PORT, temporary_settings

from forecasting.errors import ForecastingError, UsageError

logger = logging.getLogger("forecasting.server")

OWN_DEFAULTS = {
    # Prefect's default is its own package's folder; where only root may write that, there is no UI.
    "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(PREFECT_HOME.value() / "ui"),
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # Else it keeps its runs for ever; those that ended over 90 days ago go. Ours are in the ledger's table runs.
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
}
"""What a server of our own is told, unless the environment says otherwise."""

START_S = 120.0
"""How long a server may take to answer: the first start creates its database."""


def check_server() -> str:
    """The URL of the configured Prefect server, which answers.

    Raises:
        UsageError: None is configured.
        ForecastingError: It does not answer.
    """
    url: str | None = PREFECT_API_URL.value()
    if url is None:
        raise UsageError(
            "A Prefect server is expected in PREFECT_API_URL; none is configured. Start one with "
            f"`prefect server start`, then: export PREFECT_API_URL={own_url()}"
        )
    if not is_healthy(url):
        raise ForecastingError(
            f"The Prefect server {url} does not answer. See whether it runs (`prefect server start`, "
            "`systemctl status prefect-server` or `docker compose ps`) and whether PREFECT_API_URL is right."
        )
    return url


@contextmanager
def tolerate_outage(what: str) -> Iterator[None]:
    """Within the block, a server that does not answer or is not itself ends the block with a warning, and no more.

    Prefect shows nights, it does not make them: the ledger and the report page have all of it without Prefect.

    Args:
        what: What it was to be given, for the log.
    """
    try:
        yield
    except httpx.HTTPError as error:
        ours = isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500
        if ours:
            raise
        logger.warning("Prefect's server does not have %s: %s. The night goes on.", what, error)


@contextmanager
def ensure_server() -> Iterator[str]:
    """The API's URL within the block: of the configured server, or of a child process that ends with the block.

    Raises:
        ForecastingError: The configured server does not answer, or our own did not start.
    """
    if PREFECT_API_URL.value() is not None:
        yield check_server()
        return
    url = own_url()
    child = None if is_healthy(url) else start_own(url)
    try:
        with temporary_settings({PREFECT_API_URL: url}):
            yield url
    finally:
        if child is not None:
            child.terminate()
            child.wait()


def own_url() -> str:
    """Where a server of our own is: on loopback alone, at the port that Prefect's own setting names, else 4200."""
    return f"http://127.0.0.1:{PREFECT_SERVER_API_PORT.value()}/api"


def is_healthy(url: str) -> bool:
    """Whether a Prefect server answers there."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as response:  # noqa: S310 - the user's own server
            return bool(response.read() == b"true")
    except (urllib.error.URLError, OSError, ValueError):
        return False


def start_own(url: str) -> "subprocess.Popen[bytes]":
    """A Prefect server as a child of this process, once it answers.

    Raises:
        ForecastingError: It ended, or did not answer in time.
    """
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    # Without the user's PREFECT_API_URL: a server that is told of another refuses to serve its own UI.
    environment = OWN_DEFAULTS | {"PREFECT_UI_URL": url.removesuffix("/api")} | os.environ  # what alarms link to
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)  # noqa: S603 - our own interpreter
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if is_healthy(url):
            return child
        if child.poll() is not None:
            raise ForecastingError(
                f"Our own Prefect server ended at once (exit code {child.returncode}); its message stands above. "
                f"Is the port of {url} taken by another program? Free it, name another in PREFECT_SERVER_API_PORT, or "
                "a server in PREFECT_API_URL."
            )
        time.sleep(0.5)
    child.kill()
    raise ForecastingError(f"Our own Prefect server did not answer within {START_S:.0f} s at {url}.")
