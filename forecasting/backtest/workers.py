"""Worker processes, which end when their parent does."""

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process


def count_of(workers: int | None) -> int:
    """How many processes an option means: 0 or None is one per core."""
    return workers or os.cpu_count() or 1


def worker_pool(
    workers: int, *, prepare: Callable[..., None] | None = None, given: tuple[object, ...] = ()
) -> ProcessPoolExecutor:
    """Processes that start with the work: at most `workers`, each after `prepare(*given)`."""
    # Spawned, not forked: torch's threads do not survive a fork.
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(prepare, given))


def _begin(prepare: Callable[..., None] | None, given: tuple[object, ...]) -> None:
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
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
