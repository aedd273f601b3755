"""Retry policy: 30 minutes after a rate limit, 1 to 15 without a response, 20 for a late bar; up to a stated hour."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from forecasting.errors import DataLateError, ForecastingError, RateLimitedError, SourceError, UnavailableError
from forecasting.pipeline.night_run import NightSpec
from forecasting.pipeline.notable import Alert, alert
from forecasting.sessions import opens_at, shift
from forecasting.settings import Settings

REFUSED = timedelta(minutes=30)
"""After "too many requests", unless the source names a pause itself: an earlier request extends the refusal."""

UNANSWERED = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 15))
"""After no answer or a broken one; the last pause repeats."""

NO_BAR = timedelta(minutes=20)
"""After an answer without the session's bar: it comes within minutes, hours or days."""

REASONS = 3
"""Of a run that waits: more would fill its message."""

INTERACTIVE = timedelta(seconds=2)
"""The one pause while a person waits at a terminal, after no answer."""

# How `waiting_note` and `missing_bar_note` end, which are the beginning of a run's note.
_WAITS = re.compile(r".*? Retrying until \d\d:\d\d \S+\.\s*", re.DOTALL)
_BARS_BEFORE = re.compile(r"; the night continued with the bars up to (\d{4}-\d\d-\d\d)\.")
_CONTINUED = re.compile(rf".*?{_BARS_BEFORE.pattern}\s*", re.DOTALL)


@dataclass(frozen=True)
class Attempt:
    """One symbol's nights, and when to run them.

    Attributes:
        nights: Oldest first; one request brings the bars of all.
        began: When the first request was due.
        due: When the next one is.
        deadline: When retrying ends.
        unattended: Whether no person waits at a terminal.
        error: The error of the last request; None before the first.
        failures: Failed requests so far.
        unanswered: Those in a row that brought no answer, which lengthens the pause.
        late: Those that brought an answer without the bar.
    """

    nights: tuple[NightSpec, ...]
    began: datetime
    due: datetime
    deadline: datetime
    unattended: bool
    error: ForecastingError | None = None
    failures: int = 0
    unanswered: int = 0
    late: int = 0

    @property
    def night(self) -> NightSpec:
        """The newest of the nights, whose bar is requested."""
        return self.nights[-1]


@dataclass(frozen=True)
class Refused:
    """One symbol's nights whose bar did not come, and why."""

    attempt: Attempt
    error: ForecastingError


@dataclass(frozen=True)
class Retries:
    """What follows for the symbols whose bars did not come.

    Attributes:
        waiting: The next attempts at those that were requested.
        put_off: At those that were not, since the source had just refused another symbol; none is counted as failed.
        stopped: Those that no retry can help, or whose deadline has come.
    """

    waiting: list[Attempt]
    put_off: list[Attempt]
    stopped: list[Refused]


def first_attempt(nights: Sequence[NightSpec], settings: Settings, *, now: datetime, unattended: bool) -> Attempt:
    """The first attempt at the nights, due now."""
    deadline = deadline_of(nights[-1], settings, now=now) if unattended else now + timedelta(days=1)
    return Attempt(tuple(nights), began=now, due=now, deadline=deadline, unattended=unattended)


def deadline_of(night: NightSpec, settings: Settings, *, now: datetime) -> datetime:
    """When a night that begins now stops retrying: at the next FORECASTING_LATE_UNTIL, before the next session opens.

    Once that session has opened no forecast of the night is live, and there is nothing to wait for.
    """
    zone = ZoneInfo(settings.timezone)
    stated = at_hour(now, settings.late_until, zone)
    if stated <= now:
        stated = at_hour(now.astimezone(zone) + timedelta(days=1), settings.late_until, zone)
    return min(stated, opens_at(shift(night.session, 1, settings.exchange), settings.exchange))


def at_hour(day: datetime, hour: time, zone: ZoneInfo) -> datetime:
    """The instant, aware UTC, of an hour on the day that `day` falls on in a time zone.

    An hour that the clocks of that day skip is the one after it, as for the schedule; of one that they show twice it is
    the first.
    """
    return datetime.combine(day.astimezone(zone).date(), hour, tzinfo=zone).astimezone(UTC)


def next_attempt(attempt: Attempt, error: ForecastingError, *, now: datetime) -> Attempt | None:
    """The attempt after a failed request; None when retrying cannot help, or the deadline has come."""
    unanswered = attempt.unanswered + 1 if isinstance(error, UnavailableError) else 0
    pause = pause_after(error, unanswered) if attempt.unattended else interactive_pause(attempt, error)
    if pause is None or now >= attempt.deadline:
        return None
    if isinstance(error, RateLimitedError) and now + pause > attempt.deadline:
        return None
    return replace(
        attempt,
        due=min(now + pause, attempt.deadline),
        error=error,
        failures=attempt.failures + 1,
        unanswered=unanswered,
        late=attempt.late + isinstance(error, DataLateError),
    )


def after_refusal(attempt: Attempt, refused: Attempt) -> Attempt:
    """Another symbol's attempt, put off where the same source has just refused this process: it would refuse again."""
    if not isinstance(refused.error, RateLimitedError) or attempt.night.source != refused.night.source:
        return attempt
    return replace(attempt, due=min(max(attempt.due, refused.due), attempt.deadline))


def due_first(attempts: Sequence[Attempt], *, now: datetime) -> tuple[list[Attempt], list[Attempt]]:
    """The attempts that are due, in their order, and the others."""
    return [one for one in attempts if one.due <= now], [one for one in attempts if one.due > now]


def retries(refused: Sequence[Refused], *, now: datetime) -> Retries:
    """The next attempts of symbols that were requested, and of those that were not after a refusal."""
    found = Retries([], [], [])
    for one in refused:
        later = next_attempt(one.attempt, one.error, now=now)
        if later is None:
            found.stopped.append(one)
        elif isinstance(one.error, SourceError) and not one.error.requested:
            found.put_off.append(after_refusal(one.attempt, later))
        else:
            found.waiting.append(later)
    return found


def pause_after(error: ForecastingError, unanswered: int) -> timedelta | None:
    """The pause of an unattended night before its next request; None where a retry cannot help.

    Args:
        error: The error of the request.
        unanswered: Requests in a row without an answer, this one included.
    """
    if isinstance(error, RateLimitedError):
        return _pause_stated(error.retry_after_s)
    if isinstance(error, UnavailableError):
        return UNANSWERED[min(unanswered, len(UNANSWERED)) - 1]
    return NO_BAR if isinstance(error, DataLateError) else None


def _pause_stated(seconds: float | None) -> timedelta:
    """The pause that a source states, a minute at least and a day at most; REFUSED where it states none."""
    if seconds is None or not math.isfinite(seconds):
        return REFUSED
    return timedelta(seconds=min(max(seconds, 60.0), 86_400.0))


def interactive_pause(attempt: Attempt, error: ForecastingError) -> timedelta | None:
    """The same while a person waits: a late bar does not come within seconds."""
    return INTERACTIVE if isinstance(error, UnavailableError) and not attempt.failures else None


def clock_time(moment: datetime, settings: Settings) -> str:
    """`09:00 America/New_York`: an instant as local time."""
    return f"{moment.astimezone(ZoneInfo(settings.timezone)):%H:%M} {settings.timezone}"


def waiting_message(attempts: Sequence[Attempt], settings: Settings) -> str:
    """Why a run waits, of the first three symbols, when it requests again, and until when it does."""
    reasons = list(dict.fromkeys(str(one.error) for one in attempts if one.error))
    more = f" And {len(reasons) - REASONS} more." if len(reasons) > REASONS else ""
    due, deadline = min(one.due for one in attempts), max(one.deadline for one in attempts)
    hours, last = clock_time(due, settings).partition(" ")[0], clock_time(deadline, settings)
    return f"{' '.join(reasons[:REASONS])}{more} Next request at {hours}, retrying until {last}."


def late_alerts(waiting: Sequence[Attempt]) -> list[Alert]:
    """An alert for each unattended night whose bar is late for the first time."""
    return [
        alert("night.late", attempt.night, str(attempt.error))
        for attempt in waiting
        if attempt.unattended and attempt.late == 1 and isinstance(attempt.error, DataLateError)
    ]


def waiting_note(attempt: Attempt, settings: Settings) -> str:
    """The note of a night that waits for its bar: why, and until when."""
    return f"{attempt.error} Retrying until {clock_time(attempt.deadline, settings)}."


def without_waiting(note: str) -> str:
    """A run's note without `waiting_note`: what else the night has noted."""
    return _WAITS.sub("", note, count=1)


def without_missing_bar(note: str) -> str:
    """A run's note without `missing_bar_note`: what else the night has noted."""
    return _CONTINUED.sub("", note, count=1)


def with_later_bar(note: str, session: date) -> str:
    """The note of a night whose bar came after `missing_bar_note`, which no longer says what it continued with.

    Without a response a night may have continued with the bar of its own `session`, stored before: that stays.
    """
    found = _BARS_BEFORE.search(note)
    has_own = found is not None and found[1] == str(session)
    return note if has_own else _BARS_BEFORE.sub("; its bar came later.", note, count=1)


def waited_note(attempt: Attempt, settings: Settings, *, now: datetime) -> str:
    """The note of a night whose bar came after retries: from when to when it waited, and the number of requests."""
    began, _, _ = clock_time(attempt.began, settings).partition(" ")
    return f"Waited for its bar from {began} to {clock_time(now, settings)}; {attempt.failures + 1} requests."


def missing_bar_note(
    attempt: Attempt, error: ForecastingError, newest: date, settings: Settings, *, now: datetime
) -> str:
    """The note of a night that continued without a response or its bar; `newest` is the session of its newest bar."""
    hour = clock_time(now, settings)
    if isinstance(error, DataLateError):
        bar = f"{error.why} It" if error.why else f"The bar of {attempt.night.session}"
        what = f"{bar} was not available by {hour}"
    else:
        what = f"{error} Stopped retrying at {hour}"
    return f"{what}; the night continued with the bars up to {newest}."
