"""Nights, and files of nights, that a process left unfinished when it ended."""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from forecasting.pipeline.folders import delete_files
from forecasting.pipeline.night_run import ARTIFACTS, BACKTESTS, REPORTS, network_id, runs_folder
from forecasting.pipeline.output_file import DRAFTS
from forecasting.pipeline.pruning import delete_windows
from forecasting.settings import Settings
from forecasting.store import database, read, writes
from forecasting.train.checkpoint import FILES
from forecasting.train.mode import FITS
from forecasting.vocabulary import Clock

logger = logging.getLogger("forecasting.night")

DRAFT_AGE = timedelta(days=1)
"""How old the draft of a page or a refit is at least when it is deleted: its writer needs seconds."""

_REFIT_DRAFTS = "*.part.npz"
"""As forecasting/backtest/refits.py names them, whose import would cost every night 0.1 s."""

# `short_id` makes twelve hex digits; `checkpoint.save` writes to a folder of the second form, and then moves it.
_RUN, _HALF_WRITTEN = re.compile(r"[0-9a-f]{12}"), re.compile(r"\.[0-9a-f]{12}-.*")

CUT_OFF = (
    "The night was cut off before its end: its process was killed, or the machine stopped. What it had written is "
    "complete; `forecasting run --as-of SESSION` completes the night."
)


def mark_cut_off(settings: Settings) -> int:
    """The number of nights that were cut off and are marked as failed; a night that is then run again is not failed.

    The caller holds the lock of the nights, which is one for all symbols and targets: a row whose status is still
    running is of a process that has ended, whatever it ran.

    Args:
        settings: The settings in force, with the database.
    """
    with database.reading(settings.url) as connection:
        found = read.running(connection)
    if found:
        logger.warning("%d nights were cut off before their end", len(found))
        with database.transaction(settings.url) as connection:
            for run_id in found:
                writes.update_run(connection, run_id, {"status": "failed", "error": CUT_OFF})
    return len(found)


def delete_leftovers(settings: Settings, *, now: Clock) -> int:
    """The number of files and folders deleted that processes left when they ended.

    Weights half written and windows of nights: the caller holds the lock of the nights, so that none of them is in use,
    and a night that is run again writes its own. Drafts of pages and of refits are written without that lock too, by
    `forecasting report` and backtests: those of the last DRAFT_AGE are kept.

    Args:
        settings: The settings in force.
        now: The clock.
    """
    artifacts = settings.data_dir.absolute() / ARTIFACTS
    deleted = sum(delete_files(path, FILES) for path in artifacts.glob(".*") if _HALF_WRITTEN.fullmatch(path.name))
    deleted += sum(delete_windows(path) for path in runs_folder(settings).glob("*") if _RUN.fullmatch(path.name))
    folder = settings.data_dir.absolute()
    drafts = [*(folder / REPORTS).glob(DRAFTS), *(folder / BACKTESTS).glob(_REFIT_DRAFTS)]
    return deleted + sum(_delete_old(path, before=now() - DRAFT_AGE) for path in drafts)


def delete_weights_without_row(settings: Settings) -> int:
    """The number of folders deleted: weights that a night had fitted when it ended before their row was written.

    Run again, the night may fit by another method, into another folder. The caller holds the lock of the nights.

    Args:
        settings: The settings in force, with the database.
    """
    folder = settings.data_dir.absolute() / ARTIFACTS
    with database.reading(settings.url) as connection:
        fits = {network_id(run_id, method) for run_id in read.not_done(connection) for method in FITS}
        if not fits:  # on most mornings: the folder has thirty names a symbol
            return 0
        present = fits.intersection(path.name for path in folder.glob("*"))
        left = present.difference(read.models_among(connection, sorted(present)))
    return sum(delete_files(folder / model_id, FILES) for model_id in sorted(left))


def _delete_old(draft: Path, *, before: datetime) -> bool:
    with suppress(OSError):  # its writer, or another night, has removed it
        if draft.lstat().st_mtime < before.timestamp():
            draft.unlink()
            return True
    return False
