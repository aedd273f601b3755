"""Hundreds of nights in one process: each adds its rows, and nothing else grows.

Another number of nights: MANY_NIGHTS=200 .venv/bin/pytest -s -m campaign tests/faults/test_many_nights.py
"""

from __future__ import annotations

import gc
import itertools
import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

from forecasting.store.schema import metadata
from tests.faults.world import World, opened

NIGHTS = int(os.environ.get("MANY_NIGHTS", "500"))

SAME_EVERY_NIGHT = ("bar_versions", "fetches", "forecasts", "models", "runs", "scores")
"""Tables that get the same number of rows from each night on which nothing but a new bar has come."""

OBJECTS, RESIDENT_KB = 20, 100
"""Growth a night past which something is kept that should not be: one connection left open has hundreds of objects."""


@dataclass(frozen=True)
class After:
    """What the process and the ledger hold after a night, and the CPU seconds that it took."""

    cpu_s: float
    rows: Counter[str]
    descriptors: int
    threads: int
    files: int
    objects: int
    resident_kb: int


@pytest.mark.campaign
def test_hundreds_of_nights_add_their_rows_and_nothing_else(
    database_url: str, tmp_path: Path, migrated_sqlite_file: Path, plain_flows: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(1, tmp_path / "world", database_url, nights=2 * NIGHTS, empty=migrated_sqlite_file)
    world.symbols = ["AAA"]
    nights: list[After] = []
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.NullHandler()])  # pytest's keep every record
    with opened(world, monkeypatch.setattr):
        world.set("MARKET", "")
        for night in lived_through(world):
            nights.append(night)
            if len(nights) % 50 == 0:
                sys.stdout.write(f"\n{len(nights)} nights: {night}")
    for part in (nights[1:101], nights[-100:]):
        sys.stdout.write(f"\nmedian {median(night.cpu_s for night in part):.2f} CPU seconds a night")
    check_nothing_grows(nights)


def lived_through(world: World) -> Iterator[After]:
    """The nights of NIGHTS mornings on which a bar has come, one after the other."""
    for _ in range(NIGHTS):
        newest = world.vendor.today
        while world.vendor.today == newest:  # a holiday has no night
            world.next_day()
        world.vendor.requests.clear()  # the stand-in's own list of them
        start = time.process_time()
        assert world.run() == "done"
        spent = time.process_time() - start
        yield after(world, spent)


def after(world: World, cpu_s: float) -> After:
    """What is there now."""
    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return After(
        cpu_s,
        Counter({name: world.select(f"SELECT count(*) FROM {name}")[0][0] for name in metadata.tables}),
        descriptors=sum(1 for _ in Path("/proc/self/fd").iterdir()),
        threads=threading.active_count(),
        files=sum(path.is_file() for path in (world.folder / "data").rglob("*")),
        objects=len(gc.get_objects()),
        resident_kb=int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]),
    )


def check_nothing_grows(nights: Sequence[After]) -> None:
    """The last quarter of the nights has no more of anything than the quarter before, but for the rows of its nights.

    The first half fills what is bounded: weights that are kept, windows of standings, caches of other libraries.
    """
    quarter = len(nights) // 4
    before, last = nights[-2 * quarter : -quarter], nights[-quarter:]
    for name in ("descriptors", "threads", "files"):
        assert max(getattr(night, name) for night in last) <= max(getattr(night, name) for night in before), name
    for name, limit in (("objects", OBJECTS), ("resident_kb", RESIDENT_KB)):
        grown = median(getattr(night, name) for night in last[-10:]) - max(getattr(night, name) for night in before)
        assert grown / quarter < limit, (name, grown)
    for name in SAME_EVERY_NIGHT:
        assert set(added(last, name)) <= set(added(before, name)), (name, added(last, name))
    assert sum(added(last, "standings")) == 0, added(last, "standings")


def added(nights: Sequence[After], table: str) -> list[int]:
    """The rows that each night but the first has added to a table."""
    return [night.rows[table] - earlier.rows[table] for earlier, night in itertools.pairwise(nights)]
