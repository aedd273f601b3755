"""The folders and files below the data folder: their names, and files written whole."""

import os
import secrets
from collections.abc import Callable
from datetime import date
from pathlib import Path
from urllib.parse import quote

from forecasting.errors import UsageError
from forecasting.settings import Settings
from forecasting.store.connect import place
from forecasting.vocabulary import Target, short_id

INDEX = "index.html"
REPORTS = "reports"  # The folder of pages


def runs_folder(settings: Settings) -> Path:
    """The folder of what runs of this ledger tell the next one.

    Two ledgers on one data folder have the same ids.
    """
    return settings.data_dir.absolute() / "runs" / short_id(place(settings.url))


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
