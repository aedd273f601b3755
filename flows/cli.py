"""The command line: options in, one library or flow call, text, JSON or a file out. Exit codes are those of errors."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from flows.terminal import options
from flows.terminal.admin import db_app, models_app, pretrain
from flows.terminal.boundary import run_command
from flows.terminal.echo import echo
from flows.terminal.nights import catch_up, ingest, run, show
from flows.terminal.options import use
from flows.terminal.unattended import serve, worker
from forecasting import __version__
from forecasting.errors import UsageError

app = typer.Typer(
    name="forecasting",
    help="Nightly quantile forecasts of a stock's trading volume, stored and scored in SQL.",
    epilog="Start with: forecasting db upgrade && forecasting run --source sample",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
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


app.command(epilog="Example: forecasting run --source csv:SBUX.csv --symbol SBUX --as-of 2024-03-08")(run)
app.command(epilog="Example: forecasting ingest --symbol SBUX")(ingest)
app.command("catch-up", epilog="Example: forecasting catch-up --source sample --from 2018-11-01")(catch_up)


@app.command(
    context_settings={"allow_extra_args": True},
    epilog="Example: forecasting backtest --source csv:SBUX.csv --from 2023-01-03 --to 2023-12-29 --out backtest.json",
)
def backtest(
    context: typer.Context,
    first: options.FirstOrigin,
    last: options.LastOrigin,
    symbol: options.Symbols = None,
    symbols_file: options.SymbolsFile = None,
    target: options.TargetOption = None,
    source: options.SourceOption = None,
    events: options.EventsOption = None,
    market: options.MarketOption = None,
    refit_every: Annotated[int, typer.Option(min=1, metavar="N", help="Sessions between refits.")] = 21,
    as_published: Annotated[bool, typer.Option("--as-published", help="Replay every night's decisions too.")] = False,
    out: options.Out = None,
    as_json: options.AsJson = False,
    workers: Annotated[int, typer.Option(min=0, metavar="N", help="Processes that fit; 0: one a core.")] = 0,
    database_url: options.DatabaseUrl = None,
    store: Annotated[bool, typer.Option("--store/--no-store", help="Also store the scores in table metrics.")] = False,
) -> None:
    """Replay past nights and score them against every baseline."""
    use(symbol, symbols_file, target=target, source=source, events=events, market=market, database_url=database_url)
    formerly = Path(context.args[0]) if as_json and len(context.args) == 1 else None  # until 0.2: --json PATH
    if context.args and formerly is None:
        raise UsageError(f"Expected options alone, found {' '.join(context.args)!r}. See forecasting backtest --help.")
    from flows import clock
    from flows.progress import progress_bar
    from flows.terminal import console
    from forecasting.option_values import parse_date
    from forecasting.pipeline.backtest import backtest_spec, walk_each

    spec_of = partial(backtest_spec, refit_every=refit_every, workers=workers, as_published=as_published)
    spec_of = partial(spec_of, first=parse_date(first), last=parse_date(last))
    found = walk_each(options.settings(), spec_of, store=store, now=clock.now, bar=progress_bar, out=out or formerly)
    shown = partial(console.show_backtests, as_json=as_json and formerly is None, out=out or formerly)
    console.show_outcomes(found, shown)


app.command(epilog="Example: forecasting show --symbol SBUX")(show)


@app.command(epilog="Example: forecasting report --symbol SBUX --as-of 2024-03-08")
def report(
    symbol: options.Symbols = None,
    symbols_file: options.SymbolsFile = None,
    target: options.TargetOption = None,
    as_of: options.AsOfOrigin = None,
    out: options.Out = None,
    database_url: options.DatabaseUrl = None,
) -> None:
    """Write each symbol's report page, and their index. With --out, the page of one symbol alone goes there."""
    use(symbol, symbols_file, target=target, database_url=database_url)
    from flows import clock
    from flows.terminal import console
    from forecasting.pipeline.publish import write_reports

    pages, index = write_reports(options.settings(), out, options.parse(as_of), now=clock.now)
    console.show_outcomes(pages, lambda paths: console.show_paths([*paths, *index]))


@app.command(epilog="Example: forecasting export history --symbol SBUX --out history.parquet")
def export(
    form: Annotated[str, typer.Argument(metavar="FORM", help="latest, history, bars, hubverse or nixtla.")],
    out: options.OutNeeded,
    symbol: options.Symbols = None,
    symbols_file: options.SymbolsFile = None,
    target: options.TargetOption = None,
    as_of: options.AsOfBars = None,
    database_url: options.DatabaseUrl = None,
) -> None:
    """Write forecasts, their history or bars to a file."""
    use(symbol, symbols_file, target=target, database_url=database_url)
    from flows import clock
    from forecasting.pipeline.export import export as write_export

    echo(write_export(options.settings(), form, out, now=clock.now, as_of=options.parse(as_of)))


@app.command(epilog="Example, in any scheduler: forecasting check --notify")
def check(
    symbol: options.Symbols = None,
    symbols_file: options.SymbolsFile = None,
    target: options.TargetOption = None,
    notify: Annotated[bool, typer.Option("--notify", help="Send what is wrong to FORECASTING_NOTIFY too.")] = False,
    database_url: options.DatabaseUrl = None,
) -> None:
    """Exit 4 unless each symbol has a live forecast. It must be of the newest completed session."""
    use(symbol, symbols_file, target=target, database_url=database_url)
    from flows import clock
    from forecasting.pipeline.health import check_and_send, check_fresh

    echo((check_and_send if notify else check_fresh)(options.settings(), now=clock.now))


@app.command(epilog="Example: forecasting replay --symbol SBUX --to 2024-03-08")
def replay(
    symbol: options.Symbols = None,
    symbols_file: options.SymbolsFile = None,
    target: options.TargetOption = None,
    events: options.EventsOption = None,
    market: options.MarketOption = None,
    first: options.FirstReplayed = None,
    last: options.Last = None,
    database_url: options.DatabaseUrl = None,
) -> None:
    """Re-run finished nights and compare each forecast bit for bit. It uses stored bars, and a ledger of its own."""
    use(symbol, symbols_file, target=target, events=events, market=market, database_url=database_url)
    from flows import clock
    from forecasting.pipeline.replay import replay as rerun

    echo(rerun(options.settings(), now=clock.now, first=options.parse(first), last=options.parse(last)))


app.command(epilog="Example: forecasting pretrain --symbols-file large-caps.txt")(pretrain)
app.command(epilog="Example: forecasting serve --symbol SBUX --symbol MSFT")(serve)
app.command(epilog="Example: forecasting worker --pool forecasting")(worker)


@app.command(epilog="Example: forecasting article --source csv:SBUX.csv --symbol SBUX --as-of 2020-12-10")
def article(
    source: options.ArticleSource = "sample",
    symbol: options.OneSymbol = None,
    as_of: options.AsOf = None,
    out: options.OutNeeded = Path("article.svg"),
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, metavar="N", help="First of the five seeds of its networks.")
    ] = 0,
) -> None:
    """Compare the model of the article that this project began with.

    "How to apply LSTM using PyTorch": its model as printed, then without its leakage, then this project's model, on
    one symbol.
    """
    use(symbol, source=source)
    from flows import clock
    from flows.progress import progress_bar
    from flows.terminal import console
    from forecasting.pipeline.article import article_experiment

    result = article_experiment(
        options.settings(), as_of=options.parse(as_of), seed=seed, now=clock.now, bar=progress_bar, out=out
    )
    console.show_article(result, out)


@app.command(epilog="Example: forecasting doctor --database-url postgresql://forecast@localhost/forecast")
def doctor(database_url: options.DatabaseUrl = None, as_json: options.AsJson = False) -> None:
    """Check everything that a night needs, changing nothing. Exit 1 when a check fails."""
    use(database_url=database_url)
    from flows.terminal import console
    from flows.terminal.doctor import doctor as run_checks
    from forecasting.report.terminal import check_listing

    checks = run_checks()
    console.show_rows(checks, check_listing, as_json=as_json)
    if any(check["state"] != "ok" for check in checks):
        raise typer.Exit(1)


@app.command("settings", epilog="Example: FORECASTING_SYMBOLS=SBUX,MSFT forecasting settings --json")
def show_settings(as_json: options.AsJson = False) -> None:
    """Print the settings and the variable that changes each. Secrets stay hidden."""
    from flows.terminal import console

    console.show_settings(options.settings(), as_json=as_json)


def main() -> None:
    """The entry point."""
    run_command(app)


if __name__ == "__main__":
    main()
