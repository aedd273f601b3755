"""Progress of long work on standard error: a bar on a terminal, elsewhere a line a minute."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Event, Thread

from forecasting.night.night import Night
from forecasting.vocabulary import Progress

LINE_S = 60.0  # between two lines, where there is no terminal
LOOK_S = 0.5  # between two looks, on a terminal


@dataclass
class Work:
    """What is planned and done of some work, in any process: each appends to one file.

    It can be sent to another process, which advances it there.
    """

    unit: str = "nights"
    total: int = 0
    file: Path | None = None  # None: nobody looks
    started: float = field(default_factory=time.monotonic)
    done: int = 0
    words: str = "starting"

    def advance(self, words: str, ended: int) -> None:
        """Note in the file what is at work, and how much has ended since the note before."""
        # On another machine, as of Dask, there is none
        if self.file is not None and self.file.exists():
            with self.file.open("a", encoding="utf-8") as notes:
                notes.write(f"{ended} {words}\n")

    def step(self, nights: Sequence[Night], step: str) -> None:
        """Note that a step of some nights begins."""
        words = f"{nights[0].symbol} {nights[0].session}"
        if len(nights) > 1:
            words += f" and {len(nights) - 1} more"
        self.advance(f"{words}: {step}", 0)

    def end(self, nights: Sequence[Night]) -> None:
        """Note that some nights have ended."""
        self.advance(f"{nights[-1].symbol} {nights[-1].session}", len(nights))

    def look(self, notes: Sequence[str]) -> None:
        """Take in what was noted since the last look."""
        for note in notes:
            ended, _, self.words = note.rstrip("\n").partition(" ")
            self.done += int(ended)

    def text(self) -> str:
        """How much is done, the rate, the time left and what is at work."""
        if not self.done:
            return f"{self.done} of {self.total} {self.unit} ({self.words})"
        rate = self.done / (time.monotonic() - self.started)
        left = timedelta(seconds=round((self.total - self.done) / rate))
        return (
            f"{self.done} of {self.total} {self.unit}, {rate:.1f} a second, {left} left "
            f"({self.words})"
        )


_shown = [Work()]  # the last one is in use; the first one, that nobody sees, outside a block


def shown_nights() -> Work:
    """The work of the block `watched_nights`; one that nobody sees outside of it."""
    return _shown[-1]


@contextmanager
def watched_nights() -> Iterator[Work]:
    """Within the block, the nights of a run are shown once their number is set."""
    with _watched("nights", 0) as work:
        _shown.append(work)
        try:
            yield work
        finally:
            _shown.pop()


@contextmanager
def progress_bar(unit: str, total: int) -> Iterator[Progress]:
    """Within the block, how much of `total` is done is shown."""
    with _watched(unit, total) as work:
        yield work.advance


@contextmanager
def _watched(unit: str, total: int) -> Iterator[Work]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    # It honours NO_COLOR; without markup, since log lines may contain brackets.
    console = Console(stderr=True, markup=False, highlight=False)
    # Rich would take FORCE_COLOR for a terminal
    is_terminal = sys.stderr.isatty() and not console.is_dumb_terminal
    columns = (BarColumn(), TextColumn("{task.description}", markup=False))
    with (
        NamedTemporaryFile("r", encoding="utf-8", prefix="forecasting-") as notes,
        Bar(
            *columns, console=console, transient=True, auto_refresh=False, disable=not is_terminal
        ) as bar,
    ):
        work = Work(unit, total, Path(notes.name))
        task = bar.add_task("", total=None)

        def show() -> None:
            work.look(notes.readlines())
            if is_terminal:
                bar.update(
                    task,
                    description=work.text(),
                    completed=work.done,
                    total=work.total or None,
                    refresh=True,
                )
            else:
                sys.stderr.write(f"{work.text()}\n")

        with _repeated(show, LOOK_S if is_terminal else LINE_S):
            yield work


@contextmanager
def _repeated(show: Callable[[], None], every_s: float) -> Iterator[None]:
    """A thread calls `show` again and again until the block ends."""
    ended = Event()

    def repeat() -> None:
        while not ended.wait(every_s):
            show()

    thread = Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
