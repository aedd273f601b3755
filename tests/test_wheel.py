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

END = "-- end --"
SCRIPT = f"""
import sys
from flows.cli import main
for words in sys.argv[1:]:
    sys.argv = ["forecasting", *words.split()]
    try:
        main()
    except SystemExit as left:
        assert not left.code, words
    print("{END}")
import migrations
print(migrations.__file__)
"""
"""Runs commands one after another in one process, which imports everything once, and prints where from."""


@pytest.mark.slow
def test_the_wheel_migrates_a_database_and_explains_itself_in_an_empty_folder(tmp_path: Path) -> None:
    source = tmp_path / "source"
    tracked = ["pyproject.toml", "README.md", "LICENSE", "forecasting", "flows", "migrations"]
    source.mkdir()
    for name in tracked:
        subprocess.run(["cp", "-r", str(ROOT / name), str(source)], check=True)
    built = tmp_path / "built"
    # Without an environment of its own, whose packages would come from the network.
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(built), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(unpacked)
    names = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    assert {"migrations/env.py", "migrations/script.py.mako", "flows/nightly.py", "forecasting/py.typed"} <= names
    assert f"forecasting-{__version__}.dist-info/METADATA" in names
    shipped = {"report/templates/page.html", "ingest/sbux_earnings.csv", "ingest/filed_earnings.txt.gz"}
    assert {f"forecasting/{name}" for name in shipped} <= names
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(unpacked), "PYTHONSAFEPATH": "1"}
    says = {"db upgrade": "at revision", "db current": "newest", "--help": "Usage", "--version": __version__}
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, *says], cwd=empty, env=environment, capture_output=True, text=True, check=True
    )
    *printed, imported_from = found.stdout.split(END)
    assert [text for text, part in zip(printed, says.values(), strict=True) if part not in text] == []
    assert (empty / "forecasting-data" / "forecasting.db").exists()
    assert imported_from.strip().startswith(str(unpacked))
