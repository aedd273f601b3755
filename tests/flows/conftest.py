"""A Prefect server of the tests' own, and a folder, a database and a file of bars for one small night."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from tests.builders import random_bars

LAST = date(2024, 3, 8)


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A temporary Prefect server; without the heartbeat, whose thread makes every flow end a second late."""
    from prefect.settings import (
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
        temporary_settings,
    )
    from prefect.testing.utilities import prefect_test_harness

    with (
        temporary_settings({PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: True}),
        prefect_test_harness(server_startup_timeout=120),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield


@pytest.fixture
def csv_of_bars(tmp_path: Path) -> Path:
    """650 sessions of seeded bars up to LAST in Yahoo's columns."""
    path = tmp_path / "TEST.csv"
    write_yahoo_csv(random_bars(days=650, seed=3, last=LAST), path)
    return path


@pytest.fixture
def night_folder(
    tmp_path: Path, database_url: str, csv_of_bars: Path, monkeypatch: pytest.MonkeyPatch, prefect_server: None
) -> Path:
    """The data folder of a small night on the test's database: one network, a short window."""
    settings = {
        "DATA_DIR": str(tmp_path / "data"),
        "DATABASE_URL": database_url,
        "SOURCE": f"csv:{csv_of_bars}",
        "SYMBOLS": "TEST",
        "MEMBERS": "1",
        "TRAIN_SESSIONS": "320",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"FORECASTING_{name}", value)
    return tmp_path / "data"


def write_yahoo_csv(bars: pd.DataFrame, path: Path) -> None:
    """`bars` as Yahoo's download would have them."""
    names = {
        "open": "Open",
        "high": "High",
        "low": "Low",
        "close": "Close",
        "adj_close": "Adj Close",
        "volume": "Volume",
    }
    table = bars.rename(columns=names).rename_axis("Date").astype({"Volume": "int64"})
    table.to_csv(path, date_format="%Y-%m-%d")
