from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import clock, server
from flows.start import all_checks as doctor
from forecasting import sessions
from forecasting.errors import ForecastingError
from forecasting.pipeline import health


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that does not exist, two symbols of two exchanges, and a fixed clock."""
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("FORECASTING_SYMBOLS", "SBUX,VOD.L")
    monkeypatch.setattr(clock, "now", lambda: datetime(2024, 2, 20, 6, 30, tzinfo=UTC))
    monkeypatch.setattr(server, "check_server", lambda: "http://127.0.0.1:4200/api")
    return tmp_path


def found() -> dict[str, tuple[str, str]]:
    """State and finding of each check."""
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        return {row["check"]: (row["state"], row["found"]) for row in doctor()}


def test_a_missing_database_is_wrong_and_the_other_checks_still_run(folder: Path) -> None:
    checks = found()
    assert list(checks) == ["database", "sessions", "source", "disk", "prefect"]
    assert checks["database"][0] == "wrong"
    assert "forecasting db upgrade" in checks["database"][1]
    assert {state for name, (state, _) in checks.items() if name != "database"} == {"ok"}
    assert not (folder / "data").exists()


def test_a_disk_that_is_almost_full_is_wrong(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LEAST_FREE", 2**70)
    state, said = found()["disk"]
    assert state == "wrong"
    assert said.startswith(f"Expected {2**40} GiB or more free at {folder / 'data'}; found ")


@pytest.mark.parametrize("name", ["artifacts", "weights", "reports"])
def test_a_folder_that_cannot_be_written_is_wrong(folder: Path, name: str) -> None:
    (folder / "data").mkdir()
    (folder / "data" / name).touch()  # in place of a folder: root may write to any
    state, said = found()["disk"]
    assert state == "wrong"
    assert str(folder / "data" / name) in said


def test_each_exchange_has_its_newest_completed_session() -> None:
    assert found()["sessions"] == ("ok", "newest completed: 2024-02-16 of XNYS, 2024-02-19 of XLON")


def test_a_calendar_that_ends_soon_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SOON", len(sessions.calendar("XLON").sessions))
    _, told = found()["sessions"]
    assert told.startswith(
        "newest completed: 2024-02-16 of XNYS, 2024-02-19 of XLON. The calendar of XNYS in exchange_"
    )
    assert told.count("ends on") == 2


def test_a_configured_server_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found()["prefect"] == ("ok", "no server configured: `run` and `catch-up` need none, `serve` starts its own")
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        assert doctor()[-1]["found"] == "server http://127.0.0.1:4200/api responds"

        def unresponsive() -> str:
            raise ForecastingError("The Prefect server does not respond.")

        monkeypatch.setattr(server, "check_server", unresponsive)
        assert doctor()[-1] == {"check": "prefect", "state": "wrong", "found": "The Prefect server does not respond."}
