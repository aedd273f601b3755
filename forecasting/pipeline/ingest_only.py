"""Bars brought up to date without a night."""

from __future__ import annotations

from datetime import date
from typing import Any

from forecasting.ingest.events import check_events
from forecasting.pipeline import plan
from forecasting.pipeline.each_symbol import SymbolOutcome, each_symbol
from forecasting.pipeline.ingest import fetch_and_store
from forecasting.pipeline.night_run import NightSpec, night_run
from forecasting.pipeline.shard import only
from forecasting.settings import Settings
from forecasting.store import database, migrate, read
from forecasting.vocabulary import Clock


def ingest_only(
    settings: Settings, *, as_of: date | None, switch_source: bool, now: Clock
) -> list[SymbolOutcome[dict[str, Any]]]:
    """The row of the fetch that brought each symbol's bars up to `as_of`, or to its newest session.

    Raises:
        StoreError: The database is not ready.
    """
    migrate.check_ready(settings.url)

    def ingest(own: Settings) -> dict[str, Any]:
        check_events(settings.events, settings.symbols)
        symbol = own.symbols[0]
        session = as_of or plan.newest_session(symbol, own, now=now)
        plan.check_session(session, own.exchange, now=now)
        spec = NightSpec(symbol, session, own.target, own.source, own.events, market=own.market)
        run = night_run(spec, settings, now=now)
        with database.night_lock(own.url, "night"):
            fetch_id = only(fetch_and_store([run], switch_source=switch_source, purpose="ingest"))
        with database.reading(own.url) as connection:
            return dict(read.fetch(connection, fetch_id) or {})

    return each_symbol(settings, ingest, now=now)
