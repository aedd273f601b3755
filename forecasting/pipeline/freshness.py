"""Whether the newest completed session of each symbol has a live forecast."""

from __future__ import annotations

from datetime import date

from forecasting.errors import NoLiveForecastError
from forecasting.sessions import closes_at, last_completed, next_sessions, opens_at
from forecasting.settings import Settings
from forecasting.store import database, migrate, read
from forecasting.vocabulary import Clock


def check_fresh(settings: Settings, *, now: Clock) -> str:
    """A sentence naming the symbols and sessions, when the newest completed session of each has its live forecast.

    Raises:
        NoLiveForecastError: A symbol has none; names the session that is missing and the newest forecast.
    """
    migrate.check_ready(settings.url)
    fresh: dict[date, list[str]] = {}
    with database.reading(settings.url) as connection:
        for symbol in settings.symbols:
            own = settings.for_symbol(symbol)
            wanted = last_completed(now(), own.exchange)
            newest = read.newest_live_origin(connection, symbol, own.target)
            if newest is None or newest < wanted:
                exists = read.has_forecast(connection, symbol, own.target, origin=wanted)
                raise NoLiveForecastError(not_fresh(own, wanted, newest, exists))
            fresh.setdefault(wanted, []).append(symbol)
    each = (f"{', '.join(symbols)} from the session {wanted}" for wanted, symbols in fresh.items())
    return f"Fresh: {'; '.join(each)}."


def not_fresh(own: Settings, wanted: date, newest: date | None, exists: bool) -> str:
    """The paragraph about the symbol of `own`, whose newest live forecast is of the session `newest`.

    `exists`: `wanted` has a forecast, which is not live.
    """
    closed, opened = closes_at(wanted, own.exchange), opens_at(next_sessions(wanted, 1, own.exchange)[0], own.exchange)
    found = f"the newest is of {newest}" if newest else "there is none at all"
    do = "See whether the schedule runs, then: forecasting run"
    if exists:
        found = f"it was made after {own.exchange} had opened again at {opened:%H:%M} UTC"
        do = "Schedule the night before that, in FORECASTING_CRON"
    return (
        f"{own.symbols[0]} has no live {own.target} forecast from the session {wanted}, which closed "
        f"{closed:%Y-%m-%d %H:%M} UTC; {found}. {do}"
    )
