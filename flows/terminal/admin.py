"""The commands for the database schema and the models."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.terminal.echo import echo
from flows.terminal.options import AsJson, DatabaseUrl, Symbol, TargetOption, settings, use

models_app = typer.Typer(help="List, show, promote and roll back models.", no_args_is_help=True)
db_app = typer.Typer(help="Upgrade and downgrade the database schema, or show its revision.", no_args_is_help=True)


@db_app.command(
    "upgrade", epilog="Example: forecasting db upgrade --database-url postgresql://forecast@localhost/forecast"
)
def db_upgrade(
    revision: Annotated[str, typer.Argument(help="Target revision; the newest by default.")] = "head",
    database_url: DatabaseUrl = None,
) -> None:
    """Create the tables, or upgrade them to this version's schema."""
    use(database_url=database_url)
    from forecasting.store import migrate

    migrate.upgrade(settings().url, revision)
    echo(f"The database is at revision {migrate.current(settings().url)}.")


@db_app.command("downgrade", epilog="Example: forecasting db downgrade 0001")
def db_downgrade(
    revision: Annotated[str, typer.Argument(help="Target revision.")], database_url: DatabaseUrl = None
) -> None:
    """Downgrade the schema to an earlier revision; data that only the later one holds is lost."""
    use(database_url=database_url)
    from forecasting.store import migrate

    migrate.downgrade(settings().url, revision)
    echo(f"The database is at revision {migrate.current(settings().url)}.")


@db_app.command("current")
def db_current(database_url: DatabaseUrl = None) -> None:
    """Print the database's revision and the newest one of this version."""
    use(database_url=database_url)
    from forecasting.store import migrate

    echo(f"{migrate.current(settings().url) or 'not migrated'} (newest: {migrate.head()})")


@models_app.command("list")
def models_list(
    symbol: Symbol = None, target: TargetOption = None, database_url: DatabaseUrl = None, as_json: AsJson = False
) -> None:
    """List the networks, newest first, with the champion marked."""
    use(database_url=database_url, target=target, symbols=[symbol] if symbol else None)
    from flows.terminal import console
    from forecasting.pipeline import registry

    console.show_models(registry.list_models(settings()), as_json=as_json)


@models_app.command("show")
def models_show(model_id: str, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Show a model's lineage: code, settings, seed, bars, parent, weights and its forecasts."""
    use(database_url=database_url)
    from flows.terminal import console
    from forecasting.pipeline import registry

    console.show_record(registry.show_model(model_id, settings()), as_json=as_json)


@models_app.command("promote")
def models_promote(model_id: str, database_url: DatabaseUrl = None) -> None:
    """Make a model champion from the next forecast on; refused when its weights cannot be loaded and run."""
    use(database_url=database_url)
    from flows import clock
    from forecasting.pipeline import registry

    echo(registry.promote(model_id, settings(), now=clock.now))


@models_app.command("rollback")
def models_rollback(symbol: Symbol = None, target: TargetOption = None, database_url: DatabaseUrl = None) -> None:
    """Return to the previous champion."""
    use(database_url=database_url, target=target, symbols=[symbol] if symbol else None)
    from flows import clock
    from forecasting.pipeline import registry

    echo(registry.roll_back(settings(), now=clock.now))
