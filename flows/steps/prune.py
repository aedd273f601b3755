"""Remove weight files that nothing can need any more: the row stays, with an empty path."""

import logging
import shutil

from flows.night import Night, artifact_folder
from forecasting.settings import Settings
from forecasting.store import database, lineage, reads, writes

logger = logging.getLogger("forecasting.train")


def prune_artifacts(night: Night, settings: Settings) -> int:
    """The number of artifacts removed: all but the newest `keep_artifacts`, the champion's and the one's before it.

    So every forecast of the last `keep_artifacts` fits can be made again from its weights, and a rollback always finds
    its own. The rows are changed before the files are removed: a kill in between leaves a folder that nobody names.
    """
    with database.transaction(settings.url) as connection:
        networks = [row for row in reads.models(connection, night.symbol, night.target) if row["artifact_path"]]
        champion = reads.champion(connection, night.symbol, night.target)
        before = lineage.champion_before(connection, night.symbol, night.target)
        needed = {row["id"] for row in (champion, before) if row is not None}
        spare = [row["id"] for row in networks[settings.keep_artifacts :] if row["id"] not in needed]
        for model_id in spare:
            writes.forget_artifact(connection, model_id)
    for model_id in spare:
        shutil.rmtree(artifact_folder(settings, model_id), ignore_errors=True)
    if spare:
        logger.info("pruned the weights of %d networks", len(spare))
    return len(spare)
