"""A symbol's whole series, as a backtest and benchmarks read it; nothing is stored."""

from datetime import date

import pandas as pd

from forecasting.ingest.assessment import prices_alone
from forecasting.ingest.bars import check_bars
from forecasting.ingest.earnings import new_events, nothing_stored
from forecasting.ingest.revisions import NOTHING_STORED
from forecasting.ingest.sources import Request
from forecasting.ingest.sources.plugins import newest_session, response_of
from forecasting.ingest.splits import on_one_basis
from forecasting.night.steps.fetch import announced_of, bars_source, market_source
from forecasting.preprocess.windows import MarketSeries
from forecasting.sessions import OLDEST_DAY, last_completed
from forecasting.settings import Settings
from forecasting.vocabulary import Clock


def load_series(
    settings: Settings, *, last: date | None, now: Clock
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Return all checked bars of the first symbol up to `last`, its events and the series' title.

    The events are those that a first night has: a live source is asked for its last year.
    """
    symbol = settings.symbol
    exchange = settings.exchange
    source = bars_source(settings, now=now)
    newest = last or newest_session(source, symbol) or last_completed(now(), exchange)
    request = Request(source.name, symbol, OLDEST_DAY, newest, exchange)
    nothing = NOTHING_STORED
    response = on_one_basis(
        response_of(source, request), known=nothing.bars, known_actions=nothing.actions
    )
    bars, _ = check_bars(response, known=nothing.bars)
    announced = announced_of(
        settings, source, {symbol: exchange}, newest, stored=lambda _: nothing_stored()
    )
    events = new_events(
        nothing_stored(),
        announced(symbol),
        symbol=symbol,
        exchange=exchange,
        session=newest,
        volume=bars["volume"],
    )
    return bars, events.sort_values("session", ignore_index=True), response.title


def market_series(settings: Settings, *, now: Clock) -> MarketSeries | None:
    """All checked closes of the settings' market series, unless it is the first symbol itself."""
    choice = settings.market_choice
    if choice is None or choice.symbol == settings.symbol:
        return None
    source = market_source(settings, choice, now=now)
    newest = newest_session(source, choice.symbol) or last_completed(now(), choice.exchange)
    request = Request(
        source.name, choice.symbol, OLDEST_DAY, newest, choice.exchange, of_index=True
    )
    response = prices_alone(response_of(source, request))
    bars, _ = check_bars(response, known=NOTHING_STORED.bars)
    return MarketSeries(bars["close"], choice.exchange)
