"""Worker processes of a backtest, which end when their parent does."""

import os
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
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if prepare is not None:
        prepare(*given)


def _end_with_parent() -> None:
    # A worker holds both ends of the pool's queue, so it would wait for work for ever, with 430 MB, once its parent is
    # killed.
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
