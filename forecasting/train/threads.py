"""On how many threads numpy's matrix products run: one, so that no bit depends on how many cores a machine has."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Within the block, or the function that it decorates, BLAS computes on one thread; then as before.

    Threads share out a sum by their number, so its last bits follow it. For matrices this small they gain nothing
    either, and on a busy machine they wait for each other (a refit took 4.5 s of CPU, and 1.1 s on one).
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield
