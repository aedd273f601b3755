"""Worker processes, which end when their parent does."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import forkserver, parent_process, resource_tracker
from multiprocessing.context import BaseContext, ForkServerContext, ForkServerProcess, SpawnContext, SpawnProcess
from pathlib import Path

IMPORTED = ("torch", "forecasting.backtest.refits", "forecasting.pipeline.backtest")
"""Modules that a backtest's workers need."""

_STARTING = threading.Lock()  # what a child inherits is this whole process's


class _Forked(ForkServerProcess):
    def start(self) -> None:
        with _inherited():
            super().start()


class _Spawned(SpawnProcess):
    def start(self) -> None:
        with _inherited():
            super().start()


class _Forks(ForkServerContext):
    Process = _Forked


class _Spawns(SpawnContext):
    Process = _Spawned


def count_of(workers: int | None) -> int:
    """How many processes an option means: 0 or None is one per core."""
    return workers or os.cpu_count() or 1


def worker_pool(
    workers: int, *, prepare: Callable[..., None] | None = None, given: tuple[object, ...] = ()
) -> ProcessPoolExecutor:
    """Processes that start with the work: at most `workers`, each after `prepare(*given)`."""
    begin = dict(os.environ), prepare, given
    return ProcessPoolExecutor(workers, mp_context=worker_context(IMPORTED), initializer=begin_work, initargs=begin)


def worker_context(imported: Sequence[str]) -> BaseContext:
    """How worker processes start: on Linux as forks of one process, which imports these modules once for all of them.

    The first call starts that process, which imports while this one goes on, and ends with it; later calls use it. A
    module that is not installed is left out. Where it cannot have its socket, as under a TMPDIR of a hundred
    characters, and on macOS, whose own libraries do not survive a fork, each worker is spawned and imports for itself.
    """
    if sys.platform != "linux":
        return _Spawns()
    context = _Forks()
    context.set_forkserver_preload(list(imported))
    try:
        with _inherited():
            forkserver.ensure_running()
    except OSError:
        return _Spawns()
    return context


@contextmanager
def _inherited() -> Iterator[None]:
    """What a child process begins with: this one's places of modules, Ctrl-C blocked, and nothing of the main program.

    Ctrl-C at a terminal reaches every process: it ends a worker once `end_with_parent` unblocks it, and prints nothing.
    Python would run the main program anew in each worker: without `if __name__ == "__main__"`, its nights with it.
    """
    with _STARTING:
        resource_tracker.ensure_running()  # which unblocks Ctrl-C
        own, main = places_of_modules(), vars(sys.modules["__main__"])
        before = {name: os.environ.pop(name) for name in own if name in os.environ}
        program: dict[str, object] = {name: main.pop(name) for name in ("__spec__", "__file__") if name in main}
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        os.environ.update(own)
        main["__spec__"] = None
        try:
            yield
        finally:
            for name in own:
                del os.environ[name]
            os.environ.update(before)
            del main["__spec__"]
            main.update(program)
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def places_of_modules() -> dict[str, str]:
    """The variables with which a Python that is started finds its modules where this one does.

    Its own first place would be the folder where the command was started, which may have a folder `flows` of its own.
    """
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}


def begin_work(
    environment: Mapping[str, str], prepare: Callable[..., None] | None = None, given: tuple[object, ...] = ()
) -> None:
    """What a worker does first: take the variables of now, where a fork has those of before, and call `prepare`."""
    os.environ.clear()
    os.environ.update(environment)
    end_with_parent()
    if prepare is not None:
        prepare(*given)


def end_with_parent() -> None:
    """End this process, later, with the one that started it: a pool's worker would wait for work for ever, with 430 MB.

    It holds both ends of the pool's queue, so that it does not notice by itself that its parent was killed. Ctrl-C at a
    terminal, which reaches every process, ends it at once: as the result of its work, KeyboardInterrupt would end the
    thread of Prefect's runner that collects results, and the parent would wait for the workers for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
