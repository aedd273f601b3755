"""The folders and files below the data folder, and the deletion of known files in them."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from forecasting.errors import ArtifactError
from forecasting.settings import Settings
from forecasting.store.connect import place
from forecasting.vocabulary import Target, short_id

ARTIFACTS = "artifacts"
"""Folder of the models' folders, below the data folder."""

REPORTS = "reports"
"""Folder of the pages, below the data folder."""

BACKTESTS = "backtests"
"""Folder of finished refits, below the data folder."""

PRETRAINED = "weights"
"""Folder of the folders of pretrained weights that the user made, below the data folder."""

SERVED = "prefect-server.json"
"""In the data folder: the file in which `serve` names its Prefect server."""

logger = logging.getLogger("forecasting.store")

# `short_id` makes twelve hex digits. One name of a folder, whatever it is: without separator and without leading dot.
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")


def child_folder(parent: Path, name: str) -> Path:
    """The folder `name` directly in `parent`; it need not exist.

    Raises:
        ArtifactError: `name` is no id, or the folder is a symbolic link.
    """
    folder = parent / name
    if not _NAME.fullmatch(name):
        raise ArtifactError(
            f"Expected an id of letters, digits, - and _ as the name of a folder in {parent}, found {name[:40]!r}. "
            "Nothing was read or deleted; correct that row of the database."
        )
    if folder.is_symlink():
        raise ArtifactError(
            f"Expected a folder at {folder}, found a symbolic link. Nothing was read or deleted; put the folder itself "
            "there. The folder above it may be a link."
        )
    return folder


def check_inside(folder: Path, names: Sequence[str]) -> None:
    """Refuse files that lie elsewhere.

    Raises:
        ArtifactError: One of the files `names` of `folder` is a symbolic link to a file outside it.
    """
    resolved = folder.resolve()
    for name in names:
        if (folder / name).resolve().parent != resolved:
            raise ArtifactError(
                f"Expected a file at {folder / name}, found a symbolic link to a place outside its folder. It was not "
                "read; put the file itself there."
            )


def delete_files(folder: Path, patterns: Sequence[str]) -> bool:
    """Whether `folder` is gone: its files that match a pattern are deleted, then the folder when it is empty.

    Other files, folders and what symbolic links point to remain; a folder that is kept for them is logged.
    """
    try:
        if folder.is_symlink():
            raise OSError("it is a symbolic link")
        for pattern in patterns:
            for path in folder.glob(pattern):
                path.unlink()
        folder.rmdir()
    except OSError as error:
        logger.warning("%s is kept: %s", folder, error.strerror or error)
        return False
    return True


def runs_folder(settings: Settings) -> Path:
    """The parent of the folders of all runs of this ledger.

    Two ledgers on one data folder have the same ids, and one would train on the other's windows, or delete them.
    """
    return settings.data_dir.absolute() / "runs" / short_id(place(settings.url))


def network_id(run_id: str, method: str) -> str:
    """The id of the network that a night fits by a method, and the name of the folder of its weights."""
    return short_id("model", run_id, method)


def artifact_folder(settings: Settings, model_id: str) -> Path:
    """The folder of a model's weights and their JSON.

    Raises:
        ArtifactError: `model_id` is no id, or the folder is a symbolic link.
    """
    return child_folder(settings.data_dir.absolute() / ARTIFACTS, model_id)


def report_path(settings: Settings, symbol: str, target: Target, *, origin: date | None = None) -> Path:
    """The report page of a symbol and target; of the past night `origin` a page of its own."""
    return settings.data_dir.absolute() / REPORTS / page_name(symbol, target, origin=origin)


def page_name(symbol: str, target: Target, *, origin: date | None = None) -> str:
    """The page's file name; `^` is awkward in shells and links."""
    return f"{symbol.replace('^', '_')}-{target}{f'-{origin}' if origin else ''}.html"
