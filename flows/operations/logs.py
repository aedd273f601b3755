"""Library logs on the Prefect run, cleaned, and errors without a stack trace."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from flows import clock
from forecasting.errors import ForecastingError
from forecasting.log_lines import be_quiet, clean_library_lines
from forecasting.pipeline.unexpected import explained, explained_errors
from forecasting.plain_text import plain_text

_RUN_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


@contextmanager
def readable_errors() -> Iterator[None]:
    """Within the block, INFO of the library is recorded, and errors are logged as one paragraph.

    An error that is not ours leaves the block as an UnexpectedError, which names the file with its traceback.
    From here on every line of the library is cleaned and capped, whichever handler prints it.
    """
    clean_library_lines()
    Console.on_broken_pipe = be_quiet  # type: ignore[method-assign, assignment]
    library = logging.getLogger("forecasting")
    level = library.level
    # Prefect attaches its handler to the logger but does not set its level: unset, INFO would be lost.
    library.setLevel(logging.INFO)
    for name in _RUN_LOGGERS:
        logging.getLogger(name).addFilter(_without_traceback)
    try:
        with explained_errors(clock.now):
            yield
    finally:
        # The filter stays: Prefect logs a flow's exception after the flow, and this block with it, has ended.
        library.setLevel(level)


def _without_traceback(record: logging.LogRecord) -> bool:
    if record.exc_info and isinstance(error := record.exc_info[1], Exception):
        if not isinstance(error, ForecastingError):
            record.msg, record.args = f"{plain_text(record.getMessage())} {explained(error, now=clock.now)}", ()
        record.exc_info = record.exc_text = None
    return True
