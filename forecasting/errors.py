"""Every error raised on purpose: one paragraph for the operator, and an exit code."""

import errno
import logging
import math
import traceback
from collections.abc import Mapping
from datetime import date, timedelta
from typing import ClassVar, Literal

from forecasting.plain_text import NAMED, named, plain_text

logger = logging.getLogger("forecasting.errors")

FailedVerdict = Literal["late", "rate_limited", "unavailable", "bad_data"]
"""Verdict, in table fetches, of a request that stored no bar."""


class ForecastingError(Exception):
    """Base class: what the operator can act on; the message, which may quote data, is cleaned."""

    exit_code = 1

    def __init__(self, message: str = "", *details: object) -> None:
        super().__init__(plain_text(message), *details)

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""  # a plug-in's class may pass nothing on


class UsageError(ForecastingError):
    """Invalid option, setting or symbol."""

    exit_code = 2


class DataLateError(ForecastingError):
    """The session has closed, but its bar is not available yet; `verdict` as of a SourceError."""

    exit_code = 3
    verdict: ClassVar[FailedVerdict] = "late"

    def __init__(self, message: str, newest: date | None = None, why: str = "") -> None:
        super().__init__(message, newest, why)
        self.newest = newest  # session that has a usable bar; None without any
        # Sentences on a bar that came and is kept out or held back; else empty
        self.why = plain_text(why)


class NoLiveForecastError(ForecastingError):
    """Symbols lack the live forecast of their newest session; the message may have lines."""

    exit_code = 4

    def __init__(self, subject: str, *lines: str) -> None:
        Exception.__init__(self, "\n".join(map(plain_text, lines)))
        self.subject = subject  # symbols and target


class SourceError(ForecastingError):
    """A source returned no usable bars; `verdict` is the request's in table fetches."""

    verdict: ClassVar[FailedVerdict] = "unavailable"


class RateLimitedError(SourceError):
    """The source refuses requests for the seconds that it names (Retry-After), or half an hour."""

    verdict: ClassVar[FailedVerdict] = "rate_limited"

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s)
        self.retry_after_s = retry_after_s

    @property
    def pause(self) -> timedelta:
        """For how long the source is left alone: as it states, from a minute up to a day."""
        stated_s = self.retry_after_s
        if stated_s is None or not math.isfinite(stated_s):
            stated_s = 1800.0
        return timedelta(seconds=min(max(stated_s, 60.0), 86_400.0))


class UnavailableError(SourceError):
    """The source did not respond, or not in full; a retry may help."""


class BadDataError(SourceError):
    """The source returned invalid data; a retry will not help."""

    verdict: ClassVar[FailedVerdict] = "bad_data"


class HistoryError(ForecastingError):
    """Too few sessions to train on."""

    verdict: ClassVar[FailedVerdict] = "bad_data"


class NoBarError(HistoryError):
    """A session without a bar that has newer ones: it was no session, and has no night."""


class FitError(ForecastingError):
    """A fit whose loss or weights are not finite: the night goes on without it."""


class ArtifactError(ForecastingError):
    """A weight file that is missing, damaged, or of a model that this code cannot run."""


class LockedError(ForecastingError):
    """Another run holds the lock."""


class StoreError(ForecastingError):
    """A database that is not migrated, newer than the code, or not writable."""


class SymbolsFailedError(ForecastingError):
    """Some symbols failed, the others are done; exits as the failures where they agree, else 1."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message, exit_code)
        self.exit_code = exit_code


class UnexpectedError(ForecastingError):
    """An error of the operating system or a library, or a fault of this code."""


NUMERICAL_ERRORS = (FitError, ValueError, ArithmeticError)
"""What a computation raises because of its numbers; NumPy's LinAlgError is a ValueError."""


ADVICE = {
    errno.ENOSPC: "Free space on that disk, then run again: what is stored is complete, and no row "
    "is written twice.",
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS), "Give this user the right to write there."
    ),
    errno.ENOENT: "Create it or correct the path, then run again. It may have been deleted during "
    "the run.",
    errno.ENAMETOOLONG: "Name a shorter path.",
    errno.EMFILE: "Raise the limit on open files (ulimit -n), then run again.",
}


def explained(error: Exception) -> ForecastingError:
    """The error in one paragraph: itself if ours, else what it is; its traceback is logged."""
    if isinstance(error, ForecastingError):
        return error
    if isinstance(error, OSError) and error.errno in ADVICE:
        name = str(error.filename or "a file")[-300:]
        return UnexpectedError(
            f"The operating system refused access to {name}: {error.strerror}. "
            f"{ADVICE[error.errno]}"
        )
    lines = "".join(traceback.format_exception(error)).splitlines()
    logger.error("%s", "\n".join(map(plain_text, lines)))
    found, advice = _diagnosis(error)
    cause = " ".join(str(error).split())[:300] or "no message"
    return UnexpectedError(f"{found} ({type(error).__name__}: {cause}). {advice}")


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
        "Run again; if it comes back, report it with its traceback, which is logged.",
    )


QUOTED = 1200  # characters of the failures in one error; the column error of table runs has all


def combined(failed: Mapping[str, ForecastingError], *, of: int) -> ForecastingError:
    """The failures of `of` symbols as one error, the first of each class; of one symbol its own."""
    if of == 1:
        return next(iter(failed.values()))
    classes: dict[type[ForecastingError], list[str]] = {}
    for symbol, error in failed.items():
        classes.setdefault(type(error), []).append(symbol)
    causes = []
    for symbols in classes.values():
        first = "" if len(symbols) == 1 else ", the first"
        cause = plain_text(failed[symbols[0]], limit=QUOTED // len(classes))
        causes.append(f"{named(symbols, NAMED)}{first}: {cause}")
    codes = {error.exit_code for error in failed.values()}
    code = codes.pop() if len(codes) == 1 else 1
    if code == UsageError.exit_code and len(failed) < of:  # the others have been done
        code = 1
    return SymbolsFailedError(f"{len(failed)} of {of} failed. {' '.join(causes)}", code)
