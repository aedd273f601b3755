"""The night's own row in `runs`, opened with the first write, noted by kind, closed at the end; the code's version."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
from dataclasses import replace
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from forecasting import __version__
from forecasting.errors import BadDataError, DataLateError, ForecastingError, StoreError, UsageError
from forecasting.pipeline.interrupted import prunable_weights
from forecasting.pipeline.night import Night
from forecasting.settings import Settings
from forecasting.store import connect, read, write
from forecasting.store.connect import Connection
from forecasting.values import source_name
from forecasting.vocabulary import RunStatus


@lru_cache(maxsize=1)
def code_version() -> str:
    """The package's version, with the commit when it runs from a checkout: `0.2.0+3f9c2ab`."""
    root = Path(__file__).resolve().parents[2]
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return __version__
    # A service's user reads a checkout that is root's, which git refuses unless the folder is declared safe.
    command = [git, "-c", f"safe.directory={root}", "-C", str(root), "rev-parse", "--short=7", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell, our own folder
    return f"{__version__}+{found.stdout.strip()}" if found.returncode == 0 else __version__


logger = logging.getLogger("forecasting.night")

KINDS = (
    "earlier",  # of a release that kept one text
    "waiting",
    "no_bar",
    "waited",
    "clock",
    "assessment",
    "calendar_end",
    "second_source",
    "market",
    "no_model",
    "refused",
    "issued_before",
)
"""What a night may note, in the order of column note; each is a sentence, of `no_bar` its values."""


def open_run(
    connection: Connection, night: Night, *, started_at: datetime, notes: dict[str, Any] | None = None
) -> None:
    """Add the night's row unless it is there; one that is run again keeps its first start and what it noted before."""
    settings = night.settings.forecast_fields() | {"events": source_name(night.settings.events or "")}
    row = {
        "id": night.id,
        "as_of": night.session,
        "symbol": night.symbol,
        "target": night.target,
        "source": source_name(night.source),
        "trigger": night.trigger,
        "status": "running",
        "started_at": started_at,
        "flow_run_id": night.flow_run_id,
        "code_version": code_version(),
        "settings_hash": night.settings.hash,
        "settings": json.dumps(settings, sort_keys=True),
    }
    if not write.add(connection, "runs", row):
        stored = _row(connection, night)
        if stored["status"] in ("late", "failed"):
            write.update_run(connection, night.id, {"status": "running", "error": None})
    add_notes(connection, night, {"waiting": "", **(notes or {})})


def add_notes(connection: Connection, night: Night, notes: dict[str, Any]) -> None:
    """Note, by kind, what the night's row should say; an empty text takes the note of that kind away."""
    stored = notes_of(_row(connection, night))
    kept = {kind: value for kind, value in {**stored, **notes}.items() if value}
    if kept != stored:
        write.update_run(connection, night.id, {"notes": json.dumps(kept) if kept else "", "note": _words(kept)})


def notes_of(row: dict[str, Any]) -> dict[str, Any]:
    """The notes of a row of table runs, by kind."""
    if not row["notes"]:
        return {"earlier": row["note"]} if row["note"] else {}
    notes: dict[str, Any] = json.loads(row["notes"])
    return notes


def _words(notes: dict[str, Any]) -> str:
    """The text of column note."""
    return " ".join(_no_bar(value) if kind == "no_bar" else value for kind in KINDS if (value := notes.get(kind)))


def _no_bar(value: dict[str, Any]) -> str:
    """Why a night's bar was not there, and what became of it: it came, or the night continued with older bars."""
    if value["came"]:
        return f"{value['why']}; its bar came later."
    return f"{value['why']}; the night continued with the bars up to {value['newest']}."


def mark_waiting(night: Night, why: str, *, status: RunStatus = "late") -> None:
    """Say in the night's row that its bar is not there, and why; of its earlier notes none stays."""
    with connect.transaction(night.settings.url) as connection:
        open_run(connection, night, started_at=night.now(), notes=dict.fromkeys(KINDS, "") | {"waiting": why})
        error = {"error": why} if status == "failed" else {}
        write.update_run(connection, night.id, {"status": status, **error})


def mark_without_bar(night: Night, why: str, newest: date, *, error: ForecastingError) -> str:
    """The sentence in the row of a night whose bar did not come: the run goes on with those up to `newest`."""
    value = {"why": why, "newest": str(newest), "came": False}
    is_late = isinstance(error, DataLateError)
    with connect.transaction(night.settings.url) as connection:
        others = {} if is_late else dict.fromkeys(KINDS, "")
        open_run(connection, night, started_at=night.now(), notes=others | {"no_bar": value})
        failed = {"status": "late"} if is_late else {"status": "failed", "error": _no_bar(value)}
        write.update_run(connection, night.id, failed)
    return _no_bar(value)


def note_bar(connection: Connection, night: Night) -> None:
    """Say in the night's row, where its bar had not come, that it has.

    Without a response a night may have continued with the bar of its own session, stored before: that stays.
    """
    value = notes_of(_row(connection, night)).get("no_bar")
    if value and value["newest"] != str(night.session):
        add_notes(connection, night, {"no_bar": {**value, "came": True}})


def mark_stopped(night: Night, error: ForecastingError) -> bool:
    """Say in the row of a night what stopped it: `late` where its bar may still come, else `failed`.

    False on one that is done: another run completed it, after the lock or a worker was lost. Where the row cannot be
    written, there is a warning, which hides neither the error nor other nights.
    """
    try:
        with connect.transaction(night.settings.url) as connection:
            open_run(connection, night, started_at=night.now())
            if _row(connection, night)["status"] == "done":
                return False
            values = {"status": stopped_status(error), "error": str(error)}
            write.update_run(connection, night.id, values | _seconds(night))
    except StoreError as unwritten:
        logger.warning("%s %s: its row in runs lacks its error: %s", night.symbol, night.session, unwritten)
    return True


def is_refusal(settings: Settings, symbol: str, error: Exception) -> bool:
    """Whether an error refuses the command of a person, which leaves no trace: a wrong option, or a misspelt symbol."""
    if not isinstance(error, BadDataError):
        return isinstance(error, UsageError)
    with connect.reading(settings.url) as connection:
        return read.newest_fetch(connection, symbol) is None


def stopped_status(error: Exception) -> RunStatus:
    """The status of a night that an error stopped: `late` where its bar may still come, else `failed`."""
    return "late" if isinstance(error, DataLateError) else "failed"


def close(night: Night) -> Night:
    """The night, marked done, and its symbol's old weights without a path."""
    with connect.transaction(night.settings.url) as connection:
        for model_id in prunable_weights(connection, night):
            write.clear_artifact_path(connection, model_id)
        # The error is of an attempt before this one.
        done = {"status": "done", "finished_at": night.now(), "error": None}
        write.update_run(connection, night.id, done | _seconds(night))
    return replace(night, is_done=True)


def _seconds(night: Night) -> dict[str, float]:
    return {f"seconds_{step}": seconds for step, seconds in night.seconds.items()}


def _row(connection: Connection, night: Night) -> dict[str, Any]:
    return read.row(connection, "runs", {"id": night.id}) or {}
