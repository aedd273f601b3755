"""The errors of symbols in words: each in one paragraph, those of several as one."""

import errno
import os
import tempfile
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from forecasting.errors import ForecastingError, SymbolsFailedError, UnexpectedError, UsageError
from forecasting.plain_text import named, of_each, plain_text, quantity
from forecasting.settings import Settings, read_settings
from forecasting.vocabulary import Clock

QUOTED_SYMBOLS = 5  # failures that one paragraph quotes; of further ones it has the number
QUOTED = 1200  # characters of them together; the whole text is in the column error of table runs
FOLDER = "errors"  # of the tracebacks, below the data folder
MAX_CHARACTERS = 1_000_000  # of a traceback file; a recursion's is longer
KEPT = 200  # newest traceback files that stay: an error that comes back every night fills no disk

ADVICE = {
    errno.ENOSPC: "Free space on that disk, then run again: what is stored is complete, and no row "
    "is written twice.",
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS), "Give this user the right to write there."
    ),
    errno.ENOENT: "Create it or correct the path, then run again. It may have been deleted during "
    "the run.",
    errno.EMFILE: "Raise the limit on open files (ulimit -n), then run again.",
}


def explained(
    error: Exception, *, now: Clock, settings: Settings | None = None
) -> ForecastingError:
    """The error in one paragraph: itself if ours, else what it is and its traceback's file.

    The file is in the data folder of `settings`, or of those in force.
    """
    if isinstance(error, ForecastingError):
        return error
    if isinstance(error, OSError) and error.errno in ADVICE:
        name = str(error.filename or "a file")[-300:]
        return UnexpectedError(
            f"The operating system refused access to {name}: {error.strerror}. "
            f"{ADVICE[error.errno]}"
        )
    found, advice = _diagnosis(error)
    kind = type(error).__name__
    cause = _cause(error)
    kept = _keep("".join(traceback.format_exception(error))[-MAX_CHARACTERS:], now, settings)
    return UnexpectedError(f"{found} ({kind}: {cause}). {kept} {advice}")


def _cause(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or "no message"


def _diagnosis(error: Exception) -> tuple[str, str]:
    """What has happened, and what to do, of an error that is not ours."""
    if type(error).__name__ == "UnfinishedRun":
        return (
            "Prefect did not take the end of this run, as after its UI's Cancel",
            "Cancel ends only runs of a worker or of `serve`: the nights went on to their end; see "
            "`forecasting show`.",
        )
    package = type(error).__module__.partition(".")[0]
    if package in ("httpx", "httpcore", "prefect") or "Failed to reach API" in str(error):
        return (
            "Prefect's server did not respond as expected during this command",
            "Check that it runs, and PREFECT_API_URL; then run again: what is stored is complete.",
        )
    return (
        "An error that forecasting does not expect, a fault of its code or of this machine",
        "Run again; if it comes back, report it with that file.",
    )


def _keep(text: str, now: Clock, settings: Settings | None) -> str:
    """A sentence about the file, this user's alone, that a traceback was written to."""
    name = f"{now():%Y-%m-%dT%H%M%S}-{os.getpid()}-"
    if settings is None:
        settings = Settings.model_construct()
        with suppress(Exception):  # they may be what is wrong
            settings = read_settings()
    own = settings.data_dir.absolute() / FOLDER
    for folder in (own, Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Mode 0600: it may quote a URL.
            handle, path = tempfile.mkstemp(prefix=name, suffix=".txt", dir=folder)
            os.close(handle)
            Path(path).write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError:
            continue
        for old in sorted(own.glob("????-??-??T??????-*.txt"))[:-KEPT]:
            old.unlink(missing_ok=True)
        return f"Its traceback is in {path}."
    return "Its traceback could not be written to the data folder or the temporary folder."


def combined(failed: Mapping[str, ForecastingError], *, of: int) -> ForecastingError:
    """The failures of `of` symbols as one error; of one symbol its own."""
    if of == 1:
        return next(iter(failed.values()))
    texts = {symbol: plain_text(error) for symbol, error in failed.items()}
    causes = quoted(texts, most=QUOTED_SYMBOLS)
    codes = {error.exit_code for error in failed.values()}
    code = codes.pop() if len(codes) == 1 else 1
    if code == UsageError.exit_code and len(failed) < of:  # the others have been done
        code = 1
    return SymbolsFailedError(f"{len(failed)} of {of} failed. {' '.join(causes)}", code)


def quoted(found: Mapping[str, str], *, most: int) -> list[str]:
    """Each cause once, after its symbols, shortened; of more than `most`, how many more."""
    causes: dict[str, list[str]] = {}
    for symbol, text in found.items():
        causes.setdefault(of_each(text, symbol), []).append(symbol)
    limit = QUOTED // max(1, min(len(causes), QUOTED_SYMBOLS))
    lines = [
        plain_text(_of_symbols(cause, symbols, found), limit=limit)
        for cause, symbols in list(causes.items())[:most]
    ]
    if len(causes) > most:
        lines.append(f"And {quantity(len(causes) - most, 'other failure')}.")
    return lines


def _of_symbols(cause: str, symbols: list[str], found: Mapping[str, str]) -> str:
    """A cause after the names of its symbols, unless it begins with the only one."""
    if len(symbols) > 1:
        return f"{named(symbols, QUOTED_SYMBOLS)}: {cause}"
    (symbol,) = symbols
    text = found[symbol]
    return text if text.startswith(symbol) else f"{symbol}: {text}"
