"""One thread for numpy's matrix products, so that no bit depends on the number of cores."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """A context, or decorator, in which BLAS uses one thread; the caller's number is restored afterwards.

    BLAS splits a sum by the number of threads, so its last bits depend on it. Matrices this small gain nothing from
    more, which on a busy machine wait for each other (a refit took 4.5 s of CPU, and 1.1 s on one).
    """
    with _libraries(len(sys.modules)).limit(limits=1, user_api="blas"):
        yield


@lru_cache(maxsize=1)
def _libraries(modules: int) -> ThreadpoolController:
    """The libraries of the process, looked for again only after an import, which alone can have loaded another one."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
