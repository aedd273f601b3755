"""Arguments from Python of types and values that nobody would mean: a frame, or one paragraph."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import forecasting as fc
from forecasting.errors import ForecastingError
from tests.builders import LAST, random_bars, write_yahoo_csv
from tests.faults.fuzzing import case, counts, ended

AT = datetime(2024, 3, 9, 10, 30, tzinfo=UTC)
ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, float("nan"), 10**30, "", " ", "x", "TEST", "a" * 5000, "'; DROP TABLE runs;--", b"TEST"),
    *([], ["TEST"], ("TEST",), {"a": 1}, {"TEST"}, object, len, "\x00", "\x1b[31m", "\udcff", Path("x"), pd.NaT, pd.NA),
    *(
        date(2024, 3, 8),
        date(1, 1, 1),
        date(9999, 12, 31),
        pd.Timestamp("2024-03-08").to_pydatetime(),
        pd.Timestamp("2024-03-08 12:00").to_pydatetime(),
        AT,
    ),
    *(pd.Timestamp("2024-03-08"), pd.Timestamp("2024-03-08", tz="UTC"), np.datetime64("2024-03-08"), np.float64("nan")),
    *(
        np.array([1, 2]),
        pd.Series(["TEST"]),
        pd.DataFrame({"a": [1]}),
        lambda: AT,
        lambda: "now",
        "volume",
        "../..",
        "/",
    ),
)
URLS = ("sqlite:////nowhere/x.db", "postgresql://u:hunter2@127.0.0.1:1/x?connect_timeout=1", "mysql://x", "sqlite://")


@pytest.fixture
def ledger(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A ledger without a row, and a source file that is too short for a night."""
    write_yahoo_csv(random_bars(days=30, seed=3, last=LAST), tmp_path / "TEST.csv")
    monkeypatch.setenv("FORECASTING_SYMBOLS", "TEST")
    monkeypatch.setenv("FORECASTING_SOURCE", f"csv:{tmp_path / 'TEST.csv'}")
    monkeypatch.chdir(tmp_path)
    return fc.connect(sqlite_url, data_dir=tmp_path / "data")


def calls(ledger: Any, chosen: random.Random) -> Callable[[], Any]:
    """A call with one to three odd arguments."""

    def odd() -> Any:
        return chosen.choice(ODD)

    symbols, target, day = [odd() for _ in range(chosen.randrange(3))], odd(), odd()
    night = {"now": chosen.choice((lambda: AT, odd())), "target": chosen.choice((None, odd())), "source": odd()}
    more = {"as_of": chosen.choice((LAST, odd())), "mode": chosen.choice(("auto", odd()))}
    every, url = chosen.choice((21, odd())), chosen.choice((*URLS, *ODD))
    return chosen.choice(
        (
            lambda: fc.connect(url, data_dir=day if chosen.random() < 0.3 else None),
            lambda: ledger.latest(*symbols, target=target),
            lambda: ledger.history(*symbols, target=target),
            lambda: ledger.skill(*symbols, target=target),
            lambda: ledger.bars(*symbols, as_of=day),
            lambda: ledger.run_night(symbols[0] if symbols else "TEST", **night, **more),
            lambda: ledger.backtest(symbols[0] if symbols else "TEST", day, odd(), **night, refit_every=every),
        )
    )


@counts(100, 6_000)
def test_odd_arguments_give_a_frame_or_one_paragraph(cases: int, ledger: Any, sqlite_url: str) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    before = path.read_bytes()
    for place in range(cases):
        with case(place, "arguments"):
            answer = ended(calls(ledger, random.Random(place)))
            if isinstance(answer, ForecastingError):
                assert "hunter2" not in str(answer)
            elif isinstance(answer, pd.DataFrame):
                assert len(answer) == 0, answer  # the ledger has no row, and no night can have succeeded
    assert path.read_bytes() == before
