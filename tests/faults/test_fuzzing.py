"""Damaged files of bars, each read as an independent, plainer reader does, or refused in a paragraph."""

import csv
import io
import random
import re
from contextlib import suppress

import numpy as np
import pytest

from forecasting.errors import ForecastingError, UnexpectedError
from forecasting.ingest.bars import check_bars, no_bars
from forecasting.ingest.sources import Request
from forecasting.ingest.sources.files import Files
from tests.builders import random_bars, write_yahoo_csv

BARS = random_bars(days=120, seed=3).round(4)
NUMBERS = ["open", "high", "low", "close", "volume"]

TOKENS = (
    b"", b"-1", b"1e308", b"1e-320", b"1e400", b"nan", b"-inf", b"1_000", b"1,5", b"9" * 25, b"None", b"true", b'"',
    b",,", b";", b"\t", b"\r", b"\n\n", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xe2\x80\xae", b"\xd9\xa1",
    b"2024-02-30", b"0001-01-01", b"9999-12-31", b".", b" ", b"#",
)  # fmt: skip
"""Texts that readers of numbers, dates and tables treat in ways of their own."""


def damaged(content, chosen):
    """Return the content with one to three small faults: a part is lost, doubled or replaced."""
    for _ in range(chosen.choice((1, 1, 1, 2, 3))):
        start = chosen.randrange(len(content) + 1)
        end = start + chosen.choice((0, 1, 2, 6, 12, len(content) // 10))
        kinds = (b"", chosen.randbytes(1), content[start:end] * 2, chosen.choice(TOKENS))
        rest = chosen.choice((content[end:], content[end:], content[end:], b""))
        content = content[:start] + chosen.choice(kinds) + rest
    return content


def check_stated(bars, stated):
    """Check that each bar has the numbers of a row that is stated for its day."""
    for day, numbers in zip(bars.index, bars[NUMBERS].to_numpy(dtype=float), strict=True):
        rows = stated.get(str(day)[:10], [])
        assert any(np.array_equal(numbers, row, equal_nan=True) for row in rows), day


DAY = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-]\d\d:?\d\d)?)?")


def number(cell):
    """Return the cell as Python reads it. Zero and a text that is no number become NaN."""
    try:
        return float(re.sub(r'^"(.*)"$', r"\1", cell).strip()) or np.nan
    except ValueError:
        return np.nan


def rows_of_text(text):
    """Return the five numbers of each line by day, read once with and once without quotes."""
    found = {}
    plain = (line.split(",") for line in re.split("\r\n?|\n", text))
    for lines in (csv.reader(io.StringIO(text, newline="")), plain):
        with suppress(csv.Error):
            header = [cell.strip().strip('"').lower() for cell in next(iter(lines), [])]
            for cells in lines:
                named = dict(zip(header, cells, strict=False))
                day = DAY.fullmatch(named.get("date", "").strip().strip('"'))
                if day and len(cells) >= len(header) and not any(cells[len(header) :]):
                    row = [number(named.get(name, "x")) for name in NUMBERS]
                    row[4] = row[4] if abs(row[4]) > 0.5 else np.nan  # the ledger has whole shares
                    found.setdefault(day[1], []).append(row)
    return found


def check_damaged_file(path, chosen):
    """Check that a damaged file is refused, or that its bars are stated and missing sessions found."""
    write_yahoo_csv(BARS, path)
    content = damaged(path.read_bytes(), chosen)
    path.write_bytes(content)
    request = Request("csv", "TEST", BARS.index[0].date(), BARS.index[-1].date())
    try:
        fetched = Files("csv", path).fetch(request)
        bars, findings = check_bars(fetched, known=no_bars())
    except ForecastingError as error:
        assert not isinstance(error, UnexpectedError)
        assert 20 < len(str(error)) <= 2000
        assert "\n" not in str(error)
        return
    check_stated(bars, rows_of_text(content.decode("utf-8-sig", errors="replace")))
    sessions = BARS.index[BARS.index > fetched.bars.index[0]]
    lost = {day.date() for day in sessions.difference(bars.index)}
    assert lost <= {finding.session for finding in findings}
    # The sound file has no dividend.
    assert fetched.actions.empty


@pytest.mark.parametrize("cases", [25, pytest.param(8_000, marks=pytest.mark.campaign)])
def test_a_damaged_file_gives_what_its_lines_state_or_one_paragraph(cases, tmp_path):
    for case in range(cases):
        try:
            check_damaged_file(tmp_path / "bars.csv", random.Random(case))
        except BaseException as error:
            error.add_note(f"case {case}")
            raise
