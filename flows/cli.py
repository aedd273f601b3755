"""The command line: options in, one library or flow call, text, JSON or a file out.

Exit codes are those of errors.
"""

import os
import signal
import sys
from collections.abc import Callable
from datetime import date
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer
from click import HelpFormatter

from flows import clock, options
from flows.options import AsJson, OneSymbol, parse, settings
from forecasting import __version__
from forecasting.errors import NoLiveForecastError, SymbolsFailedError, UsageError
from forecasting.plain_text import without_password
from forecasting.values import check_choice, parse_date
from forecasting.vocabulary import Mode

ModelId = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="Its id in `models list`, or a unique beginning of it."),
]
Revision = Annotated[str, typer.Argument(metavar="REVISION", help="Target revision.")]

DAILY = ("init", "run", "show", "digest", "report", "check", "serve")


class TwoGroups(options.Commands):
    """The commands in two groups, each in the order in which they are defined below."""

    def format_commands(self, ctx: typer.Context, formatter: HelpFormatter) -> None:  # type: ignore[override]
        """Write both groups."""
        shown = [command for command in self.commands.values() if not command.hidden]
        shown.sort(key=lambda command: command.name == "article")  # of interest once
        limit = formatter.width - 6 - max(len(str(command.name)) for command in shown)
        rows = [(str(one.name), one.get_short_help_str(limit)) for one in shown]
        with formatter.section("Every day"):
            formatter.write_dl([row for row in rows if row[0] in DAILY])
        with formatter.section("Advanced"):
            formatter.write_dl([row for row in rows if row[0] not in DAILY])


def print_result(text: object, version: bool) -> None:
    """Print what a command returns."""
    if text is not None:
        from flows.console import echo

        echo(text)


app = typer.Typer(
    cls=TwoGroups,
    result_callback=print_result,
    name="forecasting",
    help="Nightly quantile forecasts of a stock's trading volume, stored and scored in SQL.",
    epilog="Start with: forecasting run --source sample",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
group = partial(
    typer.Typer,
    cls=options.Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
)
models_app = group(help="List, show, promote and roll back models.")
db_app = group(help="Manage the database schema.")
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
        bool,
        typer.Option(
            "--version",
            help="Print the version and exit.",
            callback=print_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Take the options that come before a command."""


@app.command(epilog="Example: forecasting init --symbol SBUX --symbol MSFT")
def init() -> None:
    """Write forecasting.toml: each setting explained, commented out unless an option gives it."""
    from forecasting.ingest.sources.plugins import source_of
    from forecasting.settings import write_config

    in_force = settings()
    source_of(in_force.source, cache_dir=in_force.data_dir)  # refuses a misspelt one
    typer.echo(write_config())


@app.command(
    epilog="Example: forecasting run --source csv:SBUX.csv --symbol SBUX --as-of 2024-03-08"
)
def run(
    as_of: options.AsOf = None,
    mode: options.ModeOption = "auto",
    switch_source: options.Switch = False,
    closed: options.Closed = None,
    as_json: AsJson = False,
) -> None:
    """Run a whole night of each symbol. Its steps: ingest, preprocess, train, predict, evaluate."""
    options.quieten_nights()
    session = parse(as_of)
    failed = None
    from flows.start import start_night

    try:
        start_night(
            as_of=session,
            mode=check_choice("mode", mode, Mode),
            switch_source=switch_source,
            closed=parse(closed),
        )
    except SymbolsFailedError as error:  # the other symbols' nights are done
        failed = error
    show_newest(session, as_json=as_json, error=failed)


@app.command(epilog="Example: forecasting show --symbol SBUX")
def show(
    as_of: options.AsOfOrigin = None,
    why: options.Why = False,
    as_json: AsJson = False,
    as_csv: options.AsCsv = False,
) -> None:
    """Print the newest forecasts and how past ones did. One symbol in full, several a line each."""
    if why + as_json + as_csv > 1:
        raise UsageError("Expected one of --why, --json and --csv, found several.")
    show_newest(parse(as_of), why=why, as_json=as_json, as_csv=as_csv)


def show_newest(
    as_of: date | None,
    *,
    why: bool = False,
    as_json: bool,
    as_csv: bool = False,
    error: SymbolsFailedError | None = None,
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
        nights = each_report(
            in_force,
            as_of,
            now=clock.now,
            brief=is_brief,
        )
        if is_brief and len(nights.values) == 1:  # of the others there is none: it is shown in full
            nights = each_report(in_force, as_of, now=clock.now)
        shown = list(nights.values.values())
        console.show_nights(shown, why=why, as_json=as_json, as_csv=as_csv)
    if error is not None:
        raise error
    nights.raise_failed()


@app.command(epilog="Example: forecasting digest --format html > digest.html")
def digest(
    form: Annotated[
        str, typer.Option("--format", metavar="FORM", help="text, markdown or html.")
    ] = "text",
    preview: Annotated[
        bool, typer.Option("--preview", help="Count the nights on which each alert held.")
    ] = False,
) -> str | None:
    """Print the morning's message. It has the newest forecasts, results, and what went wrong."""
    from forecasting.night.folders import INDEX, page_address
    from forecasting.publish.alerts import judged_alerts
    from forecasting.publish.messages import newest_digest
    from forecasting.report.digest import digest_in

    if preview and form != "text":
        raise UsageError("Expected --preview or --format, found both: --preview prints a table.")
    if preview:
        from flows.console import show_rows
        from forecasting.report.terminal import alert_listing
        from forecasting.store import migrate

        if not settings().alerts:
            raise UsageError(
                "Expected alerts in FORECASTING_ALERTS, found none. Set some, such as 'median > "
                "1.5 usual'."
            )
        migrate.check_ready(settings().url, writes=False)
        counts, wrong = judged_alerts(settings())
        show_rows(counts, alert_listing)
        if wrong:
            raise UsageError(" ".join(wrong))
        return None if counts else "No forecast of these symbols is stored to count."
    morning = newest_digest(settings(), now=clock.now)
    typer.echo(digest_in(form, morning, link=page_address(settings(), INDEX)))
    return None


@app.command(epilog="Example: forecasting report --symbol SBUX --as-of 2024-03-08")
def report(as_of: options.AsOfOrigin = None, out: options.Out = None) -> None:
    """Write each symbol's report page, and their index.

    With --out, the page of one symbol alone goes there.
    """
    from forecasting.publish.pages import write_reports

    pages, index = write_reports(
        settings(),
        out,
        parse(as_of),
        now=clock.now,
    )
    for path in [*pages.values.values(), *index]:
        typer.echo(path)
    pages.raise_failed()


@app.command(epilog="Example, in any scheduler: forecasting check --notify")
def check(
    notify: Annotated[
        bool, typer.Option("--notify", help="Send what is wrong to FORECASTING_NOTIFY too.")
    ] = False,
) -> str:
    """Exit 4 unless each symbol has a live forecast. It must be of the newest session.

    Without a database, exit 1.
    """
    from forecasting.publish.messages import check_fresh

    return check_fresh(now=clock.now, sends=notify)


@app.command(epilog="Example: forecasting serve --symbol SBUX --symbol MSFT")
def serve(mode: options.ModeOption = "auto", switch_source: options.Switch = False) -> None:
    """Run the night on its schedule until stopped.

    It uses the configured Prefect server, or starts its own.
    """
    from flows.start import start_serving

    start_serving(
        mode=check_choice("mode", mode, Mode),
        switch_source=switch_source,
    )


@app.command("catch-up", epilog="Example: forecasting catch-up --source sample --from 2018-11-01")
def catch_up(
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

    return start_catch_up(first=parse(first), last=parse(last), refit_every=refit_every)


@app.command(epilog="Example: forecasting ingest --symbol SBUX")
def ingest(
    as_of: options.AsOf = None, switch_source: options.Switch = False, as_json: AsJson = False
) -> None:
    """Bring the stored bars up to date and stop."""
    from flows import console
    from forecasting.night.run import ingest_only
    from forecasting.report.terminal import fetch_listing

    fetched = ingest_only(
        settings(),
        as_of=parse(as_of),
        switch_source=switch_source,
        now=clock.now,
        wait=clock.wait_until,
    )
    console.show_rows(list(fetched.values.values()), fetch_listing, as_json=as_json)
    fetched.raise_failed()


@app.command(
    epilog="Example: forecasting backtest --source csv:SBUX.csv --from 2023-01-03 --to 2023-12-29"
)
def backtest(
    first: options.FirstOrigin,
    last: options.LastOrigin,
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
    """Work off past nights and score them against every baseline."""
    from flows import console
    from flows.progress import progress_bar
    from forecasting.audit.run_backtest import backtest_spec, run_each

    spec_of = partial(
        backtest_spec,
        first=parse_date(first),
        last=parse_date(last),
        refit_every=refit_every,
    )
    backtests = run_each(
        settings(),
        spec_of,
        store=store,
        workers=workers,
        now=clock.now,
        bar=progress_bar,
        out=out,
    )
    console.show_backtests(list(backtests.values.values()), as_json=as_json, out=out)
    backtests.raise_failed()


@app.command("replay", hidden=True)  # its name until release 0.3
@app.command(epilog="Example: forecasting verify --symbol SBUX --to 2024-03-08")
def verify(first: options.FirstVerified = None, last: options.LastVerified = None) -> None:
    """Re-run finished nights from stored bars and compare what they published to the bit."""
    from flows import console
    from flows.progress import progress_bar
    from forecasting.audit.verify import verify as verify_nights

    verdicts = verify_nights(
        settings(),
        now=clock.now,
        first=parse(first),
        last=parse(last),
        bar=progress_bar,
    )
    for sentence in verdicts.values.values():
        console.echo(sentence)
    verdicts.raise_failed()


@app.command(epilog="Example: forecasting export history --symbol SBUX --out history.parquet")
def export(
    form: Annotated[
        str,
        typer.Argument(
            metavar="latest|totals|history|bars|hubverse|nixtla", help="What is written."
        ),
    ],
    out: options.OutNeeded,
    as_of: options.AsOfBars = None,
) -> str:
    """Write forecasts, their history or bars to a file."""
    from forecasting.publish.export import export as write_export

    return write_export(
        settings(),
        form,
        out,
        now=clock.now,
        as_of=parse(as_of),
    )


@app.command(epilog="Example: forecasting order --symbol SBUX --shares 3e6 --participation 10%")
def order(
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
        asked = {in_force.symbols[0]: shares}
    else:
        raise UsageError("Expected --orders csv:FILE, or --shares with one --symbol.")
    plans = planning.plan_orders(
        in_force,
        asked,
        planning.pace_of(participation, chance, parse(by)),
        now=clock.now,
        as_of=parse(as_of),
    )
    console.show_parts(list(plans.values.values()), parts, as_json=as_json)
    plans.raise_failed()


@app.command(
    epilog="Example: FORECASTING_DATABASE_URL=postgresql://reader@localhost/forecast forecasting "
    "mcp"
)
def mcp() -> None:
    """Answer an assistant over standard input and output.

    It reads forecasts, history, skill and why.
    """
    from flows.assistant import serve_assistant

    serve_assistant(settings())


@app.command(epilog="Example: forecasting worker --pool forecasting")
def worker(
    pool: Annotated[
        str, typer.Option("--pool", metavar="NAME", help="A pool of type process.")
    ] = "forecasting",
) -> None:
    """Run Prefect's worker, where ledger and Prefect server are ready."""
    from flows.start import load_server

    load_server().start_worker(pool)


@app.command(
    epilog="Example: forecasting article --source csv:SBUX.csv --symbol SBUX --as-of 2020-12-10"
)
def article(
    source: options.ArticleSource = "sample",
    symbol: OneSymbol = None,
    as_of: options.AsOf = None,
    out: options.OutNeeded = Path("article.svg"),
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            max=2**31 - 1,
            metavar="N",
            help="First of the five seeds of its networks.",
        ),
    ] = 0,
) -> str:
    """Compare the model of the article that this project began with.

    "How to apply LSTM using PyTorch": its model as printed, then without its leakage, then this
    project's model, on one symbol.
    """
    from flows import console
    from flows.progress import progress_bar
    from forecasting.audit.article import article_experiment

    result = article_experiment(
        settings(),
        as_of=parse(as_of),
        seed=seed,
        now=clock.now,
        bar=progress_bar,
        out=out,
    )
    console.echo(f"{result.title}: mean absolute error over the test sessions, in million shares")
    console.show_table(
        ["model", "question", "what changed", "MAE"],
        [
            [variant.name, variant.question, variant.change, f"{variant.mae / 1e6:.3f}"]
            for variant in result.variants
        ],
    )
    if result.note:
        console.echo(result.note)
    return f"Figure: {out}"


@app.command(
    epilog="Example: forecasting doctor --database-url postgresql://forecast@localhost/forecast"
)
def doctor(as_json: AsJson = False) -> None:
    """Check everything that a night needs, changing nothing. Exit 1 when a check fails."""
    from flows import console
    from flows.start import all_checks
    from forecasting.report.terminal import check_listing

    checks = all_checks()
    console.show_rows(checks, check_listing, as_json=as_json)
    if any(check["state"] != "ok" for check in checks):
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
    from forecasting.report.terminal import settings_document, settings_listing
    from forecasting.settings import setting_places

    in_force = settings()
    source_of(in_force.source, cache_dir=in_force.yahoo_cache)  # refuses one of no kind
    console.show_rows(
        settings_document(in_force),
        partial(settings_listing, places=setting_places()),
        as_json=as_json,
    )


@db_app.command("upgrade", epilog="Example: forecasting db upgrade")
def db_upgrade(revision: Revision = "head") -> str:
    """Create the tables, or upgrade them to this version's schema."""
    from forecasting.store import migrate

    migrate.upgrade(settings().url, revision)
    return _revision_of(settings().url)


@db_app.command("downgrade", epilog="Example: forecasting db downgrade 0009")
def db_downgrade(revision: Revision) -> str:
    """Downgrade the schema. Data that only the later revision holds is lost."""
    from forecasting.store import migrate

    migrate.downgrade(settings().url, revision)
    return _revision_of(settings().url)


def _revision_of(url: str) -> str:
    from forecasting.store import connect, migrate

    return f"The database {connect.place(url)} is at revision {migrate.current(url)}."


@db_app.command("current", epilog="Example: forecasting db current")
def db_current() -> str:
    """Print the revision of the database, and the newest there is."""
    from forecasting.store import migrate

    return f"{migrate.current(settings().url) or 'not migrated'} (newest: {migrate.head()})"


@models_app.command("list", epilog="Example: forecasting models list --symbol SBUX --symbol MSFT")
def models_list(as_json: AsJson = False) -> None:
    """List each symbol's networks, the newest first. The champion is marked."""
    from flows import console
    from forecasting.night import models
    from forecasting.report.terminal import model_listing

    networks, outcomes = models.list_models(settings(), now=clock.now)
    console.show_rows(networks, model_listing, as_json=as_json)
    outcomes.raise_failed()


@models_app.command("show", epilog="Example: forecasting models show 3f9c2a")
def models_show(model_id: ModelId, as_json: AsJson = False) -> None:
    """Show a model's lineage. It has code, settings, seed, bars, parent, weights and forecasts."""
    from flows import console
    from forecasting.night import models
    from forecasting.report.terminal import lineage_listing

    console.show_rows(models.show_model(model_id, settings()), lineage_listing, as_json=as_json)


@models_app.command("promote", epilog="Example: forecasting models promote 3f9c2a")
def models_promote(model_id: ModelId) -> str:
    """Make a model champion from the next forecast on.

    Refused when its weights cannot be loaded and run.
    """
    from forecasting.night import models

    return models.promote(model_id, settings(), now=clock.now)


@models_app.command("rollback", epilog="Example: forecasting models rollback --symbol SBUX")
def models_rollback(symbol: OneSymbol = None) -> str:
    """Return to the previous champion of one symbol. Run twice, it undoes itself.

    Further back: models promote.
    """
    from forecasting.night import models

    return models.roll_back(settings(), now=clock.now)


def _as_echoed(before: str, argument: str) -> str:
    """The argument as Click may repeat it: without a password, unless its option takes one."""
    name, is_one_text, _ = argument.partition("=")
    option = name if is_one_text else before
    if {before, option} & {"--database-url", "--source"}:
        return argument
    return without_password(argument)


def send_check(error: BaseException) -> None:
    """Send why `check --notify` failed: nobody may read what a scheduler prints."""
    if sys.argv[1:2] != ["check"] or "--notify" not in sys.argv:
        return
    from forecasting.publish.messages import logger, send
    from forecasting.settings import settings_to_send

    settings = settings_to_send()
    title = "check.failed"
    if isinstance(error, NoLiveForecastError):
        title = f"forecast.missing, {error.subject}"
    send(settings, title, str(error))
    if settings.notify is None:
        logger.warning("Nothing was sent: FORECASTING_NOTIFY has no address.")


def set_environment() -> None:
    """Give this process, and those that it starts, what Prefect reads when it is imported."""
    # Its client would report its use
    os.environ.setdefault("DO_NOT_TRACK", "1")
    # The library's lines are of a run's log in Prefect
    os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "forecasting")
    os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
    # A proxy that the environment names cannot reach a Prefect server on this machine
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
    if not {"*", "127.0.0.1"} & set(direct.split(",")):
        direct = f"{direct},127.0.0.1,localhost".strip(",")
    os.environ["no_proxy"] = direct


def main(command: Callable[[], object] = app) -> None:
    """Run the command of `sys.argv`: whatever goes wrong is one paragraph and an exit code."""
    set_environment()
    # Latin-1 lacks the dash of ranges
    getattr(sys.stdout, "reconfigure", lambda **_: None)(errors="backslashreplace")
    try:
        sys.argv[1:] = [_as_echoed(*pair) for pair in pairwise(sys.argv)]
        command()
    except SystemExit as ended:
        if ended.code == 128 + signal.SIGINT:  # Click's, of Ctrl-C
            sys.stderr.write("Stopped; run the same command to continue.\n")
        if ended.code == UsageError.exit_code:  # Click's, of an option, which it has printed
            send_check(ended.__context__ or ended)
        raise
    except Exception as error:
        from forecasting.night.failures import explained

        failure = explained(error, now=clock.now)
        sys.stderr.write(f"{failure}\n")
        send_check(failure)
        sys.exit(failure.exit_code)


if __name__ == "__main__":
    main()
