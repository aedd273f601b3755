"""The commands for the database schema, the models and the weights that they start from."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.terminal import options
from flows.terminal.echo import echo
from flows.terminal.options import AsJson, DatabaseUrl, OneSymbol, Symbols, SymbolsFile, TargetOption, settings, use

ModelId = Annotated[str, typer.Argument(metavar="MODEL", help="Its id in `models list`, or a unique beginning of it.")]
Revision = Annotated[str, typer.Argument(metavar="REVISION", help="Target revision.")]

models_app = typer.Typer(help="List, show, promote and roll back models.", no_args_is_help=True, rich_markup_mode=None)
db_app = typer.Typer(help="Manage the database schema.", no_args_is_help=True, rich_markup_mode=None)


@db_app.command("upgrade", epilog="Example: forecasting db upgrade")
def db_upgrade(revision: Revision = "head", database_url: DatabaseUrl = None) -> None:
    """Create the tables, or upgrade them to this version's schema."""
    use(database_url=database_url)
    from forecasting.store import migrate

    migrate.upgrade(settings().url, revision)
    echo(f"The database is at revision {migrate.current(settings().url)}.")


@db_app.command("downgrade", epilog="Example: forecasting db downgrade 0009")
def db_downgrade(revision: Revision, database_url: DatabaseUrl = None) -> None:
    """Downgrade the schema. Data that only the later revision holds is lost."""
    use(database_url=database_url)
    from forecasting.store import migrate

    migrate.downgrade(settings().url, revision)
    echo(f"The database is at revision {migrate.current(settings().url)}.")


@db_app.command("current", epilog="Example: forecasting db current")
def db_current(database_url: DatabaseUrl = None) -> None:
    """Print the revision of the database, and the newest there is."""
    use(database_url=database_url)
    from forecasting.store import migrate

    echo(f"{migrate.current(settings().url) or 'not migrated'} (newest: {migrate.head()})")


@models_app.command("list", epilog="Example: forecasting models list --symbol SBUX --symbol MSFT")
def models_list(
    symbol: Symbols = None,
    symbols_file: SymbolsFile = None,
    target: TargetOption = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List each symbol's networks, the newest first. The champion is marked."""
    use(symbol, symbols_file, target=target, database_url=database_url)
    from flows import clock
    from flows.terminal import console
    from forecasting.pipeline import models
    from forecasting.pipeline.symbols import raise_failed
    from forecasting.report.terminal import model_listing

    networks, outcomes = models.list_models(settings(), now=clock.now)
    console.show_rows(networks, model_listing, as_json=as_json)
    raise_failed(outcomes)


@models_app.command("show", epilog="Example: forecasting models show 3f9c2a")
def models_show(model_id: ModelId, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Show a model's lineage. It has code, settings, seed, bars, parent, weights and forecasts."""
    use(database_url=database_url)
    from flows.terminal import console
    from forecasting.pipeline import models

    console.show_record(models.show_model(model_id, settings()), as_json=as_json)


@models_app.command("promote", epilog="Example: forecasting models promote 3f9c2a")
def models_promote(model_id: ModelId, database_url: DatabaseUrl = None) -> None:
    """Make a model champion from the next forecast on. Refused when its weights cannot be loaded and run."""
    use(database_url=database_url)
    from flows import clock
    from forecasting.pipeline import models

    echo(models.promote(model_id, settings(), now=clock.now))


@models_app.command("rollback", epilog="Example: forecasting models rollback --symbol SBUX")
def models_rollback(symbol: OneSymbol = None, target: TargetOption = None, database_url: DatabaseUrl = None) -> None:
    """Return to the previous champion of one symbol. Run twice, it undoes itself; further back: models promote."""
    use(symbol, target=target, database_url=database_url)
    from flows import clock
    from forecasting.pipeline import models

    echo(models.roll_back(settings(), now=clock.now))


def pretrain(
    symbol: Symbols = None,
    symbols_file: SymbolsFile = None,
    target: TargetOption = None,
    market: options.MarketOption = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make pretrained weights from your own symbols' stored bars. A hundred take half a minute of CPU."""
    use(symbol, symbols_file, target=target, market=market, database_url=database_url)
    from flows import clock
    from flows.progress import progress_bar
    from forecasting.pipeline.pretrain import pretrain_own

    echo(pretrain_own(settings(), now=clock.now, bar=progress_bar))
