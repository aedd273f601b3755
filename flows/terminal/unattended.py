"""The commands for nights that nobody starts by hand: the schedule, the worker of a pool, and the alarms."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.terminal import options
from flows.terminal.echo import echo


def serve(
    symbol: options.Symbols = None,
    symbols_file: options.SymbolsFile = None,
    target: options.TargetOption = None,
    source: options.SourceOption = None,
    database_url: options.DatabaseUrl = None,
) -> None:
    """Run the night on its schedule until stopped. It uses the configured Prefect server, or starts its own."""
    options.use(symbol, symbols_file, target=target, source=source, database_url=database_url)
    from flows.terminal.start import start_serving

    start_serving()


def worker(
    pool: Annotated[str, typer.Option("--pool", metavar="NAME", help="A pool of type process.")] = "forecasting",
    database_url: options.DatabaseUrl = None,
) -> None:
    """Run Prefect's worker, where ledger and Prefect server are ready."""
    options.use(database_url=database_url)
    from flows.operations.worker import start_worker

    start_worker(pool)


def alarms(context: typer.Context, webhook: options.Webhook = None, email: options.Email = None) -> None:
    """Report failed, late and unusual nights. They go to a webhook or by e-mail; run again to replace the address."""
    for name in ("webhook", "email"):
        options.warn_of_secret(context, name)
    from flows.operations.alarms import set_alarms

    for line in set_alarms(webhook=webhook, email=email):
        echo(line)
