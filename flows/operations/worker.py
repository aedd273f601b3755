"""Prefect's worker, started where ledger and server are ready."""

import os
import signal
import sys

from flows.operations.server import check_server
from forecasting.settings import read_settings
from forecasting.store import migrate


def start_worker(pool: str) -> None:
    """Become Prefect's worker of `pool`; does not return.

    Raises:
        ForecastingError: The ledger or the Prefect server is not ready, which is better found now than at 05:30.
    """
    migrate.check_ready(read_settings().url)
    check_server()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # SIGTERM ends it by one, which a script's `worker &` would ignore
    # Replacing this process, rather than starting a child, lets systemd and Docker signal the worker itself.
    # Without a limit of its own: a second run of a deployment is to be cancelled by its limit, not to wait as late.
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool]
    os.execv(sys.executable, command)  # noqa: S606 - our own interpreter, no shell
