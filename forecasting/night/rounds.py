"""Rounds of requests: what is due is requested, and what did not come is requested again, until a stated hour.

An unattended run pauses for as long as the failures of a round ask for: 30 minutes or what the
source states after a rate limit, 20 for a late bar, 1 to 15 without a response. At the hour it goes
on with the bars that there are.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from forecasting.errors import (
    DataLateError,
    ForecastingError,
    NoBarError,
    RateLimitedError,
    UnavailableError,
)
from forecasting.night.night import Night, by_symbol
from forecasting.night.plan import not_done
from forecasting.night.run_log import add_notes, is_refusal, mark, mark_stopped, stopped_status
from forecasting.night.steps.ingest import Refusals
from forecasting.sessions import opens_at, shift
from forecasting.settings import Settings
from forecasting.store import connect, read
from forecasting.vocabulary import Clock

logger = logging.getLogger("forecasting.night")

REFUSED = timedelta(minutes=30)
"""After "too many requests", unless the source names a pause itself: an earlier request extends the
refusal."""

UNANSWERED = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 15))
"""After no response or a broken one; the last pause repeats."""

# After a response without the session's bar: it comes within minutes, hours or days
NO_BAR = timedelta(minutes=20)
# The one pause while a person waits at a terminal, after no response
INTERACTIVE = timedelta(seconds=2)
# Symbols whose bars are requested one after the other before the first of their nights goes on
BATCH = 25
REASONS = 3  # Of a run that waits: more would fill its message
Wait = Callable[[datetime, str], object]
"""Waits until an instant, in a state that says why."""


@dataclass
class _Symbol:
    """What is requested of one symbol."""

    nights: list[Night]  # oldest first; one request brings the bars of all
    due: datetime  # when they are requested
    silent: int = 0  # requests in a row without a response, which lengthens the pause
    # With its error, the newest night, whose bar did not come: older ones are requested
    missing: Night | None = None


class Rounds:
    """The nights of a run, batch by batch as their bars are to be requested.

    Iterate, then hand each batch to `take`.

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
        due: datetime | None,
        now: Clock,
        wait: Wait,
    ) -> None:
        """Begin with all nights due, each symbol's oldest first.

        `due`: when an unattended run was, else None.
        """
        self.ended = [night for night in nights if night.error is not None]
        self._settings = settings
        self._patient = due is not None
        self._now = now
        self._wait = wait
        self._began = now()
        # It may have begun hours later, after another one had waited
        self._due = min(due or self._began, self._began)
        begun = by_symbol([night for night in nights if night.error is None])
        self._symbols = {some[0].symbol: _Symbol(some, self._began) for some in begun}
        self._round = 0
        self._pause = timedelta(0)
        self.refusals = Refusals()

    def __iter__(self) -> Iterator[list[Night]]:
        """The nights of BATCH symbols at a time, whose bars are to be requested now.

        Waits between rounds.
        """
        while self._symbols:
            due = min(symbol.due for symbol in self._symbols.values())
            if due > self._now():
                self._wait(due, self._waiting(due))
                self._leave_out_done()
            self._round = self._round + 1
            self._pause = timedelta(0)
            self.refusals.clear()
            asked = [
                symbol for symbol in self._symbols.values() if symbol.due <= max(due, self._now())
            ]
            for start in range(0, len(asked), BATCH):
                batch = asked[start : start + BATCH]
                yield [replace(night, error=None) for symbol in batch for night in symbol.nights]
            for symbol in asked:
                if symbol.nights[0].symbol in self._symbols and symbol.missing is None:
                    symbol.due = min(self._now() + self._pause, self._deadline(symbol.nights[-1]))
                    if self._patient:
                        self._note_waiting(symbol.nights[-1], symbol.due)

    def _note_waiting(self, night: Night, due: datetime) -> None:
        """Say in the row of a night, whose error is not its last, why it waits and until when it is retried."""
        until = clock_time(self._deadline(night), self._settings)
        waiting = {"waiting": str(night.error), "until": f"Retrying until {until}."}
        mark(night, {"status": stopped_status(night.error)}, waiting)
        logger.warning(
            "%s: next request at %s: %s",
            night.symbol,
            clock_time(due, self._settings),
            night.error,
        )

    def _leave_out_done(self) -> None:
        """End the nights that another run has done while this one waited without the lock."""
        for name, symbol in list(self._symbols.items()):
            left = not_done(symbol.nights)
            self.ended += [
                replace(night, error=None, is_done=True)
                for night in symbol.nights
                if night not in left
            ]
            symbol.nights = left
            if not left:
                del self._symbols[name]

    def take(self, fetched: Sequence[Night]) -> list[Night]:
        """Those of a batch, after its requests, that are to be run.

        The others wait for a later round or have ended.
        """
        return [night for nights in by_symbol(fetched) for night in self._ready(nights)]

    def _ready(self, nights: list[Night]) -> list[Night]:
        newest = nights[-1]
        error = nights[-1].error
        symbol = self._symbols[newest.symbol]
        if error is None:
            del self._symbols[newest.symbol]
            if symbol.missing is not None:
                self._end_without_bar(symbol.missing, newest.session, symbol.missing.error)
            elif self._patient and self._round > 1:
                began, until = (clock_time(at, self._settings) for at in (self._began, self._now()))
                waited = (
                    f"Waited for its bar from {began.partition(' ')[0]} to {until}; "
                    f"{self._round} requests."
                )
                with connect.transaction(newest.settings.url) as connection:
                    add_notes(connection, newest, {"waiting": "", "until": "", "waited": waited})
            return nights
        if symbol.missing is None and self._is_requested_again(symbol, newest, error):
            symbol.nights = nights
            return []
        if self._patient and isinstance(error, DataLateError | UnavailableError | RateLimitedError):
            if isinstance(error, DataLateError):
                bars = error.newest
            else:
                with connect.reading(newest.settings.url) as connection:
                    stored = read.bars(connection, newest.symbol, last=newest.session)
                bars = stored.index[-1].date() if len(stored) else None
            if bars is not None:
                return self._go_on(
                    symbol,
                    nights,
                    error,
                    bars,
                )
        del self._symbols[newest.symbol]
        missing = newest if symbol.missing is None else replace(symbol.missing, error=error)
        if self._patient or not is_refusal(newest.settings, newest.symbol, error):
            mark_stopped(missing, error)
        self._end(missing)
        return []

    def _is_requested_again(self, symbol: _Symbol, newest: Night, error: ForecastingError) -> bool:
        """Whether a later round requests the symbol.

        Before its deadline, where a retry can help.
        """
        symbol.silent = symbol.silent + 1 if isinstance(error, UnavailableError) else 0
        pause = self._pause_after(error, symbol)
        now = self._now()
        deadline = self._deadline(newest)
        # A request within the pause of a refusal extends it.
        if (
            pause is None
            or now >= deadline
            or (isinstance(error, RateLimitedError) and now + pause > deadline)
        ):
            return False
        self._pause = max(self._pause, pause)
        return True

    def _go_on(
        self, symbol: _Symbol, nights: list[Night], error: ForecastingError, bars: date
    ) -> list[Night]:
        """What is run with the bars up to the session `bars`: stored ones, or of a late source, which are requested."""
        missing = symbol.missing or nights[-1]
        is_late = isinstance(error, DataLateError)
        older = [replace(night, error=None) for night in nights if night.session <= bars]
        if not older:
            with connect.reading(missing.settings.url) as connection:
                finished = read.newest_finished(connection, missing.symbol, missing.target)
            is_done = finished is not None and bars <= finished
            older = [] if is_done else [replace(nights[-1], session=bars, error=None)]
        if is_late and older and bars < nights[-1].session:
            symbol.missing = missing
            symbol.nights = older
            symbol.due = self._now()
            return []
        del self._symbols[missing.symbol]
        self._end_without_bar(missing, bars, missing.error if is_late else error)
        return [] if is_late else older

    def _end_without_bar(self, missing: Night, bars: date, error: ForecastingError | None) -> None:
        """End the night whose bar did not come, with a note in its row, unless it goes on with stored bars itself."""
        hour = clock_time(self._now(), self._settings)
        is_late = isinstance(error, DataLateError)
        why = f"{error} Stopped retrying at {hour}"
        if isinstance(error, DataLateError):
            why = (
                f"{f'{error.why} It' if error.why else f'The bar of {missing.session}'} was not "
                f"available by {hour}"
            )
        note = f"{why}; the night continued with the bars up to {bars}."
        mark(
            missing,
            {"status": "late"} if is_late else {"status": "failed", "error": note},
            {"no_bar": note},
        )
        logger.warning("%s: %s", missing.symbol, note)
        if is_late:
            self.ended.append(replace(missing, error=NoBarError(note)))
        elif bars < missing.session:
            self._end(replace(missing, error=error))

    def _end(self, night: Night) -> None:
        logger.error(
            "%s %s: %s",
            night.symbol,
            night.session,
            night.error,
        )
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
        """When retrying ends: at FORECASTING_LATE_UNTIL, or when the next session opens.

        Then no forecast is live.
        """
        if not self._patient:
            return self._began + timedelta(days=1)
        zone = self._settings.timezone
        hour = self._settings.late_until
        exchange = night.settings.exchange
        today = self._due.astimezone(zone).date()
        # An hour that the clocks of a day skip is the one after it, as for the schedule; of one
        # shown twice the first.
        hours = [
            datetime.combine(today + timedelta(days=days), hour, tzinfo=zone).astimezone(UTC)
            for days in (0, 1)
        ]
        stated = next(instant for instant in hours if instant > self._due)
        return min(stated, opens_at(shift(night.session, 1, exchange), exchange))

    def _waiting(self, due: datetime) -> str:
        """Why the run waits, of the first symbols, when it requests again, and until when it does."""
        waiting = [symbol.nights[-1] for symbol in self._symbols.values()]
        reasons = list(dict.fromkeys(str(night.error) for night in waiting if night.error))
        until = clock_time(max(map(self._deadline, waiting)), self._settings)
        hour = clock_time(due, self._settings).partition(" ")[0]
        return f"{' '.join(reasons[:REASONS])} Next request at {hour}, retrying until {until}."


def clock_time(moment: datetime, settings: Settings) -> str:
    """`09:00 America/New_York`: an instant as local time."""
    return f"{moment.astimezone(settings.timezone):%H:%M} {settings.timezone}"
