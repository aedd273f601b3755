"""Errors that this project did not raise on purpose, as one paragraph; their traceback goes to a file."""

from __future__ import annotations

import errno
import os
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from forecasting.errors import ForecastingError, UnexpectedError
from forecasting.vocabulary import Clock

if TYPE_CHECKING:
    from forecasting.settings import Settings

FOLDER = "errors"
"""Folder of the tracebacks, below the data folder."""

MAX_CHARACTERS = 1_000_000
"""Of a traceback file; a recursion's is longer."""

KEPT = 200
"""Newest traceback files that stay: an error that comes back every night, of hundreds of symbols, fills no disk."""

_FREE = "Free space on that disk, then run again: what is stored is complete, and no row is written twice."
_PERMIT = "Give this user the right to write there, or name another place."
_ADVICE = {
    errno.ENOSPC: _FREE,
    errno.EDQUOT: _FREE,
    errno.EACCES: _PERMIT,
    errno.EPERM: _PERMIT,
    errno.EROFS: _PERMIT,
    errno.ENOENT: "Create it or correct the path, then run again. It may have been deleted during the run.",
    errno.ENOTDIR: "Correct the path.",
    errno.EISDIR: "Name a file, not a folder.",
    errno.ENAMETOOLONG: "Shorten the path.",
    errno.ELOOP: "Correct the symbolic links of the path.",
    errno.EMFILE: "Raise the limit on open files (ulimit -n), then run again.",
    errno.EIO: "Check that disk; restore the data folder from a backup if it is damaged.",
}


def explained(error: Exception, *, now: Clock, settings: Settings | None = None) -> ForecastingError:
    """The error in one paragraph: itself when it is ours, else what it is and the file that has its traceback.

    Args:
        error: Any error.
        now: The clock.
        settings: Those of the work that failed, whose data folder has the file; without
            them, those of the environment.
    """
    if isinstance(error, ForecastingError):
        return error
    if isinstance(error, OSError) and error.errno in _ADVICE:
        what = f"access to {str(error.filename)[-300:]}" if error.filename else "an access to a file"
        return UnexpectedError(f"The operating system refused {what}: {error.strerror}. {_ADVICE[error.errno]}")
    kind, cause = type(error).__name__, " ".join(str(error).split())[:300] or "no message"
    if kind == "UnfinishedRun":
        found = f"Prefect did not take the end of this run, as after its UI's Cancel ({kind}: {cause})."
        do = "Cancel ends only runs of a worker or of `serve`: the nights went on to their end; see `forecasting show`."
    elif _is_of_prefect(error):
        found = f"Prefect's server did not respond as expected during this command ({kind}: {cause})."
        do = "Check that it runs, and PREFECT_API_URL; then run again: what is stored is complete."
    elif isinstance(error, RuntimeError) and "home directory" in cause:  # pathlib's, when Prefect is imported
        found = f"This user has no home: HOME is not set, and the list of users names none ({kind}: {cause})."
        do = "Set HOME to a folder that it can write."
    elif _is_of_its_settings(error):
        found = f"A setting of Prefect's own is not valid ({kind}: {cause})."
        do = "Correct it: a variable PREFECT_..., .env or prefect.toml in this folder, profiles.toml in PREFECT_HOME."
    elif isinstance(error, MemoryError):
        found = f"This process got no more memory ({kind}: {cause})."
        do = "End other programs or raise the limit (ulimit -v, a container's), then run again; what is stored stays."
    elif isinstance(error, RuntimeError) and "can't start new thread" in cause:  # Python's, of every library's threads
        found = f"This process could start no more threads ({kind}: {cause})."
        do = "End other programs or raise the limit (ulimit -u, TasksMax, a container's), then run again."
    else:
        found = f"An error that forecasting does not expect, a fault of its code or of this machine ({kind}: {cause})."
        do = "Run again; if it comes back, report it with that file."
    return UnexpectedError(f"{found} {_kept_traceback(error, now, settings)} {do}")


@contextmanager
def explained_errors(now: Clock) -> Iterator[None]:
    """Within the block, an error that is not ours leaves it as one that is: `explained`, from the original."""
    try:
        yield
    except ForecastingError:
        raise
    except Exception as error:
        raise explained(error, now=now) from error


def _is_of_prefect(error: Exception) -> bool:
    package = type(error).__module__.partition(".")[0]
    return package in ("httpx", "httpcore", "prefect") or "Failed to reach API" in str(error)


def _is_of_its_settings(error: Exception) -> bool:
    """Whether a file of Prefect's settings cannot be read, or pydantic refused one of them, naming class and field."""
    frames = [frame.f_globals.get("__name__") for frame, _ in traceback.walk_tb(error.__traceback__)]
    if {"prefect.settings.sources", "prefect.settings.profiles"} & set(frames):
        return True
    return type(error).__module__.startswith("pydantic_core") and str(getattr(error, "title", "")).endswith("Settings")


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
        if folder == own:
            _delete_older(own)
        return f"Its traceback is in {path}."
    return "Its traceback could not be written to the data folder or the temporary folder."


def _delete_older(folder: Path) -> None:
    for path in sorted(folder.glob("????-??-??T??????-*.txt"))[:-KEPT]:
        with suppress(OSError):  # another process has deleted it
            path.unlink()
