"""Why there is no night to do, in words."""

from __future__ import annotations

from datetime import date, timedelta

from forecasting.pipeline.plan import newest_session
from forecasting.sessions import closes_at, holidays
from forecasting.settings import Settings
from forecasting.vocabulary import Clock


def nothing_new(settings: Settings, *, as_of: date | None, now: Clock) -> str:
    """The reason that nights had nothing to do, holidays named; `as_of` as for `missed_nights`."""
    each = [settings.for_symbol(symbol) for symbol in settings.symbols]
    sessions = dict.fromkeys((as_of or newest_session(own.symbols[0], own, now=now), own.exchange) for own in each)
    if len(sessions) == 1:
        done = f"the newest session there is, {next(iter(sessions))[0]}, was already done."
    else:
        newest = " and ".join(f"{day} of {exchange}" for day, exchange in sessions)
        done = f"the newest sessions there are, {newest}, were already done."
    closed = [(exchange, closed_since(day, exchange, now=now)) for day, exchange in sessions]
    holidays = [
        f"{exchange} was closed on {', '.join(f'{day:%A} {day}' for day in days)}." for exchange, days in closed if days
    ]
    return " ".join(["Nothing new:", done, *holidays])


def closed_since(newest: date, exchange: str, *, now: Clock) -> list[date]:
    """The holidays of the exchange after `newest`, today's from the hour on at which its session would have closed.

    None when `newest` is over ten days old, as in a file: then no holiday is the reason.
    """
    past = (now() - closes_at(newest, exchange)).days
    first, last = newest + timedelta(days=1), newest + timedelta(days=past)
    days: list[date] = holidays(first, last, exchange).date.tolist() if past < 10 else []
    return days
