"""A symbol's whole series, as a backtest and benchmarks read it; nothing is stored."""

from __future__ import annotations

from datetime import date

import pandas as pd

from forecasting.ingest.assessment import prices_alone
from forecasting.ingest.bars import check_bars
from forecasting.ingest.earnings import new_events, nothing_stored
from forecasting.ingest.revisions import NOTHING_STORED
from forecasting.ingest.sources.plugins import fetched_from, newest_session, source_of
from forecasting.ingest.splits import on_one_basis
from forecasting.night.steps.fetch import announced_of
from forecasting.preprocess.windows import MarketSeries
from forecasting.sessions import OLDEST_DAY, last_completed, today
from forecasting.settings import Settings
from forecasting.vocabulary import Clock


def load_series(
    settings: Settings, *, last: date | None, now: Clock
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """All checked bars of the first symbol up to `last`, its events and the series' title."""
    symbol = settings.symbol
    exchange = settings.exchange
    source = source_of(
        settings.source,
        cache_dir=settings.yahoo_cache,
        today=today(now(), exchange),
    )
    newest = last or newest_session(source, symbol) or last_completed(now(), exchange)
    nothing = NOTHING_STORED
    fetched = on_one_basis(
        fetched_from(
            source,
            symbol,
            OLDEST_DAY,
            newest,
        ),
        known=nothing.bars,
        known_actions=nothing.actions,
        exchange=exchange,
    )
    bars, _ = check_bars(fetched, exchange=exchange, known=nothing.bars)
    events = new_events(
        nothing_stored(),
        announced_of(settings, source, [symbol], newest)(symbol),
        symbol=symbol,
        exchange=exchange,
        session=newest,
        volume=bars["volume"],
    )
    return bars, events.sort_values("session", ignore_index=True), fetched.title


def market_series(settings: Settings, *, now: Clock) -> MarketSeries | None:
    """All checked closes of the settings' market series, unless it is the first symbol itself."""
    choice = settings.market_choice
    if choice is None or choice.symbol == settings.symbol:
        return None
    source = source_of(
        choice.source,
        cache_dir=settings.yahoo_cache,
        one_series=choice.has_own_file,
        today=today(now(), choice.exchange),
    )
    newest = newest_session(source, choice.symbol) or last_completed(now(), choice.exchange)
    fetched = prices_alone(
        fetched_from(
            source,
            choice.symbol,
            OLDEST_DAY,
            newest,
        )
    )
    bars, _ = check_bars(
        fetched,
        exchange=choice.exchange,
        known=NOTHING_STORED.bars,
        of_index=True,
    )
    return MarketSeries(bars["close"], choice.exchange)
