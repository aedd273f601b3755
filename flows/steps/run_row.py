"""The night's own row in `runs`: opened with the first write, timed stage by stage, closed at the end."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from flows import clock
from flows.night import Night
from flows.progress import show_stage
from forecasting.settings import Settings
from forecasting.store import database, reads, writes
from forecasting.store.database import Connection


def open_run(connection: Connection, night: Night, settings: Settings, *, flow_run_id: str | None = None) -> None:
    """Add the night's row unless it is there; a night that is run again keeps its first start and its note."""
    run_id = night.run_id(settings)
    added = writes.start_run(
        connection,
        {
            "id": run_id,
            "as_of": night.session,
            "symbol": night.symbol,
            "target": night.target,
            "source": night.source,
            "trigger": night.trigger,
            "status": "running",
            "started_at": clock.now(),
            "flow_run_id": flow_run_id,
            "code_version": code_version(),
            "settings_hash": settings.hash,
            "settings": json.dumps(settings.shaping(), sort_keys=True),
        },
    )
    if not added and (reads.run(connection, run_id) or {})["status"] in ("late", "failed"):
        writes.update_run(connection, run_id, {"status": "running", "error": None})


def mark_waiting(
    night: Night, settings: Settings, note: str, *, flow_run_id: str | None = None, status: str = "late"
) -> None:
    """Say in the night's row that its bar is not there, and what a reader must know."""
    with database.transaction(settings.url) as connection:
        open_run(connection, night, settings, flow_run_id=flow_run_id)
        error = {"error": note} if status == "failed" else {}
        writes.update_run(connection, night.run_id(settings), {"status": status, "note": note, **error})


def note_run(night: Night, settings: Settings, note: str) -> None:
    """Put what a reader of the night must know into its row."""
    with database.transaction(settings.url) as connection:
        writes.update_run(connection, night.run_id(settings), {"note": note})


@contextmanager
def stage(night: Night, settings: Settings, name: str) -> Iterator[None]:
    """Time the block and keep its seconds in the night's row; show it where somebody waits."""
    show_stage(night, name)
    started = time.perf_counter()
    yield
    seconds = round(time.perf_counter() - started, 3)
    with database.transaction(settings.url) as connection:
        writes.update_run(connection, night.run_id(settings), {f"seconds_{name}": seconds})


@lru_cache(maxsize=1)
def code_version() -> str:
    """The package's version, with the commit when it runs from a checkout: `0.1.0+3f9c2ab`."""
    installed = version("forecasting")
    root = Path(__file__).resolve().parents[2]
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return installed
    # A service's user reads a checkout that is root's, which git refuses unless it is told that the folder is meant.
    command = [git, "-c", f"safe.directory={root}", "-C", str(root), "rev-parse", "--short=7", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell, our own folder
    return f"{installed}+{found.stdout.strip()}" if found.returncode == 0 else installed
