"""Sources of other packages that return or raise anything: the bars that they returned, or one paragraph."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forecasting.errors import ForecastingError
from forecasting.ingest.actions import make_actions
from forecasting.ingest.bars import canonical
from forecasting.ingest.sources import Fetched, UnreadableRow
from forecasting.pipeline.ingest import ingest_only
from forecasting.pipeline.symbols import raise_failed
from forecasting.settings import read_settings
from tests.builders import LAST, random_bars
from tests.faults.fuzzing import case, counts, ended
from tests.ingest.sources.test_plugins import install

AT = datetime(2024, 3, 9, 10, 30, tzinfo=UTC)
BARS = canonical(random_bars(days=620, seed=3, last=LAST))
SOUND = Fetched("odd", "TEST", date(2021, 6, 1), LAST, BARS, make_actions([]), "odd 1.0", "TEST, daily", currency="USD")
NUMBERS = ["open", "high", "low", "close", "volume"]
ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, float("nan"), "", "x", "x" * 2000, "\x1b[31m\n<b>", b"x", [], {}, (), object(), len),
    *(
        date(2024, 3, 8),
        date(1, 1, 1),
        pd.Timestamp("2024-03-08 05:00").to_pydatetime(),
        pd.NaT,
        pd.Timestamp("2024-03-08"),
        np.float64(2),
    ),
    *(pd.DataFrame(), BARS, (UnreadableRow(LAST, 1, "x"),), ("x",), AT, "USD", "TEST", date(2030, 1, 2)),
)
CODE = """
from tests.faults import test_fuzzed_sources as told

class Odd:
    name = "odd"

    def __init__(self, argument):
        self.argument = argument

    def fetch(self, symbol, first, last):
        return told.ANSWERS[-1](symbol, first, last)

    def earnings_dates(self, symbol):
        return told.DATES[-1]()
"""
PROJECT = """
[project]
name = "odd-bars"
version = "1.0"

[project.entry-points."forecasting.sources"]
odd = "odd_bars:Odd"

[tool.setuptools]
py-modules = ["odd_bars"]
"""
ANSWERS: list[Callable[..., Any]] = []
DATES: list[Callable[[], Any]] = []


def odd_bars(chosen: random.Random) -> Any:
    """Bars of another shape, or with other values."""
    place, value = chosen.randrange(len(BARS)), chosen.choice((np.nan, np.inf, -np.inf, 0.0, -1.0, 1e300, 1e15, 1e-300))
    name = chosen.choice(list(BARS.columns))
    changes: list[Callable[[], Any]] = [
        lambda: BARS.assign(**{name: BARS[name].where(np.arange(len(BARS)) != place, value)}),
        lambda: BARS.assign(**{name: BARS[name].where(np.arange(len(BARS)) < len(BARS) - 1, value)}),
        lambda: BARS.assign(**{name: value}),
        lambda: BARS.assign(**{name: BARS[name].astype(chosen.choice(("float32", "object", "str", "int64", "bool")))}),
        lambda: BARS.tz_localize(chosen.choice(("UTC", "America/New_York"))),
        lambda: BARS.set_axis(BARS.index + pd.Timedelta(hours=chosen.randrange(1, 24))),
        lambda: BARS.set_axis(BARS.index + pd.Timedelta(days=chosen.choice((1, 7, 365, -40000, 20000)))),
        lambda: BARS.iloc[::-1],
        lambda: BARS.sample(frac=1.0, random_state=place),
        lambda: pd.concat([BARS, BARS.iloc[[place]]]),
        lambda: BARS.set_axis(BARS.index.where(np.arange(len(BARS)) != place, pd.NaT)),
        lambda: BARS.reset_index(),
        lambda: BARS.to_period("D"),
        lambda: BARS.drop(columns=name),
        lambda: BARS.assign(more=1.0),
        lambda: pd.concat([BARS, BARS[[name]]], axis=1),
        lambda: BARS.iloc[:0],
        lambda: BARS.iloc[: chosen.randrange(len(BARS))],
        lambda: BARS.drop(index=BARS.index[[place]]),
        lambda: chosen.choice(ODD),
        lambda: BARS.astype("Float64"),
        lambda: BARS[list(reversed(BARS.columns))],
        lambda: BARS.set_axis(BARS.index.as_unit("us")),
    ]
    return chosen.choice(changes)()


def odd_actions(chosen: random.Random) -> Any:
    day = chosen.choice(
        (BARS.index[50], BARS.index[-1], pd.Timestamp("2030-01-02"), pd.Timestamp("2024-03-09"), pd.NaT)
    )
    value = chosen.choice((1.0, 0.0, -1.0, np.nan, np.inf, 1e-300, 1e300, 2.0, 0.5))
    rows = [(day, chosen.choice(("dividend", "split", "merger", None, "")), value)]
    frame = pd.DataFrame(rows * chosen.choice((1, 1, 2)), columns=["session", "kind", "value"])
    changes: list[Callable[[], Any]] = [
        lambda: frame,
        lambda: frame.astype(object),
        lambda: frame.assign(session=frame["session"].dt.tz_localize("UTC")),
        lambda: frame.assign(session=frame["session"] + pd.Timedelta(hours=5)),
        lambda: frame.assign(value="x"),
        lambda: frame.rename(columns={"kind": "type"}),
        lambda: frame.assign(session="2024-03-08"),
        lambda: chosen.choice(ODD),
    ]
    return chosen.choice(changes)()


def odd_answer(chosen: random.Random) -> Callable[..., Any]:
    change = chosen.randrange(6)
    if change == 0:
        odd = chosen.choice(ODD)
        return lambda *asked: odd
    if change == 1:
        kind = chosen.choice(
            (ValueError, KeyError, OSError, RuntimeError, AssertionError, RecursionError, StopIteration)
        )
        return lambda *asked: (_ for _ in ()).throw(kind("hunter2\n" * 300))
    if change == 2:
        changes: dict[str, Any] = {"actions": odd_actions(chosen)}
    elif change == 3:
        changes = {chosen.choice(list(SOUND.__dataclass_fields__)): chosen.choice(ODD)}
    else:
        changes = {"bars": odd_bars(chosen)}
    return lambda symbol, first, last: replace(SOUND, **{"first_asked": first, "last_asked": last} | changes)


def stored(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    names = ("bar_versions", "corporate_actions", "events")
    with closing(sqlite3.connect(path)) as connection:
        return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in names}


def check_bars_are_those_returned(rows: list[tuple[Any, ...]], bars: pd.DataFrame) -> None:
    """Every stored bar is the row of its day, 0 and NaN volumes unknown."""
    for symbol, day, version, *numbers in (row[:8] for row in rows):
        assert (symbol, version) == ("TEST", 1)
        wanted = bars.loc[pd.Timestamp(day), NUMBERS].to_numpy(dtype=float, copy=True)
        found = np.array([np.nan if number is None else number for number in numbers], dtype=float)
        wanted[4] = np.round(wanted[4]) or np.nan  # shares are whole
        np.testing.assert_array_equal(found, wanted)


@counts(6, 1_000)
def test_a_foreign_source_stores_what_it_returned_or_is_refused(
    cases: int, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", monkeypatch, code=CODE, project=PROJECT)
    sound = Path(sqlite_url.removeprefix("sqlite:///"))
    for name, value in {
        "SOURCE": "odd:x",
        "SYMBOLS": "TEST",
        "TRAIN_SESSIONS": "300",
        "DATA_DIR": str(tmp_path),
    }.items():
        monkeypatch.setenv(f"FORECASTING_{name}", value)
    for place in range(cases):
        chosen = random.Random(place)
        ANSWERS[:] = [odd_answer(chosen)]
        dates = chosen.choice((*ODD, pd.DataFrame({"announced": [AT], "timing": ["x"]})))
        DATES[:] = [lambda dates=dates: dates]  # type: ignore[misc]
        path = tmp_path / f"{place}.db"
        shutil.copy(sound, path)
        monkeypatch.setenv("FORECASTING_DATABASE_URL", f"sqlite:///{path}")
        with case(place, "source"):
            answer = ended(
                lambda: raise_failed(ingest_only(read_settings(), as_of=LAST, switch_source=False, now=lambda: AT))
            )
            if isinstance(answer, ForecastingError):
                assert stored(path)["bar_versions"] == []
            else:
                check_bars_are_those_returned(stored(path)["bar_versions"], ANSWERS[-1]("TEST", None, None).bars)
        for left in tmp_path.glob(f"{place}.db*"):
            left.unlink()
