"""The folders and files below the data folder.

Their names, files written whole, and the deletion of known files.
"""

import logging
import os
import re
import secrets
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from urllib.parse import quote

from forecasting.errors import ArtifactError, UsageError
from forecasting.settings import Settings
from forecasting.store.connect import place
from forecasting.vocabulary import Target, short_id

INDEX = "index.html"
ARTIFACTS = "artifacts"
REPORTS = "reports"
"""Folders of the models' folders and of pages."""

logger = logging.getLogger("forecasting.store")

# `short_id` makes twelve hex digits. One name of a folder, whatever it is: without separator and
# without leading dot.
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")


def child_folder(parent: Path, name: str) -> Path:
    """The folder `name` directly in `parent`, which need not exist.

    An ArtifactError for another name or a link.
    """
    folder = parent / name
    if not _NAME.fullmatch(name) or folder.is_symlink():
        found = f"a symbolic link at {name}" if _NAME.fullmatch(name) else f"{name[:40]!r}"
        raise ArtifactError(
            f"Expected an id of letters, digits, - and _ as the name of a folder in {parent}, "
            f"found {found}. Nothing was read or deleted; correct that row of the database, or put "
            "the folder itself there."
        )
    return folder


def delete_files(folder: Path, patterns: Sequence[str]) -> None:
    """Delete the files of `folder` that match a pattern, then the folder when it is empty.

    Else there is a log line.
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


def runs_folder(settings: Settings) -> Path:
    """The parent of the folders of all runs of this ledger.

    Two ledgers on one data folder have the same ids.
    """
    return settings.data_dir.absolute() / "runs" / short_id(place(settings.url))


def network_id(run_id: str, method: str) -> str:
    """The id of the network that a night fits by a method, and of the folder of its weights."""
    return short_id("model", run_id, method)


def report_path(
    settings: Settings, symbol: str, target: Target, *, origin: date | None = None
) -> Path:
    """The report page of a symbol and target; of the past night `origin` a page of its own."""
    return settings.data_dir.absolute() / REPORTS / page_name(symbol, target, origin=origin)


def page_name(symbol: str, target: Target, *, origin: date | None = None) -> str:
    """The page's file name; `^` is awkward in shells and links."""
    return f"{symbol.replace('^', '_')}-{target}{f'-{origin}' if origin else ''}.html"


def page_address(settings: Settings, name: str) -> str:
    """The web address of a page by its file name; empty without FORECASTING_PAGES_URL."""
    return f"{settings.pages_url}/{quote(name)}" if settings.pages_url else ""


def check_writable(out: Path) -> None:
    """Raise a UsageError for a path that no file can be written to.

    Checked before the work whose result goes there.
    """
    folder = out.absolute().parent
    reason = ""
    try:
        if out.is_dir():
            reason = "it is a folder"
        elif not folder.is_dir():
            reason = f"there is no folder {str(folder)[-200:]}"
        elif not os.access(out if out.exists() else folder, os.W_OK):
            reason = "this user cannot write there"
    except OSError as error:  # too long
        reason = str(error.strerror)
    if reason:
        raise UsageError(
            f"Expected the path of a file to write, found {str(out)[:100]!r}: {reason}. Name "
            "another."
        )


def write_whole(out: Path, write: Callable[[Path], object]) -> None:
    """The file `out`, there whole or not at all, through links too.

    `write` is given the path of a draft beside it.
    """
    out = out.resolve()
    # Not the process's id: on a shared folder, containers that each have ids of their own have the
    # same ones.
    draft = out.with_name(f".forecasting-{secrets.token_hex(8)}.part")
    try:
        write(draft)
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
