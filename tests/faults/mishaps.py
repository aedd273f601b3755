"""What can go wrong, or change, on a morning of the simulated world; each draws its own details.

A mishap returns what ends it after the morning, where something does.
"""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pandas as pd
import sqlalchemy as sa

from flows import catch_up, nightly
from forecasting.errors import ForecastingError, LockedError
from forecasting.night.models import promote, roll_back
from forecasting.night.run import ingest_only
from forecasting.sessions import between, next_sessions, shift
from forecasting.settings import read_settings
from tests import yahoo_stand_in as stand_in

if TYPE_CHECKING:
    from tests.faults.world import World

Undo = Callable[[], object]
Mishap = Callable[["World"], Undo | None]

BROKEN = ("500", "502", "down", "truncated", "empty", "short", "dropped", *stand_in.PAYLOADS)
"""Answers without a bar, other than a refusal."""


def failing(world: World) -> Undo:
    """The next chart requests, or all of this morning, are refused, of an unknown symbol, or end in a fault."""
    fault = world.draw.choice(["429", "404", world.draw.choice(BROKEN)])
    if world.draw.random() < 0.4:
        world.vendor.fail_always(fault)
    else:
        world.vendor.fail(*[fault] * world.draw.randint(1, 3))
    world.vendor.market_fault = world.draw.choice([None, fault])

    def heal() -> None:
        world.vendor.fail()
        world.vendor.market_fault = None

    return heal


def late(world: World) -> Undo:
    """The newest bar comes an hour or two later, or not on this morning.

    Or the answer is some sessions old.
    """
    newest = world.vendor.today
    sessions = world.draw.choice([1, 1, 1, 3])
    world.vendor.today = shift(newest, -sessions)
    hours = world.draw.choice([0.2, 0.8, 24.0]) if sessions == 1 else 24.0
    world.at(world.instant + timedelta(hours=hours), lambda: setattr(world.vendor, "today", newest))
    return lambda: setattr(world.vendor, "today", newest)


def another_symbol(world: World) -> Undo:
    """The rows are those of another symbol."""
    symbol = world.known_symbol()
    if symbol is not None:
        world.vendor.mistaken[symbol] = next(
            name for name in world.vendor.edits_of if name != symbol
        )
    return world.vendor.mistaken.clear


EDITS: tuple[Callable[[World, date], stand_in.Edit], ...] = (
    lambda world, day: stand_in.scaled(
        world.draw.uniform(0.02, 0.3), world.vendor.today, column="volume"
    ),
    lambda world, day: stand_in.missing_row(day),
    lambda world, day: stand_in.null_row(day),
    lambda world, day: stand_in.null_volume(day),
    lambda world, day: stand_in.scaled(100.0, day),  # in pence
    lambda world, day: stand_in.live_bar(next_sessions(world.vendor.today, 1)[0]),
    # Of the whole history
    lambda world, day: lambda rows: rows.assign(volume=(rows["volume"] / 1000.0).round()),
)


def faulty_rows(world: World) -> Undo | None:
    """A fault of rows, of one symbol on one morning."""
    symbol = world.known_symbol()
    if symbol is None:
        return None
    day = shift(world.vendor.today, -world.draw.randint(0, 6))
    world.vendor.edits_of[symbol].append(world.draw.choice(EDITS)(world, day))
    return world.vendor.edits_of[symbol].clear


def restatement(world: World) -> None:
    """Some recent volumes are restated for good."""
    symbol = world.draw.choice(world.symbols)
    for _ in range(world.draw.randint(1, 4)):
        session = shift(world.vendor.today, -world.draw.randint(0, 12))
        world.vendor.restate(symbol, session, world.draw.choice([0.8, 0.999, 1.001, 1.3]))


def split(world: World) -> None:
    """Tonight's bar is the first after a split.

    The source may rebase the history only days later.
    """
    symbol = world.draw.choice(world.symbols)
    ratio = world.draw.choice([2.0, 3.0, 1.5, 0.5, 0.1])
    session = next_sessions(world.vendor.today, 1)[0]
    world.vendor.split(symbol, session, ratio)
    if world.draw.random() < 0.5 and symbol in world.known:
        world.later_edits.append(
            (symbol, stand_in.late_split(session, ratio), world.draw.randint(1, 2))
        )


def dividend(world: World) -> None:
    """The next session is an ex-date."""
    session = next_sessions(world.vendor.today, 1)[0]
    world.vendor.dividend(
        world.draw.choice(world.symbols), session, round(world.draw.uniform(0.05, 0.9), 2)
    )


def earnings_move(world: World) -> None:
    """The list of earnings dates changes: a date comes, moves or goes."""
    day = world.vendor.today + timedelta(days=world.draw.randint(1, 45))
    hour = world.draw.choice(["4 PM", "7 AM", "11 AM"])
    past = world.vendor.earnings[: world.draw.randint(0, len(world.vendor.earnings))]
    world.vendor.earnings = [*past, f"{day:%B} {day.day}, {day.year} at {hour} EDT"]


def kill(world: World) -> None:
    """The process ends at a boundary.

    The machine may come back on the same morning, and the process end once more.
    """
    world.boundaries.plan(world.some_boundary(), world.boundaries.kill)
    world.restarts = world.draw.choice([0, 1, 2])
    world.next_kill = world.some_boundary() if world.restarts == 2 else 0


def disk_full(world: World) -> Undo:
    """No file grows past a limit, as on a full disk.

    Of the ledger, its log, weights, windows or pages.
    """
    limit = world.draw.choice([1_000, 20_000, 150_000, 400_000, 1_000_000])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    world.cannot_write = True

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))

    world.boundaries.plan(world.some_boundary(), fill)
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def locked(world: World) -> Undo:
    """Another program keeps the database locked, from some statement of the night on."""
    program = world.another_program()

    def lock() -> None:
        with suppress(sa.exc.OperationalError):  # the night itself holds it just now
            program.execute(sa.text(world.lock_statement))
            return
        program.rollback()
        world.boundaries.plan(world.boundaries.passed + 1, lock)

    world.boundaries.plan(world.some_boundary(), lock)
    world.cannot_write = True
    return program.close


def second_run(world: World) -> None:
    """Another run starts while the night works."""

    def start() -> None:
        try:
            nightly.nightly()
            world.reached["a second run beside one that has ended"] += 1
        except LockedError:
            world.reached["a second run refused by the lock"] += 1
        except ForecastingError:  # of a bar that is late
            world.reached["a second run that failed"] += 1

    world.boundaries.plan(world.some_boundary(), start)


def clock_wrong(world: World) -> Undo:
    """The machine's clock is ahead or behind, by hours to weeks."""
    world.clock_error = timedelta(hours=world.draw.choice([-72, -26, -3, 5, 26, 30 * 24]))
    return lambda: setattr(world, "clock_error", timedelta())


def bars_before(world: World) -> None:
    """Somebody has fetched the bars before the night."""
    ingest_only(read_settings(), as_of=None, switch_source=False, now=world.now)


def other_symbols(world: World) -> None:
    """A symbol is added, or one that was dropped comes back; or a symbol is dropped."""
    left = [name for name in world.vendor.edits_of if name not in world.symbols]
    if left and world.draw.random() < 0.5:
        world.set_symbols([*world.symbols, world.draw.choice(left)])
    elif len(world.symbols) > 1:
        world.set_symbols(world.draw.sample(world.symbols, len(world.symbols) - 1))


def settings_changed(world: World) -> None:
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


def witness(world: World) -> Undo:
    """A second source is compared with the bars.

    It agrees, has other numbers, or cannot be read.
    """
    path = world.folder / "witness.csv"
    newest = [
        world.vendor.told(symbol)[0].tail(30).assign(symbol=symbol)
        for symbol in world.vendor.edits_of
    ]
    rows = pd.concat(newest)[["session", "symbol", "open", "high", "low", "close", "volume"]]
    column, factor = world.draw.choice([("volume", 1.0), ("volume", 0.4), ("close", 1.03)])
    rows.assign(**{column: rows[column] * factor}).to_csv(path, index=False)
    if world.draw.random() < 0.2:
        os.truncate(path, 20)
    world.set("WITNESS", f"csv:{path}")
    return lambda: world.set("WITNESS", "")


def champion_by_hand(world: World) -> None:
    """The operator promotes an older model, or rolls back."""
    models = world.select("SELECT id FROM models WHERE name = 'lstm' ORDER BY id")
    with suppress(ForecastingError):  # pruned, refused, or there was no other champion
        if world.draw.random() < 0.5:
            roll_back(read_settings(), now=world.now)
        elif models:
            promote(world.draw.choice(models)[0], read_settings(), now=world.now)
        world.reached["a champion chosen by hand"] += 1


def weights_lost(world: World) -> None:
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


def span_again(world: World) -> None:
    """The operator catches up a span of past sessions before the night."""
    last = shift(world.vendor.today, -world.draw.randint(0, 2))
    first = shift(last, -world.draw.randint(0, 2))
    with suppress(ForecastingError):
        catch_up.catch_up(first, last, refit_every=world.draw.choice([1, 2]))
        world.reached[f"a span of {len(between(first, last))} caught up"] += 1


MISHAPS: tuple[Mishap, ...] = (
    failing, late, another_symbol, faulty_rows, restatement, split, dividend, earnings_move, kill, disk_full, locked,
    second_run, clock_wrong, bars_before, other_symbols, settings_changed, witness, champion_by_hand, weights_lost,
    span_again,
)  # fmt: skip
