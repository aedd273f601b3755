"""Pretrained weights made of the user's own symbols: what their rows name, and copies of weights for a replay."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from forecasting.errors import ArtifactError
from forecasting.pipeline.registry import weights_folder
from forecasting.settings import Settings
from forecasting.store import read, writes
from forecasting.store.database import Connection
from forecasting.store.frames import Row
from forecasting.train.pretrained import OwnWeights

logger = logging.getLogger("forecasting.train")


def own_weights(rows: Sequence[Row], settings: Settings) -> list[OwnWeights]:
    """The weights that rows of table models name, in the same order; one whose path is no folder of ours is left out.

    Args:
        rows: As `read.pretrained_by` returns them.
        settings: Their data folder is used.
    """
    found = []
    for row in rows:
        try:
            folder = weights_folder(row, settings)
        except ArtifactError as error:
            logger.warning("own pretrained weights %.40r are left out: %s", row["base"], error)
        else:
            found.append(OwnWeights(row["base"], row["trained_to"], folder, row["artifact_hash"]))
    return found


def copy_own_weights(source: Connection, target: Connection, *, settings: Settings, data_dir: Path) -> None:
    """Copy the own weights of the settings' target, rows and folders, to another ledger and its data folder."""
    for row in read.pretrained(source, settings.target):
        writes.add_model(target, row)
        copy_weights(row, settings, data_dir=data_dir)


def copy_weights(row: Row, settings: Settings, *, data_dir: Path) -> None:
    """Copy the weights of a row of table models, which were not pruned, to another data folder if they exist.

    Raises:
        ArtifactError: The row names no folder of ours.
    """
    folder = weights_folder(row, settings)
    if folder.exists():
        shutil.copytree(folder, data_dir / row["artifact_path"])
