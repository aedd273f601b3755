"""One thread for numpy's matrix products, so that no bit depends on the number of cores."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """A context, or decorator, in which BLAS uses one thread; the caller's number is restored afterwards.

    BLAS splits a sum by the number of threads, so its last bits depend on it. Matrices this small gain nothing from
    more, which on a busy machine wait for each other (a refit took 4.5 s of CPU, and 1.1 s on one).
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield
