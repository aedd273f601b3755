"""What nights no longer need is deleted: weights of old models, and windows of runs that have ended."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from forecasting.errors import ArtifactError
from forecasting.pipeline.folders import delete_files
from forecasting.pipeline.night_run import ARTIFACTS, COMPANIONS, WINDOWS, NightRun, artifact_folder, runs_folder
from forecasting.settings import Settings
from forecasting.store import database, read
from forecasting.store.database import Connection
from forecasting.train.checkpoint import FILES

logger = logging.getLogger("forecasting.train")


def prunable_weights(connection: Connection, run: NightRun) -> list[str]:
    """The models whose weights neither a recent forecast nor a rollback needs.

    Kept are the newest `keep_artifacts` fits, every model that a forecast of the newest `keep_artifacts` origins came
    from, so that such a row can be made again, the champion whatever its age, and the one before it, which a rollback
    asks for.
    """
    symbol, target, kept = run.spec.symbol, run.spec.target, run.settings.keep_artifacts
    networks = read.with_weights(connection, symbol, target)
    champion = read.champion(connection, symbol, target)
    then = read.champion(connection, symbol, target, session=run.spec.session)  # another one in a replay
    before = read.champion_before(connection, symbol, target)
    needed = {row["id"] for row in (champion, then, before) if row is not None}
    needed |= read.models_of_newest(connection, symbol, target, origins=kept)
    return [model_id for model_id in networks[kept:] if model_id not in needed]


def delete_pruned_files(runs: Sequence[NightRun]) -> int:
    """The number of folders deleted, whose models' paths are empty: also those that a kill left behind."""
    settings = runs[0].settings
    present = {path.name for path in (settings.data_dir.absolute() / ARTIFACTS).glob("*")}
    with database.reading(settings.url) as connection:
        pruned = [read.pruned(connection, run.spec.symbol, run.spec.target) for run in runs]
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
    with database.reading(settings.url) as connection:
        done = read.done_among(connection, list(folders))
    for run_id in done:
        delete_windows(folders[run_id])


def delete_windows(folder: Path) -> bool:
    """Whether the folder of a run is gone: its windows and those of companions are deleted, then it when it is empty.

    A symbolic link is not followed.
    """
    if folder.is_symlink():
        return False
    if (folder / COMPANIONS).is_dir():
        delete_files(folder / COMPANIONS, ["*.npz"])
    return delete_files(folder, [WINDOWS])
