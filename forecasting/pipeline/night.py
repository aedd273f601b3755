"""A night: one symbol's session, from plan to report. Each step returns it with what the step found, or its error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecasting import __version__
from forecasting.errors import ForecastingError, UsageError
from forecasting.pipeline.folders import runs_folder
from forecasting.pipeline.unexpected import explained
from forecasting.sessions import last_completed
from forecasting.settings import Settings
from forecasting.values import source_name
from forecasting.vocabulary import Clock, Mode, Target, short_id

if TYPE_CHECKING:
    from forecasting.report.night_view import ReportData

WINDOWS = "windows.npz"  # In a night's folder: the file of its windows
BATCH = 25  # Symbols whose bars are requested one after the other before the first of their nights goes on


@dataclass(frozen=True)
class Night:
    """What is asked of one night, what it runs under, and what its steps have found.

    Attributes:
        session: The origin: the newest session whose bar the night may use.
        settings: Of this symbol and target alone, with the source, events and market of the run.
        mode: How the challenger is fitted.
        trigger: `run` (by hand), `schedule` (unattended) or `catch-up`.
        source: Of the bars; of a market series it may be another one than the settings'.
        stored_id, stored_fetch: In a replay, the id of the night that is run again, and the fetch that it used.
        fetch_id: Of ingest, then of preprocess: the fetch that brought the bars.
        data_as_of: Of preprocess: the instant of that fetch; nothing stored later is used.
        windows: Of preprocess: the file.
        challenger: Of train: the id of tonight's model; empty where the night has none that passed the gate.
        report: Of evaluate: what its page shows.
        is_done: Of evaluate: whether it came to its end.
        without_bar: Why the night has no bar, in words; the run goes on without it.
        error: What stopped the night.
    """

    symbol: str
    session: date
    settings: Settings = field(repr=False)
    now: Clock = field(repr=False)
    mode: Mode = "auto"
    trigger: str = "run"
    source: str = ""
    flow_run_id: str | None = None
    stored_id: str | None = None
    stored_fetch: str = ""
    fetch_id: str = ""
    data_as_of: datetime | None = None
    windows: Path | None = None
    challenger: str = ""
    report: ReportData | None = field(default=None, repr=False)
    seconds: dict[str, float] = field(default_factory=dict)
    is_done: bool = False
    without_bar: str = ""
    error: ForecastingError | None = None

    @property
    def target(self) -> Target:
        """What is forecast."""
        return self.settings.target

    @property
    def id(self) -> str:
        """The run's id: the same night under the same settings has the same, so that a repeated run finds its rows."""
        parts = (self.symbol, self.session.isoformat(), self.target, source_name(self.source), self.settings.hash)
        return self.stored_id or short_id("run", *parts)

    @property
    def folder(self) -> Path:
        """Where the steps of the night leave files to each other; emptied when the night is done."""
        return runs_folder(self.settings) / self.id

    def then(self, step: str, work: Callable[[Night], Night]) -> Night:
        """The night after `work`, with the seconds that it took or the error that stopped it; as it is if one has."""
        if self.error is not None or self.without_bar:
            return self
        started = time.perf_counter()
        try:
            after = work(self)
        except Exception as error:  # whatever it is, it is this night's alone
            after = replace(self, error=explained(error, now=self.now, settings=self.settings))
        seconds = after.seconds.get(step, 0.0) + time.perf_counter() - started
        return replace(after, seconds={**after.seconds, step: round(seconds, 3)})


def make_night(
    symbol: str, session: date, settings: Settings, *, now: Clock, mode: Mode = "auto", trigger: str = "run"
) -> Night:
    """The night of a symbol under its own settings: its own exchange, and so its own hash. Its session has closed."""
    own = settings.for_symbol(symbol)
    check_closed(session, own.exchange, now=now)
    return Night(symbol, session, own, now, mode, trigger, own.source)


def check_closed(session: date, exchange: str, *, now: Clock) -> None:
    """Raise a UsageError for a session that has not closed."""
    at = now()
    newest = last_completed(at, exchange)
    if session > newest:
        raise UsageError(
            f"Expected a session of {exchange} that has closed; found {session}, and the newest that has closed is "
            f"{newest}. Name that one or an older one, or correct this machine's clock, which is at "
            f"{at:%Y-%m-%d %H:%M} UTC."
        )


def by_symbol(nights: Sequence[Night]) -> list[list[Night]]:
    """The nights of each symbol, in their order."""
    groups: dict[str, list[Night]] = {}
    for night in nights:
        groups.setdefault(night.symbol, []).append(night)
    return list(groups.values())


def in_batches(nights: Sequence[Night], size: int) -> Iterator[list[Night]]:
    """The nights of `size` symbols at a time."""
    symbols = by_symbol(nights)
    for start in range(0, len(symbols), size):
        yield [night for of_symbol in symbols[start : start + size] for night in of_symbol]


def in_turn(nights: Sequence[Night]) -> list[list[Night]]:
    """The nights in the order in which they are run: the first of each symbol, then the second, and so on."""
    symbols = by_symbol(nights)
    places = range(max(map(len, symbols), default=0))
    return [[of_symbol[place] for of_symbol in symbols if place < len(of_symbol)] for place in places]


_SENT = ("symbol", "session", "mode", "trigger", "source", "flow_run_id")
_OPTIONS = ("target", "source", "events", "market")  # that a run may have been given in place of the settings


def sent(night: Night) -> dict[str, Any]:
    """What travels to a worker: never settings, which may contain a password; with the id, which the worker checks."""
    options = {name: getattr(night.settings, name) for name in _OPTIONS}
    values = {name: getattr(night, name) for name in _SENT}
    return {"id": night.id, "release": __version__, "options": options, "night": values}


def received(values: dict[str, Any], settings: Settings, *, now: Clock) -> Night:
    """The night under the settings of a worker, whose release and settings must be those of the run."""
    if values["release"] != __version__:
        raise UsageError(
            f"Expected on this worker forecasting {values['release']}, the release of the run; found {__version__}. "
            "Install one release on all machines, then run again."
        )
    own = settings.model_copy(update=values["options"]).for_symbol(values["night"]["symbol"])
    night = Night(settings=own, now=now, **values["night"])
    if night.id != values["id"]:
        raise UsageError(
            f"Expected on this worker the settings of the run that submitted {night.symbol} {night.session}; found "
            "others (target, train_sessions, seed, members or exchange). Set the same FORECASTING_ variables."
        )
    return night
