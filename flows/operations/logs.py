"""Library logs on the Prefect run, and our own errors without a stack trace."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from forecasting.errors import ForecastingError

_RUN_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


@contextmanager
def readable_errors() -> Iterator[None]:
    """Within the block, a ForecastingError is logged without its traceback, and INFO of the library is recorded."""
    library = logging.getLogger("forecasting")
    level = library.level
    # Prefect attaches its handler to the logger but does not set its level: unset, INFO would be lost.
    library.setLevel(logging.INFO)
    for name in _RUN_LOGGERS:
        logging.getLogger(name).addFilter(_without_traceback)
    try:
        yield
    finally:
        # The filter stays: Prefect logs a flow's exception after the flow, and this block with it, has ended.
        library.setLevel(level)


def _without_traceback(record: logging.LogRecord) -> bool:
    if record.exc_info and isinstance(record.exc_info[1], ForecastingError):
        record.exc_info = None
        record.exc_text = None
    return True
