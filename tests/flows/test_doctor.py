from datetime import UTC, date, datetime

import pytest
import sqlalchemy as sa
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import clock, server
from flows.start import all_checks as doctor
from forecasting.night import health
from forecasting.settings import read_settings
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
