"""What can go wrong, or change, on a morning of the simulated world; each draws its own details."""

from __future__ import annotations

import os
import resource
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import sqlalchemy as sa

from flows import catch_up, nightly
from forecasting.errors import ForecastingError, LockedError, StoreError
from forecasting.pipeline.models import promote, roll_back
from forecasting.pipeline.run import ingest_only
from forecasting.sessions import between, next_sessions, shift
from forecasting.settings import read_settings
from forecasting.store import connect, migrate, write
from tests import yahoo_stand_in as stand_in
from tests.faults.boundaries import Killed, counted
from tests.faults.invariants import read_all
from tests.faults.vendor import BROKEN

if TYPE_CHECKING:
    from tests.faults.world import World

Mishap = Callable[["World"], AbstractContextManager[None]]


def failing(name: str, faults: Sequence[str]) -> Mishap:
    """The next chart requests, or all of this morning, end in a fault."""

    @contextmanager
    def mishap(world: World) -> Iterator[None]:
        fault = world.draw.choice(faults)
        if world.draw.random() < 0.4:
            world.vendor.fail_always(fault)
        else:
            world.vendor.fail(*[fault] * world.draw.randint(1, 3))
        world.vendor.market_fault = world.draw.choice([None, fault])
        yield
        world.vendor.fail()
        world.vendor.market_fault = None

    mishap.__name__ = name
    return mishap


refused = failing("refused", ["429"])
broken = failing("broken", BROKEN)
unknown_symbol = failing("unknown_symbol", ["404"])


@contextmanager
def late(world: World) -> Iterator[None]:
    """The newest bar comes an hour or two later, or not on this morning."""
    newest = world.vendor.today
    world.vendor.today = shift(newest, -1)
    hours = world.draw.choice([0.2, 0.8, 24.0])
    world.at(world.instant + timedelta(hours=hours), lambda: setattr(world.vendor, "today", newest))
    world.tampered |= world.vendor.series.keys()
    yield
    world.vendor.today = newest


@contextmanager
def stale(world: World) -> Iterator[None]:
    """The answer is some sessions old."""
    newest = world.vendor.today
    world.vendor.today = shift(newest, -world.draw.randint(2, 4))
    world.tampered |= world.vendor.series.keys()
    yield
    world.vendor.today = newest


@contextmanager
def another_symbol(world: World) -> Iterator[None]:
    """The rows are those of another symbol."""
    symbol = world.known_symbol()
    if symbol is not None:
        world.vendor.mistaken[symbol] = next(name for name in world.vendor.edits_of if name != symbol)
        world.tampered.add(symbol)
    yield
    world.vendor.mistaken.clear()


def rows_edited(name: str, edit: Callable[[World, date], stand_in.Edit]) -> Mishap:
    """A fault of rows, of one symbol on one morning."""

    @contextmanager
    def mishap(world: World) -> Iterator[None]:
        symbol = world.known_symbol()
        if symbol is not None:
            world.vendor.edits_of[symbol].append(edit(world, world.vendor.today))
            world.tampered.add(symbol)
        yield
        if symbol is not None:
            world.vendor.edits_of[symbol].clear()

    mishap.__name__ = name
    return mishap


def _recent(world: World, newest: date) -> date:
    return shift(newest, -world.draw.randint(0, 6))


partial = rows_edited(
    "partial", lambda world, newest: stand_in.scaled(world.draw.uniform(0.02, 0.3), newest, column="volume")
)
gap = rows_edited("gap", lambda world, newest: stand_in.missing_row(_recent(world, newest)))
null_row = rows_edited("null_row", lambda world, newest: stand_in.null_row(_recent(world, newest)))
null_volume = rows_edited("null_volume", lambda world, newest: stand_in.null_volume(_recent(world, newest)))
in_pence = rows_edited("in_pence", lambda world, newest: stand_in.scaled(100.0, _recent(world, newest)))
unfinished = rows_edited("unfinished", lambda world, newest: stand_in.live_bar(next_sessions(newest, 1)[0]))
in_thousands = rows_edited(
    "in_thousands",
    lambda world, newest: lambda rows: rows.assign(volume=(rows["volume"] / 1000.0).round()),  # of the whole history
)


@contextmanager
def restatement(world: World) -> Iterator[None]:
    """Some recent volumes are restated for good."""
    symbol = world.draw.choice(world.symbols)
    for _ in range(world.draw.randint(1, 4)):
        session = shift(world.vendor.today, -world.draw.randint(0, 12))
        world.vendor.restate(symbol, session, world.draw.choice([0.8, 0.999, 1.001, 1.3]))
    yield


@contextmanager
def split(world: World) -> Iterator[None]:
    """Tonight's bar is the first after a split; the source may rebase the history only days later."""
    symbol, ratio = world.draw.choice(world.symbols), world.draw.choice([2.0, 3.0, 1.5, 0.5, 0.1])
    session = next_sessions(world.vendor.today, 1)[0]
    world.vendor.split(symbol, session, ratio)
    if world.draw.random() < 0.5 and world.is_known(symbol):
        world.later_edits.append((symbol, stand_in.late_split(session, ratio), world.draw.randint(1, 2)))
    yield


@contextmanager
def dividend(world: World) -> Iterator[None]:
    """The next session is an ex-date."""
    session = next_sessions(world.vendor.today, 1)[0]
    world.vendor.dividend(world.draw.choice(world.symbols), session, round(world.draw.uniform(0.05, 0.9), 2))
    yield


@contextmanager
def earnings_move(world: World) -> Iterator[None]:
    """The list of earnings dates changes: a date comes, moves or goes."""
    day = world.vendor.today + timedelta(days=world.draw.randint(1, 45))
    hour = world.draw.choice(["4 PM", "7 AM", "11 AM"])
    past = world.vendor.earnings[: world.draw.randint(0, len(world.vendor.earnings))]
    world.vendor.earnings = [*past, f"{day:%B} {day.day}, {day.year} at {hour} EDT"]
    yield


@contextmanager
def kill(world: World) -> Iterator[None]:
    """The process ends at a boundary; half of the time the machine comes back on the same morning."""
    world.boundaries.plan(world.some_boundary(), world.boundaries.kill)
    world.restarts = world.draw.choice([0, 1])
    yield


@contextmanager
def kill_twice(world: World) -> Iterator[None]:
    """And once more when it is started again."""
    world.boundaries.plan(world.some_boundary(), world.boundaries.kill)
    world.restarts, world.next_kill = 2, world.some_boundary()
    yield


@contextmanager
def disk_full(world: World) -> Iterator[None]:
    """No file grows past a limit, as on a full disk: of the ledger, its log, weights, windows or pages."""
    limit = world.draw.choice([1_000, 20_000, 150_000, 400_000, 1_000_000])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    world.cannot_write = True

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))

    world.boundaries.plan(world.some_boundary(), fill)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def locked(world: World) -> Iterator[None]:
    """Another program keeps the database locked, from some statement of the night on."""
    with closing(world.another_program()) as program:

        def lock() -> None:
            with suppress(sa.exc.OperationalError):  # the night itself holds it just now
                program.execute(sa.text(world.lock_statement))
                return
            program.rollback()
            world.boundaries.plan(world.boundaries.passed + 1, lock)

        world.boundaries.plan(world.some_boundary(), lock)
        world.cannot_write = True
        yield


@contextmanager
def second_run(world: World) -> Iterator[None]:
    """Another run starts while the night works."""

    def start() -> None:
        try:
            nightly.nightly(patient=True)
            world.reached["a second run that came first"] += 1
        except LockedError:
            world.reached["a second run refused by the lock"] += 1

    world.boundaries.plan(world.some_boundary(), start)
    yield


@contextmanager
def clock_wrong(world: World) -> Iterator[None]:
    """The machine's clock is ahead or behind, by hours to weeks."""
    world.clock_error = timedelta(hours=world.draw.choice([-72, -26, -3, 5, 26, 30 * 24]))
    yield
    world.clock_error = timedelta()


@contextmanager
def bars_before(world: World) -> Iterator[None]:
    """Somebody has fetched the bars before the night."""
    ingest_only(read_settings(), as_of=None, switch_source=False, now=world.now)
    yield


@contextmanager
def symbol_added(world: World) -> Iterator[None]:
    """A symbol is added, or one that was dropped comes back."""
    left = [name for name in world.vendor.edits_of if name not in world.symbols]
    if left:
        world.set_symbols([*world.symbols, world.draw.choice(left)])
    yield


@contextmanager
def symbol_dropped(world: World) -> Iterator[None]:
    """A symbol is dropped."""
    if len(world.symbols) > 1:
        world.set_symbols(world.draw.sample(world.symbols, len(world.symbols) - 1))
    yield


@contextmanager
def settings_changed(world: World) -> Iterator[None]:
    """The operator changes a setting."""
    choices = {
        "SEED": ["0", "1"],
        "TRAIN_SESSIONS": ["300", "310"],
        "MAX_MODEL_AGE": ["1", "63"],
        "SCRATCH_EVERY": ["3", "21"],
        "KEEP_ARTIFACTS": ["5", "8"],
        "SHARD_SIZE": ["1", ""],
        "TARGET": ["volume", "close", "range"],
        "MARKET": ["none", ""],
    }
    name = world.draw.choice(sorted(choices))
    world.set(name, world.draw.choice(choices[name]))
    yield


@contextmanager
def witness(world: World) -> Iterator[None]:
    """A second source is compared with the bars: it agrees, has other numbers, or cannot be read."""
    path = world.folder / "witness.csv"
    newest = [world.vendor.told(symbol)[0].tail(30).assign(symbol=symbol) for symbol in world.vendor.edits_of]
    rows = pd.concat(newest)[["session", "symbol", "open", "high", "low", "close", "volume"]]
    column, factor = world.draw.choice([("volume", 1.0), ("volume", 0.4), ("close", 1.03)])
    rows.assign(**{column: rows[column] * factor}).to_csv(path, index=False)
    if world.draw.random() < 0.2:
        os.truncate(path, 20)
    world.set("WITNESS", f"csv:{path}")
    yield
    world.set("WITNESS", "")


@contextmanager
def champion_by_hand(world: World) -> Iterator[None]:
    """The operator promotes an older model, or rolls back."""
    models = world.select("SELECT id FROM models WHERE name = 'lstm' ORDER BY id")
    with suppress(ForecastingError):  # pruned, refused, or there was no other champion
        if world.draw.random() < 0.5:
            roll_back(read_settings(), now=world.now)
        elif models:
            promote(world.draw.choice(models)[0], read_settings(), now=world.now)
        world.reached["a champion chosen by hand"] += 1
    yield


@contextmanager
def weights_lost(world: World) -> Iterator[None]:
    """The folder of some model's weights is deleted, or a file in it damaged."""
    folders = sorted((world.folder / "data" / "artifacts").glob("[!.]*"))
    if folders:
        folder = world.draw.choice(folders[-3:])
        if world.draw.random() < 0.5:
            shutil.rmtree(folder)
        else:
            os.truncate(folder / "weights.safetensors", 100)
        world.reached["weights lost or damaged"] += 1
        world.lost.add(folder.name)
    yield


@contextmanager
def span_again(world: World) -> Iterator[None]:
    """The operator catches up a span of past sessions before the night."""
    last = shift(world.vendor.today, -world.draw.randint(0, 2))
    first = shift(last, -world.draw.randint(0, 2))
    with suppress(ForecastingError):
        catch_up.catch_up(first, last, refit_every=world.draw.choice([1, 2]))
        world.reached[f"a span of {len(between(first, last))} caught up"] += 1
    yield


@contextmanager
def new_release(world: World) -> Iterator[None]:
    """The schema is that of the release before: nights are refused until an upgrade, which may be killed at first."""
    before = without_notes(read_all(world.url, defaultdict(dict)))
    migrate.downgrade(world.url, BEFORE)
    with pytest.raises(StoreError, match=f"is at revision {BEFORE}; this code needs .*forecasting db upgrade"):
        nightly.nightly(patient=True)
    if world.draw.random() < 0.5:
        with counted(world.folder) as boundaries, boundaries.process():
            boundaries.plan(world.draw.randint(1, 8), boundaries.kill)
            with suppress(Killed):
                migrate.upgrade(world.url)
            world.reached["an upgrade killed"] += boundaries.dead
    migrate.upgrade(world.url)
    with connect.transaction(world.url) as connection:  # what that release has no table for
        write.add(connection, "forecast_parts", *before["forecast_parts"].values())
        for margin in before["fallback_margins"].values():
            write.add(connection, "fallback_margins", margin)
    assert without_notes(read_all(world.url, defaultdict(dict))) == before
    world.reached["a night refused until an upgrade"] += 1
    yield


def without_notes(tables: Any) -> Any:
    """The rows without the notes by kind, which the release before has no column for."""
    for row in tables["runs"].values():
        row.pop("notes")
    return tables


BEFORE = "0009"
"""The revision of the release before; it lacks the tables of locks."""


MISHAPS: tuple[Mishap, ...] = (
    refused, broken, unknown_symbol, late, stale, another_symbol, partial, gap, null_row, null_volume, in_pence,
    unfinished, in_thousands, restatement, split, dividend, earnings_move, kill, kill_twice, disk_full, locked,
    second_run, clock_wrong, bars_before, symbol_added, symbol_dropped, settings_changed, witness,
    champion_by_hand, weights_lost, span_again, new_release,
)  # fmt: skip
