"""Earnings dates as the source lists them now: a calendar for all symbols of a request, and a list of each symbol."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, partial

import pandas as pd

from forecasting.errors import SourceError
from forecasting.ingest import events as earnings
from forecasting.ingest.bar_rules import Finding
from forecasting.ingest.event_history import Lists
from forecasting.ingest.listed_earnings import joined, needs_own_list, stale_dates
from forecasting.ingest.sources import EarningsCalendarSource, EarningsSource, Source
from forecasting.ingest.sources.plugins import called, check_dates
from forecasting.pipeline.night import Night
from forecasting.settings import Settings

logger = logging.getLogger("forecasting.ingest")

AHEAD = timedelta(days=100)
"""A quarter and some days, so that the next date of every company that reports quarterly lies within."""

BEFORE = timedelta(days=7)
"""A date just past is listed with the timing that it had."""

Calendar = Callable[[], Mapping[str, pd.DataFrame]]
"""The calendar's dates by symbol: columns announced, timing. The request is made when it is first called."""


@dataclass(frozen=True)
class Asking:
    """A night whose source is asked for earnings dates.

    Attributes:
        night: The night.
        source: Its source.
        session: The newest session that is requested.
        stored: Event rows of the symbol.
    """

    night: Night
    source: Source
    session: date
    stored: pd.DataFrame

    @property
    def is_asked(self) -> bool:
        """Whether its source is asked at all: it lists dates, and no file of the user's is in their place."""
        return self.night.settings.events is None and isinstance(self.source, EarningsSource | EarningsCalendarSource)


def calendar_of(nights: Sequence[Asking]) -> Calendar:
    """The calendar for these nights, of one source; empty for a source without one."""
    return cache(partial(_calendar, nights))


def listed_events(asking: Asking, calendar: Calendar) -> pd.DataFrame:
    """The source's dates in the columns of `events.reacting`, coming ones known from the night's session on."""
    exchange, symbol = asking.night.settings.exchange, asking.night.symbol
    nothing = earnings.no_events()
    if not asking.is_asked:
        return earnings.reacting(nothing, exchange=exchange)
    of_calendar, own = calendar().get(symbol, nothing), nothing
    if isinstance(asking.source, EarningsSource) and needs_own_list(asking.stored, of_calendar, session=asking.session):
        own = _own_list(asking.source, symbol)
    return earnings.reacting(joined(own, of_calendar), exchange=exchange, seen=asking.session)


def events_of_backtest(source: Source, settings: Settings, *, session: date) -> pd.DataFrame:
    """The earnings dates of the first symbol, as its first night would have them: a file's, bundled or its source's.

    Args:
        source: Of the symbol's bars.
        settings: `symbols`, `events` and `exchange` are used.
        session: The newest one; dates after it count as first seen then.

    Raises:
        UsageError: As `usable_events`.
        BadDataError: The file cannot be read.
    """
    symbol, exchange = settings.symbols[0], settings.exchange
    usable = earnings.usable_events(symbol, settings.events, exchange=exchange)
    if settings.events is not None or len(usable) or not isinstance(source, EarningsSource):
        return usable
    return earnings.reacting(_own_list(source, symbol), exchange=exchange, seen=session)


def _own_list(source: EarningsSource, symbol: str) -> pd.DataFrame:
    """The source's own list; empty, with a log line, where its code fails or returns something else."""
    try:
        with called(source):
            listed = source.earnings_dates(symbol)
        check_dates(listed)
    except SourceError as error:
        logger.warning("no earnings dates of %s: %s", symbol, error)
        return earnings.no_events()
    return listed


def stale_findings(asking: Asking, lists: Lists) -> list[Finding]:
    """The finding on a source that lists no coming date, as `stale_dates`; none where it is not asked."""
    if not asking.is_asked:
        return []
    return stale_dates(lists.listed, [lists.usable], asking.stored, session=asking.session)


def _calendar(nights: Sequence[Asking]) -> dict[str, pd.DataFrame]:
    """The calendar's dates by symbol; none, with a log line, where its code fails or returns something else."""
    asked = [night for night in nights if night.is_asked]
    if not asked or not isinstance(asked[0].source, EarningsCalendarSource):
        return {}
    source = asked[0].source
    sessions = [night.session for night in asked]
    symbols = [night.night.symbol for night in asked]
    try:
        with called(source):
            rows = source.earnings_calendar(symbols, min(sessions) - BEFORE, max(sessions) + AHEAD)
        check_dates(rows, names=("symbol", "announced", "timing"))
    except SourceError as error:
        logger.warning("no earnings calendar of %d symbols: %s", len(symbols), error)
        return {}
    return {str(symbol): of_symbol.drop(columns="symbol") for symbol, of_symbol in rows.groupby("symbol")}
