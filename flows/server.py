"""The Prefect server that runs are reported to: the one configured, else one of our own beside `forecasting serve`."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.settings import PREFECT_API_URL, temporary_settings

from forecasting.errors import ForecastingError, UsageError

OWN_PORT = 4200
"""Prefect's usual one, on loopback alone."""

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
            f"`prefect server start`, then: export PREFECT_API_URL=http://127.0.0.1:{OWN_PORT}/api"
        )
    if not answers(url):
        raise ForecastingError(
            f"The Prefect server {url} does not answer. See whether it runs (`prefect server start`, "
            "`systemctl status prefect-server` or `docker compose ps`) and whether PREFECT_API_URL is right."
        )
    return url


@contextmanager
def server_or_own() -> Iterator[str]:
    """The API's URL within the block: of the configured server, or of a child process that ends with the block.

    Raises:
        ForecastingError: The configured server does not answer, or our own did not start.
    """
    if PREFECT_API_URL.value() is not None:
        yield check_server()
        return
    url = f"http://127.0.0.1:{OWN_PORT}/api"
    child = None if answers(url) else start_own(url)
    try:
        with temporary_settings({PREFECT_API_URL: url}):
            yield url
    finally:
        if child is not None:
            child.terminate()
            child.wait()


def answers(url: str) -> bool:
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
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(OWN_PORT)]
    # Without the user's PREFECT_API_URL: a server that is told of another refuses to serve its own UI.
    environment = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false"} | os.environ
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)  # noqa: S603 - our own interpreter
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if answers(url):
            return child
        if child.poll() is not None:
            raise ForecastingError(
                f"Our own Prefect server ended at once (exit code {child.returncode}); its message stands above. "
                f"Is port {OWN_PORT} taken by another program? Free it, or name a server in PREFECT_API_URL."
            )
        time.sleep(0.5)
    child.kill()
    raise ForecastingError(f"Our own Prefect server did not answer within {START_S:.0f} s on port {OWN_PORT}.")
