"""Where bars come from: one small protocol, three implementations here and as many as other packages bring.

A new source is a class with a `name` and a `fetch`; it returns `Fetched` and raises only the three SourceErrors.
docs/sources.md shows one whole.
"""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Fetched:
    """What one request for one symbol brought, in the canonical shape, before any judgement.

    Attributes:
        source: The source's name as the ledger keeps it: `yahoo`, `csv:SBUX.csv`, `sample`.
        symbol: The symbol asked for.
        first_asked: First session asked for.
        last_asked: Last session asked for; no bar is newer.
        bars: Index `session` (naive midnight, ascending, unique); float64 columns open, high, low, close, adj_close
            (split-adjusted; adj_close NaN where the source has none) and volume (shares; NaN means unknown, never 0).
        actions: Columns session (naive midnight), kind (`dividend` or `split`), value (per share, or new per old
            share); one newer than the last bar is what the source already announces.
        library_version: What read it, `yfinance 1.7.0`.
        title: What the series is, in words, for the tables and the report.
        live: Whether the newest bar may still be unfinished (Yahoo's may; a file's may not), so that it is guarded.
        currency: Of the prices, as the source writes it (USD, EUR, GBp for pence); empty where it does not say.
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


class Source(Protocol):
    """Anything that can bring a symbol's bars.

    Attributes:
        name: The source as the ledger keeps it, the same in every `Fetched.source`; a symbol keeps its source.
    """

    name: str

    def fetch(self, symbol: str, first: date, last: date) -> Fetched:
        """The symbol's bars for the sessions `first` .. `last`, both included, in one request.

        Raises:
            RateLimitedError, UnavailableError: Trying again later may help.
            BadDataError: Trying again will not help: unknown symbol, malformed file, no bars in the span.
        """
        ...


@runtime_checkable
class EndedSource(Protocol):
    """A source that ends somewhere, as a file does. Without `newest` it is live: the calendar says what is due."""

    def newest(self, symbol: str) -> date:
        """The newest session that it holds; raises what `fetch` raises."""
        ...


@runtime_checkable
class EarningsSource(Protocol):
    """A source that lists earnings dates too."""

    def earnings_dates(self, symbol: str) -> "pd.DataFrame":
        """Past and coming ones as known now: columns announced (naive midnight), timing (`bmo`, `amc` or empty).

        A failure is an empty frame and a log line, never an error.
        """
        ...
