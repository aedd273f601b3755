"""The rows of a CSV or Parquet file as one frame, and the rows whose fields do not fit the header."""

import io
from typing import Literal

import numpy as np
import pandas as pd

from forecasting.errors import BadDataError
from forecasting.ingest.sources.regular_file import text_of


def read_table(content: bytes, kind: Literal["csv", "parquet"], name: str) -> tuple[pd.DataFrame, "pd.Series[bool]"]:
    """The file's rows, and whether the fields of each do not fit the header; row r of a CSV is its line r + 2.

    Args:
        content: The whole file.
        kind: Its format.
        name: Its name, for messages.

    Raises:
        BadDataError: Empty, or not of this format.
    """
    if not content.strip():
        raise BadDataError(f"{name} is empty. Expected a header and one line per session.")
    if kind == "csv":
        return _csv(content, name)
    table = _parquet(content, name)
    return table, pd.Series(False, index=table.index)


def _parquet(content: bytes, name: str) -> pd.DataFrame:
    try:
        table = pd.read_parquet(io.BytesIO(content))
    except Exception as error:  # pyarrow raises a dozen kinds for damaged bytes, and their texts may quote them
        raise BadDataError(
            f"{name} cannot be read as parquet ({type(error).__name__}). Expected daily bars; write the file again."
        ) from None
    return table.reset_index(drop=isinstance(table.index, pd.RangeIndex))  # rows counted anew: a tail keeps its numbers


def _csv(content: bytes, name: str) -> tuple[pd.DataFrame, "pd.Series[bool]"]:
    """All cells as text, without blank lines; they are read too, so that line numbers stay correct."""
    text, damaged_line = text_of(content)
    text = text.replace("\r\n", "\n") if "\n" in text else text.replace("\r", "\n")
    try:
        # One sort of line end: a stray \r would cut a number in two, and its first half is a number too.
        table = pd.read_csv(
            io.StringIO(text, newline=""), dtype=str, keep_default_na=False, skip_blank_lines=False, lineterminator="\n"
        )
    except (ValueError, OverflowError):  # a line with too many fields, or a quote that nothing closes
        table = None
    if table is None or not isinstance(table.index, pd.RangeIndex):  # too many fields everywhere become an index
        table, ragged = _line_by_line(text)
    else:
        ragged = _short_lines(text, len(table.columns), len(table))
    if damaged_line == 1:
        raise BadDataError(f"Expected UTF-8 in {name}; found other bytes in line 1. Write the file again as UTF-8.")
    filled = (table != "").any(axis=1)
    return table[filled], ragged[filled]


def _line_by_line(text: str) -> tuple[pd.DataFrame, "pd.Series[bool]"]:
    """The table without any meaning of quotes, so that one bad line is one bad row."""
    header, *lines = ([_unquoted(cell) for cell in line.split(",")] for line in text.split("\n"))
    blank = [""] * len(header)
    rows = [cells if len(cells) == len(header) else [*cells, *blank][: len(header)] for cells in lines]
    ragged = [len(cells) != len(header) and cells != [""] for cells in lines]
    # Names may repeat; the caller refuses those that it needs.
    return pd.DataFrame(rows, columns=pd.Index(header), dtype=object), pd.Series(ragged, dtype=bool)


def _unquoted(cell: str) -> str:
    """The cell without a pair of quotes around it; a single quote is damage and stays, so that no number is read."""
    return cell[1:-1] if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell


def _short_lines(text: str, columns: int, rows: int) -> "pd.Series[bool]":
    """Whether a line has fewer fields than the header: cut off, so that its last number may be cut off too."""
    lines = text.split("\n")[1 : rows + 1]
    quoted = '"' in text
    if len(lines) != rows or (quoted and text.removesuffix("\n").count("\n") != rows):  # a line end within quotes
        return pd.Series(False, index=range(rows))
    short = np.fromiter((line.count(",") < columns - 1 and line.strip() != "" for line in lines), bool, rows)
    short[-1:] |= text.endswith(",")  # an empty last field without a line end
    return pd.Series(short)
