"""The library's log lines, cleaned and capped before a handler prints them."""

import logging
from collections.abc import Callable
from typing import Protocol

from forecasting.plain_text import plain_text


def clean_library_lines() -> None:
    """Clean and cap every log line of the library from here on; a second call changes nothing."""
    made = logging.getLogRecordFactory()
    if not isinstance(made, _CleanRecords):
        logging.setLogRecordFactory(_CleanRecords(made))


class HasQuiet(Protocol):
    """A console of rich, which this library does not import."""

    quiet: bool


def be_quiet(console: HasQuiet) -> None:
    """Print no more on a console of rich whose reader has ended, as a killed worker has.

    Rich itself raises SystemExit from the log call: the thread that writes the line ends, and a night with its lock
    waits for it for ever.
    """
    console.quiet = True


class _CleanRecords:
    """A factory of log records: a filter would have to be on every handler, also on those that Prefect adds later."""

    def __init__(self, made: Callable[..., logging.LogRecord]) -> None:
        self._made = made

    def __call__(self, name: str, *args: object, **named: object) -> logging.LogRecord:
        record = self._made(name, *args, **named)
        if name.partition(".")[0] == "forecasting":
            record.msg, record.args = plain_text(record.getMessage()), ()
        return record
