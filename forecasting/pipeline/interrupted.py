"""What processes left when they ended, and what nights no longer need: rows to mark, files to delete."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from itertools import chain

from forecasting.errors import ArtifactError
from forecasting.evaluate.decisions import FITS
from forecasting.pipeline.folders import ARTIFACTS, artifact_folder, delete_files, network_id, runs_folder
from forecasting.pipeline.night import WINDOWS, Night
from forecasting.settings import Settings
from forecasting.store import connect, read, write
from forecasting.store.connect import Connection
from forecasting.train.checkpoint import FILES

logger = logging.getLogger("forecasting.night")

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
    """
    with connect.reading(settings.url) as connection:
        running = read.running(connection)
    if running:
        logger.warning("%d nights were cut off before their end", len(running))
        with connect.transaction(settings.url) as connection:
            for run_id in running:
                write.update_run(connection, run_id, {"status": "failed", "error": CUT_OFF})
    return len(running)


def delete_leftovers(settings: Settings) -> int:
    """The number of folders deleted that nights left when they were killed; the caller holds the lock of the nights.

    Weights half written, windows, and weights that were fitted when the night ended before their row was written: run
    again, it may fit by another method, into another folder.
    """
    folder = settings.data_dir.absolute() / ARTIFACTS
    deleted = sum(delete_files(path, FILES) for path in folder.glob(".*") if _HALF_WRITTEN.fullmatch(path.name))
    windows = [path for path in runs_folder(settings).glob("*") if _RUN.fullmatch(path.name)]
    deleted += sum(delete_files(path, [WINDOWS]) for path in windows)
    with connect.reading(settings.url) as connection:
        not_done = read.values(connection, "runs", "id", {"status": ["running", "late", "failed"]})
        fits = {network_id(run_id, method) for run_id in not_done for method in FITS}
        if not fits:  # on most mornings: the folder has thirty names a symbol
            return deleted
        present = fits.intersection(path.name for path in folder.glob("*"))
        left = present.difference(read.values(connection, "models", "id", {"id": sorted(present)}))
    return deleted + sum(delete_files(folder / model_id, FILES) for model_id in sorted(left))


def prunable_weights(connection: Connection, night: Night) -> list[str]:
    """The models whose weights neither a recent forecast nor a rollback needs.

    Kept are the newest `keep_artifacts` fits, every model that a forecast of the newest `keep_artifacts` origins came
    from, so that such a row can be made again, the champion whatever its age, and the one before it, which a rollback
    asks for.
    """
    symbol, target, kept = night.symbol, night.target, night.settings.keep_artifacts
    champion = read.champion(connection, symbol, target)
    then = read.champion(connection, symbol, target, session=night.session)  # another one in a replay
    before = read.champion_before(connection, symbol, target)
    needed = {row["id"] for row in (champion, then, before) if row is not None}
    needed |= read.models_of_newest(connection, symbol, target, origins=kept)
    networks = read.network_ids(connection, symbol, target, pruned=False)
    return [model_id for model_id in networks[kept:] if model_id not in needed]


def delete_files_of(nights: Sequence[Night]) -> None:
    """Delete the windows of finished nights and the weights without a path, also those that a kill left behind."""
    done = [night for night in nights if night.is_done]
    if not done:
        return
    try:
        _delete_windows_and_pruned(done, done[0].settings)
    except Exception as error:  # whatever it is, the nights are done
        logger.warning("files that nights no longer need were not deleted: %s", error)


def _delete_windows_and_pruned(nights: Sequence[Night], settings: Settings) -> None:
    folders = {path.name: path for path in runs_folder(settings).glob("*")}
    present = {path.name for path in (settings.data_dir.absolute() / ARTIFACTS).glob("*")}
    with connect.reading(settings.url) as connection:
        done = read.values(connection, "runs", "id", {"id": [*folders], "status": "done"})
        pruned = [read.network_ids(connection, night.symbol, night.target, pruned=True) for night in nights]
    for run_id in done:
        delete_files(folders[run_id], [WINDOWS])
    for model_id in sorted(present.intersection(chain.from_iterable(pruned))):
        try:
            delete_files(artifact_folder(settings, model_id), FILES)
        except ArtifactError as error:
            logger.warning("model %.40r is not pruned: %s", model_id, error)
