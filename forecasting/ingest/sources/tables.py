"""Tables of a CSV or a Parquet file, with Yahoo's column names or ours, and their faults."""

import io
import re
import stat
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import compress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.errors import UsageError
from forecasting.ingest.bar_rules import PRICES
from forecasting.vocabulary import QUANTILE_COLUMNS

Kind = Literal["csv", "parquet"]

MAX_BYTES = 512 * 2**20
"""Largest file that is read, 512 MiB. 95 symbols from 2000 on are 12 MB of Parquet; 500 as CSV are
about 250 MB."""

BARS = ("session", *PRICES, "volume")
Columns = Literal["bars", "series", "events", "orders", "rivals"]
NEEDED: dict[Columns, tuple[str, ...]] = {
    "bars": BARS,
    "series": ("session", "close"),  # a market series in a file of its own
    "events": ("announced", "timing"),
    "orders": ("symbol", "shares"),
    "rivals": ("symbol", "target_session"),
}
"""The columns that a file needs."""

OPTIONAL = ("adj_close", "dividends", "splits")
_OTHERS = (
    *("symbol", "announced", "timing", "shares", "max", "target", "target_session"),
    *("origin_session", "made_at", *QUANTILE_COLUMNS),
)
_NAMES = {
    **{name: name for name in (*BARS, *OPTIONAL, *_OTHERS)},
    "target_date": "target_session",
    "date": "session",
    "ticker": "symbol",
    "qty": "shares",
    "quantity": "shares",
    "adjclose": "adj_close",
    "adjusted_close": "adj_close",
    "stock_splits": "splits",
}
_END = "|"
_EMPTY = ("", "nan", "null", "none", "n/a", "-")
# A flipped bit of an exponent makes 1e-300 of a price, and ratios of such overflow
_SIZES = (1e-12, 1e30)

# Yahoo's own frames have the exchange's midnight; a row at any other hour is not a daily bar.
_DAY = r"^(\d{4}-\d{2}-\d{2})(?:[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?$"


@dataclass(frozen=True)
class Table:
    """The rows of a file under our column names, texts in a CSV."""

    name: str
    # index: the `line` of a CSV, whose header is line 1; the `row` of a Parquet file from 1 on
    rows: pd.DataFrame
    # Of each symbol's rows; None where the file has no column of symbols
    places: dict[Hashable, Any] | None

    def of_symbol(self, symbol: str) -> pd.DataFrame:
        """The symbol's rows in the file's order."""
        if self.places is None:
            return self.rows
        return self.rows.iloc[self.places.get(symbol, slice(0))]


def read_file(path: Path, kind: Kind, option: str, *, needed: Columns) -> Table:
    """The file's table, read anew only when it has changed.

    A UsageError where it is no such file or lacks a column.
    """
    real = check_regular(path, option)
    state = real.stat()
    now = (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    return _read(real, kind, needed, now)


def write_file(frame: pd.DataFrame, path: Path, *, needed: Columns) -> pd.DataFrame:
    """Write a frame for `read_file`, events as CSV and others as Parquet; the columns written.

    A UsageError where it lacks a column.
    """
    rows = _known(frame, path.name, NEEDED[needed]).drop(columns="misfits")
    for name, column in rows.items():
        is_number = pd.api.types.is_numeric_dtype(column)
        is_time = pd.api.types.is_datetime64_any_dtype(column)
        if name == "symbol":
            rows = rows.assign(symbol=_symbols(column))
        elif not (is_number or is_time):
            rows = rows.assign(**{str(name): _texts(column)})
    if needed == "events":
        rows.to_csv(path, index=False)
    else:
        rows.to_parquet(path, index=False)
    return rows


@lru_cache(maxsize=8)  # bars, a market series, earnings dates, rivals
def _read(path: Path, kind: Kind, needed: Columns, state: tuple[int, ...]) -> Table:
    name = path.name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path!s:.200} cannot be read: {error.strerror}. Check its owner and mode."
        ) from None
    if (kind == "parquet") is not content.startswith(b"PAR1"):
        other = "csv" if kind == "parquet" else "parquet"
        raise UsageError(f"{name} is no {kind} file. Did you mean {other}:{path}?")
    rows = (_csv if kind == "csv" else _parquet)(content, name, NEEDED[needed])
    return _table(name, rows)


def _table(name: str, rows: pd.DataFrame) -> Table:
    if "symbol" not in rows:
        return Table(name, rows, None)
    rows = rows.assign(symbol=_symbols(rows["symbol"]))
    return Table(name, rows, dict(rows.groupby("symbol").indices))


def _csv(content: bytes, name: str, needed: tuple[str, ...]) -> pd.DataFrame:
    """All cells as text, and column `misfits`.

    Without blank lines, which are read too, so that lines are counted.
    """
    lines = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    header = lines.partition(b"\n")[0]
    ours = _our_names(header.decode(errors="replace").split(","), name, needed)
    known = [place for place, our in enumerate(ours) if our]
    # Each line gets one field more, _END: where another field follows the last one of the header,
    # fields are missing or too many. A file that ends in a comma is cut off, and so is its last
    # line.
    marked = lines[len(header) :].replace(b"\n", f",{_END}\n".encode()).partition(b"\n")[2]
    marked += b"" if lines.endswith((b"\n", b",")) else f",{_END}".encode()
    try:
        cells = pd.read_csv(
            io.BytesIO(b"," * len(ours) + b"\n" + marked),
            header=None,
            usecols=[*known, len(ours)],
            # Each cell is converted alone: one that is no number leaves the others' bits as they
            # are
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,
            encoding_errors="replace",
        )
    except ValueError as error:  # a quote that nothing closes
        raise UsageError(
            f"{name} cannot be read as CSV: {str(error).splitlines()[0]:.100}. Correct it."
        ) from None
    rows = cells.rename(columns={place: ours[place] for place in known} | {len(ours): "misfits"})
    rows = rows.assign(misfits=rows["misfits"] != _END)[~rows.isin(["", _END]).all(axis=1)]
    return rows.set_axis(rows.index + 1, axis=0).rename_axis("line")


def _parquet(content: bytes, name: str, needed: tuple[str, ...]) -> pd.DataFrame:
    from pyarrow import parquet

    # Without the types of the pandas that wrote it, which may be Arrow's own; a named index is a
    # column
    try:
        table = parquet.read_table(io.BytesIO(content)).to_pandas(ignore_metadata=True)
    # Pyarrow raises a dozen kinds for damaged bytes, and their texts may quote them
    except Exception as error:
        raise UsageError(
            f"{name} cannot be read as parquet ({type(error).__name__}). Expected daily bars; "
            "write the file again."
        ) from None
    return _known(table, name, needed)


def _known(frame: pd.DataFrame, name: str, needed: tuple[str, ...]) -> pd.DataFrame:
    """The columns of a frame that are known, under our names, and `misfits`.

    Its rows are counted from 1 on.
    """
    ours = _our_names(list(map(str, frame.columns)), name, needed)
    rows = frame.set_axis(ours, axis=1)[[our for our in ours if our]]
    lines = pd.RangeIndex(1, len(rows) + 1, name="row")
    return rows.set_axis(lines, axis=0).assign(misfits=False)


def _our_names(columns: Sequence[str], name: str, needed: tuple[str, ...]) -> list[str]:
    """Our name of each column, empty where unknown; a UsageError for a missing or repeated one."""
    plain = [column.strip().strip('"').strip() for column in columns]
    ours = [_NAMES.get(column.lower().replace(" ", "_"), "") for column in plain]
    if not set(needed) <= set(ours):
        raise UsageError(
            f"{name} {_what_it_has(plain, ours, needed)}. Expected "
            f"{', '.join(needed).replace('session', 'date')}, in any order and case."
        )
    twice = [our for our in ours if our and ours.count(our) > 1]
    if twice:
        raise UsageError(f"{name} has two columns for {twice[0]}. Remove one of them.")
    return ours


def _what_it_has(columns: list[str], ours: list[str], needed: tuple[str, ...]) -> str:
    """What a file lacks and has, in words that quote no unknown column."""
    known = list(compress(columns, ours))
    separator = re.search("[;\t]", columns[0])
    if separator and not known:
        return f"seems to be separated by {separator[0]!r}, not by commas"
    missing = [our.replace("session", "date") for our in needed if our not in ours]
    found = ", ".join(known) if known else "none"
    return (
        f"lacks {', '.join(missing)}; of its {len(columns)} columns {len(known)} are known: {found}"
    )


def faults(broken: NDArray[np.bool_] | pd.Series, expected: str, cells: pd.Series) -> pd.Series:
    """What was expected of each broken cell and what was found, cut to 20 characters, by line."""
    named = cells.index.name
    reasons = {
        line: f"{named} {line}: {expected}; found {str(cell)[:20]!r}"
        for line, cell in cells[broken].items()
    }
    return pd.Series(reasons, dtype=object)


def first_faults(*reasons: pd.Series) -> pd.Series:
    """The first fault of each line, in the file's order."""
    return pd.concat(reasons).groupby(level=0).first()


def misfits(rows: pd.DataFrame) -> pd.Series:
    """The faults of lines with more or fewer fields than the header."""
    return faults(
        rows["misfits"].to_numpy(dtype=bool),
        "expected as many fields as the header",
        rows.iloc[:, 0],
    )


def read_days(column: pd.Series, first: date, last: date) -> tuple[pd.DatetimeIndex, pd.Series]:
    """Naive midnights, NaT at a fault.

    A text must be an ISO day, at most followed by the exchange's midnight.
    """
    expected = f"expected a date like 2024-01-30, from {first} to {last}"
    if pd.api.types.is_datetime64_any_dtype(column):
        local = column.dt.tz_localize(None)
        # No other hour, as in a text
        days = local.dt.normalize().where(local == local.dt.normalize()).dt.as_unit("s")
        expected += (
            " (.dt.tz_localize(None).dt.normalize() makes it of local instants; of an index, "
            "without .dt)"
        )
    else:
        text = _texts(column).str.extract(_DAY, flags=re.ASCII)[0]
        days = pd.to_datetime(text, format="%Y-%m-%d", errors="coerce").dt.as_unit("s")
    readable = days.between(pd.Timestamp(first), pd.Timestamp(last))
    return pd.DatetimeIndex(days.where(readable)).as_unit("ns"), faults(~readable, expected, column)


def read_numbers(column: pd.Series) -> tuple[NDArray[np.float64], pd.Series]:
    """float64, NaN for empty cells and _EMPTY; and faults of other texts and sizes."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        numbers = column.to_numpy(dtype="float64", na_value=np.nan)
        broken = np.zeros(len(numbers), dtype=bool)
    else:
        text = _texts(column)
        numbers = pd.to_numeric(text, errors="coerce").to_numpy(
            dtype="float64", na_value=np.nan, copy=True
        )
        # Which texts are numbers is pandas' rule, their value is Python's: pandas before 3.1 misses
        # the nearest double of 18% of texts with 17 digits, and a file's bars must be the same bits
        # under every release.
        written = ~np.isnan(numbers)
        numbers[written] = [float(number) for number in text[written]]
        broken = ~written & ~text.str.lower().isin(_EMPTY).to_numpy()
    size = np.abs(numbers)
    broken |= (size > _SIZES[1]) | ((size < _SIZES[0]) & (size > 0.0))
    return numbers, faults(broken, f"expected a number for {column.name}", column)


def _symbols(column: pd.Series) -> pd.Series:
    return _texts(column).str.upper()


def _texts(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column.notna(), "").map(str).str.strip()


def check_regular(path: Path, option: str) -> Path:
    """The absolute path of a regular file of at most MAX_BYTES; else a UsageError."""
    path = path.absolute()  # so in errors too: a relative one is of the working folder
    try:
        state = path.stat()
    except (OSError, ValueError) as error:  # absent, too long, a circle of links, a NUL in it
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise UsageError(
            f"Expected a file in {option}; found nothing at {str(path)[-200:]}: {reason}."
        ) from None
    is_regular = stat.S_ISREG(state.st_mode)
    if is_regular and state.st_size <= MAX_BYTES:
        return path
    found = f"{state.st_size / 2**20:,.0f} MiB" if is_regular else "a folder, a device or a pipe"
    raise UsageError(
        f"Expected a regular file of at most {MAX_BYTES // 2**20} MiB in {option}; found {found} "
        f"at {str(path)[-200:]}."
    )
