"""Sources of bars: small protocols, implementations beside them, and others in installed packages.

A new source is a class with a `name` and a `fetch`; it returns `Fetched` and raises only the three SourceErrors.
docs/sources.md contains a complete one.
"""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from forecasting.errors import SourceError


class UnreadableRow(NamedTuple):
    """A row that a source leaves out of its bars because it cannot be read.

    Attributes:
        session: Of its date; where that is unreadable, of the row before.
        line: Its place in the source.
        reason: What was expected and the form of what was found, with the line; no content.
    """

    session: date
    line: int
    reason: str


@dataclass(frozen=True)
class Fetched:
    """The response to one request for one symbol, in the canonical shape, before any check.

    Attributes:
        source: The source's name as stored in the ledger: `yahoo`, `csv:SBUX.csv`, `sample`.
        symbol: The requested symbol.
        first_asked: First session requested.
        last_asked: Last session requested; no bar is newer.
        bars: Index `session` (naive midnight, ascending, unique); float64 columns open, high, low, close, adj_close
            (split-adjusted; adj_close NaN where the source has none) and volume (shares; NaN means unknown, never 0).
        actions: Columns session (naive midnight), kind (`dividend` or `split`), value (per share, or new per old
            share); one newer than the last bar is announced by the source already.
        library_version: The library that read it, `yfinance 1.7.0`.
        title: Description of the series, for tables and report.
        live: Whether the newest bar may still be unfinished or cut off, so that its volume is checked; no bar follows.
        currency: Of the prices, as the source writes it (USD, EUR, GBp for pence); empty if unknown.
        newest: The newest session after `last_asked` that the source has a bar of; None where there is none or it is
            unknown. It shows that the clock of this machine is behind.
        unreadable: Rows left out of the bars; each becomes a finding.
        names_symbol: Whether the source itself states the symbol of its bars. Where it does not, they must match the
            stored ones.
    """

    source: str
    symbol: str
    first_asked: date
    last_asked: date
    bars: "pd.DataFrame"
    actions: "pd.DataFrame"
    library_version: str
    title: str
    live: bool = False
    currency: str = ""
    newest: date | None = None
    unreadable: tuple[UnreadableRow, ...] = ()
    names_symbol: bool = True


class Source(Protocol):
    """An object that returns a symbol's bars.

    Attributes:
        name: The source as stored in the ledger, the same in every `Fetched.source`; a symbol keeps its source.
    """

    name: str

    def fetch(self, symbol: str, first: date, last: date) -> Fetched:
        """The symbol's bars for the sessions `first` .. `last`, both included, in one request.

        Raises:
            RateLimitedError, UnavailableError: A later retry may succeed.
            BadDataError: A retry cannot succeed: unknown symbol, malformed file, no bars in the span.
        """
        ...


@runtime_checkable
class ManySource(Protocol):
    """A source that returns many symbols' bars in one request."""

    def fetch_many(self, symbols: "Sequence[str]", first: date, last: date) -> "Mapping[str, Fetched | SourceError]":
        """By symbol, what `fetch` would return or raise; a symbol that is left out counts as one without bars.

        Raises:
            RateLimitedError, UnavailableError: The request brought none of them.
        """
        ...


@runtime_checkable
class EndedSource(Protocol):
    """A source with a last session, as a file. A source without `newest` is live: the calendar gives the newest one."""

    def newest(self, symbol: str) -> date:
        """The newest session of its bars; raises the errors of `fetch`."""
        ...


@runtime_checkable
class EarningsSource(Protocol):
    """A source that also lists earnings dates."""

    def earnings_dates(self, symbol: str) -> "pd.DataFrame":
        """Past and coming dates as listed now: columns announced (naive midnight), timing (`bmo`, `amc` or empty).

        Both are of the clock of the symbol's exchange. A failure gives an empty frame and a log line, never an error.
        """
        ...


@runtime_checkable
class EarningsCalendarSource(Protocol):
    """A source that lists the earnings dates of many symbols in a span."""

    def earnings_calendar(self, symbols: "Sequence[str]", first: date, last: date) -> "pd.DataFrame":
        """Their dates from `first` to `last` as listed now: columns symbol, announced (naive midnight), timing.

        A failure gives the rows received before it and a log line, never an error.
        """
        ...
