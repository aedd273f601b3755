"""The moments of a night between which the state outside changes.

Before statements, around commits, at files.

And processes that can be killed there: forked from one that has everything imported, each starts in
milliseconds.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any
from unittest import mock

import sqlalchemy as sa

_CHANGING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_FILE_EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")

_watching: list["Boundaries"] = []


class Killed(BaseException):
    """The process has ended: no handler of errors takes it for one."""


class Boundaries:
    """The boundaries passed so far, and what happens at some of them."""

    def __init__(self, folder: Path):
        # within it a file opened for writing, renamed or removed is one
        self.folder = str(folder)
        self.passed = 0
        self.armed = False  # while the world is made ready, boundaries do not count
        self.dead = False  # the process has ended: whatever it still tries fails
        self._actions = {}

    @contextmanager
    def process(self) -> Iterator[None]:
        """A process: boundaries count from its start, and what was planned for it is forgotten with
        it."""
        self.passed = 0
        self.armed = True
        self.dead = False
        try:
            yield
        finally:
            self.armed = self.dead = False
            self._actions.clear()

    def plan(self, boundary: int, action: Callable[[], None]):
        """Call `action` at the `boundary`-th boundary, counted from 1.

        Its own statements are none.
        """
        self._actions[boundary] = action

    def kill(self):
        """End the process here."""
        self.dead = True
        raise Killed

    def reach(self, *_):
        """Pass a boundary."""
        if not self.armed or threading.current_thread() is not threading.main_thread():
            return
        if self.dead:
            raise Killed
        self.passed += 1
        action = self._actions.pop(self.passed, None)
        if action is not None:
            self.armed = False
            try:
                action()
            finally:
                self.armed = True

    def reach_file(self, event: str, args: tuple[Any, ...]):
        """Pass a boundary where a file of the folder is about to change."""
        if (
            event not in _FILE_EVENTS
            or not isinstance(args[0], str | Path)
            or not str(args[0]).startswith(self.folder)
        ):
            return
        if event != "open" or (args[2] or 0) & _CHANGING:
            self.reach()


@contextmanager
def counted(folder: Path) -> Iterator[Boundaries]:
    """Within the block, every boundary of this process is passed through the one returned."""
    if not getattr(counted, "hooked", False):
        sys.addaudithook(_audit)  # for good: without a watcher it does nothing
        counted.hooked = True
    boundaries = Boundaries(folder)
    committed = sa.engine.default.DefaultDialect.do_commit

    def commit(self, connection):
        committed(self, connection)
        boundaries.reach()

    for moment in ("before_cursor_execute", "commit"):
        sa.event.listen(sa.Engine, moment, boundaries.reach)
    _watching.append(boundaries)
    try:
        # There is no event after one
        with mock.patch.object(sa.engine.default.DefaultDialect, "do_commit", commit):
            yield boundaries
    finally:
        _watching.remove(boundaries)
        for moment in ("before_cursor_execute", "commit"):
            sa.event.remove(sa.Engine, moment, boundaries.reach)


def _audit(event: str, args: tuple[Any, ...]):
    for boundaries in _watching:
        boundaries.reach_file(event, args)


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
    """Has the variables of the process that made it.

    The one that it is forked from has those of its own start.
    """

    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        self._environment = dict(os.environ)

    def run(self):
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


def fork(target: Callable[..., None], *args, **named) -> ForkServerProcess:
    """A started process that calls `target` with these arguments."""
    process = forked().Process(target=target, args=args, kwargs=named)
    process.start()
    return process
