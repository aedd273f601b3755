from __future__ import annotations

from pathlib import Path

import pytest

from forecasting.pipeline.health import unnamed_new_symbols
from forecasting.settings import Settings
from forecasting.store import connect
from tests.store.rows import store_bars

HEAD = "date,open,high,low,close,volume"


def settings_of(url: str, source: str, *symbols: str) -> Settings:
    return Settings(database_url=url, source=source, symbols=symbols)


def test_a_new_symbol_of_a_file_that_names_none_is_warned_about(sqlite_url: str, tmp_path: Path) -> None:
    file = tmp_path / "bars.csv"
    file.write_text(f"{HEAD}\n2024-03-08,1,1,1,1,1\n", encoding="utf-8")
    shown = unnamed_new_symbols(settings_of(sqlite_url, f"csv:{file}", "SBUXX"))
    assert "bars.csv has no column symbol, and SBUXX is new to this ledger" in shown


@pytest.mark.parametrize("head", [f"Ticker,{HEAD}", f"{HEAD},symbol"])
def test_a_file_with_a_column_for_the_symbol_is_not(sqlite_url: str, tmp_path: Path, head: str) -> None:
    file = tmp_path / "bars.csv"
    file.write_text(f"{head}\n", encoding="utf-8")
    assert unnamed_new_symbols(settings_of(sqlite_url, f"csv:{file}", "SBUXX")) == ""


def test_a_known_symbol_is_not(sqlite_url: str, tmp_path: Path) -> None:
    with connect.transaction(sqlite_url) as connection:
        store_bars(connection, {"2024-03-08": 1.0}, seen="2024-03-08T22:00")
    file = tmp_path / "bars.csv"
    file.write_text(f"{HEAD}\n", encoding="utf-8")
    assert unnamed_new_symbols(settings_of(sqlite_url, f"csv:{file}", "SBUX")) == ""
    assert unnamed_new_symbols(settings_of(sqlite_url, "sample", "^GSPC")) == ""
