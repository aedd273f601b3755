"""Rows that somebody else wrote into the database.

No id and no path of theirs decides what is read or deleted.
"""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from forecasting.errors import ArtifactError
from forecasting.night.folders import runs_folder
from forecasting.night.models import load_model, weights_state
from forecasting.night.night import make_night
from forecasting.night.run_log import delete_files_of
from forecasting.settings import read_settings
from forecasting.store import connect, write
from tests.builders import LAST
from tests.store.rows import model_row

AT = datetime(2024, 3, 9, 12, tzinfo=UTC)
PATHS = [
    "..",
    "artifacts/..",
    "/etc",
    "../outside",
    "artifacts/../../outside",
    "artifacts",
    "artifacts/a/b",
    "\0",
]


@pytest.fixture
def ledger(tmp_path, sqlite_url, monkeypatch):
    """A data folder with files of the operator's beside a folder of weights.

    The database is a file elsewhere.
    """
    for name, value in {
        "DATA_DIR": tmp_path / "data",
        "DATABASE_URL": sqlite_url,
        "SYMBOLS": "SBUX",
    }.items():
        monkeypatch.setenv(f"FORECASTING_{name}", str(value))
    for path in (
        "data/artifacts/pruned/weights.safetensors",
        "data/artifacts/notes.txt",
        "data/notes.txt",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("kept", encoding="utf-8")
    return tmp_path / "data"


def a_night():
    return replace(make_night("SBUX", LAST, read_settings(), now=lambda: AT), is_done=True)


def files(folder):
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def test_a_pruned_model_deletes_the_files_that_it_has_written_alone(ledger):
    (ledger / "artifacts/pruned/thesis.tex").write_text("kept", encoding="utf-8")
    pruned = {"artifact_path": None, "artifact_hash": "a" * 64, "created_at": AT}
    with connect.transaction(read_settings().url) as connection:
        for model_id in ("pruned", "..", ".", "", "../data", "pruned/..", "/"):
            write.add(connection, "models", model_row(model_id, **pruned))
    delete_files_of([a_night()])
    assert files(ledger) == ["artifacts/notes.txt", "artifacts/pruned/thesis.tex", "notes.txt"]


def test_an_artifact_path_reads_nothing_outside_the_artifacts(ledger):
    for path in PATHS:
        row = model_row("one", artifact_path=path, artifact_hash="a" * 64)
        with pytest.raises(ArtifactError, match="Nothing was read"):
            load_model(row, read_settings())
        assert weights_state(row, read_settings()) == "damaged", path


def test_a_link_among_the_artifacts_is_not_followed(ledger):
    (ledger / "artifacts/linked").symlink_to("/etc")
    (ledger / "artifacts/pruned/model.json").symlink_to("/etc/hostname")
    for name in ("linked", "pruned"):
        row = model_row("one", artifact_path=f"artifacts/{name}", artifact_hash="a" * 64)
        with pytest.raises(ArtifactError, match="found a symbolic link"):
            load_model(row, read_settings())


def test_a_finished_run_deletes_the_windows_alone(ledger):
    folder = runs_folder(read_settings())
    nights = [replace(a_night(), stored_id=name) for name in ("kept", "done", "linked")]
    for path in ("kept/windows.npz", "kept/notes.txt", "done/windows.npz"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("x", encoding="utf-8")
    (folder / "linked").symlink_to(ledger / "artifacts")
    delete_files_of(nights)
    assert files(folder) == ["kept/notes.txt"]
    assert (ledger / "artifacts/pruned/weights.safetensors").exists()
