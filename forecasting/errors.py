"""Every error this project raises on purpose.

    ForecastingError              exit code 1
    ├── UsageError                2   an option, setting or symbol that cannot be meant
    ├── DataLateError             3   the bar asked for is not there yet
    ├── NothingFreshError         4   `check` found no live forecast for the newest session
    ├── SourceError
    │   ├── RateLimitedError      1   try again after a long pause
    │   ├── UnavailableError      1   try again
    │   └── BadDataError          1   trying again will not help
    ├── HistoryError              1   too few sessions to train on
    ├── ArtifactError             1   a weight file that is missing, damaged or of another code
    ├── ReplayError               1   a night that came out otherwise when it was worked off again
    ├── LockedError               1   another run holds the night's lock
    └── StoreError                1   a database that is not migrated, too new or not writable

Each message is one paragraph for whoever is on call: what was expected, what was found, what to do.
"""

from datetime import date
from typing import ClassVar, Literal

FailedVerdict = Literal["late", "rate_limited", "unavailable", "bad_data"]
"""What a row of `fetches` says of a request that stored no bar."""


class ForecastingError(Exception):
    """Something that the person running the night can act on."""

    exit_code = 1


class UsageError(ForecastingError):
    """An option, setting or symbol that cannot be meant."""

    exit_code = 2


class DataLateError(ForecastingError):
    """The session asked for has closed, but its bar is not there yet.

    Attributes:
        newest: The newest session that has a usable bar, or None.
        verdict: What the row in `fetches` says of a request that ended so.
    """

    exit_code = 3
    verdict: ClassVar[FailedVerdict] = "late"

    def __init__(self, message: str, newest: date | None = None) -> None:
        super().__init__(message, newest)
        self.newest = newest

    def __str__(self) -> str:
        return str(self.args[0])


class NothingFreshError(ForecastingError):
    """The newest completed session has no live forecast."""

    exit_code = 4


class SourceError(ForecastingError):
    """A source did not give usable bars; `verdict` is what the row in `fetches` says of such a request."""

    verdict: ClassVar[FailedVerdict] = "unavailable"


class RateLimitedError(SourceError):
    """The source refuses for now; a pause of half an hour or more is due.

    Attributes:
        retry_after_s: Seconds after which the source wants to be asked again, where it says so.
    """

    verdict: ClassVar[FailedVerdict] = "rate_limited"

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s)
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return str(self.args[0])


class UnavailableError(SourceError):
    """The source did not answer, or not in full; trying again may help."""


class BadDataError(SourceError):
    """The source answered with something that trying again will not mend."""

    verdict: ClassVar[FailedVerdict] = "bad_data"


class HistoryError(ForecastingError):
    """Too few sessions to train on."""

    verdict: ClassVar[FailedVerdict] = "bad_data"


class ArtifactError(ForecastingError):
    """A weight file that is missing, damaged, or made by code that this code cannot run."""


class ReplayError(ForecastingError):
    """A night that came out otherwise when it was worked off again."""


class LockedError(ForecastingError):
    """Another run holds the lock."""


class StoreError(ForecastingError):
    """A database that is not migrated, newer than the code, or not writable."""
