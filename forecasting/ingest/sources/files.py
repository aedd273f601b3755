"""Bars from a CSV or Parquet file: Yahoo's column names or ours, one symbol or many."""

from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.errors import BadDataError
from forecasting.ingest.actions import implied_dividends, make_actions
from forecasting.ingest.bars import canonical
from forecasting.ingest.sources import Fetched, UnreadableRow
from forecasting.ingest.sources.regular_file import check_regular, form_of
from forecasting.ingest.sources.whole_file import NEEDED, whole_file
from forecasting.option_values import source_name

UNREADABLE_SHARE = 0.01
"""Largest share of a symbol's rows that may be unreadable; above it the format is another one and the file refused."""

_EMPTY = ("", "nan", "null", "none", "n/a", "-")
_YEARS = range(1900, 2101)  # one flipped bit makes 1022 of 2022, and 9999 is a usual word for unknown
_SIZES = (1e-12, 1e30)  # a flipped bit of an exponent makes 1e-300 of a price, and ratios of such overflow

# Yahoo's own frames have the exchange's midnight; a row at any other hour is not a daily bar.
_DAY = r"^(\d{4}-\d{2}-\d{2})(?:[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?$"


@dataclass(frozen=True)
class _Fault:
    """Rows that cannot be read, for one reason: a mask over the symbol's rows, what was expected, and the cells."""

    rows: NDArray[np.bool_]
    expected: str
    cells: pd.Series


@dataclass(frozen=True)
class _Rows:
    """The symbol's rows by session, numbers as float64, in the file's order; and those that cannot be read.

    `newest` is the newest session of all, also of a row that cannot be read: it is there, and its night is late.
    """

    frame: pd.DataFrame
    newest: date
    unreadable: tuple[UnreadableRow, ...]
    names_symbol: bool


class Files:
    """A file of daily bars, read once for all symbols while it stays the same.

    Columns, in any order and case: date (or session), open, high, low, close, volume; optionally adj close, dividends,
    stock splits, and symbol (or ticker) in a file of several symbols. Prices are split-adjusted, as Yahoo's are.
    Without a dividends column, dividends are derived from adj close. Messages quote no cell of the file, only its form.
    """

    def __init__(self, kind: Literal["csv", "parquet"], path: Path, *, one_series: bool = False) -> None:
        """A source of the file at `path`.

        Args:
            kind: Its format.
            path: Where it is.
            one_series: A market series in a file of its own: date and close suffice, open, high and low are the close
                where the file lacks their columns, and a symbol column is not looked at.

        Raises:
            UsageError: There is no such file, it is no regular one, or too large.
        """
        self.option = f"--{'market' if one_series else 'source'} {kind}:PATH"
        self.one_series = one_series
        check_regular(path, self.option)
        self.kind = kind
        self.path = path
        self.name = source_name(f"{kind}:{path}")

    def fetch(self, symbol: str, first: date, last: date) -> Fetched:
        """The file's bars for the sessions `first` .. `last`.

        Raises:
            BadDataError: Another format, more than 1 % of the rows unreadable, or no bar in the span.
        """
        rows = self._rows(symbol)
        bars = canonical(rows.frame)
        span = (bars.index >= pd.Timestamp(first)) & (bars.index <= pd.Timestamp(last))
        if not span.any():
            raise BadDataError(
                f"{self.path.name} has bars of {symbol} from {bars.index[0]:%Y-%m-%d} to {bars.index[-1]:%Y-%m-%d}; "
                f"none lies between {first} and {last}. Choose --as-of inside that span, or another file."
            )
        actions = _actions(rows.frame.loc[bars.index], bars)
        actions = actions[actions["session"].between(bars.index[span][0], pd.Timestamp(last))].reset_index(drop=True)
        return Fetched(
            source=self.name,
            symbol=symbol,
            first_asked=first,
            last_asked=last,
            bars=bars[span],
            actions=actions,
            library_version=f"pandas {version('pandas')}",
            title=f"{symbol}, daily, from the file {self.path.name}",
            live=not (bars.index > pd.Timestamp(last)).any(),  # a bar that newer ones follow is finished
            unreadable=rows.unreadable,
            names_symbol=rows.names_symbol,
        )

    def newest(self, symbol: str) -> date:
        """The newest session that the file has a row of, readable or not; raises the errors of `fetch`."""
        return self._rows(symbol).newest

    def states_symbol(self) -> bool:
        """Whether the file has a column for the symbol; raises the errors of `fetch` for one that cannot be read."""
        return whole_file(self.path, self.kind, self.option, one_series=self.one_series).names_symbol

    def _rows(self, symbol: str) -> _Rows:
        whole = whole_file(self.path, self.kind, self.option, one_series=self.one_series)
        table, ragged = whole.of_symbol(symbol)
        days, undated = _days(table["session"])
        numbers = {}
        faults = [_Fault(ragged, "expected as many fields as the header", table["session"]), undated]
        for name in (*NEEDED[1:], "adj_close", "dividends", "splits"):
            if name in table:
                numbers[name], fault = _numbers(table[name])
                faults.append(fault)
        rows = pd.DataFrame(numbers).set_axis(days, axis=0)
        broken = np.any([fault.rows for fault in faults], axis=0)
        repeated = rows.reset_index().duplicated().to_numpy() & ~broken  # equal rows are one
        others = pd.Series(days.where(~repeated))
        again = (others.duplicated(keep=False) & others.notna()).to_numpy()
        faults.append(_Fault(again, "expected each session once", table["session"]))
        unreadable = self._unreadable(faults, days)
        return _Rows(rows[~(broken | repeated | again)], days.max().date(), unreadable, whole.names_symbol)

    def _unreadable(self, faults: list[_Fault], days: pd.DatetimeIndex) -> tuple[UnreadableRow, ...]:
        """The rows that cannot be read, each once, by the session of its own date or of the row before.

        Raises:
            BadDataError: They are more than 1 % of the rows; it names the first line of the first kind.
        """
        broken = np.any([fault.rows for fault in faults], axis=0)
        count = int(broken.sum())
        if count > UNREADABLE_SHARE * len(broken):
            first = next(fault for fault in faults if fault.rows.any())
            more = f", and {count - 1} more line{'s' * (count > 2)} cannot be read" if count > 1 else ""
            raise BadDataError(
                f"{self.path.name} {self._reason(first, int(np.flatnonzero(first.rows)[0]))}{more}. Correct the file."
            )
        dated = pd.Series(days).ffill().bfill()
        found: dict[date, UnreadableRow] = {}
        for row in np.flatnonzero(broken).tolist():
            fault = next(fault for fault in faults if fault.rows[row])
            session = dated.iloc[row].date()
            found.setdefault(session, UnreadableRow(session, self._number(fault, row), self._reason(fault, row)))
        return tuple(found.values())

    def _reason(self, fault: _Fault, row: int) -> str:
        line = f"{'line' if self.kind == 'csv' else 'row'} {self._number(fault, row)}"
        return f"{line}: {fault.expected}; found {form_of(fault.cells.iloc[row])}"

    def _number(self, fault: _Fault, row: int) -> int:
        """The line of the file, 1 for the header of a CSV; the row of a Parquet file, 1 for the first."""
        return int(fault.cells.index[row]) + (2 if self.kind == "csv" else 1)


def _days(column: pd.Series) -> tuple[pd.DatetimeIndex, _Fault]:
    """Naive midnights, NaT where unreadable; a text must be an ISO day, at most followed by the exchange's midnight."""
    if pd.api.types.is_datetime64_any_dtype(column):
        local = column.dt.tz_localize(None)
        days = local.dt.normalize().where(local == local.dt.normalize()).dt.as_unit("s")  # no other hour, as in a text
    else:
        text = column.astype("string").str.strip()
        days = pd.to_datetime(text.str.extract(_DAY)[0], format="%Y-%m-%d", errors="coerce").dt.as_unit("s")
    readable = days.dt.year.isin(_YEARS)
    expected = f"expected a date like 2024-03-08, from {_YEARS[0]} to {_YEARS[-1]}"
    return pd.DatetimeIndex(days.where(readable)).as_unit("ns"), _Fault(~readable.to_numpy(), expected, column)


def _numbers(column: pd.Series) -> tuple[NDArray[np.float64], _Fault]:
    """float64; an empty cell, nan, null or none is NaN, any other must be a number, 0 or of a size within _SIZES."""
    expected = f"expected a number for {column.name}"
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        numbers = column.to_numpy(dtype="float64", na_value=np.nan)
        return numbers, _Fault(_impossible(numbers), expected, column)
    text = column.astype("string").str.strip().fillna("")
    numbers = pd.to_numeric(text, errors="coerce").to_numpy(dtype="float64", na_value=np.nan, copy=True)
    # Which texts are numbers is pandas' rule, their value is Python's: pandas before 3.1 misses the nearest double of
    # 18 % of texts with 17 digits, and a file's bars must be the same bits under every release.
    written = ~np.isnan(numbers)
    numbers[written] = [float(number) for number in text[written]]
    empty = text.str.lower().isin(_EMPTY).to_numpy(dtype=bool)
    return numbers, _Fault((np.isnan(numbers) & ~empty) | _impossible(numbers), expected, column)


def _impossible(numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a number is not 0 and outside _SIZES."""
    size = np.abs(numbers)
    return np.asarray((size > _SIZES[1]) | ((size < _SIZES[0]) & (size > 0.0)))


def _actions(rows: pd.DataFrame, bars: pd.DataFrame) -> pd.DataFrame:
    splits = rows["splits"] if "splits" in rows else pd.Series(0.0, index=rows.index)
    named = [(day, "split", value) for day, value in splits[splits > 0].items()]
    if "dividends" not in rows:
        return pd.concat([implied_dividends(bars), make_actions(named)], ignore_index=True).sort_values(
            ["session", "kind"], ignore_index=True
        )
    paid = rows["dividends"]
    return make_actions([*((day, "dividend", value) for day, value in paid[paid > 0].items()), *named])
