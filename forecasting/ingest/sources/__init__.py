"""Where bars come from: one small protocol, three implementations.

A new source is a class with a `name` and a `fetch`; it returns `Fetched` and raises only the three SourceErrors.
"""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Protocol

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
    """Anything that can bring a symbol's bars."""

    name: str

    def fetch(self, symbol: str, first: date, last: date) -> Fetched:
        """The symbol's bars for the sessions `first` .. `last`, both included, in one request.

        Raises:
            RateLimitedError, UnavailableError: Trying again later may help.
            BadDataError: Trying again will not help: unknown symbol, malformed file, no bars in the span.
        """
        ...
