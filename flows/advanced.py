"""The commands beside those of every day: more nights, audits, exports, models, the database."""

from functools import partial
from typing import Annotated

import typer

from flows import clock, options
from flows.options import AsJson, settings
from forecasting.errors import UsageError

ModelId = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="Its id in `models list`, or a unique beginning of it."),
]
Revision = Annotated[str, typer.Argument(metavar="REVISION", help="Target revision.")]

app = typer.Typer()
group = partial(typer.Typer, no_args_is_help=True, rich_markup_mode=None)
models_app = group(help="List, show and withdraw models.")
db_app = group(help="Manage the database.")
app.add_typer(models_app, name="models")
app.add_typer(db_app, name="db")


@app.command("catch-up", epilog="Example: forecasting catch-up --source sample --from 2018-11-01")
def catch_up(
    symbol: options.Symbols = None,
    symbols_file: options.SymbolsFile = None,
    target: options.Targets = None,
    source: options.BarSource = None,
    events: options.Events = None,
    market: options.Market = None,
    database_url: options.DatabaseUrl = None,
    first: options.First = None,
    last: options.Last = None,
    refit_every: Annotated[
        int, typer.Option(min=1, metavar="N", help="Sessions between fits.")
    ] = 5,
) -> str:
    """Run missed sessions, oldest first. Each has the bars known by then.

    The newest alone can be live.
    """
    options.quieten_nights()
    from flows.start import start_catch_up

    return start_catch_up(first=first, last=last, refit_every=refit_every)


@app.command(epilog="Example: forecasting backtest --source SBUX.csv --symbol SBUX")
def backtest(
    symbol: options.Symbols = None,
    symbols_file: options.SymbolsFile = None,
    target: options.Targets = None,
    source: options.BarSource = None,
    events: options.Events = None,
    market: options.Market = None,
    database_url: options.DatabaseUrl = None,
    first: options.FirstOrigin = None,
    last: options.LastOrigin = None,
    refit_every: Annotated[
        int, typer.Option(min=1, metavar="N", help="Sessions between fits; 1: as published.")
    ] = 21,
    out: options.Out = None,
    as_json: AsJson = False,
    workers: Annotated[
        int, typer.Option(min=0, metavar="N", help="Processes for several symbols; 0: one a core.")
    ] = 0,
    store: Annotated[
        bool, typer.Option("--store/--no-store", help="Also store the scores in table metrics.")
    ] = False,
) -> None:
    """Work off past nights and say whether they are better than what you have.

    Each is scored against every baseline.
    """
    from flows import console
    from flows.progress import progress_bar
    from forecasting.audit.run_backtest import backtest_spec, run_each

    spec_of = partial(backtest_spec, first=first, last=last, refit_every=refit_every)
    backtests = run_each(
        settings(), spec_of, store=store, workers=workers, now=clock.now, bar=progress_bar, out=out
    )
    console.show_backtests(list(backtests.values.values()), as_json=as_json, out=out)
    backtests.raise_failed()


@app.command(epilog="Example: forecasting verify --symbol SBUX --to 2024-03-08")
def verify(
    symbol: options.Symbols = None,
    symbols_file: options.SymbolsFile = None,
    target: options.Targets = None,
    database_url: options.DatabaseUrl = None,
    first: options.First = None,
    last: options.Last = None,
) -> None:
    """Re-run finished nights from stored bars and compare what they published to the bit."""
    from flows import console
    from flows.progress import progress_bar
    from forecasting.audit.verify import verify as verify_nights

    verdicts = verify_nights(settings(), first=first, last=last, bar=progress_bar)
    for sentence in verdicts.values.values():
        console.echo(sentence)
    verdicts.raise_failed()


@app.command(epilog="Example: forecasting export history --symbol SBUX --out history.parquet")
def export(
    form: Annotated[
        str, typer.Argument(metavar="latest|totals|history|bars|nixtla", help="What is written.")
    ],
    *,
    symbol: options.Symbols = None,
    symbols_file: options.SymbolsFile = None,
    target: options.Targets = None,
    database_url: options.DatabaseUrl = None,
    out: options.OutNeeded,
    as_of: options.AsOfBars = None,
) -> str:
    """Write forecasts, their history or bars to a file."""
    from forecasting.publish.export import export as write_export

    return write_export(settings(), form, out, as_of=as_of)


@app.command(epilog="Example: forecasting order --symbol SBUX --shares 3e6 --participation 10%")
def order(
    symbol: options.Symbols = None,
    database_url: options.DatabaseUrl = None,
    shares: options.Shares = None,
    orders: options.Orders = None,
    participation: options.Participation = "10%",
    by: options.By = None,
    chance: options.Chance = "90%",
    as_of: options.AsOfOrigin = None,
    as_json: AsJson = False,
) -> None:
    """Print when an order is done at a share of the volume, and what share is done in time."""
    from flows import console
    from forecasting.publish import orders as planning

    in_force = settings()
    parts = planning.order_parts
    if orders is not None and shares is None:
        asked = planning.read_orders(orders)
        parts = planning.book_parts
    elif orders is None and shares is not None and len(in_force.symbols) == 1:
        asked = {in_force.symbols[0]: planning.order_of(shares)}
    else:
        raise UsageError("Expected --orders FILE.csv, or --shares with one --symbol.")
    plans = planning.plan_orders(
        in_force, asked, planning.pace_of(participation, chance, by), now=clock.now, as_of=as_of
    )
    # If every order failed, the errors alone are printed.
    if plans.values:
        console.show_parts(list(plans.values.values()), parts, as_json=as_json)
    plans.raise_failed()


@app.command(
    epilog="Example: FORECASTING_DATABASE_URL=postgresql://reader@localhost/forecast forecasting "
    "mcp"
)
def mcp(database_url: options.DatabaseUrl = None) -> None:
    """Answer an assistant over standard input and output.

    It reads forecasts, history, skill and why.
    """
    from flows.assistant import serve_assistant

    serve_assistant(settings())


@app.command(
    epilog="Example: forecasting doctor --database-url postgresql://forecast@localhost/forecast"
)
def doctor(
    symbol: options.Symbols = None,
    symbols_file: options.SymbolsFile = None,
    target: options.Targets = None,
    source: options.BarSource = None,
    events: options.Events = None,
    market: options.Market = None,
    database_url: options.DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Check everything that a night needs, changing nothing. Exit 1 when a check fails."""
    from flows import console
    from flows.start import all_checks
    from forecasting.report.terminal import check_listing

    checks = all_checks()
    console.show_rows(checks, check_listing, as_json=as_json)
    if any(check.state != "ok" for check in checks):
        raise typer.Exit(1)


@app.command(
    "settings", epilog="Example: FORECASTING_SYMBOLS=SBUX,MSFT forecasting settings --json"
)
def show_settings(as_json: AsJson = False) -> None:
    """Print the settings, the variable that changes each, and where its value is from.

    Secrets stay hidden.
    """
    from flows import console
    from forecasting.ingest.sources.plugins import source_of
    from forecasting.report.terminal import settings_listing, with_exchanges
    from forecasting.settings import setting_places

    in_force = settings()
    source_of(in_force.source, cache_dir=in_force.yahoo_cache)  # refuses one of no kind
    console.show_rows(
        with_exchanges(in_force),
        partial(settings_listing, places=setting_places()),
        as_json=as_json,
    )


@db_app.command("upgrade", epilog="Example: forecasting db upgrade")
def db_upgrade(revision: Revision = "head", database_url: options.DatabaseUrl = None) -> str:
    """Create the tables, or upgrade them to this version's schema."""
    from forecasting.store import migrate

    migrate.upgrade(settings().url, revision)
    return _revision_of(settings().url)


@db_app.command("downgrade", epilog="Example: forecasting db downgrade 0009")
def db_downgrade(revision: Revision, database_url: options.DatabaseUrl = None) -> str:
    """Downgrade the schema. Data that only the later revision holds is lost."""
    from forecasting.store import migrate

    migrate.downgrade(settings().url, revision)
    return (
        f"{_revision_of(settings().url)} It has no views: install the release of that revision, "
        "and run its `forecasting db upgrade`, which makes them."
    )


def _revision_of(url: str) -> str:
    from forecasting.store import connect, migrate

    return f"The database {connect.place(url)} is at revision {migrate.current(url)}."


@models_app.command("list", epilog="Example: forecasting models list --symbol SBUX --symbol MSFT")
def models_list(
    symbol: options.Symbols = None,
    symbols_file: options.SymbolsFile = None,
    target: options.Targets = None,
    database_url: options.DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List each symbol's networks, the newest first."""
    from flows import console
    from forecasting.publish import models
    from forecasting.report.terminal import model_listing

    networks, outcomes = models.list_models(settings())
    console.show_rows(networks, model_listing, as_json=as_json)
    outcomes.raise_failed()


@models_app.command("show", epilog="Example: forecasting models show 3f9c2a")
def models_show(
    model_id: ModelId, database_url: options.DatabaseUrl = None, as_json: AsJson = False
) -> None:
    """Show a model's lineage. It has code, settings, seed, bars, parent, weights and forecasts."""
    from flows import console
    from forecasting.publish import models
    from forecasting.report.terminal import lineage_listing

    console.show_rows(models.show_model(model_id, settings()), lineage_listing, as_json=as_json)


@models_app.command("withdraw", epilog="Example: forecasting models withdraw 3f9c2a")
def models_withdraw(model_id: ModelId, database_url: options.DatabaseUrl = None) -> str:
    """Let no later night publish or continue a model. The newest other one takes its place."""
    from forecasting.publish import models

    return models.withdraw(model_id, settings(), now=clock.now)
