"""The market series of a night (the VIX): fetched once for all symbols, before them; its failure never fails a night.

It is fetched before the symbol itself, so that one instant, that of the symbol's own fetch, fixes what was stored of
it, live and in replay. A night whose series is late goes on with its last close, at most five sessions old; a night
without any goes on without. The run's note says so.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import get_args

from forecasting.errors import ArtifactError, FailedVerdict
from forecasting.pipeline.night import Night
from forecasting.pipeline.snapshot import first_session
from forecasting.preprocess.features import FILLED_SESSIONS, MarketSeries
from forecasting.sessions import closes_at, last_completed, sessions_index
from forecasting.store import connect, read
from forecasting.store.connect import Connection
from forecasting.store.frames import Row
from forecasting.train.checkpoint import Card

logger = logging.getLogger("forecasting.market")

_MARGIN = timedelta(days=60)
"""More than a night needs, so that symbols of other exchanges, whose windows begin some days apart, share a fetch."""

_ASK_AGAIN = timedelta(minutes=30)
"""Pause after a request that brought no newest bar: each of a hundred symbols would make it, and wait for it, again."""

_STORED_NOTHING = ("held", *get_args(FailedVerdict))


@dataclass(frozen=True)
class MarketSnapshot:
    """The market series as it stood at the night's own fetch, its newest fetch, and what is missing of it."""

    series: MarketSeries | None
    fetch_id: str
    note: str


def market_night(night: Night) -> Night | None:
    """The night of the market series at its newest session that had closed when the night's session did.

    None where there is no series, or the symbol itself is it. Its bars are fetched, nothing of it is forecast.
    """
    choice = night.settings.market_choice
    if choice is None or choice.symbol == night.symbol:
        return None
    session = last_completed(closes_at(night.session, night.settings.exchange), choice.exchange)
    settings = night.settings.model_copy(update={"symbols": (choice.symbol,), "exchange": choice.exchange})
    return Night(choice.symbol, session, settings, night.now, source=choice.source, flow_run_id=night.flow_run_id)


def needed_market(nights: Sequence[Night], oldest: date, *, switch_source: bool) -> list[tuple[Night, date]]:
    """The nights of the market series whose bars are to be fetched, each with the first day that is asked for.

    `nights` are the newest one of each symbol, `oldest` the oldest session of any. None whose newest bar is stored, or
    that was requested a moment ago, unless the source is to be switched.
    """
    series = {series.id: (series, night) for night in nights if (series := market_night(night)) is not None}
    needed = []
    for market, night in series.values():
        first = first_session(min(oldest, night.session), night.settings) - timedelta(days=2 * FILLED_SESSIONS)
        with connect.reading(night.settings.url) as connection:
            is_enough = _is_enough(connection, market, first)
        if switch_source or not is_enough:
            needed.append((market, first - _MARGIN))
    return needed


def market_snapshot(connection: Connection, night: Night, *, data_as_of: datetime) -> MarketSnapshot:
    """The market series at the night's own fetch, made at `data_as_of`, and the note on what is missing of it."""
    market = market_night(night)
    if market is None:
        return MarketSnapshot(None, "", "")
    symbol = market.symbol
    fetch = read.newest_fetch(connection, symbol, known_at=data_as_of)
    bars = read.bars(connection, symbol, last=market.session, known_at=data_as_of)
    request = read.newest_fetch(connection, symbol, known_at=data_as_of, with_bars=False)
    newest = bars.index[-1].date() if len(bars) else None
    series = MarketSeries(bars["close"], market.settings.exchange)
    return MarketSnapshot(series, fetch["id"] if fetch else "", _missing_note(market, newest, request))


def check_same_market(card: Card, fitted_with: str, night: Night) -> None:
    """Raise an ArtifactError where a model was fitted with another market series, `fitted_with`, than the night's.

    Coefficients and means of one index on the closes of another move every forecast: those of the VIX on an index of
    90 points raised the median of a volume by 18 %, and no gate or warm fit corrects it.
    """
    market = market_night(night)
    if card.has_market and fitted_with and market is not None and market.symbol != fitted_with:
        raise ArtifactError(
            f"Expected a model fitted with the market series {market.symbol}; found one fitted with {fitted_with}. "
            "Fit from scratch (--mode scratch), or set FORECASTING_MARKET back."
        )


def _missing_note(market: Night, newest: date | None, request: Row | None) -> str:
    """The note on a series that ends before the night's session; empty for one that reaches it."""
    if newest == market.session:
        return ""
    reason = ""
    if request is not None and request["verdict"] in _STORED_NOTHING:
        reason = f" {request['verdict']}: {str(request['detail']).rstrip('.')}."
    name = f"Market series {market.symbol}"
    if newest is None:
        return f"{name}: nothing of it was stored, so the night went without.{reason}"
    missing = len(sessions_index(newest, market.session, market.settings.exchange)) - 1
    used = "filled forward" if missing <= FILLED_SESSIONS else "too old to be used"
    return f"{name}: its close of {market.session} was not there; the newest is of {newest}, {used}.{reason}"


def _is_enough(connection: Connection, market: Night, first: date) -> bool:
    """Whether what is stored spans the night's window, or was asked for a moment ago."""
    fetch = read.newest_fetch(connection, market.symbol)
    newest = read.newest(connection, "bar_versions", "session", {"symbol": market.symbol})
    spans = fetch is not None and fetch["first_asked"] <= first and (fetch["last_received"] or first) >= market.session
    if spans and newest is not None and newest >= market.session:
        return True
    request = read.newest_fetch(connection, market.symbol, with_bars=False)
    if request is None or request["last_asked"] < market.session or request["first_asked"] > first:
        return False
    return bool(abs(market.now() - request["fetched_at"]) < _ASK_AGAIN)
