"""What a night's row says at each step, and what is done about nights whose process ended before
they did."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from pydantic import SecretStr

from forecasting.errors import HistoryError
from forecasting.night import run_log
from forecasting.night.folders import runs_folder, write_whole
from forecasting.night.night import make_night
from forecasting.settings import Settings, read_settings
from forecasting.store import connect, migrate, read, write
from tests.builders import LAST
from tests.nights import rows
from tests.store.rows import SYMBOL, at, forecast_row, model_row, run_row, start

NOW = datetime(2024, 3, 9, 10, 30, tzinfo=UTC)


@pytest.fixture
def night(database_url, tmp_path):
    settings = Settings(data_dir=tmp_path, database_url=SecretStr(database_url))
    return make_night("SBUX", LAST, settings, now=lambda: NOW)


def opened(night, **notes):
    with connect.transaction(night.settings.url) as connection:
        run_log.open_run(connection, night, started_at=NOW, notes=notes)


def row(night):
    with connect.reading(night.settings.url) as connection:
        return read.row(connection, "runs", {"id": night.id}) or {}


def test_a_night_that_is_done_is_not_marked_as_stopped(night):
    opened(night)
    with connect.transaction(night.settings.url) as connection:
        write.update(connection, "runs", night.id, {"status": "done"})
    run_log.mark_stopped(replace(night, error=HistoryError("a worker was lost")))
    assert (row(night)["status"], row(night)["error"]) == ("done", None)


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


def test_half_written_weights_and_windows_are_deleted_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path))
    migrate.upgrade(read_settings().url)
    own = runs_folder(read_settings()).relative_to(tmp_path)
    weights = "artifacts/.0123456789ab-x1y2"
    left = [
        f"{weights}/weights.safetensors",
        f"{weights}.old/model.json",
        f"{own}/0123456789ab/windows.npz",
    ]
    kept = [
        "artifacts/0123456789ab/weights.safetensors",
        "artifacts/.git/config",
        "artifacts/.0123456789ab-mine/notes.txt",
        f"{own}/mine/notes.txt",
        # Of another ledger, whose night may be using it
        "runs/0123456789ab/0123456789ab/windows.npz",
    ]
    for name in (*left, *kept):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x", encoding="utf-8")
    (tmp_path / own / "linked").symlink_to(tmp_path / "artifacts")
    run_log.delete_leftovers(read_settings())
    assert {
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*/*") if path.is_file()
    } == set(kept)


@pytest.mark.parametrize(
    ("origin", "spared"), [("2024-03-07", ["m1"]), ("2024-03-05", ["m1", "m0"])]
)
def test_weights_that_a_row_of_the_last_nights_came_from_are_kept(database_url, origin, spared):
    settings = Settings().model_copy(update={"keep_artifacts": 2})
    with connect.transaction(database_url) as connection:
        start(connection, origins=(origin, "2024-03-06", "2024-03-08"), models=())
        for place in range(5):
            fitted = at(f"2024-03-0{place + 1}T22:00")
            write.add(
                connection,
                "models",
                model_row(f"m{place}", created_at=fitted, artifact_path=f"artifacts/m{place}"),
            )
        said = [("m0", origin), ("m2", "2024-03-06"), ("m2", "2024-03-08")]
        write.add(
            connection, "forecasts", *[forecast_row(model, session) for model, session in said]
        )
        night = make_night(SYMBOL, date(2024, 3, 8), settings, now=lambda: at("2024-03-09T10:30"))
        assert run_log.prunable_weights(connection, night) == spared


def test_a_file_is_written_whole_through_a_link_or_left_as_it_was(tmp_path):
    (tmp_path / "folder").mkdir()
    real = tmp_path / "folder" / "real.csv"
    link = tmp_path / "link.csv"
    link.symlink_to(real)
    write_whole(link, lambda draft: draft.write_text("one"))
    assert (real.read_text(), link.is_symlink()) == ("one", True)

    def half(draft):
        draft.write_text("half")
        raise OSError

    with pytest.raises(OSError):
        write_whole(link, half)
    assert real.read_text() == "one"
    assert [path.name for path in real.parent.iterdir()] == ["real.csv"]
