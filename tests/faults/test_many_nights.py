"""Hundreds of nights in one process: each adds its rows, and nothing else grows.

Another number of nights: MANY_NIGHTS=200 .venv/bin/pytest -s -m campaign tests/faults/test_many_nights.py
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from forecasting.store.schema import metadata
from tests.faults.world import World, opened

NIGHTS = int(os.environ.get("MANY_NIGHTS", "500"))

SAME_EVERY_NIGHT = ("bar_versions", "fetches", "forecasts", "models", "runs", "scores")
"""Tables that get the same number of rows from each night on which nothing but a new bar has come."""

OBJECTS, RESIDENT_KB = 20, 100
"""Growth a night past which something is kept that should not be: one connection left open has hundreds of objects."""


@pytest.mark.campaign
def test_hundreds_of_nights_add_their_rows_and_nothing_else(
    database_url, tmp_path, migrated_sqlite_file, plain_flows, monkeypatch
):
    world = World(1, tmp_path / "world", database_url, nights=2 * NIGHTS, empty=migrated_sqlite_file)
    world.symbols = ["AAA"]
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.NullHandler()])  # pytest's keep every record
    with opened(world, monkeypatch.setattr):
        world.set("MARKET", "")
        nights = pd.DataFrame(lived_through(world))
    check_nothing_grows(nights)


def lived_through(world: World) -> Iterator[dict[str, float]]:
    """The nights of NIGHTS mornings on which a bar has come: what the process and the ledger hold after each."""
    for place in range(1, NIGHTS + 1):
        newest = world.vendor.today
        while world.vendor.today == newest:  # a holiday has no night
            world.next_day()
        world.vendor.requests.clear()  # the stand-in's own list of them
        assert world.run() == "done"
        gc.collect()
        status = Path("/proc/self/status").read_text(encoding="ascii")
        night = {
            "descriptors": sum(1 for _ in Path("/proc/self/fd").iterdir()),
            "threads": threading.active_count(),
            "files": sum(path.is_file() for path in (world.folder / "data").rglob("*")),
            "objects": len(gc.get_objects()),
            "resident_kb": int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]),
        }
        yield night | {name: world.select(f"SELECT count(*) FROM {name}")[0][0] for name in metadata.tables}
        if place % 50 == 0:
            sys.stdout.write(f"\n{place} nights: {night}")


def check_nothing_grows(nights: pd.DataFrame) -> None:
    """The last quarter of the nights has no more of anything than the quarter before, but for the rows of its nights.

    The first half fills what is bounded: weights that are kept, windows of standings, caches of other libraries.
    """
    quarter = len(nights) // 4
    before, last = nights[-2 * quarter : -quarter], nights[-quarter:]
    for name in ("descriptors", "threads", "files"):
        assert last[name].max() <= before[name].max(), name
    for name, limit in (("objects", OBJECTS), ("resident_kb", RESIDENT_KB)):
        grown = last[name][-10:].median() - before[name].max()
        assert grown / quarter < limit, (name, grown)
    for name in SAME_EVERY_NIGHT:
        assert set(last[name].diff()[1:]) <= set(before[name].diff()[1:]), name
    assert last["standings"].iloc[-1] == last["standings"].iloc[0]
