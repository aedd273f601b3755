"""The flows and tasks as the plain functions they are.

No Prefect server, no engine, the same nights.
"""

import sys
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext
from functools import wraps
from typing import Any

from prefect import Flow, State, Task

from flows import backtest, nightly  # noqa: F401 - imported, so that every task is there to be replaced


def without_prefect(put: Callable[[Any, str, Any], None]):
    """Replace every flow and task in `flows` by its function.

    `put(module, name, function)` for each.
    """
    put(nightly, "batch_runner", lambda settings, workers: PlainRunner())
    for module in [module for name, module in sys.modules.items() if name.startswith("flows.")]:
        for name, value in list(vars(module).items()):
            if isinstance(value, Task):
                put(module, name, value.fn)
            elif isinstance(value, Flow):
                put(module, name, plain(value))


class PlainRunner(nullcontext[Any]):
    """Calls what it is given, as a task runner with one process does."""

    def __enter__(self):
        return self

    def submit(self, function, parameters):
        future = Future()
        future.set_result(function(**parameters))
        return future


def plain(flow: Flow[..., Any]) -> Callable[..., Any]:
    """The flow's function; of a Prefect state its result or its error, as from the flow itself."""

    @wraps(flow.fn)
    def call(*args, **named):
        result = flow.fn(*args, **named)
        if isinstance(result, State) and isinstance(result.data, Exception):
            raise result.data
        return result.data if isinstance(result, State) else result

    return call
