"""The night's own row in `runs`: opened with the first write, timed stage by stage, noted, closed at the end."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from forecasting.errors import DataLateError, ForecastingError, StoreError
from forecasting.option_values import source_name
from forecasting.pipeline.code_version import code_version
from forecasting.pipeline.night_run import NightRun
from forecasting.pipeline.pruning import delete_pruned_files, delete_run_folders, prunable_weights
from forecasting.pipeline.retry import with_later_bar, without_missing_bar, without_waiting
from forecasting.plain_text import plain_text
from forecasting.store import database, read, writes
from forecasting.store.database import Connection
from forecasting.vocabulary import RunStatus

logger = logging.getLogger("forecasting.night")

NO_MODEL = "No model was fitted: "
"""How the part of a run's note begins that has the reason of a fit that the numbers did not allow."""


def open_run(connection: Connection, run: NightRun, *, started_at: datetime, note: str = "") -> None:
    """Add the night's row unless it is there; a night that is run again keeps its first start and its note.

    That it waits for its bar is no longer noted.

    Args:
        connection: In the caller's transaction.
        run: The night.
        started_at: When it began, for a new row.
        note: Put beside what is noted already, once.
    """
    row = {
        "id": run.id,
        "as_of": run.spec.session,
        "symbol": run.spec.symbol,
        "target": run.spec.target,
        "source": source_name(run.spec.source),
        "trigger": run.spec.trigger,
        "status": "running",
        "started_at": started_at,
        "flow_run_id": run.flow_run_id,
        "code_version": code_version(),
        "settings_hash": run.settings.hash,
        "settings": json.dumps(
            run.settings.forecast_fields() | {"events": source_name(run.spec.events or "")}, sort_keys=True
        ),
        "note": note,
    }
    if writes.start_run(connection, row):
        return
    stored = read.run(connection, run.id) or {}
    changes: dict[str, object] = {}
    if stored["status"] in ("late", "failed"):
        changes |= {"status": "running", "error": None}
    kept = without_waiting(stored["note"])
    noted = kept if note in kept else f"{kept} {note}".strip()
    if noted != stored["note"]:
        changes["note"] = noted
    if changes:
        writes.update_run(connection, run.id, changes)


def mark_waiting(run: NightRun, note: str, *, status: RunStatus = "late") -> None:
    """Say in the night's row that its bar is not there, and why; its earlier notes are replaced."""
    with database.transaction(run.settings.url) as connection:
        open_run(connection, run, started_at=run.now())
        error = {"error": note} if status == "failed" else {}
        writes.update_run(connection, run.id, {"status": status, "note": note, **error})


def mark_late(run: NightRun, note: str) -> None:
    """Say in the night's row that its bar did not come, before what was noted when its older bars were stored."""
    with database.transaction(run.settings.url) as connection:
        open_run(connection, run, started_at=run.now())
        kept = without_missing_bar(_noted(connection, run))
        writes.update_run(connection, run.id, {"status": "late", "note": f"{note} {kept}".strip()})


def note_bar(connection: Connection, run: NightRun) -> None:
    """Say in the night's row, where its bar had not come, that it has."""
    noted = _noted(connection, run)
    if (note := with_later_bar(noted, run.spec.session)) != noted:
        writes.update_run(connection, run.id, {"note": note})


def note_wait(run: NightRun, note: str) -> None:
    """Say in the night's row that it has waited for its bar, before what was noted when that was stored."""
    with database.transaction(run.settings.url) as connection:
        kept = without_waiting(_noted(connection, run))
        if note not in kept:
            writes.update_run(connection, run.id, {"note": f"{note} {kept}".strip()})


def mark_failed(run: NightRun, error: Exception) -> None:
    """Say in the night's row that it failed, and why; not on one that another run completed after the lock was lost."""
    ours = isinstance(error, ForecastingError)
    _stop(run, "failed", str(error) if ours else plain_text(f"{type(error).__name__}: {error}"))


def mark_stopped(run: NightRun, error: Exception) -> bool:
    """Say in the row of a night that cannot begin or go on why: `late`, else `failed`; False on one that is done."""
    return _stop(run, stopped_status(error), str(error))


def stopped_status(error: Exception) -> RunStatus:
    """The status of a night that an error stopped: `late` where its bar may still come, else `failed`."""
    return "late" if isinstance(error, DataLateError) else "failed"


def note_failure(run: NightRun, error: ForecastingError) -> bool:
    """As `mark_stopped`; where the row cannot be written, a warning, which hides neither the error nor other nights."""
    try:
        return mark_stopped(run, error)
    except StoreError as unwritten:
        logger.warning("%s %s: its row in runs lacks its error: %s", run.spec.symbol, run.spec.session, unwritten)
        return True


@contextmanager
def timed(runs: Sequence[NightRun], stage: str) -> Iterator[None]:
    """Time the block and keep its seconds in the nights' rows, each its share of them."""
    started = time.perf_counter()
    yield
    seconds = round((time.perf_counter() - started) / len(runs), 3)
    with database.transaction(runs[0].settings.url) as connection:
        for run in runs:
            writes.update_run(connection, run.id, {f"seconds_{stage}": seconds})


def close_nights(runs: Sequence[NightRun]) -> None:
    """Mark nights done and prune weights in one transaction, then delete files; a second time it changes nothing."""
    with database.transaction(runs[0].settings.url) as connection:
        for run in runs:
            for model_id in prunable_weights(connection, run):
                writes.clear_artifact_path(connection, model_id)
            # The error is of an attempt before this one.
            done = {"status": "done", "finished_at": run.now(), "error": None}
            writes.update_run(connection, run.id, done)
    delete_run_folders(runs[0].settings)
    delete_pruned_files(runs)


def _noted(connection: Connection, run: NightRun) -> str:
    return str((read.run(connection, run.id) or {})["note"])


def _stop(run: NightRun, status: RunStatus, reason: str) -> bool:
    """Write how the night stopped into its row, unless it is done; whether it was written."""
    with database.transaction(run.settings.url) as connection:
        open_run(connection, run, started_at=run.now())
        if (read.run(connection, run.id) or {})["status"] == "done":
            return False
        writes.update_run(connection, run.id, {"status": status, "error": reason})
        return True
