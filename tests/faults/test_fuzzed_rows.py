"""A ledger with one odd value that SQLite stores: what is there, or one paragraph that names the row."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import forecasting as fc
from flows import clock
from flows.terminal import console
from forecasting.pipeline.export import export
from forecasting.pipeline.freshness import check_fresh
from forecasting.pipeline.publish import write_reports
from forecasting.pipeline.registry import list_models, show_model
from forecasting.pipeline.unexpected import explained_errors
from forecasting.settings import read_settings
from forecasting.store import database
from forecasting.store.odd_values import odd_value
from forecasting.store.tables import metadata
from forecasting.store.tables.types import UtcDateTime
from tests.builders import LAST
from tests.faults.fuzzing import case, counts, ended
from tests.nights import newest_reports, night
from tests.store.rows import store_bars

AT = datetime(2024, 3, 9, 10, 30, tzinfo=UTC)
BEFORE = date(2024, 3, 7)
TEXTS = ("", "x", "a" * 3000, "\x1b[31m\n<script>alert(1)</script>", b"\xff\x00", 5, "{", "[1]", "null", "../..", "NaN")
DAYS = ("", "x", "0001-01-01", "9999-12-31", "2024-13-45", "2024-02-30", "2024-03-08 00:00:00", 5, b"x", "2059-01-02")
INSTANTS = (*DAYS, "2024-03-08", "2024-03-08 10:00:00.000000+02:00", "1900-01-01 00:00:00.000000", -1)
NUMBERS = ("x", "", float("inf"), float("-inf"), -1, 0, 1e308, 10**18, b"x", 2.5, 5e-324)


def odd_values(kind: sa.types.TypeEngine[Any]) -> tuple[object, ...]:
    """Values that a column of the type cannot have, or not in this place; None is among them."""
    if isinstance(kind, UtcDateTime):
        return *INSTANTS, None
    if isinstance(kind, sa.Date):
        return *DAYS, None
    return (*(TEXTS if isinstance(kind, sa.String) else NUMBERS), None)


def readers(folder: Path, path: Path) -> list[Callable[[], object]]:
    """What commands do with a ledger."""
    settings = read_settings()
    ledger = fc.connect(data_dir=folder / "data")
    with closing(sqlite3.connect(path)) as connection:
        model = connection.execute("SELECT winner FROM promotions").fetchone()[0]
    return [
        lambda: console.show_nights(newest_reports(settings)),
        lambda: console.show_nights(newest_reports(settings), as_json=True),
        lambda: write_reports(settings, folder / "page.html", now=lambda: AT)[0][0].get(),
        lambda: check_fresh(settings, now=lambda: AT),
        lambda: list_models(settings, now=lambda: AT)[1][0].get(),
        lambda: show_model(model, settings) if isinstance(model, str) else None,
        lambda: [ledger.latest(), ledger.history(), ledger.skill(), ledger.bars(), ledger.bars(as_of=BEFORE)],
        lambda: [export(settings, form, folder / "x.csv", now=lambda: AT) for form in ("latest", "bars", "nixtla")],
        lambda: export(settings, "hubverse", folder / "x.parquet", now=lambda: AT),
    ]


def put(path: Path, chosen: random.Random) -> str:
    """Put one odd value in a place of the ledger; what was put where, empty where a constraint refused it."""
    table = chosen.choice([table for table in metadata.sorted_tables if table.name != "metrics"])
    column = chosen.choice([column for column in table.columns if not column.foreign_keys])
    value = chosen.choice(odd_values(column.type))
    keys = [key.name for key in table.primary_key.columns]
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(f"SELECT {', '.join(keys)} FROM {table.name} ORDER BY {', '.join(keys)}").fetchall()
        if not rows:
            return ""
        row = chosen.choice((rows[-1], chosen.choice(rows)))
        where = " AND ".join(f"{key} = ?" for key in keys)
        try:
            connection.execute(f"UPDATE {table.name} SET {column.name} = ? WHERE {where}", (value, *row))
        except sqlite3.IntegrityError:
            return ""
        connection.commit()
    return f"{table.name}.{column.name} = {value!r:.40} in {row}"


@pytest.mark.slow
@counts(6, 1_000)
def test_an_odd_value_is_read_or_named_in_one_paragraph(
    cases: int,
    night_folder: Path,
    plain_flows: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(clock, "now", lambda: AT)
    if cases > 6:
        night(date(2024, 3, 6))  # so that there are scores
    night(BEFORE)
    folder, path = night_folder.parent, Path(read_settings().url.removeprefix("sqlite:///"))
    sound = folder / "sound.db"
    sqlite3.connect(path).execute("PRAGMA wal_checkpoint(TRUNCATE)").connection.close()
    shutil.copy(path, sound)
    for place in range(cases):
        chosen = random.Random(place)
        path = folder / f"{place}.db"  # another process's view of the one before may be open still
        shutil.copy(sound, path)
        monkeypatch.setenv("FORECASTING_DATABASE_URL", f"sqlite:///{path}")
        with case(place, what := put(path, chosen)):
            if not what:
                continue
            if chosen.random() < 0.05:
                calls: list[Callable[[], object]] = [lambda: night(LAST, "skip")]
            else:
                calls = chosen.sample(readers(folder, path), 3)
            for call in calls:
                before = contents(path)
                ended(partial(explained, call))
                assert len(calls) == 1 or contents(path) == before  # a night alone may write
        capsys.readouterr()
        for left in folder.glob(f"{place}.db*"):
            left.unlink()


def contents(path: Path) -> int:
    """A hash of all rows."""
    with closing(sqlite3.connect(path)) as connection:
        return hash(tuple(tuple(connection.execute(f"SELECT * FROM {name}")) for name in metadata.tables))


def explained(call: Callable[[], object]) -> object:
    """The call as within the boundary of a command or flow."""
    with explained_errors(lambda: AT):
        return call()


@pytest.mark.parametrize(
    ("instant", "is_odd"),
    [
        ("2024-03-08 10:00:00.123456", False),
        ("2024-03-08 10:00:00.999999", False),
        ("2024-03-08 10:00:00", False),
        ("2024-03-08 10:00:00.000000+02:00", True),
        ("2024-03-08T10:00:00.000000", True),
        ("2024-02-30 10:00:00.000000", True),
        ("2024-03-08 10:00:00.12345x", True),
        ("2024-03-08 10:00:00.5", True),
        ("", True),
    ],
)
def test_an_instant_that_no_night_writes_is_named(sqlite_url: str, instant: str, is_odd: bool) -> None:
    with database.transaction(sqlite_url) as connection:
        store_bars(connection, {"2024-03-08": 1.0}, seen="2024-03-08T21:00")
        connection.execute(sa.text("UPDATE bar_versions SET first_seen_at = :instant"), {"instant": instant})
    named = "found '" + instant + "' in the row of"
    assert (named in odd_value(sqlite_url)) == is_odd
