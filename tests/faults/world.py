"""A simulated world: months of mornings of a vendor, a machine and an operator, everything drawn from one seed."""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date, datetime, time, timedelta
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock
from zoneinfo import ZoneInfo

import pandas as pd
import sqlalchemy as sa

from flows import clock, nightly
from forecasting.errors import ForecastingError, UnexpectedError
from forecasting.evaluate import decisions, drift
from forecasting.ingest.actions import make_actions
from forecasting.predict import combine, fallback
from forecasting.publish import pages as publish
from forecasting.sessions import between, last_completed, next_sessions, shift
from forecasting.store import connect
from tests.builders import PRICES, blank_page, random_bars
from tests.faults.boundaries import Boundaries, Killed, counted
from tests.faults.invariants import Invariants
from tests.faults.mishaps import MISHAPS, Mishap
from tests.yahoo_stand_in import Edit, StandIn, asked_here

SYMBOLS = ("AAA", "BBB", "CCC")
NEW_YORK = ZoneInfo("America/New_York")
FIRST = date(2022, 1, 4)
"""Worlds begin within the three years after it, so that their mornings fall on different holidays."""

HISTORY = 520
"""Sessions before the first morning: the shortest training window, and what its first row looks
back on."""


class Vendor(StandIn):
    """Several symbols' true bars, and what is served of them this morning."""

    def __init__(self, symbols: tuple[str, ...], last: date, *, days: int, seed: int) -> None:
        true = {
            name: random_bars(days, seed=31 * seed + place, last=last)
            for place, name in enumerate(symbols)
        }
        super().__init__(true[symbols[0]], symbol=symbols[0])
        for name in symbols[1:]:
            self.add(name, true[name])
        # Until they are removed
        self.edits_of: dict[str, list[Edit]] = {name: [] for name in symbols}
        self.mistaken: dict[str, str] = {}  # symbols for which another symbol's rows are served

    def told(self, symbol: str = "") -> tuple[pd.DataFrame, pd.DataFrame]:
        """The rows and actions that are served as of `today`."""
        rows, actions = super().told(self.mistaken.get(symbol, symbol))
        for edit in self.edits_of.get(symbol, []):
            rows = edit(rows)
        return rows, actions

    def split(self, symbol: str, session: date, ratio: float) -> None:
        """From `session` on, `ratio` new shares for each old one."""
        bars, actions = self.series[symbol]
        bars = bars.copy()
        bars[PRICES] /= ratio  # bars are on the newest share basis
        bars["volume"] = (bars["volume"] * ratio).round()
        before = actions.assign(
            value=actions["value"].where(actions["kind"] == "split", actions["value"] / ratio)
        )
        self.series[symbol] = bars, _with(before, session, "split", ratio)

    def dividend(self, symbol: str, session: date, value: float) -> None:
        """A dividend whose ex-date is `session`."""
        bars, actions = self.series[symbol]
        self.series[symbol] = bars, _with(actions, session, "dividend", value)

    def restate(self, symbol: str, session: date, factor: float) -> None:
        """The volume of `session` times `factor`, for good."""
        bars, actions = self.series[symbol]
        bars = bars.copy()
        at = pd.Timestamp(session)
        bars.loc[at, "volume"] = round(bars.loc[at, "volume"] * factor)
        self.series[symbol] = bars, actions


def _with(actions: pd.DataFrame, session: date, kind: str, value: float) -> pd.DataFrame:
    known = [(row.session, row.kind, row.value) for row in actions.itertuples()]
    return make_actions([*known, (pd.Timestamp(session), kind, value)])


class World:
    """Mornings, of which each runs the scheduled night and then checks the ledger."""

    def __init__(self, seed: int, folder: Path, url: str, *, nights: int, empty: Path) -> None:
        """In a new folder, on a ledger without a row.

        `empty` is a SQLite file without a row, for replays.
        """
        self.draw = random.Random(seed)  # the only source of chance
        self.folder = folder
        self.url = url
        self.nights = nights
        self.empty = empty
        first = shift(next_sessions(FIRST, 1)[0], self.draw.randint(0, 500))
        sessions = between(first, shift(first, nights + 60))
        self.vendor = Vendor(SYMBOLS, sessions[-1], days=HISTORY + len(sessions), seed=seed)
        self.today = first
        self.instant = datetime.combine(first, time(10, 30), tzinfo=NEW_YORK)
        self.clock_error = timedelta()  # of the machine's clock
        self.symbols: list[str] = list(self.draw.sample(SYMBOLS, self.draw.choice([1, 1, 2])))
        # Whose bars a night has used: a first answer has nothing to be compared with
        self.known: set[str] = set()
        # Of the next mornings, with how many are left
        self.later_edits: list[tuple[str, Edit, int]] = []
        self.lost: set[str] = set()  # models whose weights a mishap deleted or damaged
        self.reached: Counter[str] = Counter()  # how often each rare path was taken
        self.variables: dict[str, str] = {}
        self.cannot_write = False
        self.restarts = self.next_kill = 0
        self.usual_boundaries = 150
        self.boundaries = Boundaries(folder / "data")
        self.invariants = Invariants(self)
        self._timers: list[tuple[datetime, Callable[[], object]]] = []
        self._deck: list[Mishap] = []

    # What mishaps use.

    def now(self) -> datetime:
        """The machine's clock, which goes on by a second with each look at it."""
        self.instant += timedelta(seconds=1)
        return (self.instant + self.clock_error).astimezone(ZoneInfo("UTC"))

    def wait_until(self, moment: datetime) -> None:
        """Let the time pass until the machine's clock shows `moment`."""
        self.instant = max(self.instant, moment - self.clock_error)
        for when, action in [timer for timer in self._timers if timer[0] <= self.instant]:
            action()
            self._timers.remove((when, action))

    def at(self, moment: datetime, action: Callable[[], object]) -> None:
        """Call `action` when the true time is `moment`, if the night still waits then."""
        self._timers.append((moment, action))

    def some_boundary(self) -> int:
        """A boundary that a night like the newest undisturbed one passes."""
        return self.draw.randint(1, self.usual_boundaries)

    def known_symbol(self) -> str | None:
        """One of the symbols that nights have used."""
        found = [symbol for symbol in self.symbols if symbol in self.known]
        return self.draw.choice(found) if found else None

    def set(self, name: str, value: str) -> None:
        """Set a variable of the nights from now on; empty is the default."""
        self.variables[name] = value
        os.environ[f"FORECASTING_{name}"] = value

    def set_symbols(self, symbols: Sequence[str]) -> None:
        """The symbols of the nights from now on."""
        self.symbols = list(symbols)
        self.set("SYMBOLS", ",".join(symbols))

    def select(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of the ledger."""
        with self.another_program() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(statement)]

    def another_program(self) -> sa.Connection:
        """A connection of another program, which waits for no lock."""
        arguments = {"timeout": 0.0} if self.url.startswith("sqlite") else {}
        return sa.create_engine(
            self.url, poolclass=sa.pool.NullPool, connect_args=arguments
        ).connect()

    @property
    def lock_statement(self) -> str:
        """Locks the ledger against writers."""
        if self.url.startswith("sqlite"):
            return "UPDATE runs SET note = note WHERE id = ''"  # takes the write lock
        return "LOCK TABLE runs, scores IN ACCESS EXCLUSIVE MODE NOWAIT"

    # The mornings.

    def live(self) -> Counter[str]:
        """Live through `nights` mornings with drawn mishaps; the rare paths that were reached."""
        return self.live_through(self._drawn_mishaps() for _ in range(self.nights))

    def live_through(self, mornings: Iterable[Sequence[Mishap]]) -> Counter[str]:
        """Live through a calm morning, those given by their mishaps, and two calm ones.

        What was reached.
        """
        for mishaps in chain([[]], mornings, [[], []]):
            self.morning(mishaps)
        self.invariants.check_end()
        return self.reached + self.invariants.reached

    def _drawn_mishaps(self) -> list[Mishap]:
        if self.draw.random() < 0.06:
            for _ in range(self.draw.randint(1, 4)):
                self.next_day()
                self.reached["mornings slept through"] += 1
        return [self._deal() for _ in range(self.draw.choice([0, 1, 1, 2, 3]))]

    def morning(self, mishaps: Sequence[Mishap]) -> None:
        """One scheduled night with some mishaps, and the check of the ledger."""
        self.next_day()
        with ExitStack() as stack:
            stack.enter_context(self._later_edits())
            # A real page takes a quarter of a night, and no row depends on it
            if self.draw.random() < 0.85:
                stack.enter_context(mock.patch.object(publish, "render_page", blank_page))
            for mishap in mishaps:
                if undo := mishap(self):
                    stack.callback(undo)
                self.reached[f"mishap {getattr(mishap, '__name__', '')}"] += 1
            ended = self._run_with_restarts()
            honest_clock = not self.clock_error
        self._timers.clear()
        if not mishaps and ended == "done":
            self.usual_boundaries = max(20, self.boundaries.passed)
        self.invariants.check(ended, honest_clock=honest_clock)
        self.known |= {symbol for (symbol,) in self.select("SELECT DISTINCT symbol FROM forecasts")}
        self.cannot_write = False

    def _run_with_restarts(self) -> str:
        ended = self.run()
        while ended == "killed" and self.restarts:
            self.restarts -= 1
            self.instant += timedelta(minutes=10)
            if self.next_kill:
                self.boundaries.plan(self.next_kill, self.boundaries.kill)
                self.next_kill = 0
            ended = self.run()
            self.reached["a run again after a kill"] += 1
        self.restarts = self.next_kill = 0
        return ended

    def run(self) -> str:
        """How the scheduled night ended: done, killed, or the name of its error."""
        try:
            with self.boundaries.process():
                nightly.nightly(patient=True)
        except Killed:
            self.reached["killed"] += 1
            return "killed"
        except ForecastingError as error:
            if isinstance(error, UnexpectedError) and not self.cannot_write:
                raise
            self.reached[f"ended by {type(error).__name__}"] += 1
            return type(error).__name__
        return "done"

    def _deal(self) -> Mishap:
        """The next mishap of a shuffled deck, so that each comes before any comes twice."""
        if not self._deck:
            self._deck = self.draw.sample(MISHAPS, len(MISHAPS))
        return self._deck.pop()

    def next_day(self) -> None:
        """Go on to the next morning of the schedule.

        Tuesday to Saturday, half past five in New York.
        """
        self.today += timedelta(days=1)
        while self.today.weekday() not in (1, 2, 3, 4, 5):
            self.today += timedelta(days=1)
        self.instant = datetime.combine(self.today, time(5, 30), tzinfo=NEW_YORK)
        self.vendor.today = last_completed(self.instant.astimezone(ZoneInfo("UTC")))

    @contextmanager
    def _later_edits(self) -> Iterator[None]:
        present = [(symbol, edit) for symbol, edit, _ in self.later_edits]
        for symbol, edit in present:
            self.vendor.edits_of[symbol].append(edit)
        self.later_edits = [
            (symbol, edit, left - 1) for symbol, edit, left in self.later_edits if left > 1
        ]
        yield
        for symbol, _ in present:
            self.vendor.edits_of[symbol].clear()


VARIABLES = {
    "SOURCE": "yahoo", "MEMBERS": "1", "TRAIN_SESSIONS": "300", "MARKET": "none", "KEEP_ARTIFACTS": "5",
    "LATE_UNTIL": "06:45", "TARGET": "", "SEED": "", "SCRATCH_EVERY": "", "MAX_MODEL_AGE": "",
    "SHARD_SIZE": "", "WITNESS": "",
}  # fmt: skip
"""The smallest nights, and whatever a mishap may change; they stop waiting for a bar early, to make
few requests."""


@contextmanager
def opened(world: World, setattr_: Callable[[Any, str, Any], None]) -> Iterator[World]:
    """Within the block the nights of this process are those of the world.

    Flows are plain functions already.
    """
    data = world.folder / "data"
    data.mkdir(parents=True)
    with (
        mock.patch.dict(os.environ),
        asked_here(world.vendor, setattr_),
        mock.patch.object(clock, "now", world.now),
        mock.patch.object(clock, "wait_until", world.wait_until),
        mock.patch.object(connect, "BUSY_TIMEOUT_S", 0),
        counted(data) as world.boundaries,
    ):
        for name in [name for name in os.environ if name.startswith("FORECASTING_")]:
            del os.environ[name]
        for name, value in VARIABLES.items() | {
            ("DATA_DIR", str(data)),
            ("DATABASE_URL", world.url),
        }:
            world.set(name, value)
        world.set_symbols(world.symbols)
        yield world


EARLY: tuple[tuple[ModuleType, str, float], ...] = (
    (combine, "MIN_FORECASTS", 5),
    (combine, "_PRIOR", 5.0),
    (decisions, "MIN_ORIGINS", 6),  # the fewest that a Diebold-Mariano test of five horizons takes
    (fallback, "ENTER", 0.3),
    (fallback, "LEAVE", 0.1),
    (fallback, "TOLERANCE", 0.0),
    (drift, "MIN_REFERENCE", 4),
    (drift, "MIN_WATCHED", 3),
    (drift, "LIMIT", 1.5),
)


@contextmanager
def early_evidence() -> Iterator[None]:
    """Within the block, nights decide on a handful of scored ones what takes sixty and more.

    Short worlds do so too.
    """
    with ExitStack() as stack:
        for module, name, value in EARLY:
            stack.enter_context(mock.patch.object(module, name, value))
        yield
