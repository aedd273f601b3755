"""A simulated world: mornings of a vendor, a machine and an operator, everything drawn from one
seed.

From the top: what is served, a morning, what may go wrong on it, what must hold of the ledger
afterwards (computed naively), and a past night made again in a copy of the ledger in which every
later value is another one.
"""

from __future__ import annotations

import json
import math
import os
import random
import resource
import shutil
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock
from zoneinfo import ZoneInfo

import pandas as pd
import sqlalchemy as sa

from flows import catch_up, clock, nightly
from forecasting.errors import ForecastingError, LockedError, UnexpectedError
from forecasting.evaluate import decisions, drift
from forecasting.ingest.actions import make_actions
from forecasting.night.models import promote, roll_back
from forecasting.night.night import make_night
from forecasting.night.run import ingest_only
from forecasting.night.steps.predict import ISSUED_BEFORE, write_forecasts
from forecasting.night.steps.preprocess import write_windows
from forecasting.night.steps.train import fit_challenger
from forecasting.predict import combine, fallback
from forecasting.publish import pages
from forecasting.sessions import between, last_completed, next_sessions, opens_at, shift
from forecasting.settings import read_settings
from forecasting.store import connect
from forecasting.store.schema import metadata
from forecasting.targets import TARGETS
from forecasting.vocabulary import HORIZONS, QUANTILE_COLUMNS, QUANTILES
from tests import yahoo_stand_in
from tests.builders import PRICES, blank_page, random_bars, scaled
from tests.faults.boundaries import Boundaries, Killed, counted

Row = dict[str, Any]
Key = tuple[Any, ...]
Rows = dict[str, dict[Key, Row]]
"""By table and primary key."""

SYMBOLS = ("AAA", "BBB", "CCC")
NEW_YORK = ZoneInfo("America/New_York")
FIRST = date(2022, 1, 4)
"""Worlds begin within the two years after it, so that their mornings fall on different holidays."""

HISTORY = 520
"""Sessions before the first morning: the shortest training window, and what its first row looks
back on."""

VARIABLES = {
    "SOURCE": "yahoo", "MEMBERS": "1", "TRAIN_SESSIONS": "300", "MARKET": "none", "KEEP_ARTIFACTS": "5",
    "LATE_UNTIL": "06:45", "TARGET": "", "SEED": "", "SCRATCH_EVERY": "", "MAX_MODEL_AGE": "",
    "SHARD_SIZE": "", "WITNESS": "",
}  # fmt: skip
"""The smallest nights, and whatever a mishap may change; they stop waiting for a bar early."""


class Vendor(yahoo_stand_in.StandIn):
    """The symbols' true bars, and what is served of them this morning."""

    def __init__(self, last: date, *, days: int, seed: int):
        bars = [
            random_bars(days, seed=31 * seed + place, last=last) for place in range(len(SYMBOLS))
        ]
        super().__init__(bars[0], symbol=SYMBOLS[0])
        for symbol, true in zip(SYMBOLS, bars, strict=True):
            self.add(symbol, true)
        self.faults = []  # symbol, fault, mornings left
        self.mistaken = {}  # symbols for which another one's rows are served

    def told(self, symbol: str = "") -> tuple[pd.DataFrame, pd.DataFrame]:
        rows, actions = super().told(self.mistaken.get(symbol, symbol))
        for name, edit, _ in self.faults:
            if name == symbol:
                rows = edit(rows)
        return rows, actions


class World:
    """Mornings, of which each runs the scheduled night and then checks the ledger."""

    def __init__(self, seed: int, folder: Path, url: str, *, nights: int):
        """In a new folder, on a ledger without a row."""
        self.draw = random.Random(seed)  # the only source of chance
        self.folder = folder
        self.url = url
        self.today = shift(next_sessions(FIRST, 1)[0], self.draw.randint(0, 500))
        sessions = between(self.today, shift(self.today, nights + 60))
        self.vendor = Vendor(sessions[-1], days=HISTORY + len(sessions), seed=seed)
        self.instant = datetime.combine(self.today, time(10, 30), tzinfo=NEW_YORK)
        self.clock_error = timedelta()  # of the machine's clock
        self.bar_comes = self.instant  # when a late one does
        self.symbols = self.draw.sample(SYMBOLS, self.draw.choice([1, 1, 2]))
        self.variables = {}
        self.rows = {name: {} for name in metadata.tables}  # after the newest checked morning
        self.variables_of = {}  # under which a run was begun
        self.lost = set()  # models whose weights a mishap deleted or damaged
        self.reached = Counter()  # how often each rare path was taken
        self.cannot_write = False
        self.restarts = []  # after a kill, each with the boundary of the next kill, or 0
        self.boundaries = Boundaries(folder / "data")

    def now(self) -> datetime:
        """The machine's clock, which goes on by a second with each look at it."""
        self.instant += timedelta(seconds=1)
        return (self.instant + self.clock_error).astimezone(UTC)

    def wait_until(self, moment: datetime):
        """Let the time pass until the machine's clock shows `moment`."""
        self.instant = max(self.instant, moment - self.clock_error)
        if self.instant >= self.bar_comes:
            self.vendor.today = self.newest

    def next_day(self):
        """Go on to the next morning of the schedule.

        Tuesday to Saturday, half past five in New York.
        """
        self.today += timedelta(days=1)
        while self.today.weekday() not in (1, 2, 3, 4, 5):
            self.today += timedelta(days=1)
        self.instant = datetime.combine(self.today, time(5, 30), tzinfo=NEW_YORK)
        self.newest = last_completed(self.instant.astimezone(UTC))
        self.vendor.today = self.newest

    def set(self, name: str, value: str):
        """Set a variable of the nights from now on; empty is the default."""
        self.variables[name] = value
        os.environ[f"FORECASTING_{name}"] = value

    def set_symbols(self, symbols: Sequence[str]):
        self.symbols = list(symbols)
        self.set("SYMBOLS", ",".join(symbols))

    def another_program(self) -> sa.Connection:
        """A connection of another program, which waits for no lock."""
        arguments = {"timeout": 0.0} if self.url.startswith("sqlite") else {}
        engine = sa.create_engine(self.url, poolclass=sa.pool.NullPool, connect_args=arguments)
        return engine.connect()

    def some_boundary(self) -> int:
        """A boundary that a night like the newest one passes."""
        return self.draw.randint(1, max(20, self.boundaries.passed or 150))

    def known_symbol(self) -> str | None:
        """A symbol that a night has used: a first response has nothing to be compared with."""
        known = {row["symbol"] for row in self.rows["forecasts"].values()}
        found = [symbol for symbol in self.symbols if symbol in known]
        return self.draw.choice(found) if found else None

    def drawn_mornings(self, nights: int) -> Iterator[list[Mishap]]:
        """The mishaps of each morning; each comes before any comes twice.

        Some mornings are slept through.
        """
        deck = []
        for _ in range(nights):
            if self.draw.random() < 0.06:
                for _ in range(self.draw.randint(1, 4)):
                    self.next_day()
                self.reached["mornings slept through"] += 1
            if len(deck) < 3:
                deck += self.draw.sample(MISHAPS, len(MISHAPS))
            yield [deck.pop(0) for _ in range(self.draw.choice([0, 1, 1, 2, 3]))]

    def live_through(self, mornings: Iterable[Sequence[Mishap]]) -> Counter[str]:
        """Live through a calm morning, those given by their mishaps, and two calm ones.

        What was reached.
        """
        self.morning([])
        for mishaps in mornings:
            self.morning(mishaps)
        for _ in range(2):
            self.morning([])
        check_end(self)
        return self.reached

    def morning(self, mishaps: Sequence[Mishap]):
        """One scheduled night with some mishaps, and the check of the ledger."""
        self.next_day()
        with ExitStack() as self.ends:  # what ends a mishap
            # A real page takes a quarter of a night, and no row depends on it
            if self.draw.random() < 0.85:
                self.ends.enter_context(mock.patch.object(pages, "render_page", blank_page))
            for mishap in mishaps:
                mishap(self)
                self.reached[f"mishap {mishap.__name__}"] += 1
            ended = self.run_with_restarts()
            honest_clock = not self.clock_error
        faults = self.vendor.faults
        self.vendor.faults = [(symbol, edit, left - 1) for symbol, edit, left in faults if left > 1]
        check(self, ended, honest_clock=honest_clock)
        self.cannot_write = False

    def remember(self, new: Rows, now: Rows):
        """Keep the checked rows, the variables under which runs began, and the rare paths that were
        taken."""
        self.rows = now
        for run in new["runs"].values():
            # Not of a night of this morning that ran before the settings were changed.
            if run["settings_hash"] == read_settings().for_symbol(run["symbol"]).hash:
                self.variables_of[run["id"]] = dict(self.variables)
            self.reached.update(decided(now, run))
        for table, column in (("fetches", "verdict"), ("forecasts", "status"), ("scores", "stage")):
            self.reached.update(f"{table} {row[column]}" for row in new[table].values())
        self.reached.update(f"runs {row['status']}" for row in now["runs"].values())
        self.reached.update(
            f"score of version {row['bar_version']}" for row in new["scores"].values()
        )
        pruned = [
            row
            for row in now["models"].values()
            if row["artifact_hash"] and not row["artifact_path"]
        ]
        self.reached["weights pruned"] += len(pruned)

    def run_with_restarts(self) -> str:
        ended = self.run()
        for next_kill in self.restarts:
            if ended == "killed":
                self.instant += timedelta(minutes=10)
                if next_kill:
                    self.boundaries.plan(next_kill, self.boundaries.kill)
                ended = self.run()
                self.reached["a run again after a kill"] += 1
        self.restarts = []
        return ended

    def run(self) -> str:
        """How the scheduled night ended: done, killed, or the name of its error."""
        ended = "done"
        try:
            with self.boundaries.process():
                nightly.nightly(patient=True)
        except Killed:
            ended = "killed"
        except ForecastingError as error:
            if isinstance(error, UnexpectedError) and not self.cannot_write:
                raise
            ended = type(error).__name__
        self.reached[f"ended {ended}"] += 1
        return ended


@contextmanager
def opened(world: World, setattr_: Callable[[Any, str, Any], None]) -> Iterator[World]:
    """Within the block the nights of this process are the world's.

    Flows are plain functions already.
    """
    data = world.folder / "data"
    data.mkdir(parents=True)
    with (
        mock.patch.dict(os.environ),
        yahoo_stand_in.asked_here(world.vendor, setattr_),
        mock.patch.object(clock, "now", world.now),
        mock.patch.object(clock, "wait_until", world.wait_until),
        mock.patch.object(connect, "BUSY_TIMEOUT_S", 0),
        counted(data) as world.boundaries,
    ):
        for name in [name for name in os.environ if name.startswith("FORECASTING_")]:
            del os.environ[name]
        for name, value in {**VARIABLES, "DATA_DIR": str(data), "DATABASE_URL": world.url}.items():
            world.set(name, value)
        world.set_symbols(world.symbols)
        yield world


EARLY = (
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
    """Within the block, nights decide on a handful of scored ones what takes sixty and more."""
    with ExitStack() as stack:
        for module, name, value in EARLY:
            stack.enter_context(mock.patch.object(module, name, value))
        yield


# What can go wrong, or change, on a morning; each draws its own details. `world.ends` undoes it
# after the night.

Mishap = Callable[[World], None]

BROKEN = ("500", "502", "down", "truncated", "empty", "short", "dropped", *yahoo_stand_in.PAYLOADS)
"""Answers without a bar, other than a refusal."""


def failing(world: World):
    """The next chart requests, or all of this morning, are refused, of an unknown symbol, or end in
    a fault."""
    fault = world.draw.choice(["429", "404", world.draw.choice(BROKEN)])
    if world.draw.random() < 0.4:
        world.vendor.fail_always(fault)
    else:
        world.vendor.fail(*[fault] * world.draw.randint(1, 3))
    world.ends.callback(world.vendor.fail)
    of_market = mock.patch.object(world.vendor, "market_fault", world.draw.choice([None, fault]))
    world.ends.enter_context(of_market)


def late(world: World):
    """The newest bar comes an hour or two later, or not on this morning.

    Or the response is sessions old.
    """
    sessions = world.draw.choice([1, 1, 1, 3])
    hours = world.draw.choice([0.2, 0.8, 24.0]) if sessions == 1 else 24.0
    world.vendor.today = shift(world.newest, -sessions)
    world.bar_comes = world.instant + timedelta(hours=hours)


def another_symbol(world: World):
    """The rows are those of another symbol."""
    symbol = world.known_symbol()
    if symbol is not None:
        world.vendor.mistaken[symbol] = next(name for name in SYMBOLS if name != symbol)
        world.ends.callback(world.vendor.mistaken.clear)


EDITS: tuple[Callable[[World, date], yahoo_stand_in.Edit], ...] = (
    lambda world, day: yahoo_stand_in.scaled(
        world.draw.uniform(0.02, 0.3), world.newest, column="volume"
    ),
    lambda world, day: yahoo_stand_in.missing_row(day),
    lambda world, day: yahoo_stand_in.null_row(day),
    lambda world, day: yahoo_stand_in.null_volume(day),
    lambda world, day: yahoo_stand_in.scaled(100.0, day),  # in pence
    lambda world, day: yahoo_stand_in.live_bar(next_sessions(world.newest, 1)[0]),
    lambda world, day: lambda rows: rows.assign(volume=(rows["volume"] / 1000.0).round()),
)


def faulty_rows(world: World):
    """A fault of rows, of one symbol on one morning."""
    symbol = world.known_symbol()
    if symbol is not None:
        day = shift(world.newest, -world.draw.randint(0, 6))
        world.vendor.faults.append((symbol, world.draw.choice(EDITS)(world, day), 1))


def restatement(world: World):
    """Some recent volumes are restated for good."""
    symbol = world.draw.choice(world.symbols)
    bars = world.vendor.series[symbol][0].copy()
    for _ in range(world.draw.randint(1, 4)):
        day = pd.Timestamp(shift(world.newest, -world.draw.randint(0, 12)))
        factor = world.draw.choice([0.8, 0.999, 1.001, 1.3])
        bars.loc[day, "volume"] = round(bars.loc[day, "volume"] * factor)
    world.vendor.series[symbol] = (bars, world.vendor.series[symbol][1])


def act(world: World, symbol: str, kind: str, value: float) -> date:
    """Add an action of the next session, which is returned."""
    session = next_sessions(world.newest, 1)[0]
    bars, actions = world.vendor.series[symbol]
    known = [tuple(row) for row in actions[["session", "kind", "value"]].itertuples(index=False)]
    added = make_actions([*known, (pd.Timestamp(session), kind, value)])
    world.vendor.series[symbol] = (bars, added)
    return session


def split(world: World):
    """Tonight's bar is the first after a split.

    The source may rebase the history only days later.
    """
    symbol = world.draw.choice(world.symbols)
    ratio = world.draw.choice([2.0, 3.0, 1.5, 0.5, 0.1])
    bars, actions = world.vendor.series[symbol]
    bars = scaled(bars, [1.0 / ratio] * len(PRICES) + [ratio], columns=[*PRICES, "volume"])
    splits = actions["kind"] == "split"
    rebased = actions.assign(value=actions["value"].where(splits, actions["value"] / ratio))
    world.vendor.series[symbol] = (bars.round({"volume": 0}), rebased)
    session = act(world, symbol, "split", ratio)
    edit = yahoo_stand_in.late_split(session, ratio)
    mornings = world.draw.choice([0, 0, 2, 3])  # this one included, on which it is still to come
    world.vendor.faults.append(
        (symbol, lambda rows: edit(rows) if world.newest >= session else rows, mornings)
    )


def dividend(world: World):
    """The next session is an ex-date."""
    value = round(world.draw.uniform(0.05, 0.9), 2)
    act(world, world.draw.choice(world.symbols), "dividend", value)


def earnings_move(world: World):
    """The list of earnings dates changes: a date comes, moves or goes."""
    day = world.newest + timedelta(days=world.draw.randint(1, 45))
    hour = world.draw.choice(["4 PM", "7 AM", "11 AM"])
    past = world.vendor.earnings[: world.draw.randint(0, len(world.vendor.earnings))]
    world.vendor.earnings = [*past, f"{day:%B} {day.day}, {day.year} at {hour} EDT"]


def kill(world: World):
    """The process ends at a boundary.

    It may be started again on the same morning, and end once more.
    """
    world.boundaries.plan(world.some_boundary(), world.boundaries.kill)
    world.restarts = world.draw.choice([[], [0], [world.some_boundary(), 0]])


def disk_full(world: World):
    """No file grows past a limit, as on a full disk.

    Of the ledger, its log, weights, windows or pages.
    """
    limit = world.draw.choice([1_000, 20_000, 150_000, 400_000, 1_000_000])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    world.cannot_write = True
    world.ends.callback(resource.setrlimit, resource.RLIMIT_FSIZE, (soft, hard))
    world.boundaries.plan(
        world.some_boundary(), lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    )


def locked(world: World):
    """Another program keeps the database locked, from some statement of the night on."""
    program = world.another_program()
    statement = "LOCK TABLE runs, scores IN ACCESS EXCLUSIVE MODE NOWAIT"
    if world.url.startswith("sqlite"):
        statement = "UPDATE runs SET note = note WHERE id = ''"  # takes the write lock

    def lock():
        with suppress(sa.exc.OperationalError):  # the night itself holds it just now
            program.execute(sa.text(statement))
            return
        program.rollback()
        world.boundaries.plan(world.boundaries.passed + 1, lock)

    world.boundaries.plan(world.some_boundary(), lock)
    world.cannot_write = True
    world.ends.callback(program.close)


def second_run(world: World):
    """Another run starts while the night works."""

    def start():
        try:
            nightly.nightly()
            world.reached["a second run beside one that has ended"] += 1
        except LockedError:
            world.reached["a second run refused by the lock"] += 1
        except ForecastingError:  # of a bar that is late
            world.reached["a second run that failed"] += 1

    world.boundaries.plan(world.some_boundary(), start)


def clock_wrong(world: World):
    """The machine's clock is ahead or behind, by hours to weeks."""
    error = timedelta(hours=world.draw.choice([-72, -26, -3, 5, 26, 30 * 24]))
    world.ends.enter_context(mock.patch.object(world, "clock_error", error))


def bars_before(world: World):
    """Somebody has fetched the bars before the night."""
    ingest_only(read_settings(), as_of=None, switch_source=False, now=world.now)


def other_symbols(world: World):
    """A symbol is added, or one that was dropped comes back; or a symbol is dropped."""
    left = [name for name in SYMBOLS if name not in world.symbols]
    if left and world.draw.random() < 0.5:
        world.set_symbols([*world.symbols, world.draw.choice(left)])
    elif len(world.symbols) > 1:
        world.set_symbols(world.draw.sample(world.symbols, len(world.symbols) - 1))


CHOICES = {
    "SEED": ["0", "1"],
    "TRAIN_SESSIONS": ["300", "310"],
    "MAX_MODEL_AGE": ["1", "63"],
    "SCRATCH_EVERY": ["3", "21"],
    "KEEP_ARTIFACTS": ["5", "8"],
    "SHARD_SIZE": ["1", ""],
    "TARGET": ["volume", "close", "range"],
    "MARKET": ["none", ""],
}


def settings_changed(world: World):
    """The operator changes a setting."""
    name = world.draw.choice(list(CHOICES))
    world.set(name, world.draw.choice(CHOICES[name]))


def witness(world: World):
    """A second source is compared with the bars.

    It agrees, has other numbers, or cannot be read.
    """
    path = world.folder / "witness.csv"
    newest = [world.vendor.told(symbol)[0].tail(30).assign(symbol=symbol) for symbol in SYMBOLS]
    rows = pd.concat(newest)[["session", "symbol", "open", "high", "low", "close", "volume"]]
    column, factor = world.draw.choice([("volume", 1.0), ("volume", 0.4), ("close", 1.03)])
    rows.assign(**{column: rows[column] * factor}).to_csv(path, index=False)
    if world.draw.random() < 0.2:
        os.truncate(path, 20)
    world.set("WITNESS", f"csv:{path}")
    world.ends.callback(world.set, "WITNESS", "")


def champion_by_hand(world: World):
    """The operator promotes an older model, or rolls back."""
    models = sorted(row["id"] for row in world.rows["models"].values() if row["name"] == "lstm")
    with suppress(ForecastingError):  # pruned, refused, or there was no other champion
        if world.draw.random() < 0.5:
            roll_back(read_settings(), now=world.now)
        elif models:
            promote(world.draw.choice(models), read_settings(), now=world.now)
        world.reached["a champion chosen by hand"] += 1


def weights_lost(world: World):
    """The folder of some model's weights is deleted, or a file in it damaged."""
    folders = sorted((world.folder / "data" / "artifacts").glob("[!.]*"))
    if not folders:
        return
    folder = world.draw.choice(folders[-3:])
    if world.draw.random() < 0.5:
        shutil.rmtree(folder)
    else:
        os.truncate(folder / "weights.safetensors", 100)
    world.reached["weights lost or damaged"] += 1
    world.lost.add(folder.name)


def span_again(world: World):
    """The operator catches up a span of past sessions before the night."""
    last = shift(world.newest, -world.draw.randint(0, 2))
    first = shift(last, -world.draw.randint(0, 2))
    with suppress(ForecastingError):
        catch_up.catch_up(first, last, refit_every=world.draw.choice([1, 2]))
        world.reached["a span caught up"] += 1


MISHAPS: tuple[Mishap, ...] = (
    failing, late, another_symbol, faulty_rows, restatement, split, dividend, earnings_move, kill,
    disk_full, locked, second_run, clock_wrong, bars_before, other_symbols, settings_changed, witness,
    champion_by_hand, weights_lost, span_again,
)  # fmt: skip


# What must hold of the ledger after every morning, whatever went wrong.


def check(world: World, ended: str, *, honest_clock: bool):
    """Check the ledger after a morning whose run ended so."""
    now = read_all(world.url)
    new = {name: without(now[name], world.rows[name]) for name in now}
    check_kept(world.rows, now)
    check_bars(now)
    check_forecasts(new, now)
    check_scores(new, now)
    check_runs(now)
    says_why = ended in ("killed", "StoreError", "LockedError") or world.cannot_write
    if honest_clock and (ended == "done" or not says_why):
        due = due_runs(world, now)
        check_due(due, now)
        check_complete(due, new, now)
    world.remember(new, now)


def without(rows: dict[Key, Row], known: dict[Key, Row]) -> dict[Key, Row]:
    return {key: row for key, row in rows.items() if key not in known}


def check_end(world: World):
    """What holds once nothing has gone wrong for some mornings: no run is left, and no weights."""
    hashes = {run["settings_hash"] for run in due_runs(world, world.rows)}
    left = [run for run in world.rows["runs"].values() if run["status"] == "running"]
    assert not [
        run for run in left if run["settings_hash"] in hashes and run["symbol"] in world.symbols
    ], left
    present = {path.name for path in (world.folder / "data" / "artifacts").iterdir()}
    wanted = {row["id"] for row in world.rows["models"].values() if row["artifact_path"]}
    assert present <= wanted, present - wanted
    assert wanted - present <= world.lost, wanted - present


def read_all(url: str) -> Rows:
    """Every row of every table, by its primary key."""
    found = {}
    with connect.reading(url) as connection:
        for name, table in metadata.tables.items():
            key = [column.name for column in table.primary_key]
            rows = connection.execute(table.select()).mappings()
            found[name] = {tuple(row[column] for column in key): dict(row) for row in rows}
    return found


def score_key(row: Row) -> Key:
    """The key of a forecast, of one of its scores or of its parts."""
    return tuple(
        row[name] for name in ("symbol", "target", "origin_session", "horizon", "model_id", "kind")
    )


def versions_of(rows: Rows) -> dict[tuple[str, date], list[Row]]:
    """The versions of each bar, oldest first; an empty list for one that is not stored."""
    found = defaultdict(list)
    for _, row in sorted(rows["bar_versions"].items()):
        found[row["symbol"], row["session"]].append(row)
    return found


FILLED_ONCE = {"bar_versions": ("superseded_at", "settled_at"), "findings": ("cleared_at",)}
"""Columns of rows that never change otherwise: NULL until they are filled in."""

OF_A_RUN = {
    "as_of",
    "symbol",
    "target",
    "source",
    "started_at",
    "settings_hash",
    "settings",
    "code_version",
}
"""The columns of a run that stay while it is not done."""


def may_change(table: str, row: Row, later: Row) -> set[str]:
    """The columns of a stored row that another night may change."""
    if table == "runs":
        return row.keys() - OF_A_RUN if row["status"] != "done" else set()
    if table == "models":  # weights are pruned
        return {"artifact_path"} if later["artifact_path"] is None else set()
    return {column for column in FILLED_ONCE.get(table, ()) if row[column] is None}


def check_kept(before: Rows, now: Rows):
    """No row was lost, and none has changed but in what may."""
    for name in before.keys() - {"standings", "metrics"}:  # made anew from all scores
        for key, row in before[name].items():
            assert key in now[name], f"{name} lost {row}"
            later = now[name][key]
            changed = {column for column in row if row[column] != later[column]}
            assert changed <= may_change(name, row, later), (name, row, later)


def check_bars(rows: Rows):
    """Each bar has versions 1, 2, ....

    The newest alone is current, and each ends when the next begins.
    """
    for versions in versions_of(rows).values():
        assert [row["version"] for row in versions] == list(range(1, len(versions) + 1)), versions
        assert versions[-1]["superseded_at"] is None, versions
        for one, following in pairwise(versions):
            assert one["first_seen_at"] < following["first_seen_at"] == one["superseded_at"], (
                versions
            )


def check_forecasts(new: Rows, now: Rows):
    """A new forecast was made of a fetch, weights and decisions of its time, and has valid numbers."""
    products = defaultdict(lambda: 1.0)
    for row in now["forecast_parts"].values():
        products[score_key(row)] *= row["factor"]
    for row in new["forecasts"].values():
        check_origin(row, now)
        quantiles = [row[name] for name in QUANTILE_COLUMNS]
        assert quantiles == sorted(quantiles), row
        assert all(map(math.isfinite, quantiles)), row
        assert row["status"] == "ok" or row["reason"], row
        # Its parts multiply to its median, of a close to the 80% interval's width
        if row["role"] == "champion":
            size = math.log(row["q90"] / row["q10"]) if row["target"] == "close" else row["q50"]
            assert math.isclose(products[score_key(row)], size, rel_tol=1e-9), row


def check_origin(row: Row, now: Rows):
    """A forecast used no fetch and no weights of after its origin, and is live if it was before the
    next open."""
    fetch = now["fetches"][row["fetch_id"],]
    model = now["models"][row["model_id"],]
    origin = row["origin_session"]
    assert fetch["fetched_at"] == row["data_as_of"], (row, fetch)
    assert fetch["last_received"] >= origin == now["runs"][row["run_id"],]["as_of"], (row, fetch)
    assert model["trained_to"] is None or model["trained_to"] <= origin, (row, model)
    assert row["target_session"] == shift(origin, row["horizon"]), row
    assert (row["kind"] == "live") == (row["issued_at"] < opens_at(shift(origin, 1))), row


def actual_of(bar: Row, target: str, factor: float) -> float:
    """The target's value of a bar, on the basis of `factor` fewer shares."""
    if target == "volume":
        return float(bar["volume"] / factor)
    return float(bar["close"] * factor if target == "close" else math.log(bar["high"] / bar["low"]))


def basis_at(actions: Iterable[Row], symbol: str, instant: datetime) -> float:
    """The product of the splits known at an instant.

    Of rows of one session the newest is of all its splits.
    """
    splits = [row for row in actions if row["symbol"] == symbol and row["kind"] == "split"]
    known = [row for row in splits if row["first_seen_at"] <= instant]
    known.sort(key=lambda row: row["first_seen_at"])
    return math.prod({row["session"]: row["value"] for row in known}.values())


def check_scores(new: Rows, now: Rows):
    """A new score is that of its forecast and its version of the bar, computed as plainly as can
    be."""
    bars = versions_of(now)
    actions = now["corporate_actions"].values()
    for row in new["scores"].values():
        forecast = now["forecasts"][score_key(row)]
        bar = bars[row["symbol"], row["target_session"]][row["bar_version"] - 1]
        basis = basis_at(actions, row["symbol"], bar["first_seen_at"])
        factor = basis / basis_at(actions, row["symbol"], forecast["data_as_of"])
        for name in ("target_session", "role", "issued_at"):
            assert row[name] == forecast[name], (row, forecast)
        assert row["stage"] == "first_print" or bar["settled_at"] is not None, (row, bar)
        check_score(row, forecast, actual_of(bar, row["target"], factor))


def check_score(row: Row, forecast: Row, actual: float):
    quantiles = [forecast[name] for name in QUANTILE_COLUMNS]
    errors = [actual - quantile for quantile in quantiles]
    losses = [
        max(level * error, (level - 1.0) * error)
        for level, error in zip(QUANTILES, errors, strict=True)
    ]
    pinball = sum(losses) / len(losses)
    assert math.isclose(row["actual"], actual, rel_tol=1e-9, abs_tol=1e-12), (row, actual)
    assert math.isclose(row["error"], -errors[3], rel_tol=1e-9, abs_tol=1e-9), (row, actual)
    assert math.isclose(row["pinball"], pinball, rel_tol=1e-6, abs_tol=1e-9), (row, losses)
    assert bool(row["inside_80"]) == (quantiles[1] <= actual <= quantiles[5]), row
    assert bool(row["inside_90"]) == (quantiles[0] <= actual <= quantiles[6]), row


def check_runs(rows: Rows):
    """A finished night has all of its facts; no other has the forecasts of none."""
    issued = [row for row in rows["forecasts"].values() if row["role"] == "champion"]
    published = Counter(row["run_id"] for row in issued)
    sessions = {(row["symbol"], row["target"], row["origin_session"]) for row in issued}
    for run in rows["runs"].values():
        assert published[run["id"]] in (0, len(HORIZONS)), (run, published[run["id"]])
        # Run again under other settings, its session may have its forecast already
        if run["status"] == "done":
            assert (published[run["id"]] == 0) == (ISSUED_BEFORE in run["note"]), run
            assert (run["symbol"], run["target"], run["as_of"]) in sessions, run
            assert (run["finished_at"] is None, run["error"], run["mode"] == "") == (
                False,
                None,
                False,
            ), run
        elif run["status"] != "running":
            assert run["status"] in ("late", "failed"), run
            assert run["error"] or run["note"], run


def due_runs(world: World, now: Rows) -> list[Row]:
    """The newest night of each symbol under the settings: each has a row."""
    settings = read_settings()
    session = last_completed(world.now())
    nights = [make_night(symbol, session, settings, now=world.now) for symbol in settings.symbols]
    return [now["runs"][night.id,] for night in nights]


def check_due(due: list[Row], now: Rows):
    """Each newest night is done with one published forecast, or its row says why not."""
    for run in due:
        published = [row for row in now["forecasts"].values() if row["run_id"] == run["id"]]
        horizons = sorted(row["horizon"] for row in published if row["role"] == "champion")
        assert run["status"] != "running", run
        if run["status"] == "done":
            assert horizons == ([] if ISSUED_BEFORE in run["note"] else list(HORIZONS)), run


def check_complete(due: list[Row], new: Rows, now: Rows):
    """A done night has scored every forecast whose bar was known to it."""
    scored = {(*score_key(row), row["stage"], row["bar_version"]) for row in now["scores"].values()}
    known_at = {row["run_id"]: row["data_as_of"] for row in new["forecasts"].values()}
    bars = versions_of(now)
    done = {(run["symbol"], run["target"]): run for run in due if run["status"] == "done"}
    for row in now["forecasts"].values():
        run = done.get((row["symbol"], row["target"]))
        if run and run["id"] in known_at and row["target_session"] <= run["as_of"]:
            versions = bars[row["symbol"], row["target_session"]]
            expected = expected_scores(versions, row["target"], known_at[run["id"]])
            assert {(*score_key(row), *each) for each in expected} <= scored, (row, expected)


NEEDED = {"volume": ["volume"], "close": ["close"], "range": ["high", "low"]}


def expected_scores(versions: list[Row], target: str, known_at: datetime) -> list[tuple[str, int]]:
    """The stages and versions against which a night scores a forecast that knew the bars at an
    instant."""
    known = [row for row in versions if row["first_seen_at"] <= known_at]
    usable = [row for row in known if None not in [row[name] for name in NEEDED[target]]]
    found = [("first_print", row["version"]) for row in usable[:1]]
    settled = known[-1]["settled_at"] if known[-1:] == usable[-1:] != [] else None
    if settled and settled <= known_at:
        found.append(("settled", known[-1]["version"]))
    return found


# A past night, made again in a copy of the ledger (SQLite) where every value after its origin is
# another one.

OWN = (
    # By this night, or later
    "DELETE FROM scores WHERE target_session <= :origin AND scored_at >= :issued_at",
    "DELETE FROM scores WHERE (symbol, target, origin_session) = (:symbol, :target, :origin)",
    "DELETE FROM forecasts WHERE run_id = :run",
    "DELETE FROM promotions WHERE run_id = :run",
    "DELETE FROM models WHERE run_id = :run",
    "DELETE FROM runs WHERE id = :run",
)

_QUANTILES = ", ".join(f"{name} = {name} * 1.5" for name in QUANTILE_COLUMNS)
_SUMS = ("error", "pinball", "champion_error", "champion_pinball")

AFTER = (
    """UPDATE bar_versions SET open = open * 1.7, high = high * 2.1, low = low * 1.3, close = close * 1.7,
        volume = volume * 3 + 7 WHERE session > :origin OR first_seen_at > :known_at""",
    "UPDATE bar_versions SET settled_at = NULL WHERE settled_at > :known_at",
    "UPDATE bar_versions SET superseded_at = NULL WHERE superseded_at > :known_at",
    "UPDATE corporate_actions SET value = value * 1.5 WHERE first_seen_at > :known_at",
    """INSERT OR REPLACE INTO corporate_actions (symbol, session, kind, first_seen_at, value, fetch_id)
        SELECT symbol, :next, 'split', :later, 4.0, min(id) FROM fetches GROUP BY symbol""",
    """UPDATE events SET timing = 'amc', known_rule = 'withdrawn', known_from = :origin
        WHERE first_seen_at > :known_at""",
    """INSERT OR IGNORE INTO events
        (symbol, session, kind, first_seen_at, known_from, known_rule, announced, timing, source)
        SELECT DISTINCT symbol, :next, 'earnings', :later, :origin, 'seen', :next, 'bmo', 'x' FROM fetches""",
    "UPDATE fetches SET adjustment = 0.5, row_count = 1, detail = 'x' WHERE fetched_at > :known_at",
    """UPDATE findings SET severity = 'reject', cleared_at = NULL
        WHERE fetch_id IN (SELECT id FROM fetches WHERE fetched_at > :known_at)""",
    """UPDATE models SET refused = 'x', chain_epochs = 999, artifact_hash = 'x', trained_to = :next
        WHERE run_id IN (SELECT id FROM runs WHERE as_of > :origin)""",
    """UPDATE promotions SET winner = (SELECT min(id) FROM models WHERE name = 'lstm')
        WHERE session > :origin""",
    f"""UPDATE forecasts SET {_QUANTILES}, role = 'silenced', status = 'fallback', calibration = ''
        WHERE origin_session > :origin""",
    """UPDATE scores SET actual = actual * 2, error = -3 * error, pinball = 5 * pinball, inside_80 = 0
        WHERE target_session > :origin""",
    f"UPDATE standings SET n = n + 5, {', '.join(f'{name} = 3 * {name} + 1' for name in _SUMS)}",
    "UPDATE runs SET status = 'failed', mode = 'skip', note = 'x', market_fetch = '' WHERE as_of > "
    ":origin",
)


def nights_with_weights(world: World) -> list[Row]:
    """The finished runs whose champion's weights are still there, oldest first, with what they knew
    and when."""
    found = []
    for run in sorted(world.rows["runs"].values(), key=lambda run: (run["as_of"], run["id"])):
        champion = champion_before(world.rows, run)
        issued = [row for row in world.rows["forecasts"].values() if row["run_id"] == run["id"]]
        is_whole = run["status"] == "done" and run["id"] in world.variables_of
        if is_whole and issued and champion and champion["artifact_path"]:
            found.append(
                {**run, "known_at": issued[0]["data_as_of"], "issued_at": issued[0]["issued_at"]}
            )
    return found


def champion_before(rows: Rows, run: Row) -> Row | None:
    """The model that was champion when a run began; None before the first."""
    series = (run["symbol"], run["target"])
    decided = [
        row for row in rows["promotions"].values() if (row["symbol"], row["target"]) == series
    ]
    before = [
        row for row in decided if row["session"] <= run["as_of"] and row["run_id"] != run["id"]
    ]
    newest = max(
        before, key=lambda row: (row["session"], row["decided_at"], row["id"]), default=None
    )
    return None if newest is None else rows["models"][newest["winner"],]


def decided(rows: Rows, run: Row) -> set[str]:
    """What a night has decided from earlier ones.

    Paths on which a later value could move a forecast.
    """
    own = [row for row in rows["forecasts"].values() if row["run_id"] == run["id"]]
    usual = {None, TARGETS[run["target"]].network_weight}
    weights = {json.loads(row["calibration"])["weight"] for row in own if row["calibration"]}
    found = {
        run["target"]: True,
        "a fit because of drift": run["mode_kind"] == "drift",
        "a promotion": run["id"] in {row["run_id"] for row in rows["promotions"].values()},
        "a baseline published": "fallback" in {row["status"] for row in own},
        "the network is behind": "the network is behind" in "".join(row["reason"] for row in own),
        "a weight other than the usual one": bool(weights - usual),
    }
    return {path for path in found if found[path]}


def issued(forecasts: Iterable[Any], run: Row) -> dict[Key, list[Any]]:
    """What a night forecast, by horizon and model."""
    own = [row for row in forecasts if row["run_id"] == run["id"]]
    compared = ("role", "status", *QUANTILE_COLUMNS)
    return {(row["horizon"], row["model_id"]): [row[name] for name in compared] for row in own}


def is_moved(world: World, run: Row) -> bool:
    """Whether a night forecasts anything else where every value after its origin is another one."""
    folder = world.folder / "altered"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(world.folder / "data" / "artifacts", folder / "artifacts")
    alter(Path(world.url.removeprefix("sqlite:///")), folder / "forecasting.db", run)

    variables = {
        f"FORECASTING_{name}": value for name, value in world.variables_of[run["id"]].items()
    }
    there = {"data_dir": folder, "database_url": None, "target": run["target"], "events": None}
    with mock.patch.dict(os.environ, variables):
        settings = read_settings().model_copy(update=there)
        mode = run["mode"] if run["mode_kind"] == "asked" else "auto"
        night = make_night(run["symbol"], run["as_of"], settings, now=world.now, mode=mode)
        write_forecasts(fit_challenger(write_windows(replace(night, source=run["source"]))))
    again = read_all(settings.url)["forecasts"].values()
    return issued(again, run) != issued(world.rows["forecasts"].values(), run)


def alter(ledger: Path, copy: Path, run: Row):
    """Copy a ledger without the rows of one night, and with other values after its origin."""
    values = {name: run[name] for name in ("symbol", "target")}
    values |= {
        "run": run["id"],
        "origin": str(run["as_of"]),
        "next": str(next_sessions(run["as_of"], 2)[1]),
    }
    instants = {name: run[name] for name in ("known_at", "issued_at")}
    instants["later"] = run["known_at"] + timedelta(days=2)
    values |= {name: f"{instant:%Y-%m-%d %H:%M:%S.%f}" for name, instant in instants.items()}
    with closing(sqlite3.connect(ledger)) as source, closing(sqlite3.connect(copy)) as altered:
        source.backup(altered)
        for statement in (*OWN, *AFTER):
            altered.execute(statement, values)
        altered.commit()
