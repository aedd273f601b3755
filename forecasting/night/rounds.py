"""Rounds of requests: what did not come is requested again, until a stated hour.

An unattended run pauses for as long as the failures of a round ask for: 30 minutes or what the
source states after a rate limit, 20 for a late bar, 1 to 15 without a response. At the hour it goes
on with the bars that there are.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import chain

from forecasting.errors import (
    DataLateError,
    ForecastingError,
    NoBarError,
    RateLimitedError,
    UnavailableError,
)
from forecasting.night.failures import quoted
from forecasting.night.night import Night, grouped
from forecasting.night.plan import not_done
from forecasting.night.run_log import (
    NO_WAIT,
    add_notes,
    is_refusal,
    mark,
    mark_stopped,
    stopped_status,
)
from forecasting.night.steps.ingest import Refusals
from forecasting.sessions import after, opens_at, shift
from forecasting.settings import Settings
from forecasting.store import connect, read
from forecasting.values import is_file, source_name
from forecasting.vocabulary import Clock

logger = logging.getLogger("forecasting.night")

REFUSED = timedelta(minutes=30)
"""After "too many requests", unless the source names a pause: an earlier request extends it."""

UNANSWERED = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 15))
"""After no response or a broken one; the last pause repeats."""

# After a response without the session's bar: it comes within minutes, hours or days.
NO_BAR = timedelta(minutes=20)
# The one pause while a person waits at a terminal, after no response.
INTERACTIVE = timedelta(seconds=2)
# Symbols whose bars are requested one after the other before the first of their nights goes on.
BATCH = 25
REASONS = 3  # of a run that waits: more would fill its message
BEHIND = 5  # sessions that a file may end before a night's and still be waited for
Wait = Callable[[datetime, str], object]
"""Waits until an instant, in a state that says why."""


@dataclass
class _Series:
    """What is requested of one symbol for one target."""

    nights: list[Night]  # oldest first; one request brings the bars of all
    request_at: datetime
    silent: int = 0  # requests in a row without a response, which lengthens the pause
    # With its error, the newest night, whose bar did not come: older ones are requested.
    missing: Night | None = None

    @property
    def newest(self) -> Night:
        """The night whose bar is requested last."""
        return self.nights[-1]


class Rounds:
    """The nights of a run, batch by batch: iterate, request their bars, hand each batch to `take`.

    Attributes:
        ended: The nights that cannot be run, with their error: a NoBarError where the run goes on
            without their bar.
        refusals: By source, the refusal of this round after which it is not requested on; `ingest`
            adds to it.
    """

    def __init__(
        self,
        nights: Sequence[Night],
        settings: Settings,
        *,
        scheduled_at: datetime | None,
        now: Clock,
        wait: Wait,
    ) -> None:
        """Begin with all nights, oldest first; `scheduled_at` is None where a person waits."""
        self.ended = [night for night in nights if night.error is not None]
        self.refusals = Refusals()
        self.targets = settings.targets
        self._settings = settings
        self._patient = scheduled_at is not None
        self._now = now
        self._wait = wait
        self._began = now()
        # It may have begun hours later, after another one had waited.
        self._scheduled_at = min(scheduled_at or self._began, self._began)
        begun = grouped([night for night in nights if night.error is None], "series")
        self._waiting = {some[0].series: _Series(some, self._began) for some in begun}
        self._round = 0
        self._pause = timedelta(0)
        self._reasons = ""  # of the newest wait
        self._notes: dict[str, str] = {}  # by symbol, of nights whose bar did not come

    def __iter__(self) -> Iterator[list[Night]]:
        """The nights of BATCH symbols at a time; waits between rounds."""
        while self._waiting:
            next_at = min(series.request_at for series in self._waiting.values())
            if next_at > self._now():
                self._wait_until(next_at)
                self._leave_out_done()
            self._round += 1
            self._pause = timedelta(0)
            self.refusals.clear()
            until = max(next_at, self._now())
            asked = [series for series in self._waiting.values() if series.request_at <= until]
            nights = chain.from_iterable(series.nights for series in asked)
            symbols = grouped([replace(night, error=None) for night in nights], "symbol")
            for start in range(0, len(symbols), BATCH):
                yield list(chain.from_iterable(symbols[start : start + BATCH]))
            self._schedule_again(asked)
        for line in quoted(self._notes, most=REASONS):
            logger.warning(line)

    def _schedule_again(self, asked: Sequence[_Series]) -> None:
        """Set when the symbols that are still without their bar are requested again."""
        request_at = self._now() + self._pause
        for series in asked:
            if series.newest.series not in self._waiting or series.missing is not None:
                continue
            night = series.newest
            deadline = self._deadline(night)
            series.request_at = min(request_at, deadline)
            if self._patient:
                until = f"Retrying until {clock_time(deadline, self._settings)}."
                waits = {"status": stopped_status(night.error), "waits_until": deadline}
                mark(night, waits, {"waiting": str(night.error), "until": until})

    def _leave_out_done(self) -> None:
        """End the nights that another run has done while this one waited without the lock."""
        for key, series in list(self._waiting.items()):
            left = not_done(series.nights)
            for night in series.nights:
                if night not in left:
                    self.ended.append(replace(night, error=None, is_done=True))
            series.nights = left
            if not left:
                del self._waiting[key]

    def take(self, fetched: Sequence[Night]) -> list[Night]:
        """The nights of a requested batch that are to be run; the others wait or have ended."""
        taken = []
        for nights in grouped(fetched, "series"):
            error = nights[-1].error
            if error is None:
                taken += self._with_bars(nights)
            else:
                taken += self._without_bar(nights, error)
        return taken

    def _with_bars(self, nights: list[Night]) -> list[Night]:
        """The nights, whose bars came; what they waited for is noted."""
        newest = nights[-1]
        series = self._waiting.pop(newest.series)
        if series.missing is not None:
            self._end_without_bar(series.missing, newest.session)
        elif self._patient and self._round > 1:
            waited = (
                f"Waited for its bar from {self._began.astimezone(self._settings.timezone):%H:%M} "
                f"to {clock_time(self._now(), self._settings)}; {self._round} requests."
            )
            with connect.transaction(newest.url) as connection:
                add_notes(connection, newest.id, {**NO_WAIT, "waited": waited})
        return nights

    def _without_bar(self, nights: list[Night], error: ForecastingError) -> list[Night]:
        """What is run in place of the nights whose newest bar did not come."""
        newest = nights[-1]
        series = self._waiting[newest.series]
        if series.missing is None and self._is_requested_again(series, newest, error):
            series.nights = nights
            return []
        newest_bar = _newest_bar(newest, error) if self._patient else None
        if newest_bar is not None:
            return self._go_on(
                series,
                nights,
                error,
                newest_bar,
            )
        del self._waiting[newest.series]
        missing = replace(series.missing or newest, error=error)
        if self._patient or not is_refusal(newest.settings, newest.symbol, error):
            mark_stopped(missing)
        self._end(missing)
        return []

    def _is_requested_again(self, series: _Series, newest: Night, error: ForecastingError) -> bool:
        """Whether a later round requests the symbol, before its deadline."""
        series.silent = series.silent + 1 if isinstance(error, UnavailableError) else 0
        pause = self._pause_after(error, series)
        if pause is None:
            return False
        now = self._now()
        deadline = self._deadline(newest)
        # A request within the pause of a refusal extends it.
        earliest = now + pause if isinstance(error, RateLimitedError) else now
        if now >= deadline or earliest > deadline:
            return False
        self._pause = max(self._pause, pause)
        return True

    def _go_on(
        self, series: _Series, nights: list[Night], error: ForecastingError, newest_bar: date
    ) -> list[Night]:
        """What is run with the bars up to `newest_bar`; a late source is requested again first."""
        missing = series.missing or nights[-1]
        older = [replace(night, error=None) for night in nights if night.session <= newest_bar]
        if not older and not _is_finished(missing, newest_bar):
            older = [replace(nights[-1], session=newest_bar, error=None)]
        is_late = isinstance(error, DataLateError)
        if is_late and older and newest_bar < nights[-1].session:
            series.missing = missing
            series.nights = older
            series.request_at = self._now()
            return []
        del self._waiting[missing.series]
        if is_late:
            self._end_without_bar(missing, newest_bar)
            return []
        self._end_without_bar(replace(missing, error=error), newest_bar)
        return older

    def _end_without_bar(self, missing: Night, newest_bar: date) -> None:
        """End the night whose bar did not come, unless it goes on with stored bars itself."""
        error = missing.error
        hour = clock_time(self._now(), self._settings)
        goes_on = f"the night continued with the bars up to {newest_bar}."
        if isinstance(error, DataLateError):
            what = f"{error.why} It" if error.why else f"The bar of {missing.session}"
            note = f"{what} was not available by {hour}; {goes_on}"
            if behind := _sessions_behind(missing, error):
                ends = f"{source_name(missing.source)} ends {behind} sessions before"
                note = f"{ends} {missing.session}: bring it up to date; {goes_on}"
            mark(missing, {"status": "late"}, {"no_bar": note})
            self.ended.append(replace(missing, error=NoBarError(note)))
        else:
            note = f"{error} Stopped retrying at {hour}; {goes_on}"
            mark(missing, {"status": "failed", "error": note}, {"no_bar": note})
            if newest_bar < missing.session:
                self._end(missing)
        self._notes[missing.symbol] = note

    def _end(self, night: Night) -> None:
        logger.error(
            "%s %s: %s",
            night.series,
            night.session,
            night.error,
        )
        self.ended.append(night)

    def _pause_after(self, error: ForecastingError, series: _Series) -> timedelta | None:
        """The pause before the next request; None where a retry cannot help."""
        is_silent = isinstance(error, UnavailableError)
        if not self._patient:  # a late bar does not come within seconds
            return INTERACTIVE if is_silent and self._round == 1 else None
        if is_silent:
            return UNANSWERED[min(series.silent, len(UNANSWERED)) - 1]
        if isinstance(error, RateLimitedError):
            return _stated_pause(error)
        if isinstance(error, DataLateError) and not _sessions_behind(series.newest, error):
            return NO_BAR
        return None

    def _deadline(self, night: Night) -> datetime:
        """When retrying ends: at FORECASTING_LATE_UNTIL, or when the next session opens.

        After that no forecast would be live.
        """
        if not self._patient:
            return self._began + timedelta(days=1)
        zone = self._settings.timezone
        today = self._scheduled_at.astimezone(zone).date()
        # An hour that the clocks of a day skip is the one after it, as for the schedule; of one
        # shown twice the first.
        hours = [
            datetime.combine(day, self._settings.late_until, tzinfo=zone).astimezone(UTC)
            for day in (today, today + timedelta(days=1))
        ]
        stated = next(instant for instant in hours if instant > self._scheduled_at)
        exchange = night.exchange
        return min(stated, opens_at(shift(night.session, 1, exchange), exchange))

    def _wait_until(self, next_at: datetime) -> None:
        """Wait for the next request, saying why, when it is, and until when there will be more.

        A reason is logged once, however long it lasts and of how many symbols it is.
        """
        waiting = [series.newest for series in self._waiting.values()]
        errors = {night.symbol: str(night.error) for night in waiting}
        reasons = " ".join(quoted(errors, most=REASONS))
        until = clock_time(max(map(self._deadline, waiting)), self._settings)
        if self._patient and reasons != self._reasons:
            logger.warning("%s Retrying until %s.", reasons, until)
        self._reasons = reasons
        hour = f"{next_at.astimezone(self._settings.timezone):%H:%M}"
        self._wait(next_at, f"{reasons} Next request at {hour}, retrying until {until}.")


def _stated_pause(refusal: RateLimitedError) -> timedelta:
    stated_s = refusal.retry_after_s
    if stated_s is None or not math.isfinite(stated_s):
        return REFUSED
    return timedelta(seconds=min(max(stated_s, 60.0), 86_400.0))


def _sessions_behind(night: Night, error: DataLateError) -> int:
    """How many sessions a file ends before a night's; 0 for one whose bar may still come."""
    if error.why or error.newest is None or not is_file(night.source):
        return 0
    behind = len(after(error.newest, night.session, night.exchange))
    return behind if behind > BEHIND else 0


def _newest_bar(night: Night, error: ForecastingError) -> date | None:
    """The newest bar that an unattended night can go on with; None without one."""
    if isinstance(error, DataLateError):
        return error.newest
    if not isinstance(error, UnavailableError | RateLimitedError):
        return None
    with connect.reading(night.url) as connection:
        stored = read.bars(connection, night.symbol, last=night.session)
    return stored.index[-1].date() if len(stored) else None


def _is_finished(night: Night, session: date) -> bool:
    """Whether a night of that session or a newer one has come to its end."""
    with connect.reading(night.url) as connection:
        finished = read.newest_finished(connection, *night.key)
    return finished is not None and session <= finished


def clock_time(moment: datetime, settings: Settings) -> str:
    """`09:00 America/New_York`: an instant as local time."""
    return f"{moment.astimezone(settings.timezone):%H:%M} {settings.timezone}"
