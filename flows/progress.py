"""Progress of long work: a bar on standard error, where that is a terminal, which is removed when the work is done."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from forecasting.night.night import Night
from forecasting.vocabulary import Progress

# A night's after ingest, which all nights of a run share
_STEPS = ("preprocess", "train", "predict", "evaluate")

Update = Callable[[str, int, int], None]
_display: ContextVar[Update | None] = ContextVar("display", default=None)
_nights: ContextVar[tuple[str, ...]] = ContextVar("nights", default=())
_ended: ContextVar[int] = ContextVar("ended", default=0)


@contextmanager
def progress_bar(what: str) -> Iterator[Progress]:
    """A bar on the terminal, if there is one."""
    with _bar(what) as update:
        yield lambda done, total: update(what, done, total)


@contextmanager
def watched_nights() -> Iterator[None]:
    """Within the block, the nights that this process runs show their stages on the terminal."""
    with _bar("starting") as update:
        token = _display.set(update)
        try:
            yield
        finally:
            _display.reset(token)


def show_step(nights: Sequence[Night], step: str) -> None:
    """Put the bar where a step of some nights begins, the same place at every retry.

    Step `plan` begins with all nights of a run, `done` is that some have ended, maybe in another
    process.
    """
    if step == "plan":
        _nights.set(tuple(night.id for night in nights))
        _ended.set(0)
    if step == "done":
        _ended.set(_ended.get() + len(nights))
    update = _display.get()
    shown = _nights.get()
    if update is None or step == "plan" or not nights or nights[0].id not in shown:
        return
    at = shown.index(nights[0].id)
    which = f" ({at + 1} of {len(shown)})" if len(shown) > 1 and step != "ingest" else ""
    more = f" and {len(nights) - 1} more" if len(nights) > 1 else ""
    words = f"{nights[0].symbol} {nights[0].session}{more}{which}: {step}"
    done = 0
    if step == "done":
        words = f"{_ended.get()} of {len(shown)} nights done"
        done = 1 + _ended.get() * len(_STEPS)
    elif step != "ingest":
        done = 1 + at * len(_STEPS) + len(nights) * _STEPS.index(step)
    update(words, done, 1 + len(shown) * len(_STEPS))


@contextmanager
def _bar(what: str) -> Iterator[Update]:
    from rich.console import Console
    from rich.progress import Progress as Bar

    # It honours NO_COLOR; without markup, since log lines may contain brackets.
    console = Console(stderr=True, markup=False, highlight=False)
    # Rich would take FORCE_COLOR for one
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
