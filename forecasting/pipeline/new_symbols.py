"""Symbols that a night would be the first of, from a file that does not say whose bars it has."""

from __future__ import annotations

from forecasting.errors import ForecastingError
from forecasting.ingest.sources.files import Files
from forecasting.ingest.sources.plugins import source_of
from forecasting.settings import Settings
from forecasting.store import database, read


def unnamed_new_symbols(settings: Settings) -> str:
    """A warning, one line, that names the symbols new to the ledger whose file has no column symbol; empty without any.

    A misspelt --symbol would otherwise have forecasts of its own for good: the file fits every name.
    """
    source = source_of(settings.source, cache_dir=settings.yahoo_cache)
    if not isinstance(source, Files):
        return ""
    with database.reading(settings.url) as connection:
        new = [symbol for symbol in settings.symbols if read.newest_fetch(connection, symbol) is None]
    try:
        if not new or source.states_symbol():
            return ""
    except ForecastingError:  # the night reports it
        return ""
    return (
        f"Warning: {source.name} has no column symbol, and {', '.join(new)} is new to this ledger: its bars are taken "
        "for those of that symbol. Stop here if the name is misspelt.\n"
    )
