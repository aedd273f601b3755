"""The sources and event files that a flow parameter may name: anybody who reaches the Prefect server can set one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from forecasting.errors import UsageError

_FILES = ("csv", "parquet")


def check_permitted(
    text: str, *, kind: Literal["source", "events", "market"], given: Sequence[str], folders: Sequence[Path]
) -> None:
    """Return when a flow parameter names a source or a file that the environment permits.

    A name without an argument is permitted (yahoo, sample, an installed one, ^VIX), and each option in `given`. A file
    must lie in one of the folders, symbolic links followed. The error is the same whether the file exists or not.

    Args:
        text: The parameter.
        kind: Its name.
        given: FORECASTING_SOURCE, FORECASTING_EVENTS and FORECASTING_MARKET as the environment has them.
        folders: FORECASTING_FILES.

    Raises:
        UsageError: Any other source or file.
    """
    name, _, argument = text.partition(":")
    if text in given or not argument:
        return
    if name in _FILES and any(_lies_in(Path(argument), folder) for folder in folders):
        return
    allowed = ", ".join(str(folder) for folder in folders)
    what = "a file outside them" if name in _FILES else "an argument that FORECASTING_SOURCE does not have"
    raise UsageError(
        f"Expected the flow parameter {kind} to name what FORECASTING_{kind.upper()} names, a source without an "
        f"argument, or a file inside FORECASTING_FILES ({allowed}); found {what}. Move the file there, add its folder "
        "to FORECASTING_FILES, or use the command line."
    )


def _lies_in(path: Path, folder: Path) -> bool:
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # too long, a circle of links, a NUL in it
        return False
