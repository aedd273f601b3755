"""A night's own row in `runs`, from its first write to its end, and those of killed nights."""

import json
import logging
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from forecasting import __version__
from forecasting.errors import BadDataError, DataLateError, NoBarError, StoreError, UsageError
from forecasting.night.night import Night
from forecasting.settings import Settings
from forecasting.store import connect, read, write
from forecasting.store.rows import RunRow
from forecasting.values import source_name
from forecasting.vocabulary import RunStatus

logger = logging.getLogger("forecasting.night")

NOTES = ("calendar_end", "market", "no_model", "refused", "issued_before", "rivals")
"""What a night may note, in the order of column note; each is a sentence."""

CUT_OFF = (
    "The night was cut off before its end: its process was stopped or killed, or the machine. What "
    "it had written is "
    "complete; `forecasting run --as-of {as_of}` completes the night."
)


@lru_cache(maxsize=1)
def code_version() -> str:
    """The package's version, with the commit when it runs from a checkout: `0.2.0+3f9c2ab`."""
    root = Path(__file__).resolve().parents[2]
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return __version__
    # A service's user reads a checkout that is root's, which git refuses unless the folder is
    # declared safe.
    command = [
        git,
        "-c",
        f"safe.directory={root}",
        "-C",
        str(root),
        "rev-parse",
        "--short=7",
        "HEAD",
    ]
    found = subprocess.run(  # noqa: S603 - no shell, our own folder
        command, capture_output=True, text=True, check=False
    )
    return f"{__version__}+{found.stdout.strip()}" if found.returncode == 0 else __version__


def open_run(
    connection: connect.Connection,
    night: Night,
    *,
    started_at: datetime,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Add the night's row; one that is run again keeps its first start and what it noted before."""
    events = source_name(night.settings.events or "")
    settings = night.settings.forecast_fields() | {"events": events}
    row = RunRow(
        id=night.id,
        as_of=night.session,
        symbol=night.symbol,
        target=night.target,
        status="running",
        started_at=started_at,
        source=source_name(night.source),
        trigger=night.trigger,
        flow_run_id=night.flow_run_id,
        code_version=code_version(),
        settings=json.dumps(settings, sort_keys=True),
    )
    added = write.add(connection, "runs", row)
    if not added and _status(connection, night) in ("late", "failed"):
        write.update(connection, "runs", night.id, {"status": "running", "error": None})
    add_notes(connection, night.id, notes or {})


def add_notes(connection: connect.Connection, run_id: str, notes: Mapping[str, str]) -> None:
    """Note, by kind, what a night's row should say; an empty text takes the note of a kind away."""
    run = read.stored(connection, RunRow, {"id": run_id})
    stored = {} if run is None else notes_of(run.notes)
    # A kind that the vocabulary of notes lacks has no place in the sentence.
    kept = {kind: text for kind, text in {**stored, **notes}.items() if text and kind in NOTES}
    if kept != stored:
        words = " ".join(kept[kind] for kind in NOTES if kind in kept)
        noted = {"notes": json.dumps(kept) if kept else "", "note": words}
        write.update(connection, "runs", run_id, noted)


def notes_of(text: str) -> dict[str, str]:
    """The notes of a night by kind, from column notes of table runs."""
    return json.loads(text or "{}")


def mark_stopped(night: Night) -> None:
    """Say in the row of a night what stopped it, unless that refuses the command of a person.

    Where it cannot be written, a warning hides neither it nor others.
    """
    stopped = {"status": stopped_status(night.error), "error": str(night.error)}
    is_refused = is_refusal(night.settings, night.symbol, night.error)
    try:
        with connect.transaction(night.url) as connection:
            status = _status(connection, night)
            if night.trigger != "schedule" and not status and is_refused:
                return
            open_run(connection, night, started_at=night.now())
            # Another run may have ended it meanwhile
            if status not in ("done", "closed"):
                write.update(connection, "runs", night.id, stopped | _seconds(night))
    except StoreError as unwritten:
        logger.warning(
            "%s %s: its row in runs lacks its error: %s", night.series, night.session, unwritten
        )


def is_refusal(settings: Settings, symbol: str, error: Exception | None) -> bool:
    """Whether an error refuses the command of a person, which leaves no trace.

    Such an error is a wrong option, or bad data of a symbol that has no bars, as a misspelt one.
    """
    if not isinstance(error, BadDataError):
        return isinstance(error, UsageError)
    with connect.reading(settings.url) as connection:
        return read.newest_fetch(connection, symbol) is None


def stopped_status(error: Exception | None) -> RunStatus:
    """The status of a night that an error stopped.

    `late` where its bar may still come, `closed` where it was no session, else `failed`.
    """
    if isinstance(error, NoBarError):
        return "closed"
    return "late" if isinstance(error, DataLateError) else "failed"


def close(night: Night) -> Night:
    """The night, marked done."""
    # The error is of an attempt before this one.
    done = {"status": "done", "finished_at": night.now(), "error": None}
    with connect.transaction(night.url) as connection:
        write.update(connection, "runs", night.id, done | _seconds(night))
    return replace(night, is_done=True)


def _seconds(night: Night) -> dict[str, object]:
    return {f"seconds_{step}": seconds for step, seconds in night.seconds.items()}


def _status(connection: connect.Connection, night: Night) -> str:
    run = read.stored(connection, RunRow, {"id": night.id})
    return "" if run is None else run.status


def mark_cut_off(settings: Settings) -> None:
    """Mark the nights that were cut off as failed.

    Under the lock, whatever still runs is of a process that ended.
    """
    with connect.reading(settings.url) as connection:
        nights = read.running(connection)
    if not nights:
        return
    logger.warning("%d nights were cut off before their end", len(nights))
    with connect.transaction(settings.url) as connection:
        for run_id, as_of in nights.items():
            stopped = {"status": "failed", "error": CUT_OFF.format(as_of=as_of)}
            write.update(connection, "runs", run_id, stopped)
