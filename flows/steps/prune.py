"""Remove weight files that nothing can need any more: the row stays, with an empty path."""

import logging
import shutil

from flows.night import Night, artifact_folder
from forecasting.settings import Settings
from forecasting.store import database, lineage, reads, writes
from forecasting.store.database import Connection

logger = logging.getLogger("forecasting.train")


def forget_spare(connection: Connection, night: Night, settings: Settings) -> int:
    """The number of models whose path was emptied: all that neither a recent row nor a rollback needs.

    Kept are the newest `keep_artifacts` fits, every model that a forecast of the newest `keep_artifacts` origins came
    from, so that such a row can be made again, the champion whatever its age, and the one before it, which a rollback
    asks for.
    """
    networks = [row for row in reads.models(connection, night.symbol, night.target) if row["artifact_path"]]
    champion = reads.champion(connection, night.symbol, night.target)
    then = reads.champion(connection, night.symbol, night.target, session=night.session)  # another one in a replay
    before = lineage.champion_before(connection, night.symbol, night.target)
    needed = {row["id"] for row in (champion, then, before) if row is not None}
    needed |= lineage.models_of_newest(connection, night.symbol, night.target, origins=settings.keep_artifacts)
    spare = [row["id"] for row in networks[settings.keep_artifacts :] if row["id"] not in needed]
    for model_id in spare:
        writes.forget_artifact(connection, model_id)
    return len(spare)


def remove_forgotten(night: Night, settings: Settings) -> int:
    """The number of folders removed, whose models' paths are empty: also those that a kill left behind."""
    with database.reading(settings.url) as connection:
        networks = [row for row in reads.models(connection, night.symbol, night.target) if row["artifact_hash"]]
    folders = [artifact_folder(settings, row["id"]) for row in networks if row["artifact_path"] is None]
    left = [folder for folder in folders if folder.exists()]
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    if left:
        logger.info("pruned the weights of %d networks", len(left))
    return len(left)
