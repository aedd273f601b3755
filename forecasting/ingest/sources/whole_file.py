"""A file of bars as one table under our column names, and the places of each symbol's rows in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.errors import BadDataError
from forecasting.ingest.bar_rules import PRICES
from forecasting.ingest.sources.regular_file import check_regular, read_regular
from forecasting.ingest.sources.table import read_table

_NAMES = {
    **{name: name for name in (*PRICES, "volume", "adj_close", "dividends", "symbol", "session")},
    "date": "session",
    "ticker": "symbol",
    "adjclose": "adj_close",
    "adjusted_close": "adj_close",
    "stock_splits": "splits",
    "splits": "splits",
}
NEEDED = ("session", *PRICES, "volume")
_NEEDED_OF_ONE = ("session", "close")


@dataclass(frozen=True)
class WholeFile:
    """The table of a file.

    Attributes:
        name: The file's.
        table: Its rows under our column names.
        ragged: Rows whose fields do not fit the header.
        places: Where in `table` each symbol's rows are; None where the file has no column of symbols.
    """

    name: str
    table: pd.DataFrame
    ragged: NDArray[np.bool_]
    places: dict[str, NDArray[np.intp]] | None

    @property
    def names_symbol(self) -> bool:
        """Whether the file states the symbol of its rows."""
        return self.places is not None

    def of_symbol(self, symbol: str) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
        """The symbol's rows, in the file's order, and which of them are ragged.

        Raises:
            BadDataError: There are none.
        """
        table, ragged = self.table, self.ragged
        if self.places is not None:
            if symbol not in self.places:
                count = len(self.places.keys() - {""})
                raise BadDataError(
                    f"{self.name} has no rows of {symbol}; it has rows of {count} other symbol{'s' * (count != 1)}. "
                    "Name one of them with --symbol, as the file writes it."
                )
            table, ragged = table.take(self.places[symbol]), ragged[self.places[symbol]]
        if table.empty:
            raise BadDataError(f"Expected one line per session in {self.name}; found only a header.")
        return table, ragged


def whole_file(path: Path, kind: Literal["csv", "parquet"], option: str, *, one_series: bool = False) -> WholeFile:
    """The file, read anew only when it has changed: a night of 500 symbols reads it once.

    Args:
        path: Of the file.
        kind: Its format.
        option: The option that names it, for messages.
        one_series: It has one series, whatever a column of symbols says, and needs no prices but the close.

    Raises:
        UsageError: It is no regular file, or too large.
        BadDataError: Another format, or a column is missing or there twice.
    """
    state = check_regular(path, option).stat()
    return _read(path, kind, option, one_series, (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))


@lru_cache(maxsize=2)  # bars and a market series
def _read(
    path: Path, kind: Literal["csv", "parquet"], option: str, one_series: bool, state: tuple[int, ...]
) -> WholeFile:
    table, ragged = read_table(read_regular(path, option), kind, path.name)
    _check_columns(table.columns, path.name, needed=_NEEDED_OF_ONE if one_series else NEEDED)
    table = table.rename(columns=_our_name)
    if one_series:
        table = _filled_up(table.drop(columns="symbol", errors="ignore"))
    return WholeFile(path.name, table, ragged.to_numpy(), _places(table["symbol"]) if "symbol" in table else None)


def _filled_up(table: pd.DataFrame) -> pd.DataFrame:
    """The table of a series with every price column, those that it lacks equal to the close, and a volume."""
    prices = {name: table["close"] for name in PRICES if name not in table}
    return table.assign(**prices, **({} if "volume" in table else {"volume": ""}))


def _places(column: pd.Series) -> dict[str, NDArray[np.intp]]:
    named = column.astype("string").str.strip().fillna("")
    return {
        str(symbol): np.asarray(places)
        for symbol, places in named.reset_index(drop=True).groupby(named.to_numpy()).indices.items()
    }


def _check_columns(columns: pd.Index, name: str, *, needed: tuple[str, ...]) -> None:
    ours = columns.map(_our_name)
    known = [str(column) for column, our in zip(columns, ours, strict=True) if our in _NAMES.values()]
    missing = [column for column in needed if column not in ours]
    if missing:
        others = len(columns) - len(known)
        found = [*known[:12], *([f"{others} other{'s' * (others > 1)}"] if others else [])]
        raise BadDataError(
            f"{name} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; it has "
            f"{', '.join(found)}. Use Yahoo's names (Date, Open, ..., Volume) or lower case."
        )
    twice = ours[ours.duplicated() & ours.isin(list(_NAMES.values()))]
    if len(twice):
        raise BadDataError(f"{name} has two columns for {twice[0]}. Remove one of them.")


def _our_name(name: object) -> str:
    plain = str(name).strip().lower().replace(" ", "_")
    return _NAMES.get(plain, str(name))
