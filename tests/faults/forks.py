"""Processes forked from one that has everything imported: each starts in milliseconds and can be killed for real."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

PRELOADED = [
    "tests.faults.mornings",
    "torch._dynamo",
    "sklearn.preprocessing",
    "exchange_calendars",
    "flows.operations.artifacts",
    "flows.cli",
    "flows.terminal.start",
    "jinja2",
]
"""Imported once, before anything is forked: together they take longer than a night."""


def fork(target: Callable[..., None], *args: Any) -> ForkServerProcess:
    """A started process that calls `target` with `args`."""
    forked = get_context("forkserver")
    forked.set_forkserver_preload(PRELOADED)
    process = forked.Process(target=target, args=args)
    process.start()
    return process


def fork_command(*words: str, environment: dict[str, str], log: Path) -> ForkServerProcess:
    """The started process of a command of `forecasting`; `log` receives what it prints.

    Args:
        words: As after `forecasting` in a shell.
        environment: Its variables; of Prefect's, PREFECT_API_URL alone has an effect.
        log: A new file.
    """
    return fork(_command, words, environment, log)


def _command(words: tuple[str, ...], environment: dict[str, str], log: Path) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows import cli

    with log.open("wb") as out:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(out.fileno(), stream.fileno())
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["forecasting", *words]
    with temporary_settings({PREFECT_API_URL: environment["PREFECT_API_URL"]}):
        cli.main()
