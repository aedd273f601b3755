"""Output of the commands: text for people, JSON and CSV for programs."""

import io
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import TypeVar

import typer
from rich.box import Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows import clock
from forecasting.evaluate.figures import BacktestSummary
from forecasting.plain_text import ordinary_spaces, plain_text
from forecasting.report import terminal
from forecasting.report.documents import backtest_document, json_text, night_document
from forecasting.report.night_view import NightView
from forecasting.settings import read_settings
from forecasting.store.connect import place

Rows = TypeVar("Rows")

NARROWEST = 8  # characters below which no column of text is made narrower
WHOLE = 100_000  # columns of a file or pipe, more than a row takes

_NUMBER = re.compile(r"[-+$\N{MINUS SIGN}]?\d[\d.,\N{EN DASH}]*( ?[%a-zA-Z]{1,6})?|\N{EN DASH}|")
_RULED = Box("\n".join(["    "] * 2 + [" -  "] + ["    "] * 5), ascii=True)


def width() -> int | None:
    """The columns of the terminal; None for whole lines, of a file or a pipe."""
    return max(40, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None


def plain(text: object) -> str:
    """The text in one line with ordinary spaces, cleaned and capped; empty for None."""
    return "" if text is None else ordinary_spaces(plain_text(text))


def paragraph(text: object, *, width: int | None) -> str:
    """The text in lines of at most `width` characters, or in one without a width."""
    line = plain(text)
    if width is None:
        return line
    return textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)


def table_text(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, width: int | None
) -> str:
    """The rows below the names of the columns, text left and numbers right; empty without rows.

    In a narrow terminal texts are broken, numbers and the first column's names are not; without a
    width, as for a pipe, each row is one line.
    """
    if not rows:
        return ""
    cells = [[plain(value) for value in row] for row in rows]
    table = Table(
        box=_RULED, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), show_header=bool(columns)
    )
    first, *others = zip(columns or [""] * len(cells[0]), *cells, strict=True)
    _add_column(table, *first, are_names=bool(others))
    for texts in others:
        _add_column(table, *texts)
    for row in cells:
        table.add_row(*map(Text, row))
    console = Console(file=io.StringIO(), width=width or WHOLE, color_system=None)
    with console.capture() as lines:
        console.print(table, crop=False)
    return "\n".join(line.rstrip() for line in lines.get().splitlines())


def _add_column(table: Table, title: str, *texts: str, are_names: bool = False) -> None:
    """Add a column of texts, names or numbers; only texts are broken within words."""
    are_numbers = any(texts) and all(map(_NUMBER.fullmatch, texts))
    longest = max(map(len, texts))
    least = longest if are_numbers or are_names else min(longest, NARROWEST)
    table.add_column(
        Text(title),
        justify="right" if are_numbers else "left",
        overflow="fold",
        no_wrap=are_names,
        min_width=max([least, *map(len, title.split())]),
    )


def printed(parts: terminal.Parts, *, width: int | None) -> str:
    """The paragraphs and tables, an empty line between two."""
    texts = [
        paragraph(part, width=width) if isinstance(part, str) else table_text(*part, width=width)
        for part in parts
    ]
    return "\n\n".join(filter(None, texts))


def echo(text: object) -> None:
    """Print one paragraph, cleaned: parts of it may be of a source, a file or the database."""
    typer.echo(paragraph(text, width=width()))


def show_nights(nights: Sequence[NightView], *, is_past: bool, why: bool, as_json: bool) -> None:
    """Print one night in full, of several a line each, and where report and database are.

    For past nights no page is named, since a report is of the newest.
    """
    from forecasting.publish.pages import INDEX, page_address, report_path

    if not nights:
        return
    if as_json:
        typer.echo(json_text([night_document(data) for data in nights]))
        return
    if why:
        why_parts = chain.from_iterable(map(terminal.why_parts, nights))
        typer.echo(printed(list(why_parts), width=width()))
        return
    settings = read_settings()
    page = report_path(settings, nights[0].symbol, nights[0].target)
    if len(nights) == 1:
        parts = terminal.night_parts(nights[0], now=clock.now())
    else:
        parts = [terminal.line_listing(nights, now=clock.now()), terminal.LEGEND]
        page = page.with_name(INDEX)
    typer.echo(f"{printed(parts, width=width())}\n")
    if not is_past:
        echo(f"Report:   {page_address(settings, page.name) or page}")
    echo(f"Database: {place(settings.url)}")


def show_backtests(
    backtests: Sequence[BacktestSummary], *, as_json: bool, out: Path | None
) -> None:
    """Print the verdict on each backtest, the figures of one by horizon, or JSON, and its file."""
    if not backtests:
        return
    are_several = len(backtests) > 1
    if as_json:
        documents = [backtest_document(backtest) for backtest in backtests]
        typer.echo(json_text(documents if are_several else documents[0]))
        return
    if are_several:
        parts = terminal.comparison_parts(backtests)
    else:
        parts = terminal.backtest_parts(backtests[0])
    typer.echo(printed(parts, width=width()))
    if out is not None:
        echo(f"Written to {out}")


def show_rows(rows: Rows, listing: Callable[[Rows], terminal.Listing], *, as_json: bool) -> None:
    """Print rows or a record as the table that `listing` makes of them, or in full as JSON."""
    show_parts(rows, lambda rows: [listing(rows)], as_json=as_json)


def show_parts(rows: Rows, parts: Callable[[Rows], terminal.Parts], *, as_json: bool) -> None:
    """Print rows as the paragraphs and tables that `parts` makes of them, or in full as JSON."""
    if as_json:
        typer.echo(json_text(rows))
    elif rows:
        typer.echo(printed(parts(rows), width=width()))
