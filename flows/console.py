"""Output of the commands: text for people, JSON and CSV for programs."""

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import typer

from flows import clock
from forecasting.night.folders import INDEX, page_address, report_path
from forecasting.report import terminal
from forecasting.report.documents import json_text, night_document
from forecasting.report.night_view import ReportData
from forecasting.report.terminal import LEGEND, line_listing, night_text, paragraph, text_table
from forecasting.settings import read_settings
from forecasting.store.connect import place

Rows = TypeVar("Rows")


def width() -> int | None:
    """The columns of the terminal; None for whole lines, of a file or a pipe."""
    return max(40, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None


def echo(text: object) -> None:
    """Print one paragraph, cleaned: parts of it may be of a source, a file or the database."""
    typer.echo(paragraph(text, width=width()))


def show_nights(
    nights: Sequence[ReportData],
    *,
    is_past: bool = False,
    why: bool = False,
    as_json: bool = False,
) -> None:
    """Print one night in full, of several a line each, and where report and database are.

    Of past ones no page is named: a report is of the newest.
    """
    if as_json:
        typer.echo(json_text([night_document(data) for data in nights]))
        return
    if why:
        typer.echo("\n\n".join(terminal.why_text(data, width=width()) for data in nights))
        return
    if not nights:
        return
    settings = read_settings()
    page = report_path(settings, nights[0].symbol, nights[0].target)
    if len(nights) == 1:
        typer.echo(f"{night_text(nights[0], now=clock.now(), width=width())}\n")
    else:
        show_table(*line_listing(nights, now=clock.now()), in_lines=True)
        echo(LEGEND)
        page = page.with_name(INDEX)
    if not is_past:
        echo(f"Report:   {page_address(settings, page.name) or page}")
    echo(f"Database: {place(settings.url)}")


def show_backtests(
    documents: Sequence[Mapping[str, Any]], *, as_json: bool, out: Path | None
) -> None:
    """Print each backtest's figures by horizon beside each baseline's, or JSON, and its file."""
    if not documents:
        return
    if as_json:
        typer.echo(json_text(documents[0] if len(documents) == 1 else documents))
        return
    for document in documents:
        for part in terminal.backtest_parts(document):
            if isinstance(part, str):
                echo(part)
            else:
                show_table(*part)
    if out is not None:
        echo(f"Written to {out}")


def show_rows(
    rows: Rows, listing: Callable[[Rows], terminal.Listing], *, as_json: bool = False
) -> None:
    """Print rows or a record as the table that `listing` makes of them, or in full as JSON."""
    if as_json:
        typer.echo(json_text(rows))
    elif rows:
        show_table(*listing(rows))


def show_parts(
    rows: Rows, parts: Callable[[Rows], terminal.Parts], *, as_json: bool = False
) -> None:
    """Print rows as the paragraphs and tables that `parts` makes of them, or in full as JSON."""
    if as_json:
        typer.echo(json_text(rows))
    elif rows:
        typer.echo(terminal.printed(parts(rows), width=width()))


def show_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, in_lines: bool = False
) -> None:
    """Print one table and an empty line; text left, numbers right."""
    typer.echo(f"{text_table(columns, rows, width=width(), in_lines=in_lines)}\n")
