from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from forecasting.pipeline.health import nothing_new, unnamed_new_symbols
from forecasting.settings import Settings
from forecasting.store import connect
from tests.store.rows import store_bars


@pytest.mark.parametrize(
    ("now", "newest", "closed"),
    [
        ("2026-11-27T10:30", date(2026, 11, 25), "Thursday 2026-11-26"),  # the morning after Thanksgiving
        ("2026-11-28T10:30", date(2026, 11, 27), ""),  # two mornings later, after the shortened Friday
        ("2026-11-26T20:00", date(2026, 11, 25), ""),  # that day, before its session would have closed
        ("2026-11-27T03:00", date(2026, 11, 25), "Thursday 2026-11-26"),  # and after: a schedule in the evening
        ("2026-05-26T09:30", date(2026, 5, 22), "Monday 2026-05-25"),  # a weekend is no holiday
        ("2026-05-26T09:30", date(2018, 12, 31), ""),  # nor is one why a file ends years ago
    ],
)
def test_a_night_without_work_says_why_and_names_the_holiday(now: str, newest: date, closed: str) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    sentences = [
        f"Nothing new since the session {newest} of XNYS.",
        *([f"XNYS was closed on {closed}."] * bool(closed)),
    ]
    assert nothing_new(Settings(_env_file=None), as_of=newest, now=lambda: moment) == " ".join(sentences)


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
