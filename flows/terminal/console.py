"""Output of the commands: tables for people, JSON for programs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.terminal.echo import echo
from forecasting.article.experiment import ArticleResult
from forecasting.pipeline.night_run import report_path
from forecasting.plain_text import plain_text
from forecasting.report import listings, wording
from forecasting.report.data import ReportData
from forecasting.report.tables import night_document
from forecasting.report.track_record import track_record
from forecasting.report.units import unit_of
from forecasting.settings import Settings, read_settings

LEFT = frozenset({"session", "check", "state", "found", "setting", "value", "meaning", "model"}) | {
    *("question", "what changed", "against")
}
"""Columns of text; numbers are aligned right."""


PIPED_WIDTH = 160
"""Columns of a table that goes to a file or a pipe."""


def show_nights(nights: list[ReportData], *, as_json: bool = False) -> None:
    """Print each night's forecasts and the paths of its report and the database."""
    if as_json:
        show_json([night_document(data) for data in nights])
        return
    from forecasting.store.engine import place

    settings = read_settings()
    for data in nights:
        show_night(data)
        echo(f"Report:   {report_path(settings, data.symbol, data.target)}")
    echo(f"Database: {place(settings.url)}")


def show_night(data: ReportData) -> None:
    """Print one night: headline, notices, forecasts, and the results of past ones."""
    typer.echo()
    echo(f"{data.symbol} {data.target}: {data.fetch['title']}")
    echo(wording.sentence(data))
    for notice in wording.notices(data):
        echo(f"{notice.title}: {notice.text}")
    echo(f"In {unit_of(data).name}; last is the value of {data.origin}.")
    show_table(*listings.night_listing(data))
    record = track_record(data.scored)
    so_far = wording.record_sentence(data, record)
    if so_far:
        echo(so_far)
        show_table(*listings.record_listing(data, record))


def show_backtest(document: Mapping[str, Any], out: Path | None) -> None:
    """Print a backtest's figures by horizon beside each baseline's error."""
    typer.echo()
    echo(
        f"{document['symbol']} {document['target']}, origins {document['from']} to {document['to']}: "
        f"{document['origins']} origins, {document['refits']} refits, {document['seconds']:.0f} s"
    )
    show_table(*listings.backtest_listing(document))
    if "as_published" in document:
        echo(wording.published_sentence(document))
        show_table(*listings.backtest_listing(document["as_published"]))
    if out is not None:
        echo(f"Written to {out}")


def show_fetches(fetches: Sequence[Mapping[str, Any]]) -> None:
    """Print what each ingest brought."""
    show_table(*listings.fetch_listing(fetches))


def show_article(result: ArticleResult, out: Path) -> None:
    """Print each variant with its error, and the page's path."""
    echo(f"{result.title}: mean absolute error over the test sessions, in million shares")
    show_table(*listings.article_listing(result))
    echo(f"Page: {out}")


def show_models(models: Sequence[Mapping[str, Any]], *, as_json: bool = False) -> None:
    """Print the networks, newest first."""
    if as_json:
        show_json(list(models))
    else:
        show_table(*listings.model_listing(models))


def show_record(record: Mapping[str, Any], *, as_json: bool = False) -> None:
    """Print one record, a line a field."""
    if as_json:
        show_json(dict(record))
    else:
        show_table(["setting", "value"], [[name, value] for name, value in record.items()])


def show_checks(checks: Sequence[Mapping[str, str]]) -> None:
    """Print the results of `doctor`."""
    show_table(["check", "state", "found"], [[row["check"], row["state"], row["found"]] for row in checks])


def show_settings(settings: Settings, *, as_json: bool = False) -> None:
    """Print the settings in force; secrets stay hidden."""
    if as_json:
        show_json(listings.settings_document(settings))
    else:
        show_table(*listings.settings_listing(settings))


def show_json(document: object) -> None:
    """Print a document as JSON; dates and instants as ISO text."""
    typer.echo(json.dumps(document, indent=2, default=str))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print one table; text left, numbers right."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        shown.add_column(name, justify="left" if name in LEFT else "right", overflow="fold")
    for row in rows:
        # As Text: rich would take [...] in a cell for its markup.
        shown.add_row(*(Text("" if value is None else plain_text(value)) for value in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPED_WIDTH)  # rich assumes 80 columns without a terminal
    console.print(shown)
