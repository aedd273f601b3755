"""Files beside the ledger, written whole."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from forecasting.errors import UsageError


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


def write_text(out: Path, text: str) -> None:
    """The text in the file `out`, as `write_whole`."""
    write_whole(out, lambda draft: draft.write_text(text, encoding="utf-8"))
