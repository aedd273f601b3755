"""A night: one symbol's session, from plan to report.

Each step returns it with what the step found, or its error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from operator import attrgetter
from typing import Literal

import pandas as pd

from forecasting.errors import ForecastingError, UsageError, explained
from forecasting.preprocess.windows import Windows
from forecasting.sessions import last_completed
from forecasting.settings import Settings
from forecasting.values import source_name
from forecasting.vocabulary import Clock, Mode, Target, short_id


@dataclass(frozen=True)
class RunOptions:
    """What a run is asked for: without `first` and `last` all that was missed."""

    first: date | None = None  # Oldest session; None: the one after the newest finished night
    last: date | None = None  # Newest session; None: the newest that has closed
    mode: Mode = "auto"
    refit_every: int = 1  # sessions between fits
    switch_source: bool = False  # whether bars of another source are accepted for a known symbol
    # By hand; or `schedule`, unattended; `catch-up`, a span
    trigger: str = "run"


@dataclass(frozen=True)
class Night:
    """What is asked of one night, what it runs under, and what its steps have found."""

    session: date  # the origin: the newest session whose bar the night may use
    settings: Settings  # of one symbol and target
    now: Clock = field(repr=False)
    mode: Mode = "auto"
    trigger: str = "run"  # as of `RunOptions`
    targets: tuple[Target, ...] = ()  # of its run, for which one request brings the bars
    switch_source: bool = False  # as of `RunOptions`
    is_last: bool = True  # whether its run has no later night of its symbol and target
    is_for_rivals: bool = False  # whether it is done, but for what its rivals have forecast since
    flow_run_id: str | None = None
    stored_id: str | None = None  # of a night that is run again, its id
    stored_fetch: str = ""  # of a night that is run again, the fetch that it used
    fetch_id: str = ""  # of ingest, then of preprocess: the fetch that brought the bars
    # Of preprocess: that fetch's instant, after which nothing is used, the bars and the windows
    data_as_of: datetime | None = None
    bars: pd.DataFrame | None = field(default=None, repr=False, compare=False)
    windows: Windows | None = field(default=None, repr=False)
    # Of train: the id of tonight's model; empty without one that passed the gate
    fit: str = ""
    # Of what publishes it: the view that its page shows, a room above
    report: object = field(default=None, repr=False)
    seconds: dict[str, float] = field(default_factory=dict)  # by step
    is_done: bool = False  # of evaluate: whether it came to its end
    # What stopped the night; a NoBarError where the run goes on without it
    error: ForecastingError | None = None

    @property
    def symbol(self) -> str:
        """Whose bars are used."""
        return self.settings.symbol

    @property
    def target(self) -> Target:
        """What is forecast."""
        return self.settings.target

    @property
    def key(self) -> tuple[str, Target]:
        """Symbol and target."""
        return self.settings.key

    @property
    def url(self) -> str:
        """The database of its ledger."""
        return self.settings.url

    @property
    def exchange(self) -> str:
        """Whose sessions it has."""
        return self.settings.exchange

    @property
    def source(self) -> str:
        """The option that names the source of its bars."""
        return self.settings.source

    @property
    def series(self) -> str:
        """What names its symbol and target."""
        return self.settings.full_name

    @property
    def id(self) -> str:
        """The id of its run: equal for equal nights and settings, so a run again finds its rows."""
        parts = (
            self.symbol,
            self.session.isoformat(),
            self.target,
            source_name(self.source),
            self.settings.forecast_key,
        )
        return self.stored_id or short_id("run", *parts)

    @property
    def columns(self) -> dict[str, str]:
        """The columns by which the rows of its run are found."""
        return self.settings.columns | {"run_id": self.id}

    def then(self, step: str, work: Callable[[Night], Night]) -> Night:
        """The night after `work`, with the seconds that it took or the error that stopped it.

        A night that an error has stopped before comes back as it is.
        """
        if self.error is not None:
            return self
        started = time.perf_counter()
        try:
            after = work(self)
        except Exception as error:  # whatever it is, it is this night's alone
            ours = explained(error)
            after = replace(self, error=ours)
        seconds = after.seconds.get(step, 0.0) + time.perf_counter() - started
        return replace(after, seconds={**after.seconds, step: round(seconds, 3)})


def windows_of(night: Night) -> Windows:
    """The windows of a night that has been preprocessed."""
    if night.windows is None:
        raise ValueError(f"Expected the windows of {night.series} {night.session}; found none.")
    return night.windows


def bars_of(night: Night) -> pd.DataFrame:
    """The bars, as known to it, of a night that has been preprocessed."""
    if night.bars is None:
        raise ValueError(f"Expected the bars of {night.series} {night.session}; found none.")
    return night.bars


def nights_of(
    sessions: Sequence[date], settings: Settings, options: RunOptions, *, now: Clock
) -> list[Night]:
    """The nights of one symbol; of a span every `refit_every`-th has a fit."""
    return [
        Night(
            session,
            settings,
            now,
            mode="skip" if place % options.refit_every else options.mode,
            trigger=options.trigger,
            switch_source=options.switch_source,
            is_last=session == sessions[-1],
        )
        for place, session in enumerate(sessions)
    ]


def check_closed(session: date, exchange: str, *, now: Clock) -> None:
    """Raise a UsageError for a session that has not closed."""
    at = now()
    newest = last_completed(at, exchange)
    if session > newest:
        raise UsageError(
            f"Expected a session of {exchange} that has closed; found {session}, and the "
            f"newest that has closed is {newest}. Name that one or an older one, or correct this "
            f"machine's clock, which is at {at:%Y-%m-%d %H:%M} UTC."
        )


def grouped(nights: Sequence[Night], by: Literal["symbol", "session"]) -> list[list[Night]]:
    """The nights of each symbol, or of each session, in their order."""
    groups: dict[str | date, list[Night]] = {}
    for night in nights:
        groups.setdefault(getattr(night, by), []).append(night)
    return list(groups.values())


def in_turn(nights: Sequence[Night]) -> list[list[Night]]:
    """The nights in the order in which they are run: those of each session, the oldest first."""
    return grouped(sorted(nights, key=attrgetter("session")), "session")
