"""Why a night had nothing to do, in words for the state Skipped: holidays are named as such."""

from datetime import date, timedelta
from zoneinfo import ZoneInfo

from flows import clock
from forecasting.sessions import is_session
from forecasting.settings import Settings


def nothing_new(newest: date, settings: Settings) -> str:
    """The reason that a night whose newest session is `newest` had nothing to do."""
    closed = closed_since(newest, settings)
    days = f" {settings.exchange} was closed on {', '.join(f'{day:%A} {day}' for day in closed)}." if closed else ""
    return f"Nothing new: the newest session there is, {newest}, was already done.{days}"


def closed_since(newest: date, settings: Settings) -> list[date]:
    """The weekdays after `newest` and before today on which the exchange did not trade: holidays.

    None when `newest` is over ten days old, as in a file: then no holiday is the reason.
    """
    today = clock.now().astimezone(ZoneInfo(settings.timezone)).date()
    away = (today - newest).days
    days = [newest + timedelta(days=ahead) for ahead in range(1, away)] if away <= 10 else []
    return [day for day in days if day.weekday() < 5 and not is_session(day, settings.exchange)]
