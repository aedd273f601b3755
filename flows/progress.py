"""Progress of long work: a bar on standard error, where that is a terminal, while it lasts."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from forecasting.night.night import Night
from forecasting.vocabulary import Progress

Update = Callable[[str, int, int], None]


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
    """Within the block, the nights that this process runs show their steps on the terminal."""
    with _bar("starting") as update:
        _shown.append(NightsBar(update))
        try:
            yield _shown[-1]
        finally:
            _shown.pop()


@contextmanager
def progress_bar(what: str) -> Iterator[Progress]:
    """A bar on the terminal, if there is one."""
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
    with Bar(console=console, transient=True, disable=not is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda description, done, total: bar.update(
            task,
            description=description,
            completed=done,
            total=total,
            refresh=True,
        )
