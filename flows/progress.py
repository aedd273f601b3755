"""Progress of long work: a bar on standard error, where that is a terminal, which is removed when the work is done."""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from forecasting.pipeline.night_progress import after, at_stage
from forecasting.pipeline.night_run import NightSpec
from forecasting.vocabulary import Progress

if TYPE_CHECKING:
    from rich.console import Console

Update = Callable[[str, int, int], None]
_display: ContextVar[Update | None] = ContextVar("display", default=None)
_nights: ContextVar[tuple[NightSpec, ...]] = ContextVar("nights", default=())


@contextmanager
def progress_bar(what: str) -> Iterator[Progress | None]:
    """A bar on the terminal, or None without one."""
    with _bar(what) as update:
        yield None if update is None else lambda done, total: update(what, done, total)


@contextmanager
def watched_nights() -> Iterator[None]:
    """Within the block, the nights that this process runs show their stages on the terminal."""
    with _bar("starting Prefect") as update:
        token = _display.set(update)
        try:
            yield
        finally:
            _display.reset(token)


def show_nights(nights: Sequence[NightSpec]) -> None:
    """Let the bar show these nights from here on, shard by shard, each symbol's oldest first."""
    _nights.set(tuple(nights))


def show_stage(shard: Sequence[NightSpec], stage: str) -> None:
    """Put the bar where `stage` of a shard's nights begins: the same place at every retry."""
    update, nights = _display.get(), _nights.get()
    if update is not None and shard[0] in nights:
        update(*at_stage(shard, stage, nights))


def show_done(done: int) -> None:
    """Put the bar where so many of the nights are done."""
    if (update := _display.get()) is not None:
        update(*after(done, len(_nights.get())))


@contextmanager
def _bar(what: str) -> Iterator[Update | None]:
    from rich.console import Console
    from rich.progress import Progress as Bar

    # It honours NO_COLOR; without markup, since log lines may contain brackets.
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
    """Within the block Prefect's log lines go through the bar's console: from their own they would run into the bar."""
    handlers: list[Any] = [handler for handler in logging.getLogger().handlers if hasattr(handler, "console")]
    own = [handler.console for handler in handlers]
    for handler in handlers:
        handler.console = console
    try:
        yield
    finally:
        for handler, its_own in zip(handlers, own, strict=True):
            handler.console = its_own
