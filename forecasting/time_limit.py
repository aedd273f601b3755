"""Work that ends within a time limit, whatever a network, a database or others' code does."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

Result = TypeVar("Result")


class TimeLimitError(Exception):
    """The work has not ended within its limit; no TimeoutError, which the work itself may raise."""


def within(seconds: float, work: Callable[[], Result], *, name: str) -> Result:
    """The result of `work`, run in a thread of its own; raises its error or a TimeLimitError.

    After `seconds` the thread, a daemon, is left behind: it ends by limits of its own, or with the
    process.
    """
    result: Future[Result] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except Exception as error:
            result.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    if wait([result], seconds).not_done:
        raise TimeLimitError(f"{name} did not end within {seconds:g} s.")
    return result.result()
