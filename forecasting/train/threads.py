"""One thread for matrix products, so that no bit depends on the number of cores: numpy's here, torch's by `IN_TURN`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

IN_TURN = threading.RLock()
"""Held while the number is 1: it is the whole process's, and a fit that ends would restore it for one that goes on.

So fits in several threads of a process, as of a Dask worker that has several, take turns.
"""


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """A context, or decorator, in which BLAS uses one thread; the caller's number is restored afterwards.

    BLAS splits a sum by the number of threads, so its last bits depend on it. Matrices this small gain nothing from
    more, which on a busy machine wait for each other (a refit took 4.5 s of CPU, and 1.1 s on one).
    """
    with IN_TURN, _libraries(len(sys.modules)).limit(limits=1, user_api="blas"):
        yield


@lru_cache(maxsize=1)
def _libraries(modules: int) -> ThreadpoolController:
    """The libraries of the process, looked for again only after an import, which alone can have loaded another one."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
