"""Why a symbol has no forecast, in words: for the commands that read the ledger."""

from __future__ import annotations

from datetime import date

from forecasting.errors import StoreError
from forecasting.plain_text import named
from forecasting.store import read
from forecasting.store.database import Connection
from forecasting.vocabulary import Target

NAMED = 6
"""Symbols and targets of the ledger that a message names."""


def check_forecast(connection: Connection, symbol: str, target: Target) -> None:
    """Refuse a symbol and target without a published forecast.

    Raises:
        StoreError: With the reason that its newest night left, else with the symbols that the ledger holds.
    """
    try:
        read.published(connection, symbol, target)
    except StoreError as error:
        run = read.unfinished_run(connection, symbol, target, after=date.min)
        if run is None or not (reason := run["error"] or run["note"]):
            raise StoreError(f"{error}{_held(connection)}") from None
        raise StoreError(
            f"{symbol} has no {target} forecast; its night of {run['as_of']} has status {run['status']}: {reason}"
        ) from None


def _held(connection: Connection) -> str:
    """A sentence that names the symbols and targets of the ledger, for a misspelt symbol; empty for a new ledger."""
    lines = [f"{night['symbol']} {night['target']}" for night in read.newest_nights(connection)]
    return f". The database holds forecasts of {named(lines, NAMED)}." if lines else ""
