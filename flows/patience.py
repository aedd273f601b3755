"""How long a night waits for its source: half an hour after a refusal, minutes after silence, at most to an hour."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from flows.night import Night
from forecasting.errors import DataLateError, ForecastingError, RateLimitedError, UnavailableError
from forecasting.sessions import opens_at, shift
from forecasting.settings import Settings

REFUSED = timedelta(minutes=30)
"""After "too many requests", unless the source names a pause itself: asking sooner lengthens the refusal."""

SILENT = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 15))
"""After no answer or a broken one; the last pause repeats."""

NO_BAR = timedelta(minutes=20)
"""After an answer without the session's bar: it comes within minutes, hours or days."""

HASTY = timedelta(seconds=2)
"""The one pause that a person at a terminal is asked for, after no answer."""


@dataclass(frozen=True)
class Turn:
    """One symbol's nights, and when they are to be worked off.

    Attributes:
        nights: Oldest first; one request brings the bars of all.
        began: When the first request was due.
        due: When the next one is.
        until: When waiting ends.
        patient: Whether nobody is watching.
        trouble: What the last request ended with; None before the first.
        failures: Requests in vain so far.
        quiet: Those in a row that brought no answer, which lengthens the pause.
    """

    nights: tuple[Night, ...]
    began: datetime
    due: datetime
    until: datetime
    patient: bool
    trouble: ForecastingError | None = None
    failures: int = 0
    quiet: int = 0

    @property
    def night(self) -> Night:
        """The newest of the nights, whose bar is asked for."""
        return self.nights[-1]


def first_turn(nights: Sequence[Night], settings: Settings, *, now: datetime, patient: bool) -> Turn:
    """The turn of nights that nobody has asked for yet, due now."""
    until = last_hour(nights[-1], settings, now=now) if patient else now + timedelta(days=1)
    return Turn(tuple(nights), began=now, due=now, until=until, patient=patient)


def last_hour(night: Night, settings: Settings, *, now: datetime) -> datetime:
    """When a night that begins now stops waiting: at the next FORECASTING_LATE_UNTIL, before the next session opens.

    Once that session has opened no forecast of the night is live, and there is nothing to wait for.
    """
    zone = ZoneInfo(settings.timezone)
    stated = at_hour(now, settings.late_until, zone)
    if stated <= now:
        stated = at_hour(now.astimezone(zone) + timedelta(days=1), settings.late_until, zone)
    return min(stated, opens_at(shift(night.session, 1, settings.exchange), settings.exchange))


def at_hour(day: datetime, hour: time, zone: ZoneInfo) -> datetime:
    """The instant of an hour on the day that `day` falls on in a time zone."""
    return datetime.combine(day.astimezone(zone).date(), hour, tzinfo=zone)


def next_turn(turn: Turn, trouble: ForecastingError, *, now: datetime) -> Turn | None:
    """The turn after a request in vain; None when asking again cannot help, or the hour has come."""
    quiet = turn.quiet + 1 if isinstance(trouble, UnavailableError) else 0
    pause = pause_after(trouble, quiet) if turn.patient else hasty_pause(turn, trouble)
    if pause is None or now >= turn.until:
        return None
    if isinstance(trouble, RateLimitedError) and now + pause > turn.until:
        return None
    due = min(now + pause, turn.until)
    return replace(turn, due=due, trouble=trouble, failures=turn.failures + 1, quiet=quiet)


def after_refusal(turn: Turn, refused: Turn) -> Turn:
    """Another symbol's turn, put off where the source has just refused this process: it would refuse that one too."""
    if not isinstance(refused.trouble, RateLimitedError) or turn.night.source != refused.night.source:
        return turn
    return replace(turn, due=min(max(turn.due, refused.due), turn.until))


def pause_after(trouble: ForecastingError, quiet: int) -> timedelta | None:
    """How long an unattended night waits before it asks again; None where that cannot help.

    Args:
        trouble: What the request ended with.
        quiet: Requests in a row without an answer, this one included.
    """
    if isinstance(trouble, RateLimitedError):
        return REFUSED if trouble.retry_after_s is None else timedelta(seconds=trouble.retry_after_s)
    if isinstance(trouble, UnavailableError):
        return SILENT[min(quiet, len(SILENT)) - 1]
    return NO_BAR if isinstance(trouble, DataLateError) else None


def hasty_pause(turn: Turn, trouble: ForecastingError) -> timedelta | None:
    """The same for a person who waits: a late bar does not come within seconds."""
    return HASTY if isinstance(trouble, UnavailableError) and not turn.failures else None


def clock_time(moment: datetime, settings: Settings) -> str:
    """`09:00 America/New_York`: an instant as people there read it."""
    return f"{moment.astimezone(ZoneInfo(settings.timezone)):%H:%M} {settings.timezone}"
