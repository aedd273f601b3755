"""What processes left when they ended, and what nights no longer need: rows to mark, files to delete."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path

from forecasting.errors import ArtifactError
from forecasting.evaluate.decisions import FITS
from forecasting.pipeline.folders import (
    ARTIFACTS,
    BACKTESTS,
    REPORTS,
    artifact_folder,
    delete_files,
    network_id,
    runs_folder,
)
from forecasting.pipeline.night import WINDOWS, Night
from forecasting.pipeline.output_file import DRAFTS
from forecasting.settings import Settings
from forecasting.store import connect, read, write
from forecasting.store.connect import Connection
from forecasting.train.checkpoint import FILES
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
    with connect.reading(settings.url) as connection:
        found = read.running(connection)
    if found:
        logger.warning("%d nights were cut off before their end", len(found))
        with connect.transaction(settings.url) as connection:
            for run_id in found:
                write.update_run(connection, run_id, {"status": "failed", "error": CUT_OFF})
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
    with connect.reading(settings.url) as connection:
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


def prunable_weights(connection: Connection, night: Night) -> list[str]:
    """The models whose weights neither a recent forecast nor a rollback needs.

    Kept are the newest `keep_artifacts` fits, every model that a forecast of the newest `keep_artifacts` origins came
    from, so that such a row can be made again, the champion whatever its age, and the one before it, which a rollback
    asks for.
    """
    symbol, target, kept = night.symbol, night.target, night.settings.keep_artifacts
    networks = read.network_ids(connection, symbol, target, pruned=False)
    champion = read.champion(connection, symbol, target)
    then = read.champion(connection, symbol, target, session=night.session)  # another one in a replay
    before = read.champion_before(connection, symbol, target)
    needed = {row["id"] for row in (champion, then, before) if row is not None}
    needed |= read.models_of_newest(connection, symbol, target, origins=kept)
    return [model_id for model_id in networks[kept:] if model_id not in needed]


def delete_pruned_files(nights: Sequence[Night]) -> int:
    """The number of folders deleted, whose models' paths are empty: also those that a kill left behind."""
    settings = nights[0].settings
    present = {path.name for path in (settings.data_dir.absolute() / ARTIFACTS).glob("*")}
    with connect.reading(settings.url) as connection:
        pruned = [read.network_ids(connection, night.symbol, night.target, pruned=True) for night in nights]
    deleted = 0
    for model_id in sorted(present.intersection(chain.from_iterable(pruned))):
        try:
            deleted += delete_files(artifact_folder(settings, model_id), FILES)
        except ArtifactError as error:
            logger.warning("model %.40r is not pruned: %s", model_id, error)
    if deleted:
        logger.info("pruned the weights of %d networks", deleted)
    return deleted


def delete_run_folders(settings: Settings) -> None:
    """Delete the windows of every finished run, also of one that was killed before it got here."""
    folders = {path.name: path for path in runs_folder(settings).glob("*")}
    with connect.reading(settings.url) as connection:
        done = read.done_among(connection, list(folders))
    for run_id in done:
        delete_windows(folders[run_id])


def delete_windows(folder: Path) -> bool:
    """Whether the folder of a run is gone: its windows are deleted, then it when it is empty."""
    return not folder.is_symlink() and delete_files(folder, [WINDOWS])
