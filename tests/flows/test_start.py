"""Whether a run goes through Prefect, and that it needs none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows import server, start
from forecasting.pipeline.folders import SERVED
from forecasting.settings import read_settings
from tests.builders import LAST
from tests.flows import processes
from tests.nights import rows

IMPORTED = """
import sys
from flows import cli
try:
    cli.main()
finally:
    print([name for name in ("prefect", "torch") if name in sys.modules])
"""


def imported(*words: str) -> str:
    """Which of two large packages a command has imported."""
    command = [sys.executable, "-W", "ignore", "-c", IMPORTED, *words]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=processes.ROOT, env=dict(os.environ))
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()[-1]


def test_a_night_and_a_catch_up_without_a_server_import_no_prefect(
    night_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "no-prefect"))
    assert imported("run", "--as-of", str(LAST)) == "['torch']"
    assert imported("catch-up", "--from", str(LAST), "--to", str(LAST)) == "[]"  # it is done
    (run,) = rows("runs")
    assert (run["status"], run["trigger"], run["flow_run_id"]) == ("done", "run", None)


@pytest.mark.parametrize("named", ["variable", "profiles.toml", ".env", "prefect.toml", SERVED, ""])
def test_prefect_is_asked_for_a_server_only_where_one_may_be_named(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PREFECT_HOME": tmp_path, "FORECASTING_DATA_DIR": tmp_path}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "prefect")
    monkeypatch.setattr(server, "has_server", lambda: True)
    if named == "variable":
        monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    elif named:
        (tmp_path / named).touch()
    assert start.has_server(read_settings()) is bool(named)
