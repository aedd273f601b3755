"""A file that a command is asked to write: checked before the work whose result goes there, then written whole."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from forecasting.errors import UsageError

DRAFTS = ".forecasting-*.part"
"""The names of drafts; one stays where its process was killed."""


def check_writable(out: Path) -> None:
    """Refuse a path that cannot be written.

    Raises:
        UsageError: Names the path and what is wrong.
    """
    try:
        wrong = _problem(out)
    except OSError as error:
        wrong = str(error.strerror)
    if wrong:
        raise UsageError(f"Expected the path of a file to write, found {str(out)[:100]!r}: {wrong}. Name another.")


def write_whole(out: Path, write: Callable[[Path], object]) -> None:
    """The file `out`, there whole or not at all: `write` is given the path of a draft beside it.

    Where `out` is a symbolic link, the file that it points to is written.

    Raises:
        OSError: It cannot be written; the draft is gone, and what was at `out` before is unchanged.
    """
    out = out.resolve()
    # Not the process's id: on a shared folder, containers that each have ids of their own have the same ones.
    draft = out.with_name(DRAFTS.replace("*", secrets.token_hex(8)))
    try:
        write(draft)
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)


def _problem(out: Path) -> str:
    folder = out.absolute().parent
    if out.is_dir():
        return "a folder"
    if not folder.is_dir():
        return "no folder to put it in"
    return "" if os.access(out if out.exists() else folder, os.W_OK) else "no right to write"
