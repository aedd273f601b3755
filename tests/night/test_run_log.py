"""What a night's row says at each step, and what is done about nights whose process ended before
they did."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from forecasting.errors import HistoryError
from forecasting.night import run_log
from forecasting.night.night import Night
from forecasting.settings import Settings, read_settings
from forecasting.store import connect, read, write
from forecasting.store.rows import RunRow
from tests.builders import LAST
from tests.nights import rows
from tests.store.rows import run_row

NOW = datetime(2024, 3, 9, 10, 30, tzinfo=UTC)


@pytest.fixture
def night(database_url, tmp_path):
    settings = Settings(data_dir=tmp_path, database_url=SecretStr(database_url))
    return Night(LAST, settings.for_symbol("SBUX"), now=lambda: NOW)


def opened(night, **notes):
    with connect.transaction(night.settings.url) as connection:
        run_log.open_run(connection, night, started_at=NOW, notes=notes)


def row(night):
    with connect.reading(night.settings.url) as connection:
        return read.stored(connection, RunRow, {"id": night.id})


def test_a_night_that_is_done_is_not_marked_as_stopped(night):
    opened(night)
    with connect.transaction(night.settings.url) as connection:
        write.update(connection, "runs", night.id, {"status": "done"})
    run_log.mark_stopped(replace(night, error=HistoryError("a worker was lost")))
    assert (row(night).status, row(night).error) == ("done", None)


def test_every_night_left_running_is_marked_failed_however_old_and_whatever_its_symbol_and_target(
    database_url, monkeypatch
):
    monkeypatch.setenv("FORECASTING_DATABASE_URL", database_url)
    monkeypatch.setenv("FORECASTING_SYMBOLS", "SBUX,AAPL")
    left = {
        "done": {"status": "done"},
        "late": {"status": "late", "symbol": "AAPL"},
        "range": {"status": "running", "target": "range"},
        "no_longer_run": {"status": "running", "symbol": "MSFT"},
    }
    with connect.transaction(database_url) as connection:
        for name, given in left.items():
            write.add(connection, "runs", run_row(name, "2021-03-01", **given))
    run_log.mark_cut_off(read_settings())
    found = {row["id"]: row for row in rows("runs")}
    failed = {name: row["error"] for name, row in found.items() if row["status"] == "failed"}
    error = run_log.CUT_OFF.format(as_of="2021-03-01")
    assert failed == dict.fromkeys(("range", "no_longer_run"), error)
