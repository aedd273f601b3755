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
from forecasting.report import wording
from forecasting.report.data import ReportData
from forecasting.report.tables import night_document
from forecasting.report.units import unit_of
from forecasting.settings import Settings, read_settings

LEFT = frozenset(
    {"session", "check", "state", "found", "setting", "value", "meaning", "model", "question", "what changed"}
)
"""Columns of text; numbers are aligned right."""


PIPED_WIDTH = 160
"""Columns of a table that goes to a file or a pipe."""


def show_nights(nights: list[ReportData], *, as_json: bool = False) -> None:
    """Print each night's forecasts and the paths of its report and the database."""
    if as_json:
        typer.echo(json.dumps([night_document(data) for data in nights], indent=2, default=str))
        return
    settings = read_settings()
    for data in nights:
        show_night(data)
        echo(f"Report:   {report_path(settings, data.symbol, data.target)}")
    echo(f"Database: {where(settings)}")


def show_night(data: ReportData) -> None:
    """Print one night: headline, notices, forecasts."""
    unit = unit_of(data)
    typer.echo()
    echo(f"{data.symbol} {data.target}: {data.fetch['title']}")
    echo(wording.sentence(data))
    for notice in wording.notices(data):
        echo(f"{notice.title}: {notice.text}")
    rows = [
        [
            f"{row['target_session']:%a %Y-%m-%d}",
            unit.number(row["q50"]),
            unit.span(row["q10"], row["q90"]),
            unit.number(data.last_value),
            row["kind"],
            row["status"],
        ]
        for row in data.rows.to_dict("records")
    ]
    echo(f"In {unit.name}; last is the value of {data.origin}.")
    show_table(["session", "median", "80 % interval", "last", "kind", "status"], rows)


def show_backtest(document: Mapping[str, Any], out: Path | None) -> None:
    """Print a backtest's figures by horizon beside each baseline's error."""
    overall = document["overall"]
    names = list(overall["baselines"])
    typer.echo()
    echo(
        f"{document['symbol']} {document['target']}, origins {document['from']} to {document['to']}: "
        f"{document['origins']} origins, {document['refits']} refits, {document['seconds']:.0f} s"
    )
    rows = []
    for horizon, figures in [*document["horizons"].items(), ("all", overall)]:
        rows.append(
            [
                horizon,
                f"{figures['mae']:,.6g}",
                *(f"{figures['baselines'][name]:,.6g}" for name in names),
                f"{100 * figures['skill_vs_best']:+.1f} %",
                f"{figures['dm_p_value']:.3g}",
                f"{100 * figures['coverage_80']:.1f} %",
                f"{100 * figures['coverage_90']:.1f} %",
            ]
        )
    show_table(["horizon", "mae", *names, f"against {overall['best_baseline']}", "p", "in 80 %", "in 90 %"], rows)
    if out is not None:
        echo(f"Written to {out}")


def show_fetches(fetches: Sequence[Mapping[str, Any]]) -> None:
    """Print what each ingest brought."""
    columns = ["symbol", "source", "fetched at", "rows", "newest", "verdict", "found"]
    names = ["symbol", "source", "fetched_at", "row_count", "last_received", "verdict", "detail"]
    show_table(columns, [[row[name] for name in names] for row in fetches])


def show_article(result: ArticleResult, out: Path) -> None:
    """Print each variant with its error, and the page's path."""
    echo(f"{result.title}: mean absolute error over the test sessions, in million shares")
    rows = [[variant.name, variant.question, variant.change, f"{variant.mae / 1e6:.3f}"] for variant in result.variants]
    show_table(["model", "question", "what changed", "MAE"], rows)
    echo(f"Page: {out}")


def show_models(rows: Sequence[Mapping[str, Any]], *, as_json: bool = False) -> None:
    """Print the networks, newest first."""
    if as_json:
        typer.echo(json.dumps(list(rows), indent=2, default=str))
        return
    columns = ["model", "champion", "method", "from", "trained to", "epochs", "seconds", "weights"]
    shown = [
        [
            row["id"],
            "yes" if row["champion"] else "",
            row["method"],
            row["parent_id"] or row["base"],
            row["trained_to"],
            row["chain_epochs"],
            f"{row['seconds']:.1f}",
            row["weights"],
        ]
        for row in rows
    ]
    show_table(columns, shown)


def show_record(record: Mapping[str, Any], *, as_json: bool = False) -> None:
    """Print one record, a line a field."""
    if as_json:
        typer.echo(json.dumps(dict(record), indent=2, default=str))
        return
    show_table(["setting", "value"], [[name, value] for name, value in record.items()])


def show_checks(checks: Sequence[Mapping[str, str]]) -> None:
    """Print the results of `doctor`."""
    show_table(["check", "state", "found"], [[row["check"], row["state"], row["found"]] for row in checks])


def show_settings(settings: Settings, *, as_json: bool = False) -> None:
    """Print the settings in force; secrets stay hidden."""
    values = settings.model_dump(mode="json")
    values["exchanges"] |= {symbol: settings.exchange_of(symbol) for symbol in settings.symbols}
    if as_json:
        typer.echo(json.dumps(values, indent=2))
        return
    for name in ("symbols", "companions"):
        values[name] = ",".join(values[name])
    values["exchanges"] = ",".join(f"{symbol}={exchange}" for symbol, exchange in values["exchanges"].items())
    rows = [
        [f"FORECASTING_{name.upper()}", values[name], field.description]
        for name, field in Settings.model_fields.items()
    ]
    show_table(["setting", "value", "meaning"], rows)


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


def where(settings: Settings) -> str:
    """The database's URL or path, without its password."""
    from forecasting.store.engine import place

    return place(settings.url)
