"""The built wheel carries all that a night needs: migrations, flows, templates, data."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from forecasting import __version__

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_the_wheel_migrates_a_database_and_explains_itself_in_an_empty_folder(tmp_path: Path) -> None:
    source = tmp_path / "source"
    tracked = ["pyproject.toml", "README.md", "LICENSE", "forecasting", "flows", "migrations"]
    source.mkdir()
    for name in tracked:
        subprocess.run(["cp", "-r", str(ROOT / name), str(source)], check=True)
    built = tmp_path / "built"
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(built), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(unpacked)
    names = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    assert {"migrations/env.py", "migrations/script.py.mako", "flows/nightly.py", "forecasting/py.typed"} <= names
    assert f"forecasting-{__version__}.dist-info/METADATA" in names
    assert {"forecasting/report/templates/page.html", "forecasting/ingest/sbux_earnings.csv"} <= names
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(unpacked), "PYTHONSAFEPATH": "1"}
    script = "import flows, pathlib, sys; sys.argv[0] = 'forecasting'; from flows.cli import main; main()"
    for words, says in (
        (["db", "upgrade"], "at revision"),
        (["db", "current"], "newest"),
        (["--help"], "Usage"),
        (["--version"], __version__),
    ):
        found = subprocess.run(
            [sys.executable, "-c", script, *words],
            cwd=empty,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert says in found.stdout
    assert (empty / "forecasting-data" / "forecasting.db").exists()
    where = [sys.executable, "-c", "import migrations; print(migrations.__file__)"]
    located = subprocess.run(where, cwd=empty, env=environment, capture_output=True, text=True, check=True)
    assert located.stdout.strip().startswith(str(unpacked))
