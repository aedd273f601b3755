"""The market series that FORECASTING_MARKET chooses: its symbol, its source and its exchange."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from forecasting.exchanges import exchange_of

DEFAULT, NONE = "^VIX", "none"
"""What is chosen without a setting: the VIX where the source is Yahoo, no series from any other source."""

_FILE = re.compile(r"(csv|parquet):(.+)")
_EXCHANGE = "XNYS"  # the VIX's sessions, whatever FORECASTING_EXCHANGE says of symbols without a suffix


@dataclass(frozen=True)
class MarketChoice:
    """A market series.

    Attributes:
        symbol: The symbol that its bars are stored under.
        source: The option that names the source that it is fetched from.
        exchange: The exchange whose sessions it has.
        has_own_file: Whether the source is a file of this series alone.
    """

    symbol: str
    source: str
    exchange: str
    has_own_file: bool = False


def choose_market(text: str | None, *, source: str, exchanges: Mapping[str, str]) -> MarketChoice | None:
    """The chosen series; None for none.

    Args:
        text: FORECASTING_MARKET: a symbol of the source, csv:PATH, parquet:PATH or `none`; None where it is not set.
        source: FORECASTING_SOURCE.
        exchanges: FORECASTING_EXCHANGES; for a symbol that it lacks, the suffix gives the exchange, else XNYS.
    """
    chosen = text or (DEFAULT if source == "yahoo" else NONE)
    if chosen == NONE:
        return None
    symbol, own_file = symbol_of(chosen), _FILE.fullmatch(chosen) is not None
    exchange = exchange_of(symbol, overrides=exchanges, default=_EXCHANGE)
    return MarketChoice(symbol, chosen if own_file else source, exchange, own_file)


def symbol_of(text: str) -> str:
    """The symbol that a setting other than `none` stores the series under: of VIX.csv or vix.parquet `^VIX`."""
    found = _FILE.fullmatch(text)
    return text if found is None else f"^{Path(found[2]).stem.upper().lstrip('^')}"
