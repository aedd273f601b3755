"""The commands for nights that nobody starts by hand: the schedule, and the worker of a pool."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.terminal import options


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
