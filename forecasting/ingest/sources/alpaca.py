"""Daily bars of US stocks from Alpaca through alpaca-py (extra `alpaca`): all exchanges together, split-adjusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from importlib.metadata import version
from typing import Any, cast

import pandas as pd
from pydantic import SecretStr

from forecasting.errors import BadDataError, RateLimitedError, SourceError, UnavailableError, UsageError
from forecasting.exchanges import is_us_stock
from forecasting.ingest.actions import make_actions
from forecasting.ingest.bars import canonical, no_bars
from forecasting.ingest.sources import Fetched
from forecasting.time_limit import TimeLimitError, within

TIMEOUT_S = 60.0
"""For all pages of a request. alpaca-py itself waits for a response without end."""

# A bar has the stamp of its day's midnight in New York, 4 or 5 h UTC. The free plan refuses an end within the last 15
# minutes, so on the evening of the session the end of the day itself would be refused.
_FIRST_HOUR, _LAST_HOUR = time(0), time(12)

_COLUMNS = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}


class Alpaca:
    """Alpaca's daily bars of the feed `sip`, the volume of all US exchanges, in one request for many symbols.

    The feed `iex`, that of live data on the free plan, is one exchange with 2 to 4 % of the volume. Bars of `sip` that
    are older than a quarter of an hour are part of that plan too.
    """

    name = "alpaca"

    def __init__(self, keys: SecretStr | None, *, url: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        """A source that logs in with `keys`, KEY_ID:SECRET; `url` in place of Alpaca's own.

        Raises:
            UsageError: There are no keys, or alpaca-py is not installed.
        """
        if keys is None:
            raise UsageError(
                "Expected the keys of Alpaca, KEY_ID:SECRET, in FORECASTING_ALPACA_KEYS or in the file that "
                "FORECASTING_ALPACA_KEYS_FILE names; found neither. alpaca.markets gives them to a free account."
            )
        try:
            from alpaca.data.historical.stock import StockHistoricalDataClient
        except ImportError as error:
            raise UsageError(
                f"Source alpaca needs the package alpaca-py, which cannot be imported: {error}. Install it: "
                "pip install 'forecasting[alpaca]'."
            ) from error
        key, _, secret = keys.get_secret_value().partition(":")
        self._client = StockHistoricalDataClient(key, secret, raw_data=True, url_override=url)
        self._timeout_s = timeout_s

    def fetch(self, symbol: str, first: date, last: date) -> Fetched:
        """The symbol's bars, as `fetch_many`.

        Raises:
            RateLimitedError, UnavailableError: A later retry may succeed.
            BadDataError: Refused keys, no US stock, or no bar in the span.
        """
        found = self.fetch_many([symbol], first, last)[symbol]
        if isinstance(found, SourceError):
            raise found
        return found

    def fetch_many(self, symbols: Sequence[str], first: date, last: date) -> dict[str, Fetched | SourceError]:
        """By symbol, its bars of the sessions `first` .. `last`, or why there are none.

        Raises:
            RateLimitedError: Alpaca refuses further requests for now, 200 a minute on the free plan.
            UnavailableError: No network, no response in time, or an unusable one.
            BadDataError: Alpaca refuses the keys, or what they ask for.
        """
        asked = {symbol: _written(symbol) for symbol in symbols if is_us_stock(symbol)}
        received = self._received(list(asked.values()), first, last) if asked else {}
        return {symbol: _fetched(symbol, received.get(asked.get(symbol, ""), []), first, last) for symbol in symbols}

    def _received(self, symbols: list[str], first: date, last: date) -> Mapping[str, list[dict[str, Any]]]:
        try:
            return within(self._timeout_s, lambda: self._request(symbols, first, last), name="alpaca")
        except TimeLimitError as error:
            raise UnavailableError(f"Alpaca did not respond in {self._timeout_s:g} s. Try again later.") from error
        except Exception as error:
            raise _source_error(error) from error

    def _request(self, symbols: list[str], first: date, last: date) -> Mapping[str, list[dict[str, Any]]]:
        """The rows as received, by Alpaca's symbol; alpaca-py puts pages together and repeats a refused one thrice."""
        from alpaca.data.enums import Adjustment, DataFeed
        from alpaca.data.requests import StockBarsRequest
        from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

        request = StockBarsRequest(
            symbol_or_symbols=symbols,
            timeframe=TimeFrame(1, TimeFrameUnit.Day),
            start=datetime.combine(first, _FIRST_HOUR, UTC),
            end=datetime.combine(last, _LAST_HOUR, UTC),
            adjustment=Adjustment.SPLIT,
            feed=DataFeed.SIP,
        )
        return cast("Mapping[str, list[dict[str, Any]]]", self._client.get_stock_bars(request))


def _written(symbol: str) -> str:
    """The symbol as Alpaca writes it: BRK.B for BRK-B."""
    return symbol.replace("-", ".")


def _fetched(symbol: str, rows: list[dict[str, Any]], first: date, last: date) -> Fetched | SourceError:
    try:
        bars = _bars(rows).loc[str(first) : str(last)]
    except (ValueError, LookupError, TypeError) as error:
        return UnavailableError(f"Alpaca's bars of {symbol} cannot be read: {type(error).__name__}: {error}.")
    if bars["close"].isna().all():
        return BadDataError(
            f"Alpaca has no bar of {symbol} between {first} and {last}. It has US stocks and funds alone; check the "
            "symbol, and that it was traded in that span."
        )
    return Fetched(
        source=Alpaca.name,
        symbol=symbol,
        first_asked=first,
        last_asked=last,
        bars=bars,
        actions=make_actions([]),
        library_version=f"alpaca-py {version('alpaca-py')}",
        title=f"{symbol}, daily, from Alpaca (SIP)",
        live=True,
        currency="USD",
    )


def _bars(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Canonical bars of the rows as received; none of no rows."""
    if not rows:
        return no_bars()
    table = pd.DataFrame(rows).rename(columns=_COLUMNS)
    stamps = pd.DatetimeIndex(pd.to_datetime(table["t"], utc=True)).tz_convert("America/New_York")
    return canonical(table.set_index(stamps.normalize().tz_localize(None)))


def _source_error(error: Exception) -> Exception:
    """The source error with Alpaca's message; the error itself for a fault of our code."""
    from alpaca.common.exceptions import APIError

    if isinstance(error, APIError):
        return _refusal(error.status_code, str(error))
    if isinstance(error, OSError | ValueError | LookupError | TypeError | AttributeError):
        return UnavailableError(
            f"Alpaca gave no usable response: {type(error).__name__}: {error}. Check the network; try again later."
        )
    return error


def _refusal(status: int, text: str) -> SourceError:
    """The error of a response with an HTTP status of 400 or more."""
    found = f"HTTP {status}: {text.strip() or 'no message'}"
    if status == 429:
        return RateLimitedError(f"Alpaca refuses requests for now ({found}). Wait a minute or more.")
    if status in (401, 403):
        return BadDataError(
            f"Alpaca refuses these keys, or what their plan does not include ({found}). Check FORECASTING_ALPACA_KEYS "
            "and the plan on alpaca.markets."
        )
    if status < 500:
        return BadDataError(f"Alpaca refuses the request ({found}). Check the symbols.")
    return UnavailableError(f"Alpaca does not work for now ({found}). Try again later.")
