"""Text for the terminal: as wide as that is, and in whole lines for a file or a pipe."""

import shutil
import sys

import typer

from forecasting.report.terminal import paragraph


def width() -> int | None:
    """The columns of the terminal; None where standard output is not one."""
    return max(40, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None


def echo(text: object) -> None:
    """Print one paragraph, cleaned and capped: parts of it may come from a source, a file or the database."""
    typer.echo(paragraph(text, width=width()))
