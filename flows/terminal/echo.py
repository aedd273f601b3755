"""One line for the terminal."""

import typer

from forecasting.plain_text import plain_text


def echo(text: object) -> None:
    """Print one line, cleaned and capped: parts of it may come from a source, a file or the database."""
    typer.echo(plain_text(text))
