"""The command line: options in, one library or flow call, a table or JSON out. Exit codes are those of the errors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.terminal.admin import db_app, models_app
from flows.terminal.boundary import run_command
from flows.terminal.echo import echo
from flows.terminal.options import (
    AsJson,
    AsOf,
    DatabaseUrl,
    EventsOption,
    ModeOption,
    SourceOption,
    Switch,
    Symbol,
    Symbols,
    TargetOption,
    checked_mode,
    parse,
    quieten_prefect,
    required,
    settings,
    use,
)
from flows.terminal.unattended import alarms, serve, worker
from forecasting import __version__

app = typer.Typer(
    name="forecasting",
    help="Nightly quantile forecasts of a stock's trading volume, stored and scored in SQL.",
    epilog="Start with: forecasting db upgrade && forecasting run --source sample",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(models_app, name="models")
app.add_typer(db_app, name="db")


def print_version(asked: bool) -> None:
    """Print the version and end the command when `--version` was given."""
    if asked:
        typer.echo(f"forecasting {__version__}")
        raise typer.Exit


@app.callback()
def before_command(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=print_version, is_eager=True)
    ] = False,
) -> None:
    """Take the options that come before a command."""


@app.command(epilog="Example: forecasting run --source csv:SBUX.csv --symbol SBUX --as-of 2024-03-08")
def run(
    symbol: Symbols = None,
    target: TargetOption = None,
    source: SourceOption = None,
    events: EventsOption = None,
    as_of: AsOf = None,
    mode: ModeOption = "auto",
    switch_source: Switch = False,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Run a whole night: ingest, preprocess, train, predict, evaluate."""
    use(database_url=database_url, target=target, source=source, events=events, symbols=symbol)
    quieten_prefect()
    from flows.terminal import console
    from flows.terminal.start import start_night
    from forecasting.pipeline.publish import newest_reports

    start_night(as_of=parse(as_of), mode=checked_mode(mode), switch_source=switch_source)
    console.show_nights(newest_reports(settings(), parse(as_of)), as_json=as_json)


@app.command(epilog="Example: forecasting ingest --symbol SBUX")
def ingest(
    symbol: Symbols = None,
    source: SourceOption = None,
    as_of: AsOf = None,
    switch_source: Switch = False,
    database_url: DatabaseUrl = None,
) -> None:
    """Bring the stored bars up to date and stop."""
    use(database_url=database_url, source=source, symbols=symbol)
    from flows import clock
    from flows.terminal import console
    from forecasting.pipeline.ingest_only import ingest_only

    fetched = ingest_only(settings(), as_of=parse(as_of), switch_source=switch_source, now=clock.now)
    console.show_fetches(fetched)


@app.command("catch-up", epilog="Example: forecasting catch-up --source sample --from 2018-11-01 --to 2018-12-28")
def catch_up(
    first: Annotated[str | None, typer.Option("--from", help="Oldest session to run.", show_default=False)] = None,
    last: Annotated[str | None, typer.Option("--to", help="Newest session to run.", show_default=False)] = None,
    symbol: Symbols = None,
    target: TargetOption = None,
    source: SourceOption = None,
    events: EventsOption = None,
    refit_every: Annotated[int, typer.Option(min=1, help="Sessions between fits while catching up.")] = 5,
    database_url: DatabaseUrl = None,
) -> None:
    """Run missed sessions, oldest first, from bars as known at each; marked late or replay."""
    use(database_url=database_url, target=target, source=source, events=events, symbols=symbol)
    quieten_prefect()
    from flows.terminal.start import start_catch_up

    echo(start_catch_up(first=parse(first), last=parse(last), refit_every=refit_every))


@app.command(
    epilog="Example: forecasting backtest --source csv:SBUX.csv --symbol SBUX --from 2023-01-03 --to 2023-12-29"
    " --refit-every 21 --json backtest.json"
)
def backtest(
    first: Annotated[str, typer.Option("--from", help="First origin session.")],
    last: Annotated[str, typer.Option("--to", help="Last origin session.")],
    symbol: Symbol = None,
    target: TargetOption = None,
    source: SourceOption = None,
    events: EventsOption = None,
    refit_every: Annotated[int, typer.Option(min=1, help="Sessions between refits of the model alone.")] = 21,
    as_published: Annotated[
        bool, typer.Option("--as-published", help="Also replay every night's fit and decisions: what is published.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--json", help="Path of the result as JSON.", show_default=False)] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that fit in parallel; 0 means one per core.")] = 0,
    database_url: DatabaseUrl = None,
    store: Annotated[
        bool, typer.Option("--store/--no-store", help="Also store the scores in the table metrics.")
    ] = False,
) -> None:
    """Replay the nightly path at past origins and score it against every baseline."""
    use(database_url=database_url, target=target, source=source, events=events, symbols=[symbol] if symbol else None)
    from flows import clock
    from flows.progress import progress_bar
    from flows.terminal import console
    from forecasting.pipeline.backtest import backtest_spec, walk_forward

    spec = backtest_spec(
        settings(),
        required(first),
        required(last),
        refit_every=refit_every,
        workers=workers,
        as_published=as_published,
    )
    console.show_backtest(walk_forward(spec, store=store, now=clock.now, bar=progress_bar, out=out), out)


@app.command(epilog="Example: forecasting show --symbol SBUX")
def show(
    symbol: Symbols = None, target: TargetOption = None, database_url: DatabaseUrl = None, as_json: AsJson = False
) -> None:
    """Print the newest forecasts and their notices."""
    use(database_url=database_url, target=target, symbols=symbol)
    from flows.terminal import console
    from forecasting.pipeline.publish import newest_reports

    console.show_nights(newest_reports(settings()), as_json=as_json)


@app.command(epilog="Example: forecasting report --symbol SBUX --as-of 2024-03-08")
def report(
    symbol: Symbols = None,
    target: TargetOption = None,
    as_of: AsOf = None,
    out: Annotated[Path | None, typer.Option("--out", help="Path of one symbol's page.", show_default=False)] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write the report pages and their index from the database."""
    use(database_url=database_url, target=target, symbols=symbol)
    from forecasting.pipeline.publish import write_reports

    for path in write_reports(settings(), out, parse(as_of)):
        echo(path)


@app.command(epilog="Example: forecasting export history --symbol SBUX --out history.parquet")
def export(
    form: Annotated[str, typer.Argument(help="latest, history, bars, hubverse or nixtla.")],
    out: Annotated[Path, typer.Option("--out", help="Path of the file, .parquet or .csv.")],
    symbol: Symbols = None,
    target: TargetOption = None,
    as_of: AsOf = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write forecasts, their history, or bars (--as-of: as a night had them) to a file."""
    use(database_url=database_url, target=target, symbols=symbol)
    from forecasting.pipeline.export import export as write_export

    echo(write_export(settings(), form, out, as_of=parse(as_of)))


@app.command(epilog="Example, in any scheduler: forecasting check || mail -s 'no forecast' me@example.org")
def check(symbol: Symbols = None, target: TargetOption = None, database_url: DatabaseUrl = None) -> None:
    """Exit 4 with a message unless the newest completed session has a live forecast."""
    use(database_url=database_url, target=target, symbols=symbol)
    from flows import clock
    from forecasting.pipeline.freshness import check_fresh

    echo(check_fresh(settings(), now=clock.now))


@app.command(epilog="Example: forecasting replay --symbol SBUX --to 2024-03-08")
def replay(
    symbol: Symbols = None,
    target: TargetOption = None,
    events: EventsOption = None,
    last: Annotated[str | None, typer.Option("--to", help="The last night to replay.", show_default=False)] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Re-run every finished night from stored bars in a separate database and compare each forecast bit for bit."""
    use(database_url=database_url, target=target, events=events, symbols=symbol)
    from flows import clock
    from forecasting.pipeline.replay import replay as rerun

    echo(rerun(settings(), now=clock.now, last=parse(last)))


app.command(epilog="Example: forecasting serve --symbol SBUX --symbol MSFT")(serve)
app.command(epilog="Example: forecasting worker --pool forecasting")(worker)
app.command(epilog="Example: forecasting alarms --webhook https://hooks.example.org/T0/B0/secret")(alarms)


@app.command(epilog="Example: forecasting article --source csv:SBUX.csv --symbol SBUX --as-of 2020-12-10")
def article(
    source: SourceOption = None,
    symbol: Symbol = None,
    as_of: AsOf = None,
    out: Annotated[Path, typer.Option("--out", help="Path of the page.")] = Path("article.html"),
    seed: Annotated[int, typer.Option(min=0, help="First of the five seeds of the article's networks.")] = 0,
) -> None:
    """Run the article's model as printed, then without its leakage, then this project's model."""
    use(source=source or "sample", symbols=[symbol] if symbol else None)
    from flows import clock
    from flows.progress import progress_bar
    from flows.terminal import console
    from forecasting.pipeline.backtest import article_experiment

    result = article_experiment(settings(), as_of=parse(as_of), seed=seed, now=clock.now, bar=progress_bar, out=out)
    console.show_article(result, out)


@app.command()
def doctor(database_url: DatabaseUrl = None) -> None:
    """Check everything that a night needs, without changing anything; exit 1 when a check fails."""
    use(database_url=database_url)
    from flows.terminal import console
    from flows.terminal.doctor import doctor as run_checks

    checks = run_checks()
    console.show_checks(checks)
    if any(check["state"] != "ok" for check in checks):
        raise typer.Exit(1)


@app.command("settings")
def show_settings(as_json: AsJson = False) -> None:
    """Print the settings in force and the variable that changes each; secrets stay hidden."""
    from flows.terminal import console

    console.show_settings(settings(), as_json=as_json)


def main() -> None:
    """The entry point."""
    run_command(app)


if __name__ == "__main__":
    main()
