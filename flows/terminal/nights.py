"""The commands that bring nights about by hand and print them: run, ingest, catch-up and show."""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import Annotated

import typer

from flows.terminal import options
from flows.terminal.echo import echo
from flows.terminal.options import use
from forecasting.errors import SymbolsFailedError, UsageError


def run(
    symbol: options.Symbols = None,
    symbols_file: options.SymbolsFile = None,
    target: options.TargetOption = None,
    source: options.SourceOption = None,
    events: options.EventsOption = None,
    market: options.MarketOption = None,
    as_of: options.AsOf = None,
    mode: options.ModeOption = "auto",
    switch_source: options.Switch = False,
    database_url: options.DatabaseUrl = None,
    as_json: options.AsJson = False,
) -> None:
    """Run a whole night of each symbol. Its steps: ingest, preprocess, train, predict, evaluate."""
    use(symbol, symbols_file, target=target, source=source, events=events, market=market, database_url=database_url)
    options.quieten_nights()
    from forecasting.option_values import parse_mode

    session, fit, failed = options.parse(as_of), parse_mode(mode), None
    from flows.terminal.start import start_night

    try:
        start_night(as_of=session, mode=fit, switch_source=switch_source)
    except SymbolsFailedError as error:  # the other symbols' nights are done
        failed = error
    show_newest(session, as_json=as_json, error=failed)


def show_newest(
    as_of: date | None, *, as_json: bool, as_csv: bool = False, error: SymbolsFailedError | None = None
) -> None:
    """Print the newest night of each symbol, or that of a session; then raise what stopped the others."""
    from flows import clock
    from flows.terminal import console
    from forecasting.pipeline.publish import each_report
    from forecasting.store.frames import python_strings

    settings = options.settings()
    with python_strings():
        nights = each_report(settings, as_of, now=clock.now, brief=len(settings.symbols) > 1 and not as_json)
        console.show_outcomes(nights, partial(console.show_nights, as_json=as_json, as_csv=as_csv), error=error)


def ingest(
    symbol: options.Symbols = None,
    symbols_file: options.SymbolsFile = None,
    source: options.SourceOption = None,
    as_of: options.AsOf = None,
    switch_source: options.Switch = False,
    database_url: options.DatabaseUrl = None,
    as_json: options.AsJson = False,
) -> None:
    """Bring the stored bars up to date and stop."""
    use(symbol, symbols_file, source=source, database_url=database_url)
    from flows import clock
    from flows.terminal import console
    from forecasting.pipeline.ingest import ingest_only
    from forecasting.report.terminal import fetch_listing

    fetched = ingest_only(options.settings(), as_of=options.parse(as_of), switch_source=switch_source, now=clock.now)
    console.show_outcomes(fetched, partial(console.show_rows, listing=fetch_listing, as_json=as_json))


def catch_up(
    first: options.First = None,
    last: options.Last = None,
    symbol: options.Symbols = None,
    symbols_file: options.SymbolsFile = None,
    target: options.TargetOption = None,
    source: options.SourceOption = None,
    events: options.EventsOption = None,
    market: options.MarketOption = None,
    refit_every: Annotated[int, typer.Option(min=1, metavar="N", help="Sessions between fits.")] = 5,
    database_url: options.DatabaseUrl = None,
) -> None:
    """Run missed sessions, oldest first. Each has the bars known by then; the newest alone can be live."""
    use(symbol, symbols_file, target=target, source=source, events=events, market=market, database_url=database_url)
    span = options.parse(first), options.parse(last)
    options.quieten_nights()
    from flows.terminal.start import start_catch_up

    echo(start_catch_up(first=span[0], last=span[1], refit_every=refit_every))


def show(
    symbol: options.Symbols = None,
    symbols_file: options.SymbolsFile = None,
    target: options.TargetOption = None,
    cost_ratio: options.CostRatio = None,
    database_url: options.DatabaseUrl = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
) -> None:
    """Print the newest forecasts and how past ones did. One symbol in full, several a line each."""
    if as_json and as_csv:
        raise UsageError("Expected --json or --csv, found both. Leave one out.")
    use(symbol, symbols_file, target=target, cost_ratio=cost_ratio, database_url=database_url)
    show_newest(None, as_json=as_json, as_csv=as_csv)
