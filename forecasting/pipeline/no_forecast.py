"""Why a symbol has no forecast, in words: for the commands that read the ledger."""

from __future__ import annotations

from datetime import date

from forecasting.errors import StoreError
from forecasting.store import read
from forecasting.store.database import Connection
from forecasting.vocabulary import Target

NAMED = 6
"""Symbols and targets of the ledger that a message names."""


def check_forecast(connection: Connection, symbol: str, target: Target) -> None:
    """Refuse a symbol and target without a published forecast.

    Raises:
        StoreError: As `no_forecast`.
    """
    try:
        read.published(connection, symbol, target)
    except StoreError as error:
        raise no_forecast(connection, symbol, target, error) from None


def no_forecast(connection: Connection, symbol: str, target: Target, error: StoreError) -> StoreError:
    """The error of a symbol and target without a forecast.

    Args:
        connection: An open connection.
        symbol: The symbol.
        target: The target.
        error: That of `read.published`; followed by what the ledger holds, unless its night left a reason.
    """
    run = read.unfinished_run(connection, symbol, target, after=date.min)
    if run is None or not (reason := run["error"] or run["note"]):
        return StoreError(f"{error}{held(connection)}")
    return StoreError(
        f"{symbol} has no {target} forecast; its night of {run['as_of']} has status {run['status']}: {reason}"
    )


def held(connection: Connection) -> str:
    """A sentence that names the symbols and targets of the ledger, for a misspelt symbol; empty for a new ledger."""
    lines = [f"{night['symbol']} {night['target']}" for night in read.newest_nights(connection)]
    more = f" and {len(lines) - NAMED} others" if len(lines) > NAMED else ""
    return f". The database holds forecasts of {', '.join(lines[:NAMED])}{more}." if lines else ""
