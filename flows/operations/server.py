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
    # Deletes runs that ended over 90 days ago, else kept for ever. Ours are in the ledger's table runs.
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
}
"""Settings of a server of our own, unless the environment has others."""

START_S = 120.0
"""Seconds until a server must respond: the first start creates its database."""


def check_server() -> str:
    """The URL of the configured Prefect server, after a health check.

    Raises:
        UsageError: No server is configured.
        ForecastingError: It does not respond.
    """
    url: str | None = PREFECT_API_URL.value()
    if url is None:
        raise UsageError(
            "Expected a Prefect server in PREFECT_API_URL; none is configured. Start one with "
            f"`prefect server start`, then: export PREFECT_API_URL={own_url()}"
        )
    if not is_healthy(url):
        raise ForecastingError(
            f"The Prefect server {url} does not respond. Check that it runs (`prefect server start`, "
            "`systemctl status prefect-server` or `docker compose ps`) and that PREFECT_API_URL is right."
        )
    return url


@contextmanager
def tolerate_outage(what: str) -> Iterator[None]:
    """Within the block, an unresponsive or failing server ends the block with a warning instead of an error.

    Prefect only displays nights: the ledger and the report page are complete without it.

    Args:
        what: What the server misses, for the log.
    """
    try:
        yield
    except httpx.HTTPError as error:
        is_our_error = isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500
        if is_our_error:
            raise
        logger.warning("Prefect's server did not receive %s: %s. The night continues.", what, error)


@contextmanager
def ensure_server() -> Iterator[str]:
    """The API's URL within the block: of the configured server, or of a child process that ends with the block.

    Raises:
        ForecastingError: The configured server does not respond, or our own did not start.
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
    """The API's URL of a server of our own: on loopback, at the port of Prefect's own setting, else 4200."""
    return f"http://127.0.0.1:{PREFECT_SERVER_API_PORT.value()}/api"


def is_healthy(url: str) -> bool:
    """Whether a Prefect server responds at the URL."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as response:  # noqa: S310 - the user's own server
            return bool(response.read() == b"true")
    except (urllib.error.URLError, OSError, ValueError):
        return False


def start_own(url: str) -> "subprocess.Popen[bytes]":
    """A Prefect server as a child of this process, once it responds.

    Raises:
        ForecastingError: It ended, or did not respond in time.
    """
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    # Without the user's PREFECT_API_URL: a server configured with another's URL refuses to serve its own UI.
    environment = OWN_DEFAULTS | {"PREFECT_UI_URL": url.removesuffix("/api")} | os.environ  # what alarms link to
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)  # noqa: S603 - our own interpreter
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if is_healthy(url):
            return child
        if child.poll() is not None:
            raise ForecastingError(
                f"Our own Prefect server ended at once (exit code {child.returncode}); its message is above. "
                f"Is the port of {url} taken by another program? Free it, name another in PREFECT_SERVER_API_PORT, or "
                "a server in PREFECT_API_URL."
            )
        time.sleep(0.5)
    child.kill()
    raise ForecastingError(f"Our own Prefect server did not respond within {START_S:.0f} s at {url}.")
