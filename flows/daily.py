"""The commands of every day."""

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows import clock, options
from flows.options import AsJson, settings
from forecasting.errors import SymbolsFailedError
from forecasting.values import check_choice
from forecasting.vocabulary import Mode

app = typer.Typer()


@app.command(epilog="Example: forecasting init --symbol SBUX --symbol MSFT")
def init(
    symbol: options.Symbols = None,
    symbols_file: options.SymbolsFile = None,
    target: options.Targets = None,
    source: options.BarSource = None,
    events: options.Events = None,
    market: options.Market = None,
) -> None:
    """Write forecasting.toml: each setting explained, commented out unless an option gives it."""
    from forecasting.ingest.sources.plugins import source_of
    from forecasting.settings import setting_places
    from forecasting.settings_file import write_settings_file

    in_force = settings()
    source_of(in_force.source, cache_dir=in_force.data_dir)  # refuses a misspelt one
    given = [name for name, place in setting_places().items() if place == "environment"]
    typer.echo(write_settings_file(in_force, given))


@app.command(
    epilog="Example: forecasting run --source csv:SBUX.csv --symbol SBUX --as-of 2024-03-08"
)
def run(
    symbol: options.Symbols = None,
    symbols_file: options.SymbolsFile = None,
    target: options.Targets = None,
    source: options.BarSource = None,
    events: options.Events = None,
    market: options.Market = None,
    database_url: options.DatabaseUrl = None,
    as_of: options.AsOf = None,
    mode: options.ModeOption = "auto",
    switch_source: options.Switch = False,
    as_json: AsJson = False,
) -> None:
    """Run a whole night of each symbol. Its steps: ingest, preprocess, train, predict, evaluate."""
    options.quieten_nights()
    failed = None
    from flows.start import start_night

    try:
        start_night(as_of=as_of, mode=check_choice("mode", mode, Mode), switch_source=switch_source)
    except SymbolsFailedError as error:  # the other symbols' nights are done
        failed = error
    show_newest(as_of, as_json=as_json, error=failed)


@app.command(epilog="Example: forecasting show --symbol SBUX")
def show(
    symbol: options.Symbols = None,
    symbols_file: options.SymbolsFile = None,
    target: options.Targets = None,
    cost_ratio: options.CostRatio = None,
    database_url: options.DatabaseUrl = None,
    as_of: options.AsOfOrigin = None,
    why: options.Why = False,
    as_json: AsJson = False,
) -> None:
    """Print the newest forecasts and how past ones did. One symbol in full, several a line each."""
    show_newest(as_of, why=why, as_json=as_json)


def show_newest(
    as_of: date | None, *, why: bool = False, as_json: bool, error: SymbolsFailedError | None = None
) -> None:
    """Print the newest night of each symbol, or of a session; then raise what stopped others."""
    from flows import console
    from forecasting.publish.pages import each_report
    from forecasting.store import migrate
    from forecasting.store.frames import python_strings

    in_force = settings()
    # All were refused before there was a ledger
    if error is not None and migrate.is_missing(in_force.url):
        raise error
    is_brief = len(in_force.series) > 1 and not (as_json or why)
    with python_strings():
        nights = each_report(in_force, as_of, now=clock.now, in_full=not is_brief)
        if is_brief and len(nights.values) == 1:  # of the others there is none: it is shown in full
            nights = each_report(in_force, as_of, now=clock.now)
        shown = list(nights.values.values())
        console.show_nights(shown, is_past=as_of is not None, why=why, as_json=as_json)
    if error is not None:
        raise error
    nights.raise_failed()


@app.command(epilog="Example: forecasting digest --format html > digest.html")
def digest(
    symbol: options.Symbols = None,
    symbols_file: options.SymbolsFile = None,
    target: options.Targets = None,
    database_url: options.DatabaseUrl = None,
    form: Annotated[
        str, typer.Option("--format", metavar="FORM", help="markdown or html.")
    ] = "markdown",
) -> None:
    """Print the morning's message. It has the newest forecasts, results, and what went wrong."""
    from forecasting.publish.messages import newest_digest
    from forecasting.publish.pages import INDEX, page_address
    from forecasting.report.digest import digest_html, digest_markdown

    form = check_choice("--format", form, Literal["markdown", "html"])
    morning = newest_digest(settings(), now=clock.now)
    shown = digest_html if form == "html" else digest_markdown
    typer.echo(shown(morning, link=page_address(settings(), INDEX)))


@app.command(epilog="Example: forecasting report --symbol SBUX --as-of 2024-03-08")
def report(
    symbol: options.Symbols = None,
    symbols_file: options.SymbolsFile = None,
    target: options.Targets = None,
    database_url: options.DatabaseUrl = None,
    as_of: options.AsOfOrigin = None,
    out: options.Out = None,
) -> None:
    """Write each symbol's report page, and their index.

    With --out, the page of one symbol alone goes there.
    """
    from forecasting.publish.pages import write_reports

    pages, index = write_reports(settings(), out, as_of, now=clock.now)
    for path in [*pages.values.values(), *index]:
        typer.echo(path)
    pages.raise_failed()


@app.command(epilog="Example, in any scheduler: forecasting check --notify")
def check(
    symbol: options.Symbols = None,
    symbols_file: options.SymbolsFile = None,
    target: options.Targets = None,
    database_url: options.DatabaseUrl = None,
    notify: Annotated[
        bool, typer.Option("--notify", help="Send what is wrong to FORECASTING_NOTIFY too.")
    ] = False,
    metrics: Annotated[
        Path | None,
        typer.Option(
            "--metrics", metavar="PATH", help="A file for Prometheus' node exporter, as x.prom."
        ),
    ] = None,
) -> str:
    """Exit 4 unless each symbol has a live forecast. It must be of the newest session.

    Without a database, exit 1.
    """
    from forecasting.publish.messages import check_fresh

    return check_fresh(now=clock.now, sends=notify, metrics=metrics)


@app.command(epilog="Example: forecasting serve --symbol SBUX --symbol MSFT")
def serve(
    symbol: options.Symbols = None,
    symbols_file: options.SymbolsFile = None,
    target: options.Targets = None,
    source: options.BarSource = None,
    events: options.Events = None,
    market: options.Market = None,
    database_url: options.DatabaseUrl = None,
    mode: options.ModeOption = "auto",
    switch_source: options.Switch = False,
) -> None:
    """Run the night on its schedule until stopped.

    It uses the configured Prefect server, or starts its own.
    """
    from flows.start import start_serving

    start_serving(mode=check_choice("mode", mode, Mode), switch_source=switch_source)
