"""Why a night had nothing to do, in words for the state Skipped: holidays are named as such."""

from collections.abc import Mapping
from datetime import date, timedelta

from flows import clock
from forecasting.sessions import is_session, today
from forecasting.settings import Settings


def nothing_new(newest: Mapping[str, date], settings: Settings) -> str:
    """The reason that a night had nothing to do; `newest` is the newest session that there is, by symbol."""
    sessions = dict.fromkeys((day, settings.exchange_of(symbol)) for symbol, day in newest.items())
    if len(sessions) == 1:
        done = f"the newest session there is, {next(iter(sessions))[0]}, was already done."
    else:
        each = " and ".join(f"{day} of {exchange}" for day, exchange in sessions)
        done = f"the newest sessions there are, {each}, were already done."
    holidays = [words for day, exchange in sessions if (words := holidays_in_words(day, exchange))]
    return " ".join(["Nothing new:", done, *holidays])


def holidays_in_words(newest: date, exchange: str) -> str:
    """`XNYS was closed on Thursday 2026-11-26.`, or nothing."""
    closed = closed_since(newest, exchange)
    return f"{exchange} was closed on {', '.join(f'{day:%A} {day}' for day in closed)}." if closed else ""


def closed_since(newest: date, exchange: str) -> list[date]:
    """The weekdays after `newest` and before today on which the exchange did not trade: holidays.

    None when `newest` is over ten days old, as in a file: then no holiday is the reason.
    """
    away = (today(clock.now(), exchange) - newest).days
    days = [newest + timedelta(days=ahead) for ahead in range(1, away)] if away <= 10 else []
    return [day for day in days if day.weekday() < 5 and not is_session(day, exchange)]
