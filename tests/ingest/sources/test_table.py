"""One damaged line of a CSV is one damaged row, and the rows after it keep their line numbers."""

from __future__ import annotations

import io

import pandas as pd
import pytest

from forecasting.errors import BadDataError
from forecasting.ingest.sources.table import read_table

TEXT = "date,open\n2024-03-05,1\n2024-03-06,2\n\n2024-03-07,3\n2024-03-08,4\n"


def read(text: str | bytes) -> tuple[list[tuple[int, str, str]], list[int]]:
    """Index, date and open of each row, and the indices of rows that do not fit the header."""
    content = text if isinstance(text, bytes) else text.encode()
    table, ragged = read_table(content, "csv", "bars.csv")
    rows = list(zip(table.index.tolist(), table["date"], table["open"], strict=True))
    return rows, ragged.index[ragged].tolist()


def test_blank_lines_are_left_out_and_counted() -> None:
    assert read(TEXT)[0] == [
        (0, "2024-03-05", "1"),
        (1, "2024-03-06", "2"),
        (3, "2024-03-07", "3"),
        (4, "2024-03-08", "4"),
    ]
    assert read(TEXT)[1] == []


@pytest.mark.parametrize(
    "damaged",
    [
        TEXT.replace("2024-03-07,3", "2024,03-07,3"),  # one flipped bit makes a comma of a hyphen
        TEXT.replace("2024-03-07,3", '"024-03-07,3'),  # and a quote of a 2
        TEXT.replace("2024-03-07,3", "2024-03-07-3"),
    ],
)
def test_one_damaged_line_costs_one_row(damaged: str) -> None:
    rows, ragged = read(damaged)
    assert [row for row in rows if row[0] != 3] == [row for row in read(TEXT)[0] if row[0] != 3]
    assert ragged == ([3] if '"' not in damaged else [])


def test_a_line_that_is_cut_off_does_not_fit_the_header() -> None:
    assert read("date,open\n2024-03-05,1\n2024-03")[1] == [1]
    assert read("date,open\n2024-03-05,1\n2024-03-06,")[1] == [1]
    assert read("date,open\n2024-03-05,1\n2024-03-06,\n")[1] == []
    assert read("date,open\n2024-03-05,1\n2024-03-06,2")[1] == []


def test_a_byte_that_is_not_utf8_damages_its_cell_and_in_the_header_the_file() -> None:
    assert read(TEXT.encode().replace(b",3", b",\xb3"))[0][2] == (3, "2024-03-07", "\ufffd")
    with pytest.raises(BadDataError, match=r"Expected UTF-8 in bars\.csv; found other bytes in line 1"):
        read(b"\xff" + TEXT.encode())


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_an_empty_file_is_refused(kind: str) -> None:
    with pytest.raises(BadDataError, match=r"bars is empty"):
        read_table(b" \n", kind, "bars")  # type: ignore[arg-type] - one of the two kinds


def test_damaged_parquet_is_refused_in_one_line() -> None:
    with pytest.raises(BadDataError, match=r"cannot be read as parquet \(Arrow") as caught:
        read_table(b"PAR1" + bytes(range(256)) + b"PAR1", "parquet", "bars")
    assert "\n" not in str(caught.value)


def test_a_stray_quote_or_line_end_is_never_left_out_of_a_number() -> None:
    assert ('"4' in str(read(TEXT.replace("2024-03-08,4", '2024-03-08,"4'))[0])) is True
    rows, _ = read("date,open\n2024-03-05,12\r34\n2024-03-06,2\n")
    assert [row[2] for row in rows] == ["12\r34", "2"]
    assert [row[2] for row in read("date,open\r2024-03-05,1\r2024-03-06,2\r")[0]] == ["1", "2"]


def test_the_rows_of_a_parquet_file_are_counted_from_its_first() -> None:
    content = io.BytesIO()
    pd.DataFrame({"date": ["2024-03-05", "2024-03-06", "2024-03-07"]}).tail(2).to_parquet(content)
    table, _ = read_table(content.getvalue(), "parquet", "bars.parquet")
    assert table["date"].to_dict() == {0: "2024-03-06", 1: "2024-03-07"}
