"""Bars from a CSV or Parquet file: Yahoo's column names or ours, one symbol or many."""

from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from forecasting.errors import BadDataError, UsageError
from forecasting.ingest.actions import implied_dividends, make_actions
from forecasting.ingest.bars import PRICES, canonical
from forecasting.ingest.sources import Fetched

_NAMES = {
    **{name: name for name in (*PRICES, "volume", "adj_close", "dividends", "symbol", "session")},
    "date": "session",
    "ticker": "symbol",
    "adjclose": "adj_close",
    "adjusted_close": "adj_close",
    "stock_splits": "splits",
    "splits": "splits",
}
_NEEDED = ("session", *PRICES, "volume")
_EMPTY = ("", "nan", "null", "none", "n/a", "-")

# Yahoo's own frames have the exchange's midnight; a row at any other hour is not a daily bar.
_DAY = r"^(\d{4}-\d{2}-\d{2})(?:[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?$"


class Files:
    """A file of daily bars, read again on every fetch.

    Columns, in any order and case: date (or session), open, high, low, close, volume; optionally adj close, dividends,
    stock splits, and symbol (or ticker) in a file of several symbols. Prices are split-adjusted, as Yahoo's are.
    Without a dividends column, dividends are derived from adj close.
    """

    def __init__(self, kind: Literal["csv", "parquet"], path: Path) -> None:
        """A source of the file at `path`.

        Raises:
            UsageError: There is no such file.
        """
        if not path.is_file():
            found = "a folder" if path.is_dir() else "nothing"
            raise UsageError(f"Expected a file of daily bars in --source {kind}:PATH; found {found} at {path}.")
        self.kind = kind
        self.path = path
        self.name = f"{kind}:{path.name}"

    def fetch(self, symbol: str, first: date, last: date) -> Fetched:
        """The file's bars for the sessions `first` .. `last`.

        Raises:
            BadDataError: Another format, a line that cannot be read, the same day twice, or no bar in the span.
        """
        rows = self._rows(symbol)
        bars = canonical(rows)
        span = (bars.index >= pd.Timestamp(first)) & (bars.index <= pd.Timestamp(last))
        if not span.any():
            raise BadDataError(
                f"{self.path.name} has bars of {symbol} from {bars.index[0]:%Y-%m-%d} to {bars.index[-1]:%Y-%m-%d}; "
                f"none lies between {first} and {last}. Choose --as-of inside that span, or another file."
            )
        actions = _actions(rows.loc[bars.index], bars)
        actions = actions[actions["session"].between(bars.index[span][0], pd.Timestamp(last))].reset_index(drop=True)
        title = f"{symbol}, daily, from the file {self.path.name}"
        return Fetched(self.name, symbol, first, last, bars[span], actions, f"pandas {version('pandas')}", title)

    def newest(self, symbol: str) -> date:
        """The newest session of `symbol` in the file; raises the errors of `fetch`."""
        newest: date = self._rows(symbol).index.max().date()
        return newest

    def _rows(self, symbol: str) -> pd.DataFrame:
        """The symbol's rows by session, numbers as float64, in the file's order."""
        table = self._table()
        self._check_columns(table.columns)
        table = table.rename(columns=_our_name)
        if "symbol" in table:
            table = self._of_symbol(table, symbol)
        if table.empty:
            raise BadDataError(f"Expected one line per session in {self.path.name}; found only a header.")
        table = table.assign(session=self._days(table["session"]))
        self._check_twice(table)
        numbers = [name for name in (*_NEEDED[1:], "adj_close", "dividends", "splits") if name in table]
        return table.assign(**{name: self._numbers(table[name]) for name in numbers}).set_index("session")[numbers]

    def _table(self) -> pd.DataFrame:
        try:
            if self.kind == "parquet":
                table = pd.read_parquet(self.path)
                return table if isinstance(table.index, pd.RangeIndex) else table.reset_index()
            return self._csv()
        except pd.errors.EmptyDataError:
            raise BadDataError(f"{self.path.name} is empty. Expected a header and one line per session.") from None
        except (ValueError, OSError) as error:  # pandas' and pyarrow's parse errors are ValueErrors
            raise BadDataError(
                f"{self.path.name} cannot be read as {self.kind}: {str(error).strip().splitlines()[0]} "
                "Expected daily bars with a header; write the file again."
            ) from error

    def _csv(self) -> pd.DataFrame:
        """All cells as text, without blank lines; they are read too, so that line numbers stay correct."""
        table = pd.read_csv(self.path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skip_blank_lines=False)
        return table[(table != "").any(axis=1)]

    def _check_columns(self, columns: pd.Index) -> None:
        ours = columns.map(_our_name)
        missing = [name for name in _NEEDED if name not in ours]
        if missing:
            raise BadDataError(
                f"{self.path.name} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; it has "
                f"{', '.join(map(str, columns))}. Use Yahoo's names (Date, Open, ..., Volume) or lower case."
            )
        twice = ours[ours.duplicated()]
        if len(twice):
            raise BadDataError(f"{self.path.name} has two columns for {twice[0]}. Remove one of them.")

    def _of_symbol(self, table: pd.DataFrame, symbol: str) -> pd.DataFrame:
        chosen = table[table["symbol"].astype(str).str.strip() == symbol]
        if chosen.empty:
            names = sorted(set(table["symbol"].astype(str)))
            more = f" and {len(names) - 8} more" if len(names) > 8 else ""
            raise BadDataError(
                f"{self.path.name} has no rows of {symbol}; it holds {', '.join(names[:8]) or 'nothing'}{more}. "
                "Name one of these with --symbol."
            )
        return chosen

    def _days(self, column: pd.Series) -> pd.DatetimeIndex:
        """Naive midnights; a text must be an ISO day, at most followed by the exchange's midnight."""
        if pd.api.types.is_datetime64_any_dtype(column):
            return pd.DatetimeIndex(column.dt.tz_localize(None).dt.normalize()).as_unit("ns")
        text = column.astype(str).str.strip()
        days = pd.to_datetime(text.str.extract(_DAY)[0], format="%Y-%m-%d", errors="coerce")
        self._refuse(days.isna(), text, "expected a date like 2024-03-08")
        return pd.DatetimeIndex(days).as_unit("ns")

    def _numbers(self, column: pd.Series) -> pd.Series:
        """float64; an empty cell, nan, null or none is NaN, any other text must be a number."""
        if pd.api.types.is_numeric_dtype(column):
            return column.astype("float64")
        text = column.astype(str).str.strip()
        numbers = pd.to_numeric(text, errors="coerce").astype("float64")
        self._refuse(numbers.isna() & ~text.str.lower().isin(_EMPTY), text, f"expected a number for {column.name}")
        return numbers

    def _refuse(self, bad: "pd.Series[bool]", text: pd.Series, expected: str) -> None:
        if bad.any():
            row = int(np.flatnonzero(bad.to_numpy())[0])
            more = f", and {int(bad.sum()) - 1} more like it" if bad.sum() > 1 else ""
            raise BadDataError(
                f"{self.path.name} {self._line(bad.index[row])}: {expected}; found {text.iloc[row]!r}{more}. "
                "Correct the file."
            )

    def _check_twice(self, table: pd.DataFrame) -> None:
        again = table["session"].duplicated()
        if again.any():
            day = table["session"][again].iloc[0]
            first, second = table.index[table["session"] == day][:2]
            raise BadDataError(
                f"{self.path.name} has {day:%Y-%m-%d} twice: {self._line(first)} and {self._line(second)}. "
                "Expected one bar per session and symbol; delete one."
            )

    def _line(self, row: int) -> str:
        return f"line {row + 2}" if self.kind == "csv" else f"row {row + 1}"


def _our_name(name: object) -> str:
    plain = str(name).strip().lower().replace(" ", "_")
    return _NAMES.get(plain, str(name))


def _actions(rows: pd.DataFrame, bars: pd.DataFrame) -> pd.DataFrame:
    splits = rows["splits"] if "splits" in rows else pd.Series(0.0, index=rows.index)
    named = [(day, "split", value) for day, value in splits[splits > 0].items()]
    if "dividends" not in rows:
        return pd.concat([implied_dividends(bars), make_actions(named)], ignore_index=True).sort_values(
            ["session", "kind"], ignore_index=True
        )
    paid = rows["dividends"]
    return make_actions([*((day, "dividend", value) for day, value in paid[paid > 0].items()), *named])
