"""How far long work has come, on the terminal of whoever waits for it; silent where none watches.

A bar stands on standard error and goes when the work is done, so that what a command prints can be piped.
"""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from forecasting.pipeline.night_run import NightSpec

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[int, int], None]
"""Told how much is done and how much there is in all."""

STAGES = ("preprocess", "train", "predict", "evaluate")
"""A night's stages after the ingest, which all nights of a run share."""

Told = Callable[[str, int, int], None]
_watcher: ContextVar[Told | None] = ContextVar("watcher", default=None)
_nights: ContextVar[tuple[NightSpec, ...]] = ContextVar("nights", default=())


@contextmanager
def progress_bar(what: str) -> Iterator[Progress | None]:
    """A bar on the terminal, or None where nobody watches."""
    with _bar(what) as told:
        yield None if told is None else lambda done, total: told(what, done, total)


@contextmanager
def watched_nights() -> Iterator[None]:
    """Within the block, the nights that this process works off show their stages on the terminal."""
    with _bar("starting Prefect") as told:
        token = _watcher.set(told)
        try:
            yield
        finally:
            _watcher.reset(token)


def show_nights(nights: Sequence[NightSpec]) -> None:
    """From here on the bar is about these nights, oldest first."""
    _nights.set(tuple(nights))


def show_stage(night: NightSpec, stage: str) -> None:
    """Put the bar where `stage` of `night` begins: the same place however often it is tried again."""
    told, nights = _watcher.get(), _nights.get()
    if told is None or night not in nights:
        return
    at = nights.index(night)
    done = 0 if stage == "ingest" else 1 + at * len(STAGES) + STAGES.index(stage)
    which = f" ({at + 1} of {len(nights)})" if len(nights) > 1 and stage != "ingest" else ""
    told(f"{night.symbol} {night.session}{which}: {stage}", done, 1 + len(nights) * len(STAGES))


@contextmanager
def _bar(what: str) -> Iterator[Told | None]:
    from rich.console import Console
    from rich.progress import Progress as Bar

    # It honours NO_COLOR; without markup, since log lines in brackets are meant as they stand.
    console = Console(stderr=True, markup=False, highlight=False)
    if not sys.stderr.isatty() or console.is_dumb_terminal:  # rich would take FORCE_COLOR for a terminal
        yield None
        return
    with Bar(console=console, transient=True) as bar, _log_lines_above(console):
        task = bar.add_task(what, total=None)
        yield lambda description, done, total: bar.update(
            task, description=description, completed=done, total=total, refresh=True
        )


@contextmanager
def _log_lines_above(console: "Console") -> Iterator[None]:
    """Within the block Prefect's log lines go through the bar's console, which keeps the bar below them.

    Prefect's handler has a console of its own: a line written there would run into the bar.
    """
    handlers: list[Any] = [handler for handler in logging.getLogger().handlers if hasattr(handler, "console")]
    own = [handler.console for handler in handlers]
    for handler in handlers:
        handler.console = console
    try:
        yield
    finally:
        for handler, its_own in zip(handlers, own, strict=True):
            handler.console = its_own
