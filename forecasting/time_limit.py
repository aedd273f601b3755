"""Work that ends within a time limit, whatever the network, a database or other people's code does."""

import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class TimeLimitError(Exception):
    """The work has not ended within its limit; no TimeoutError, which the work itself may raise."""


def within(seconds: float, work: Callable[[], Result], *, name: str) -> Result:
    """The result of `work`, run in a thread of its own; its error is raised here.

    After `seconds` the thread, a daemon, is left behind: it ends by limits of its own, or with the process.

    Args:
        seconds: The limit.
        work: Called without arguments.
        name: Of the thread.

    Raises:
        TimeLimitError: `work` has not ended within the limit.
    """
    results: list[Result] = []
    failures: list[Exception] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:  # raised again in the caller's thread
            failures.append(error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    thread.join(seconds)
    if failures:
        raise failures[0]
    if not results:
        raise TimeLimitError(f"{name} did not end within {seconds:g} s.")
    return results[0]
