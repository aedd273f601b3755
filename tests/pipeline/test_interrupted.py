"""Nights whose process ended before they did."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from flows import nightly
from forecasting.pipeline.folders import runs_folder
from forecasting.pipeline.night import make_night
from forecasting.pipeline.run_log import CUT_OFF, delete_leftovers, mark_cut_off, prunable_weights
from forecasting.sessions import between
from forecasting.settings import Settings, read_settings
from forecasting.store import connect, migrate, write
from forecasting.store.connect import transaction
from tests.nights import killed_before, rows
from tests.store.rows import SYMBOL, TARGET, at, forecast_row, model_row, run_row, start

NIGHTS = between(date(2024, 2, 1), date(2024, 3, 8))


def test_every_night_left_running_is_marked_failed_however_old_and_whatever_its_symbol_and_target(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORECASTING_DATABASE_URL", database_url)
    monkeypatch.setenv("FORECASTING_SYMBOLS", "SBUX,AAPL")
    left = {"oldest": {}, "newest": {}, "close": {"target": "close"}, "no_longer_run": {"symbol": "MSFT"}}
    with connect.transaction(database_url) as connection:
        for place, night in enumerate(NIGHTS):
            write.add(connection, "runs", run_row(f"run{place}", str(night), status="done"))
        write.add(connection, "runs", run_row("late", str(NIGHTS[3]), status="late", symbol="AAPL"))
        for name, given in left.items():
            as_of = NIGHTS[-1] if name == "newest" else date(2021, 3, 1)
            write.add(connection, "runs", run_row(name, str(as_of), status="running", **given))
    mark_cut_off(read_settings())
    failed = {row["id"]: row["error"] for row in rows("runs") if row["status"] == "failed"}
    assert failed == dict.fromkeys(left, CUT_OFF)


def test_half_written_weights_and_windows_are_deleted_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path))
    migrate.upgrade(read_settings().url)
    own = runs_folder(read_settings()).relative_to(tmp_path)
    left = [
        "artifacts/.0123456789ab-x1y2/weights.safetensors",
        "artifacts/.0123456789ab-x1y2.old/model.json",
        f"{own}/0123456789ab/windows.npz",
    ]
    kept = [
        "artifacts/0123456789ab/weights.safetensors",
        "artifacts/.git/config",
        "artifacts/.0123456789ab-mine/notes.txt",
        f"{own}/mine/notes.txt",
        "runs/0123456789ab/0123456789ab/windows.npz",  # of another ledger, whose night may be using it
    ]
    for name in (*left, *kept):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x", encoding="utf-8")
    (tmp_path / own / "linked").symlink_to(tmp_path / "artifacts")
    delete_leftovers(read_settings())
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*/*") if path.is_file()}
    assert files == set(kept)


def test_weights_whose_row_was_never_written_are_deleted_though_the_night_then_fits_by_another_method(
    night_folder: Path, plain_flows: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    nightly.nightly(as_of=NIGHTS[-2])
    with monkeypatch.context() as patch:
        patch.setattr(write, "add", killed_before("models"))
        with pytest.raises(KeyboardInterrupt):
            nightly.nightly(as_of=NIGHTS[-1], mode="warm")
    folder = read_settings().data_dir / "artifacts"
    with_row = {row["id"] for row in rows("models") if row["artifact_path"]}
    (left,) = {path.name for path in folder.iterdir()} - with_row
    nightly.nightly(as_of=NIGHTS[-1], mode="scratch")
    assert {path.name for path in folder.iterdir()} == {row["id"] for row in rows("models") if row["artifact_path"]}
    assert not (folder / left).exists()


@pytest.mark.parametrize(("origin", "spared"), [("2024-03-07", []), ("2024-03-05", ["m0"])])
def test_weights_that_a_row_of_the_last_nights_came_from_are_kept(
    database_url: str, origin: str, spared: list[str]
) -> None:
    settings = Settings().model_copy(update={"keep_artifacts": 2})
    with transaction(database_url) as connection:
        start(connection, origins=(origin, "2024-03-06", "2024-03-08"), models=())
        for place in range(5):
            fitted = at(f"2024-03-0{place + 1}T22:00")
            write.add(
                connection, "models", model_row(f"m{place}", created_at=fitted, artifact_path=f"artifacts/m{place}")
            )
        for place in range(3):  # m2 is champion, m1 was before it
            promotion = {"symbol": SYMBOL, "target": TARGET, "session": date(2024, 3, 1 + place), "origins": 0}
            promotion |= {"id": f"p{place}", "challenger": f"m{place}", "winner": f"m{place}", "trigger": "night"}
            write.add(
                connection, "promotions", promotion | {"reason": "", "decided_at": at(f"2024-03-0{place + 1}T22:00")}
            )
        said = [("m0", origin), ("m2", "2024-03-06"), ("m2", "2024-03-08")]
        write.add_forecasts(connection, [forecast_row(model, session) for model, session in said])
        assert (
            prunable_weights(
                connection, make_night(SYMBOL, date(2024, 3, 8), settings, now=lambda: at("2024-03-09T10:30"))
            )
            == spared
        )
