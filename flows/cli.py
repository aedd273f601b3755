"""The command line: options in, one library or flow call, a table or JSON out. Exit codes are those of the errors."""

from __future__ import annotations

import os
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from forecasting.errors import ForecastingError

if TYPE_CHECKING:
    from forecasting.settings import Mode, Settings

app = typer.Typer(
    name="forecasting",
    help="Nightly quantile forecasts of a stock's trading volume, kept and scored in SQL.",
    epilog="Start with: forecasting db upgrade && forecasting run --source sample",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(help="The models that have spoken: list, show, promote, roll back.", no_args_is_help=True)
db_app = typer.Typer(help="The database's schema: bring it up to date, or say where it stands.", no_args_is_help=True)
app.add_typer(models_app, name="models")
app.add_typer(db_app, name="db")

Symbols = Annotated[
    list[str] | None,
    typer.Option("--symbol", help="A symbol as Yahoo writes it; repeat for several.", show_default=False),
]
Symbol = Annotated[str | None, typer.Option("--symbol", help="A symbol as Yahoo writes it.", show_default=False)]
TargetOption = Annotated[str | None, typer.Option("--target", help="volume, close or range.", show_default=False)]
SourceOption = Annotated[
    str | None, typer.Option("--source", help="yahoo, csv:PATH, parquet:PATH or sample.", show_default=False)
]
EventsOption = Annotated[
    str | None,
    typer.Option("--events", help="Earnings dates as csv:PATH (columns announced, timing).", show_default=False),
]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", help="The newest session that may be known, like 2024-03-08.", show_default=False),
]
ModeOption = Annotated[str, typer.Option("--mode", help="auto, scratch, warm or skip.")]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url", help="SQLAlchemy URL; else FORECASTING_DATABASE_URL, else a SQLite file.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Switch = Annotated[bool, typer.Option("--switch-source", help="Allow bars of another source for a known symbol.")]


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
    from flows import console, ledger
    from flows.nightly import start_night

    start_night(as_of=parse(as_of), mode=checked_mode(mode), switch_source=switch_source)
    console.show_nights(ledger.newest_nights(parse(as_of)), as_json=as_json)


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
    from flows import console
    from flows.nightly import start_ingest

    console.show_fetches(start_ingest(as_of=parse(as_of), switch_source=switch_source))


@app.command("catch-up", epilog="Example: forecasting catch-up --source sample --from 2018-11-01 --to 2018-12-28")
def catch_up(
    first: Annotated[str | None, typer.Option("--from", help="Oldest session to work off.", show_default=False)] = None,
    last: Annotated[str | None, typer.Option("--to", help="Newest session to work off.", show_default=False)] = None,
    symbol: Symbols = None,
    target: TargetOption = None,
    source: SourceOption = None,
    events: EventsOption = None,
    refit_every: Annotated[int, typer.Option(min=1, help="Sessions between fits while catching up.")] = 5,
    database_url: DatabaseUrl = None,
) -> None:
    """Work off missed sessions, oldest first, from bars as known then; marked late or replay."""
    use(database_url=database_url, target=target, source=source, events=events, symbols=symbol)
    quieten_prefect()
    from flows.catch_up import start_catch_up

    typer.echo(start_catch_up(first=parse(first), last=parse(last), refit_every=refit_every))


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
    refit_every: Annotated[int, typer.Option(min=1, help="Sessions between refits.")] = 21,
    out: Annotated[
        Path | None, typer.Option("--json", help="Write the result as JSON here.", show_default=False)
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that fit in parallel; 0 means one a core.")] = 0,
    database_url: DatabaseUrl = None,
    store: Annotated[
        bool, typer.Option("--store/--no-store", help="Also keep the scores in the table metrics.")
    ] = False,
) -> None:
    """Replay the nightly path at past origins and score it against every baseline."""
    use(database_url=database_url, target=target, source=source, events=events, symbols=[symbol] if symbol else None)
    from flows import console
    from flows.backtest import start_backtest

    document = start_backtest(
        required(first), required(last), refit_every=refit_every, workers=workers, store=store, out=out
    )
    console.show_backtest(document, out)


@app.command(epilog="Example: forecasting show --symbol SBUX")
def show(
    symbol: Symbols = None, target: TargetOption = None, database_url: DatabaseUrl = None, as_json: AsJson = False
) -> None:
    """Print the newest forecasts and how past ones did."""
    use(database_url=database_url, target=target, symbols=symbol)
    from flows import console, ledger

    console.show_nights(ledger.newest_nights(), as_json=as_json)


@app.command(epilog="Example: forecasting report --symbol SBUX --out report.html")
def report(
    symbol: Symbol = None,
    target: TargetOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="Where the page goes.", show_default=False)] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write the report page from what the database holds."""
    use(database_url=database_url, target=target, symbols=[symbol] if symbol else None)
    from flows import ledger

    typer.echo(ledger.write_report(out))


@app.command(epilog="Example, in any scheduler: forecasting check || mail -s 'no forecast' me@example.org")
def check(symbol: Symbols = None, target: TargetOption = None, database_url: DatabaseUrl = None) -> None:
    """Exit 4, with a sentence, unless the newest completed session has a live forecast."""
    use(database_url=database_url, target=target, symbols=symbol)
    from flows import ledger

    typer.echo(ledger.check_fresh())


@app.command(epilog="Example: forecasting serve --symbol SBUX --symbol MSFT")
def serve(
    symbol: Symbols = None,
    target: TargetOption = None,
    source: SourceOption = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Stay, and run the night on its schedule through the Prefect server you have configured."""
    use(database_url=database_url, target=target, source=source, symbols=symbol)
    from flows.nightly import start_serving

    start_serving()


@app.command(epilog="Example: forecasting worker --pool forecasting")
def worker(
    pool: Annotated[str, typer.Option("--pool", help="Prefect's work pool, of type process.")] = "forecasting",
    database_url: DatabaseUrl = None,
) -> None:
    """Mark the runs of a killed worker Crashed, start them again, then be Prefect's worker."""
    use(database_url=database_url)
    from flows.worker import start_worker

    start_worker(pool)


@app.command(epilog="Example: forecasting alarms --webhook https://hooks.example.org/T0/B0/secret")
def alarms(
    webhook: Annotated[
        str | None,
        typer.Option(
            "--webhook", envvar="FORECASTING_ALARM_WEBHOOK", help="URL that is sent JSON {text}.", show_default=False
        ),
    ] = None,
    email: Annotated[
        str | None,
        typer.Option(
            "--email",
            envvar="FORECASTING_ALARM_EMAIL",
            help="mailtos://USER:PASSWORD@HOST:PORT?from=A@B&to=C@D",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Have failed, late and odd nights reported by webhook or e-mail; doing it again replaces the address."""
    from flows.alarms import set_alarms

    for line in set_alarms(webhook=webhook, email=email):
        typer.echo(line)


@app.command(epilog="Example: forecasting article --source csv:SBUX.csv --symbol SBUX --as-of 2020-12-10")
def article(
    source: SourceOption = None,
    symbol: Symbol = None,
    as_of: AsOf = None,
    out: Annotated[Path, typer.Option("--out", help="Where the page goes.")] = Path("article.html"),
    seed: Annotated[int, typer.Option(min=0, help="First of the five seeds of the article's networks.")] = 0,
) -> None:
    """Run the article's model as printed, then the same question asked honestly, then ours."""
    use(source=source or "sample", symbols=[symbol] if symbol else None)
    from flows import console
    from flows.backtest import start_article

    console.show_article(start_article(out, as_of=parse(as_of), seed=seed), out)


@app.command()
def doctor(database_url: DatabaseUrl = None) -> None:
    """Say whether everything a night needs is in place, without changing anything; exit 1 when something is not."""
    use(database_url=database_url)
    from flows import console, ledger

    checks = ledger.doctor()
    console.show_checks(checks)
    if any(check["state"] != "ok" for check in checks):
        raise typer.Exit(1)


@app.command("settings")
def show_settings(as_json: AsJson = False) -> None:
    """Print the settings in force and the variable that changes each; secrets stay hidden."""
    from flows import console

    console.show_settings(settings(), as_json=as_json)


@db_app.command(
    "upgrade", epilog="Example: forecasting db upgrade --database-url postgresql://forecast@localhost/forecast"
)
def db_upgrade(
    revision: Annotated[str, typer.Argument(help="Where to; the newest by default.")] = "head",
    database_url: DatabaseUrl = None,
) -> None:
    """Create the tables, or bring them to this version's schema."""
    use(database_url=database_url)
    from forecasting.store import database

    database.upgrade(settings().url, revision)
    typer.echo(f"The database is at revision {database.current(settings().url)}.")


@db_app.command("downgrade", epilog="Example: forecasting db downgrade 0001")
def db_downgrade(revision: Annotated[str, typer.Argument(help="Where to.")], database_url: DatabaseUrl = None) -> None:
    """Take the schema back to an earlier revision; what only the later one held is lost."""
    use(database_url=database_url)
    from forecasting.store import database

    database.downgrade(settings().url, revision)
    typer.echo(f"The database is at revision {database.current(settings().url)}.")


@db_app.command("current")
def db_current(database_url: DatabaseUrl = None) -> None:
    """Print the database's revision and the newest one this version knows."""
    use(database_url=database_url)
    from forecasting.store import database

    typer.echo(f"{database.current(settings().url) or 'not migrated'} (newest: {database.head()})")


@models_app.command("list")
def models_list(
    symbol: Symbol = None, target: TargetOption = None, database_url: DatabaseUrl = None, as_json: AsJson = False
) -> None:
    """List the networks, newest first, and which of them is champion."""
    use(database_url=database_url, target=target, symbols=[symbol] if symbol else None)
    from flows import console, ledger

    console.show_models(ledger.list_models(), as_json=as_json)


@models_app.command("show")
def models_show(model_id: str, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Show a model's lineage: code, settings, seed, bars, parent, weights and what it has said."""
    use(database_url=database_url)
    from flows import console, ledger

    console.show_record(ledger.show_model(model_id), as_json=as_json)


@models_app.command("promote")
def models_promote(model_id: str, database_url: DatabaseUrl = None) -> None:
    """Make a model champion from the next forecast on; refused when its weights cannot be loaded and run."""
    use(database_url=database_url)
    from flows import ledger

    typer.echo(ledger.promote(model_id))


@models_app.command("rollback")
def models_rollback(symbol: Symbol = None, target: TargetOption = None, database_url: DatabaseUrl = None) -> None:
    """Hand back to the champion before the present one."""
    use(database_url=database_url, target=target, symbols=[symbol] if symbol else None)
    from flows import ledger

    typer.echo(ledger.roll_back())


def main() -> None:
    """The entry point: run the command, turn our errors into a paragraph and an exit code."""
    try:
        app()
    except ForecastingError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


def use(*, symbols: list[str] | None = None, **options: str | None) -> None:
    """Let this command's options win over the environment, for this process and the flows it starts."""
    if symbols:
        os.environ["FORECASTING_SYMBOLS"] = ",".join(symbols)
    for name, value in options.items():
        if value is not None:
            os.environ[f"FORECASTING_{name.upper()}"] = value


def quieten_prefect() -> None:
    """Keep Prefect's narration off the terminal unless asked for; its UI has every line all the same."""
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "ERROR")
    os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "forecasting")
    os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")


def settings() -> Settings:
    """The settings in force, or one readable paragraph about the field that is wrong."""
    from forecasting.settings import read_settings

    return read_settings()


def parse(text: str | None) -> date | None:
    """The date named by an option, or None where it was not given."""
    return required(text) if text is not None else None


def required(text: str) -> date:
    """The date named by an option."""
    from forecasting.settings import parse_date

    return parse_date(text)


def checked_mode(text: str) -> Mode:
    """One of the four modes.

    Raises:
        UsageError: Anything else.
    """
    from forecasting.errors import UsageError

    if text not in ("auto", "scratch", "warm", "skip"):
        raise UsageError(f"--mode is auto, scratch, warm or skip; found {text!r}.")
    return cast("Mode", text)


if __name__ == "__main__":
    main()
