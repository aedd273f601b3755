"""Progress of long work on standard error: a bar on a terminal, elsewhere a line a minute."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread

from forecasting.night.night import Night
from forecasting.vocabulary import Progress

Update = Callable[[str, int, int], None]

LINE_S = 60.0  # between two lines, where there is no terminal


@dataclass
class NightsBar:
    """How many nights of a run have ended, maybe in other processes, and what is at work."""

    update: Update = lambda words, done, total: None
    total: int = 0
    ended: set[str] = field(default_factory=set)  # ids

    def begun(self, nights: list[Night]) -> list[Night]:
        """All nights of a run, which begin."""
        self.total = len(nights)
        self.ended = set()
        return nights

    def step(self, nights: Sequence[Night], step: str) -> None:
        """Show that a step of some nights begins."""
        if nights:
            words = f"{nights[0].symbol} {nights[0].session}"
            if len(nights) > 1:
                words += f" and {len(nights) - 1} more"
            self.update(f"{words}: {step}", len(self.ended), self.total)

    def end(self, nights: Sequence[Night]) -> None:
        """Show that some nights have ended."""
        self.ended.update(night.id for night in nights)
        done = len(self.ended)
        self.update(f"{done} of {self.total} nights done", done, self.total)


_shown = [NightsBar()]  # the last one is in use; the first one, that nobody sees, outside a block


def nights_bar() -> NightsBar:
    """The bar of the block `watched_nights`; one that nobody sees outside of it."""
    return _shown[-1]


@contextmanager
def watched_nights() -> Iterator[NightsBar]:
    """Within the block, the nights that this process runs show their steps."""
    with _bar("starting") as update:
        _shown.append(NightsBar(update))
        try:
            yield _shown[-1]
        finally:
            _shown.pop()


@contextmanager
def progress_bar(what: str) -> Iterator[Progress]:
    """A bar on the terminal, else a line a minute."""
    with _bar(what) as update:
        yield lambda done, total: update(what, done, total)


@contextmanager
def _bar(what: str) -> Iterator[Update]:
    from rich.console import Console
    from rich.progress import Progress as Bar

    # It honours NO_COLOR; without markup, since log lines may contain brackets.
    console = Console(stderr=True, markup=False, highlight=False)
    # Rich would take FORCE_COLOR for a terminal
    is_terminal = sys.stderr.isatty() and not console.is_dumb_terminal
    if not is_terminal:
        with _lines(what) as update:
            yield update
        return
    with Bar(console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda description, done, total: bar.update(
            task,
            description=description,
            completed=done,
            total=total,
            refresh=True,
        )


@contextmanager
def _lines(what: str) -> Iterator[Update]:
    """A thread writes what is at work, a line a minute, until the block ends."""
    newest = what
    ended = Event()

    def update(words: str, done: int, total: int) -> None:
        nonlocal newest
        newest = f"{words} ({done / max(total, 1):.0%})"

    def write() -> None:
        while not ended.wait(LINE_S):
            sys.stderr.write(f"{newest}\n")

    thread = Thread(target=write, daemon=True)
    thread.start()
    try:
        yield update
    finally:
        ended.set()
        thread.join()
