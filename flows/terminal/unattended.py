"""The commands for nights that nobody starts by hand: the schedule, the worker of a pool, and the alarms."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.terminal.echo import echo
from flows.terminal.options import DatabaseUrl, SourceOption, Symbols, TargetOption, use, warn_of_secret


def serve(
    symbol: Symbols = None,
    target: TargetOption = None,
    source: SourceOption = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Run the night on its schedule until stopped, with the configured Prefect server or one of its own."""
    use(database_url=database_url, target=target, source=source, symbols=symbol)
    from flows.terminal.start import start_serving

    start_serving()


def worker(
    pool: Annotated[str, typer.Option("--pool", help="Prefect's work pool, of type process.")] = "forecasting",
    database_url: DatabaseUrl = None,
) -> None:
    """Mark a killed worker's runs Crashed, start them again, then run Prefect's worker."""
    use(database_url=database_url)
    from flows.operations.worker import start_worker

    start_worker(pool)


def alarms(
    context: typer.Context,
    webhook: Annotated[
        str | None,
        typer.Option(
            "--webhook", envvar="FORECASTING_ALARM_WEBHOOK", help="URL that receives JSON {text}.", show_default=False
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
    """Report failed, late and unusual nights by webhook or e-mail; run it again to replace the address."""
    for name in ("webhook", "email"):
        warn_of_secret(context, name)
    from flows.operations.alarms import set_alarms

    for line in set_alarms(webhook=webhook, email=email):
        echo(line)
