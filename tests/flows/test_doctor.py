from datetime import UTC, date, datetime

import pytest
import sqlalchemy as sa
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import clock, server
from flows.start import all_checks as doctor
from forecasting.night import health
from forecasting.night.health import nothing_new
from forecasting.night.night import RunOptions
from forecasting.settings import Settings, read_settings
from forecasting.store import connect, migrate
from forecasting.store.connect import sqlite_path
from forecasting.store.schema import metadata
from tests.builders import random_bars


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A data folder that does not exist, two symbols of two exchanges, and a fixed clock."""
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("FORECASTING_SYMBOLS", "SBUX,VOD.L")
    monkeypatch.setattr(clock, "now", lambda: datetime(2024, 2, 20, 6, 30, tzinfo=UTC))
    monkeypatch.setattr(server, "check_server", lambda: "http://127.0.0.1:4200/api")
    monkeypatch.setattr(server, "is_idle", lambda: False)
    return tmp_path


def found():
    """State and finding of each check."""
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        return {row.check: (row.state, row.found) for row in doctor()}


def test_a_missing_database_is_wrong_and_the_other_checks_still_run(folder, monkeypatch):
    monkeypatch.setenv("FORECASTING_ALERTS", "MSFT median > 1.5 usual")
    checks = found()
    names = ["database", "sessions", "source", "market", "disk", "alerts", "prefect"]
    states = ["wrong", *["ok"] * 6]
    assert [(name, state) for name, (state, _) in checks.items()] == [
        *zip(names, states, strict=True)
    ]
    assert checks["source"][1].endswith("(no request made)")
    assert "`forecasting run` creates it" in checks["database"][1]
    assert checks["sessions"] == ("ok", "newest completed: 2024-02-16 of XNYS, 2024-02-19 of XLON")
    assert checks["prefect"][1].startswith("no server configured: `run` and `catch-up` need none")
    assert not (folder / "data").exists()
    migrate.upgrade(read_settings().url)
    tables = len(metadata.tables)
    assert found()["database"] == (
        "ok",
        f"{folder}/data/forecasting.db at revision {migrate.head()}, all {tables} tables readable",
    )


def test_a_damaged_page_of_a_table_is_wrong_though_the_database_opens():
    url = read_settings().url
    migrate.upgrade(url)
    with connect.reading(url) as connection:
        of_page = sa.text("SELECT rootpage FROM sqlite_master WHERE name = 'scores'")
        page = connection.scalar(of_page)
        size = connection.scalar(sa.text("PRAGMA page_size"))
    with sqlite_path(url).open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(bytes(size))
    state, said = found()["database"]
    assert state == "wrong"
    assert "is damaged: database disk image is malformed." in said


@pytest.mark.parametrize("name", ["reports", ""])
def test_a_disk_that_is_almost_full_or_a_folder_that_cannot_be_written_is_wrong(
    folder, monkeypatch, name
):
    if name:
        (folder / "data").mkdir()
        (folder / "data" / name).touch()  # in place of a folder: root may write to any
    else:
        monkeypatch.setattr(health, "LEAST_FREE", 2**40)
    state, said = found()["disk"]
    assert state == "wrong"
    assert str(folder / "data" / name) in said


@pytest.mark.parametrize("name", ["source", "market", "events"])
def test_a_file_that_is_there_is_named_and_one_that_is_not_or_cannot_be_used_is_wrong(
    folder, monkeypatch, name
):
    monkeypatch.setenv("FORECASTING_SYMBOLS", "SBUX")
    (folder / "text.csv").write_text("words,alone\n1,2\n")
    bars = random_bars(3, seed=1, last=date(2024, 2, 16)).assign(
        symbol="SBUX", announced="2024-01-30", timing="amc"
    )
    bars.to_csv(folder / "VIX.csv", index_label="date")
    for file, state in (("VIX.csv", "ok"), ("nope.csv", "wrong"), ("text.csv", "wrong")):
        monkeypatch.setenv(f"FORECASTING_{name.upper()}", f"csv:{folder / file}")
        assert found()[name][0] == state
        assert file in found()[name][1]


def test_a_source_that_ends_before_the_newest_completed_session_is_wrong_unless_it_is_the_sample(
    folder, monkeypatch
):
    random_bars(3, last=date(2024, 2, 15)).to_csv(folder / "bars.csv", index_label="date")
    for source, symbol, state in (
        (f"csv:{folder / 'bars.csv'}", "SBUX", "wrong"),
        ("sample", "^GSPC", "ok"),
    ):
        monkeypatch.setenv("FORECASTING_SOURCE", source)
        monkeypatch.setenv("FORECASTING_SYMBOLS", symbol)
        ends = f"of {symbol}, before the newest completed one, 2024-02-16"
        assert (found()["source"][0], ends in found()["source"][1]) == (state, True)
        assert ("read up to 2018-12-31" in found()["source"][1]) == (state == "ok")


@pytest.mark.parametrize(
    ("now", "newest", "closed"),
    [
        # The morning after Thanksgiving
        ("2026-11-27T10:30", date(2026, 11, 25), " XNYS was closed on Thursday 2026-11-26."),
        # Two mornings later, after the shortened Friday
        ("2026-11-28T10:30", date(2026, 11, 27), ""),
        # That day, before its session would have closed
        ("2026-11-26T20:00", date(2026, 11, 25), ""),
        # A weekend is no holiday, nor is one why a file ends years ago
        ("2026-05-26T09:30", date(2026, 5, 22), " XNYS was closed on Monday 2026-05-25."),
        ("2026-05-26T09:30", date(2018, 12, 31), ""),
    ],
)
def test_a_night_without_work_says_why_and_names_the_holiday(now, newest, closed):
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    settings = Settings(symbols=("^GSPC",), source="sample" if newest.year == 2018 else "yahoo")
    said = f"Nothing new since the session {newest} of XNYS."
    assert nothing_new(settings, RunOptions(), now=lambda: moment) == said + closed
    assert nothing_new(settings, RunOptions(newest, newest), now=lambda: moment) == said
