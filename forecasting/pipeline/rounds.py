"""Rounds of requests: what is due is requested, and what did not come is requested again, until a stated hour.

An unattended run pauses for as long as the failures of a round ask for: 30 minutes or what the source states after a
rate limit, 20 for a late bar, 1 to 15 without a response. At the hour it goes on with the bars that there are.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from forecasting.errors import DataLateError, ForecastingError, RateLimitedError, SourceError, UnavailableError
from forecasting.pipeline.night import BATCH, Night, by_symbol
from forecasting.pipeline.run_log import add_notes, is_refusal, mark_stopped, mark_waiting, mark_without_bar
from forecasting.sessions import opens_at, shift
from forecasting.settings import Settings
from forecasting.store import connect, read
from forecasting.vocabulary import Clock

logger = logging.getLogger("forecasting.night")

REFUSED = timedelta(minutes=30)
"""After "too many requests", unless the source names a pause itself: an earlier request extends the refusal."""

UNANSWERED = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 15))
"""After no response or a broken one; the last pause repeats."""

NO_BAR = timedelta(minutes=20)  # After a response without the session's bar: it comes within minutes, hours or days
INTERACTIVE = timedelta(seconds=2)  # The one pause while a person waits at a terminal, after no response
REASONS = 3  # Of a run that waits: more would fill its message
Wait = Callable[[datetime, str], object]
"""Waits until an instant, in a state that says why."""


@dataclass
class _Symbol:
    """What is requested of one symbol.

    Attributes:
        nights: Oldest first; one request brings the bars of all.
        due: When they are requested.
        silent: Requests in a row without a response, which lengthens the pause.
        asked: All of them, where older bars are requested for some.
        missing: With its error, the newest one, whose bar did not come by the deadline: those before it are requested.
    """

    nights: list[Night]
    due: datetime
    silent: int = 0
    asked: tuple[Night, ...] = ()
    missing: Night | None = None


class Rounds:
    """The nights of a run, batch by batch as their bars are to be requested: iterate, then hand each batch to `take`.

    Attributes:
        ended: The nights that cannot be run, with their error or, where the run goes on without their bar, its note.
        refusals: By source, the refusal of this round after which it is not requested on; `ingest` adds to it.
    """

    def __init__(self, nights: Sequence[Night], settings: Settings, *, patient: bool, now: Clock, wait: Wait) -> None:
        """Begin with all nights due, each symbol's oldest first; `patient`: nobody waits at a terminal."""
        self.ended = [night for night in nights if night.error is not None]
        self._settings, self._patient, self._now, self._wait = settings, patient, now, wait
        self._began = now()
        self._symbols = {
            some[0].symbol: _Symbol(some, self._began)
            for some in by_symbol([night for night in nights if night.error is None])
        }
        self._round, self._pause = 0, timedelta(0)
        self.refusals: dict[str, SourceError] = {}

    def __iter__(self) -> Iterator[list[Night]]:
        """The nights of BATCH symbols at a time, whose bars are to be requested now; waits between rounds."""
        while self._symbols:
            due = min(symbol.due for symbol in self._symbols.values())
            if due > self._now():
                self._wait(due, self._waiting(due))
            self._round, self._pause = self._round + 1, timedelta(0)
            self.refusals.clear()
            asked = [symbol for symbol in self._symbols.values() if symbol.due <= self._now()]
            for start in range(0, len(asked), BATCH):
                batch = asked[start : start + BATCH]
                yield [replace(night, error=None) for symbol in batch for night in symbol.nights]
            for symbol in asked:
                if symbol.nights[0].symbol in self._symbols and symbol.missing is None:
                    symbol.due = min(self._now() + self._pause, self._deadline(symbol.nights[-1]))
                    self._note_waiting(symbol)

    def take(self, fetched: Sequence[Night]) -> list[Night]:
        """Those of a batch, after its requests, that are to be run; the others wait for a later round or have ended."""
        return [night for nights in by_symbol(fetched) for night in self._ready(nights)]

    def _ready(self, nights: list[Night]) -> list[Night]:
        newest, error = nights[-1], nights[-1].error
        symbol = self._symbols[newest.symbol]
        if symbol.missing is not None:
            return self._older(symbol, nights, symbol.missing)
        if error is None:
            del self._symbols[newest.symbol]
            if self._patient and self._round > 1:
                self._note_wait(newest)
            return nights
        symbol.silent = symbol.silent + 1 if isinstance(error, UnavailableError) else 0
        pause = self._pause_after(error, symbol)
        now, deadline = self._now(), self._deadline(newest)
        # A request within the pause of a refusal extends it.
        is_over = now >= deadline or (isinstance(error, RateLimitedError) and now + (pause or NO_BAR) > deadline)
        if pause is not None and not is_over:
            self._pause = max(self._pause, pause)
            symbol.nights = nights
            return []
        if self._patient and isinstance(error, DataLateError | UnavailableError | RateLimitedError):
            return self._go_on(symbol, nights, error)
        del self._symbols[newest.symbol]
        if self._patient or not is_refusal(newest.settings, newest.symbol, error):
            mark_stopped(newest, error)
        self._end(newest)
        return []

    def _go_on(self, symbol: _Symbol, nights: list[Night], error: ForecastingError) -> list[Night]:
        """What can be run with the bars that are stored, or that a late source has, which are requested."""
        missing = nights[-1]
        if isinstance(error, DataLateError):
            symbol.asked, symbol.missing = tuple(nights), missing
            return self._before(symbol, missing, error.newest)
        with connect.reading(missing.settings.url) as connection:
            bars = read.bars(connection, missing.symbol, last=missing.session)
        if not len(bars):  # there is no bar at all to go on with
            return self._fail(missing, error)
        del self._symbols[missing.symbol]
        newest = bars.index[-1].date()
        self._mark(missing, newest, error)
        if newest < missing.session:
            self._end(missing)
        return nights_with_bars(nights, newest)

    def _older(self, symbol: _Symbol, nights: list[Night], missing: Night) -> list[Night]:
        """The nights whose older bars came; where one of these is held, those before it are requested."""
        asked, error = nights[-1].session, nights[-1].error
        if error is None:
            self._end_without_bar(missing, asked)
            return nights
        if isinstance(error, DataLateError) and error.newest is not None and error.newest < asked:
            return self._before(symbol, missing, error.newest)
        return self._fail(missing, error)

    def _before(self, symbol: _Symbol, missing: Night, newest: date | None) -> list[Night]:
        """Have the nights up to the session `newest` requested at once; without one the missing night has ended."""
        if newest is None:
            return self._fail(missing, missing.error or ForecastingError("no error"))
        if older := nights_with_bars(symbol.asked, newest):
            symbol.nights, symbol.due = older, self._now()
        else:
            self._end_without_bar(missing, newest)
        return []

    def _end_without_bar(self, missing: Night, newest: date) -> None:
        del self._symbols[missing.symbol]
        note = self._mark(missing, newest, missing.error or ForecastingError("no error"))
        self.ended.append(replace(missing, error=None, without_bar=note))

    def _fail(self, missing: Night, error: ForecastingError) -> list[Night]:
        del self._symbols[missing.symbol]
        mark_waiting(missing, str(error), status="failed")
        self._end(replace(missing, error=error))
        return []

    def _mark(self, missing: Night, newest: date, error: ForecastingError) -> str:
        hour = clock_time(self._now(), self._settings)
        if isinstance(error, DataLateError):
            why = f"{f'{error.why} It' if error.why else f'The bar of {missing.session}'} was not available by {hour}"
        else:
            why = f"{error} Stopped retrying at {hour}"
        note = mark_without_bar(missing, why, newest, error=error)
        logger.warning("%s: %s", missing.symbol, note)
        return note

    def _end(self, night: Night) -> None:
        logger.error("%s %s: %s", night.symbol, night.session, night.error)
        self.ended.append(night)

    def _pause_after(self, error: ForecastingError, symbol: _Symbol) -> timedelta | None:
        """The pause before the next request; None where a retry cannot help."""
        if not self._patient:  # a late bar does not come within seconds
            return INTERACTIVE if isinstance(error, UnavailableError) and self._round == 1 else None
        if isinstance(error, RateLimitedError):
            stated = error.retry_after_s
            if stated is None or not math.isfinite(stated):
                return REFUSED
            return timedelta(seconds=min(max(stated, 60.0), 86_400.0))
        if isinstance(error, UnavailableError):
            return UNANSWERED[min(symbol.silent, len(UNANSWERED)) - 1]
        return NO_BAR if isinstance(error, DataLateError) else None

    def _deadline(self, night: Night) -> datetime:
        """When retrying ends: at the next FORECASTING_LATE_UNTIL after the run began, before the next session opens.

        Once that session has opened no forecast of the night is live, and there is nothing to wait for.
        """
        if not self._patient:
            return self._began + timedelta(days=1)
        zone = self._settings.timezone
        stated = at_hour(self._began, self._settings.late_until, zone)
        if stated <= self._began:
            stated = at_hour(self._began.astimezone(zone) + timedelta(days=1), self._settings.late_until, zone)
        exchange = night.settings.exchange
        return min(stated, opens_at(shift(night.session, 1, exchange), exchange))

    def _note_waiting(self, symbol: _Symbol) -> None:
        """Record that a night waits: in its row and in the log."""
        night = symbol.nights[-1]
        if self._patient:
            until = clock_time(self._deadline(night), self._settings)
            mark_waiting(night, f"{night.error} Retrying until {until}.")
            due = clock_time(symbol.due, self._settings)
            logger.warning("%s: next request at %s: %s", night.symbol, due, night.error)

    def _note_wait(self, night: Night) -> None:
        """Record that a night has waited for its bar: from when to when, and the number of requests."""
        began = clock_time(self._began, self._settings).partition(" ")[0]
        until = clock_time(self._now(), self._settings)
        waited = f"Waited for its bar from {began} to {until}; {self._round} requests."
        with connect.transaction(night.settings.url) as connection:
            add_notes(connection, night, {"waiting": "", "waited": waited})

    def _waiting(self, due: datetime) -> str:
        """Why the run waits, of the first symbols, when it requests again, and until when it does."""
        waiting = [symbol.nights[-1] for symbol in self._symbols.values()]
        reasons = list(dict.fromkeys(str(night.error) for night in waiting if night.error))
        more = f" And {len(reasons) - REASONS} more." if len(reasons) > REASONS else ""
        until = clock_time(max(map(self._deadline, waiting)), self._settings)
        hour = clock_time(due, self._settings).partition(" ")[0]
        return f"{' '.join(reasons[:REASONS])}{more} Next request at {hour}, retrying until {until}."


def nights_with_bars(nights: Sequence[Night], newest: date) -> list[Night]:
    """Those up to the session `newest`, oldest first; else the night of `newest`, unless it is done. Without errors."""
    kept = [replace(night, error=None) for night in nights if night.session <= newest]
    if kept:
        return kept
    missing = nights[-1]
    with connect.reading(missing.settings.url) as connection:
        finished = read.newest_finished(connection, missing.symbol, missing.target)
    is_done = finished is not None and newest <= finished
    return [] if is_done else [replace(missing, session=newest, error=None)]


def at_hour(day: datetime, hour: time, zone: ZoneInfo) -> datetime:
    """The instant, aware UTC, of an hour on the day that `day` falls on in a time zone.

    An hour that the clocks of that day skip is the one after it, as for the schedule; of one that they show twice it is
    the first.
    """
    return datetime.combine(day.astimezone(zone).date(), hour, tzinfo=zone).astimezone(UTC)


def clock_time(moment: datetime, settings: Settings) -> str:
    """`09:00 America/New_York`: an instant as local time."""
    return f"{moment.astimezone(settings.timezone):%H:%M} {settings.timezone}"
