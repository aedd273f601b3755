"""Processes forked from one that has everything imported: each starts in milliseconds and can be killed for real."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

PRELOADED = [
    "tests.faults.test_boundaries",
    "forecasting.ingest.bars",
    "forecasting.train.fit",
    "sklearn.preprocessing",
    "exchange_calendars",
    "flows.reporting",
    "flows.cli",
    "flows.start",
    "jinja2",
]
"""Imported once, before anything is forked: together they take longer than a night."""


class ForkedProcess(ForkServerProcess):
    """Has the variables of the process that made it; the one that it is forked from has those of its own start."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._environment = dict(os.environ)

    def run(self) -> None:
        os.environ.clear()
        os.environ.update(self._environment)
        super().run()


class ForkedContext(ForkServerContext):
    Process = ForkedProcess


def forked() -> ForkServerContext:
    """The context of processes forked from one that has everything imported."""
    context = ForkedContext()
    context.set_forkserver_preload(PRELOADED)
    return context


def fork(target: Callable[..., None], *args: Any, **named: Any) -> ForkServerProcess:
    """A started process that calls `target` with these arguments."""
    process = forked().Process(target=target, args=args, kwargs=named)
    process.start()
    return process


def fork_in(environment: dict[str, str], log: Path, target: Callable[..., None], *args: Any) -> ForkServerProcess:
    """A started process that calls `target`, a function of a module, with `args`.

    Of its variables, `environment`, Prefect's URL and password of the API alone have an effect; the new file `log`
    receives what it prints.
    """
    return fork(_within, environment, log, target, args)


def server_environment() -> dict[str, str]:
    """The variables of this process, with those of the Prefect server in its settings."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL

    server = {"PREFECT_API_URL": PREFECT_API_URL, "PREFECT_API_AUTH_STRING": PREFECT_API_AUTH_STRING}
    return os.environ | {name: str(setting.value()) for name, setting in server.items()}


def _within(environment: dict[str, str], log: Path, target: Callable[..., None], args: tuple[Any, ...]) -> None:
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    with log.open("wb") as out:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(out.fileno(), stream.fileno())
    os.environ.clear()
    os.environ.update(environment)
    url, password = environment["PREFECT_API_URL"], environment.get("PREFECT_API_AUTH_STRING")
    with temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: password}):
        target(*args)
