"""Errors that this project did not raise on purpose, as one paragraph; their traceback goes to a file."""

from __future__ import annotations

import errno
import os
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from forecasting.errors import ForecastingError, UnexpectedError
from forecasting.vocabulary import Clock

if TYPE_CHECKING:
    from forecasting.settings import Settings

FOLDER = "errors"  # Folder of the tracebacks, below the data folder
MAX_CHARACTERS = 1_000_000  # Of a traceback file; a recursion's is longer
KEPT = 200  # Newest traceback files that stay: an error that comes back every night fills no disk
_FREE = "Free space on that disk, then run again: what is stored is complete, and no row is written twice."
_PERMIT = "Give this user the right to write there, or name another place."
_ADVICE = {
    errno.ENOSPC: _FREE,
    errno.EDQUOT: _FREE,
    errno.EACCES: _PERMIT,
    errno.EPERM: _PERMIT,
    errno.EROFS: _PERMIT,
    errno.ENOENT: "Create it or correct the path, then run again. It may have been deleted during the run.",
    errno.ENAMETOOLONG: "Shorten the path.",
    errno.EMFILE: "Raise the limit on open files (ulimit -n), then run again.",
}


def explained(error: Exception, *, now: Clock, settings: Settings | None = None) -> ForecastingError:
    """The error in one paragraph: itself when it is ours, else what it is and the file of its traceback."""
    if isinstance(error, ForecastingError):
        return error
    if isinstance(error, OSError) and error.errno in _ADVICE:
        what = f"access to {str(error.filename)[-300:]}" if error.filename else "an access to a file"
        return UnexpectedError(f"The operating system refused {what}: {error.strerror}. {_ADVICE[error.errno]}")
    kind, cause = type(error).__name__, " ".join(str(error).split())[:300] or "no message"
    package = type(error).__module__.partition(".")[0]
    if kind == "UnfinishedRun":
        found = "Prefect did not take the end of this run, as after its UI's Cancel"
        do = "Cancel ends only runs of a worker or of `serve`: the nights went on to their end; see `forecasting show`."
    elif package in ("httpx", "httpcore", "prefect") or "Failed to reach API" in cause:
        found = "Prefect's server did not respond as expected during this command"
        do = "Check that it runs, and PREFECT_API_URL; then run again: what is stored is complete."
    else:
        found = "An error that forecasting does not expect, a fault of its code or of this machine"
        do = "Run again; if it comes back, report it with that file."
    return UnexpectedError(f"{found} ({kind}: {cause}). {_kept_traceback(error, now, settings)} {do}")


@contextmanager
def explained_errors(now: Clock) -> Iterator[None]:
    """Within the block, an error that is not ours leaves it as one that is: `explained`, from the original."""
    try:
        yield
    except ForecastingError:
        raise
    except Exception as error:
        raise explained(error, now=now) from error


def _kept_traceback(error: Exception, now: Clock, settings: Settings | None) -> str:
    """A sentence about the file with the traceback, written once for each error; readable by this user alone."""
    written: str | None = getattr(error, "_forecasting_traceback", None)
    if written is None:
        written = _write("".join(traceback.format_exception(error))[-MAX_CHARACTERS:], now, settings)
        error._forecasting_traceback = written  # type: ignore[attr-defined]  # one error passes task, flow and command
    return written


def _write(text: str, now: Clock, settings: Settings | None) -> str:
    name = f"{now():%Y-%m-%dT%H%M%S}-{os.getpid()}-"
    # Not read_settings: a variable of the environment may be what is wrong.
    data_dir = settings.data_dir if settings else Path(os.environ.get("FORECASTING_DATA_DIR") or "forecasting-data")
    own = data_dir.absolute() / FOLDER
    for folder in (own, Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle, path = tempfile.mkstemp(prefix=name, suffix=".txt", dir=folder)  # mode 0600: it may quote a URL
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        except OSError:
            continue
        for old in sorted(own.glob("????-??-??T??????-*.txt"))[:-KEPT]:
            old.unlink(missing_ok=True)
        return f"Its traceback is in {path}."
    return "Its traceback could not be written to the data folder or the temporary folder."
