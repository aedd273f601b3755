"""Damaged files of bars, earnings dates and symbols: the numbers that the file states, or one paragraph."""

from __future__ import annotations

import csv
import io
import random
import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forecasting.errors import ForecastingError
from forecasting.ingest.bar_rules import Finding
from forecasting.ingest.bars import check_bars
from forecasting.ingest.earnings import read_events_csv
from forecasting.ingest.sources import Fetched
from forecasting.ingest.sources.files import Files
from forecasting.pipeline.symbols import asked_symbols
from tests.builders import random_bars, write_yahoo_csv
from tests.faults.fuzzing import case, counts, damaged, ended

BARS = random_bars(days=120, seed=3).round(4)
FIRST, LAST = BARS.index[0].date(), BARS.index[-1].date()
NUMBERS = ("open", "high", "low", "close", "volume")
DAY = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-]\d\d:?\d\d)?)?")

Row = tuple[float, ...]


def checked(kind: Any, path: Path) -> tuple[Fetched, pd.DataFrame, list[Finding]]:
    """The fetch of a whole file, the bars that no rule rejects, and the findings."""
    fetched = Files(kind, path).fetch("TEST", FIRST, LAST)
    return fetched, *check_bars(fetched, exchange="XNYS", known=None)


def number(cell: object) -> float:
    """The cell as Python reads it; 0 and what is no number are NaN."""
    try:
        return float((cell.decode() if isinstance(cell, bytes) else str(cell)).strip()) or np.nan
    except ValueError:
        return np.nan


def naive_rows(text: str) -> dict[str, list[Row]]:
    """By day, the five numbers of each line, read once with and once without a meaning of quotes."""
    found: dict[str, list[Row]] = {}
    for lines in (
        csv.reader(io.StringIO(text, newline="")),
        (re.split(",", line) for line in re.split("\r\n?|\n", text)),
    ):
        header: list[str] | None = None
        for cells in _readable(lines):
            if header is None:
                header = [cell.strip().strip('"').lower() for cell in cells]
                continue
            named = dict(zip(header, cells, strict=False))
            stated = DAY.fullmatch(named.get("date", "").strip().strip('"'))
            if stated and len(cells) >= len(header) and not any(cells[len(header) :]):
                row = tuple(number(re.sub(r'^"(.*)"$', r"\1", named.get(name, "x"))) for name in NUMBERS)
                found.setdefault(stated[1], []).append(row)
    return found


def _readable(lines: Any) -> Iterator[list[str]]:
    try:
        yield from lines
    except csv.Error:
        return


def whole(row: Row) -> Row:
    """The row with a volume below half a share as unknown: the ledger has whole shares."""
    return row if abs(row[-1]) >= 0.5 else (*row[:-1], np.nan)


def check_against(naive: dict[str, list[Row]], fetched: Fetched, bars: pd.DataFrame, findings: list[Finding]) -> None:
    """Every bar has the numbers of a line of its day, and every session that is missing has a finding."""
    for day, row in zip(fetched.bars.index, fetched.bars[list(NUMBERS)].to_numpy(), strict=True):
        row = np.where(row == 0.0, np.nan, row)
        assert any(np.array_equal(row, whole(one), equal_nan=True) for one in naive.get(str(day.date()), [])), day
    known = {finding.session for finding in findings}
    lost = {day.date() for day in BARS.index[BARS.index > fetched.bars.index[0]].difference(bars.index)}
    assert lost <= known, lost - known
    assert len(fetched.actions) == 0, fetched.actions  # the sound file has no dividend


@counts(25, 8_000)
def test_a_damaged_csv_gives_the_numbers_of_its_lines_or_one_paragraph(cases: int, tmp_path: Path) -> None:
    path = tmp_path / "TEST.csv"
    write_yahoo_csv(BARS, path)
    sound = path.read_bytes()
    for place in range(cases):
        content = damaged(sound, random.Random(place))
        path.write_bytes(content)
        with case(place, sorted(set(content.split(b"\n")) - set(sound.split(b"\n")))):
            answer = ended(lambda: checked("csv", path))
            if not isinstance(answer, ForecastingError):
                check_against(naive_rows(content.decode("utf-8-sig", errors="replace")), *answer)


def naive_cells(frame: pd.DataFrame) -> dict[str, list[Row]]:
    """As `naive_rows`, of the values of a table: only a text or a number is a number, only a midnight a day."""
    columns = {str(name).strip().lower(): frame[name].tolist() for name in frame.columns}
    found: dict[str, list[Row]] = {}
    for place, cell in enumerate(columns.get("date", [])):
        stated = DAY.fullmatch(str(cell))
        numbers = tuple(
            np.nan if isinstance(value, bool | pd.Timestamp) else number(value)
            for value in (columns[name][place] for name in NUMBERS)
        )
        if stated:
            found.setdefault(stated[1], []).append(numbers)
    return found


def _of_other_types(frame: pd.DataFrame, chosen: random.Random) -> pd.DataFrame:
    name = chosen.choice(list(frame.columns))
    column = frame[name]
    if name == "Date":
        other: Any = chosen.choice(
            [
                lambda: column.dt.date,
                lambda: column.dt.strftime("%Y-%m-%d"),
                lambda: column.dt.strftime("%Y%m%d").astype(int),
                lambda: column.dt.strftime("%d.%m.%Y"),
                lambda: column.dt.tz_localize("America/New_York"),
                lambda: column.dt.tz_localize("Asia/Tokyo").dt.tz_convert("UTC"),
                lambda: column + pd.Timedelta(hours=16),
                lambda: column.astype("int64"),
                lambda: column.where(column.index != 7),
                lambda: column.mask(column.index == 7, column.iloc[8]),
                lambda: column.dt.as_unit("us"),
                lambda: column.astype(str).astype("category"),
            ]
        )
    else:
        odd = chosen.choice([None, np.inf, -np.inf, 0.0, -1.0, 1e300, 5e-324, 1e18])
        other = chosen.choice(
            [
                lambda: column.astype(float).astype("float32").round(1),
                lambda: column.round().astype("int64"),
                lambda: column.round().astype("Int64").where(column.index != 5),
                lambda: column.astype(str),
                lambda: column.astype(str).astype("category"),
                lambda: column > column.median(),
                lambda: pd.Series(pd.Timestamp("2024-03-08"), index=column.index),
                lambda: column.astype(object).where(np.arange(len(column)) % 7 > 0, "x"),
                lambda: column.map(lambda value: [value]),
                lambda: column.map(lambda value: {"a": value}),
                lambda: column.astype(str).str.encode("utf-8"),
                lambda: column.astype(float).mask(column.index == chosen.randrange(len(column)), odd),
                lambda: pd.Series([None] * len(column)),
            ]
        )
    return frame.assign(**{name: other()})


def _of_other_form(frame: pd.DataFrame, chosen: random.Random) -> pd.DataFrame:
    name = chosen.choice(list(frame.columns))
    changes: list[Any] = [
        lambda: frame.iloc[::-1],
        lambda: frame.sample(frac=1.0, random_state=chosen.randrange(1000)),
        lambda: frame.drop(columns=name),
        lambda: frame.rename(columns={name: f" {name.upper()} "}),
        lambda: pd.concat([frame, frame.iloc[[chosen.randrange(len(frame))]]]),
        lambda: frame.iloc[:0],
        lambda: frame.iloc[: chosen.randrange(1, len(frame))],
        lambda: frame.assign(symbol=[None, "TEST"][chosen.randrange(2)]),
        lambda: frame.assign(ticker="OTHER"),
        lambda: frame.set_index("Date") if "Date" in frame else frame,
        lambda: frame.assign(Note="=cmd|' /C calc'!A0"),
    ]
    return pd.DataFrame(chosen.choice(changes)())


@counts(15, 2_000)
def test_a_parquet_file_of_other_types_gives_its_numbers_or_one_paragraph(cases: int, tmp_path: Path) -> None:
    path = tmp_path / "TEST.parquet"
    sound = BARS.rename(columns=str.title).rename_axis("Date").reset_index().drop(columns="Adj_Close")
    for place in range(cases):
        chosen = random.Random(place)
        frame = sound
        for change in chosen.choice(((_of_other_types,), (_of_other_form,), (_of_other_types, _of_other_form))):
            frame = change(frame, chosen)
        try:
            frame.to_parquet(path)
        except (ValueError, TypeError, NotImplementedError):  # no such file can be: two columns of one name
            continue
        with case(place, frame.dtypes.to_dict()):
            answer = ended(lambda: checked("parquet", path))
            if not isinstance(answer, ForecastingError):
                whole = frame.reset_index() if frame.index.name == "Date" else frame
                check_against(naive_cells(whole), *answer)


@counts(15, 2_000)
def test_a_parquet_file_with_damaged_bytes_ends_as_bars_or_one_paragraph(cases: int, tmp_path: Path) -> None:
    path = tmp_path / "TEST.parquet"
    BARS.rename_axis("Date").to_parquet(path)
    sound = path.read_bytes()
    for place in range(cases):
        path.write_bytes(damaged(sound, random.Random(place)))
        with case(place, "bytes"):
            ended(lambda: checked("parquet", path))


def _days_in(text: str) -> set[date]:
    found = set()
    for cell in re.split(r"[,\r\n]", text):
        for word in (cell, cell.strip('"')):
            try:
                found.add(date.fromisoformat(re.sub(r"[T ]\d\d:.*$", "", word.strip())))
            except ValueError:
                continue
    return found


@counts(100, 20_000)
def test_damaged_earnings_dates_are_those_of_the_file_or_one_paragraph(cases: int, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    days = [FIRST + timedelta(days=91 * number) for number in range(20)]
    lines = [
        f"{day},{timing},{day - timedelta(days=20)}" for day, timing in zip(days, ["amc", "bmo", ""] * 7, strict=False)
    ]
    sound = "\n".join(["announced,timing,first_seen_at", *lines, ""]).encode()
    for place in range(cases):
        content = damaged(sound, random.Random(place))
        path.write_bytes(content)
        with case(place, sorted(set(content.split(b"\n")) - set(sound.split(b"\n")))):
            events = ended(lambda: read_events_csv(path))
            if not isinstance(events, ForecastingError):
                assert set(events["announced"].dt.date) <= _days_in(content.decode("utf-8-sig", errors="replace"))
                assert set(events["timing"]) <= {"amc", "bmo", ""}


@counts(100, 25_000)
def test_a_damaged_file_of_symbols_gives_those_of_its_lines_or_one_paragraph(cases: int, tmp_path: Path) -> None:
    path = tmp_path / "symbols.txt"
    sound = b"# liquid\nSBUX\nBRK-B  # one\n^GSPC\nVOD.L\n\nES=F\n" + b"".join(
        b"S%d\n" % number for number in range(30)
    )
    for place in range(cases):
        content = damaged(sound, random.Random(place))
        path.write_bytes(content)
        with case(place, sorted(set(content.split(b"\n")) - set(sound.split(b"\n")))):
            symbols = ended(lambda: asked_symbols([], path))
            if not isinstance(symbols, ForecastingError):
                lines = [line.partition("#")[0].strip() for line in content.decode("utf-8-sig").splitlines()]
                assert symbols == list(dict.fromkeys(line for line in lines if line))
                assert all(re.fullmatch(r"[A-Z0-9^][A-Z0-9.\-=^]{0,14}", symbol) for symbol in symbols)
