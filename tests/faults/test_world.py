"""Simulated worlds, each of one seed: their ledgers stay whole, and rare paths are reached.

Seeds of one's own: WORLD_SEEDS=100:200 WORLD_NIGHTS=60 .venv/bin/pytest -s -m campaign
tests/faults/test_world.py
"""

import gc
import logging
import os
import shutil
import statistics
import threading
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from forecasting.predict import fallback
from forecasting.store import write
from tests.faults.world import (
    OF_VENDOR_AND_OPERATOR,
    World,
    clock_wrong,
    disk_full,
    early_evidence,
    faulty_rows,
    finished_nights,
    is_moved,
    kill,
    late,
    locked,
    opened,
    paths_taken,
    restatement,
    second_run,
    set_variable,
)
from tests.plain_flows import without_prefect

pytestmark = pytest.mark.slow

SHORT = (
    [kill],
    [faulty_rows, locked],
    [late, disk_full],
    [late, second_run],
    [restatement, second_run],
    [clock_wrong],
    [restatement],
)
"""Mornings of the everyday suite; the campaign draws all of them."""

REACHED_SOON = (
    "ended killed",
    "ended StoreError",
    "a second run refused by the lock",
    "fetches verdict late",
    "fetches verdict revised",
    "fetches verdict split",
    "scores bar_version 2",
)
LEARNED = ("runs mode_kind drift", "a weight other than the usual one", "the network is behind")
"""What takes scored nights, in `early_evidence` five of them."""

SEEDS = range(*map(int, os.environ.get("WORLD_SEEDS", "0:20").split(":")))
NIGHTS = int(os.environ.get("WORLD_NIGHTS", "60"))


@pytest.fixture(scope="module")
def short(tmp_path_factory, migrated_sqlite_file):
    """A world after its short life, and what was reached; its variables are still set."""
    folder = tmp_path_factory.mktemp("short")
    shutil.copy(migrated_sqlite_file, folder / "ledger.db")
    url = f"sqlite:///{folder / 'ledger.db'}"
    world = World(6, folder / "world", url, nights=len(SHORT))
    with pytest.MonkeyPatch.context() as patch:
        without_prefect(patch.setattr)
        with early_evidence(), opened(world, patch.setattr):
            yield world, world.live_through(SHORT)


def test_a_short_world_keeps_its_ledger_whole(short):
    _, reached = short
    assert [path for path in REACHED_SOON if not reached[path]] == []


def test_no_stored_value_from_after_an_origin_moves_its_forecast_by_a_bit(short):
    world, _ = short
    nights = finished_nights(world.rows)
    assert not is_moved(world, nights[0])  # most comes after it
    assert not is_moved(world, nights[-5])  # the oldest whose weights are kept


@pytest.fixture(scope="module")
def reached():
    """How often the worlds have taken each rare path, by database."""
    return defaultdict(Counter)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", SEEDS)
def test_worlds_keep_their_ledgers_whole(
    seed, database_url, reached, tmp_path, plain_flows, monkeypatch
):
    kind, *_ = database_url.split(":")
    # Whatever holds a lock here holds it all night.
    url = database_url if kind == "sqlite" else f"{database_url}&options=-c%20lock_timeout%3D100ms"
    world = World(seed, tmp_path / "world", url, nights=NIGHTS)
    with early_evidence(), opened(world, monkeypatch.setattr):
        reached[kind] += world.live_through(world.drawn_mornings(NIGHTS))
    shutil.rmtree(tmp_path / "world")


@pytest.mark.campaign
@pytest.mark.skipif("WORLD_SEEDS" in os.environ, reason="fewer worlds reach less")
def test_these_worlds_have_reached_every_rare_path(reached):
    for paths in reached.values():
        assert [path for path in (*REACHED_SOON, *LEARNED) if not paths[path]] == []


@pytest.mark.campaign
def test_of_hundreds_of_nights_no_later_value_moves_a_forecast(
    tmp_path, migrated_sqlite_file, plain_flows, monkeypatch
):
    """Worlds of vendor and operator, whose weights are kept; of each 25 nights are made again."""
    reached = Counter[str]()
    moved = []
    for seed in SEEDS:
        shutil.copy(migrated_sqlite_file, tmp_path / "ledger.db")
        world = World(seed, tmp_path / "world", f"sqlite:///{tmp_path / 'ledger.db'}", nights=20)
        with early_evidence(), opened(world, monkeypatch.setattr):
            monkeypatch.setattr(write, "WEIGHTS_KEPT", 500)
            monkeypatch.setattr(fallback, "MAX_AGE_SESSIONS", world.draw.choice([1, 63]))
            world.live_through([world.draw.sample(OF_VENDOR_AND_OPERATOR, 2) for _ in range(20)])
            reached += paths_taken(world.rows)
            # A session that other settings ran again has two nights, whose roles need each other
            runs = Counter(map(series_and_session, world.rows["runs"].values()))
            finished = finished_nights(world.rows)
            nights = [night for night in finished if runs[series_and_session(night)] == 1]
            for night in world.draw.sample(nights, min(25, len(nights))):
                if is_moved(world, night):
                    moved.append((seed, night["symbol"], night["target"], night["as_of"]))
        shutil.rmtree(tmp_path / "world")
    assert moved == []
    assert reached.keys() >= {*LEARNED, "runs target range"}


def series_and_session(run):
    return run["symbol"], run["target"], run["as_of"]


MANY = int(os.environ.get("MANY_NIGHTS", "500"))
GROWTH = {"descriptors": 0, "threads": 0, "files": 0, "objects": 20, "resident_kb": 100}
"""What a night may leave of each: one connection that stays open has hundreds of objects."""


@pytest.mark.campaign
def test_hundreds_of_nights_in_one_process_need_no_more_files_threads_or_memory(
    database_url, tmp_path, plain_flows, monkeypatch
):
    """The first half fills what is bounded.

    Weights that are kept, windows of standings, caches of other libraries.
    """
    world = World(1, tmp_path / "world", database_url, nights=2 * MANY)
    # pytest's keep every record
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.NullHandler()])
    held = {name: [] for name in GROWTH}
    with opened(world, monkeypatch.setattr):
        set_variable("MARKET", "")
        set_variable("SYMBOLS", "AAA")
        for _ in range(MANY):
            newest = world.vendor.today
            while world.vendor.today == newest:  # a holiday has no night
                world.next_day()
            world.vendor.requests.clear()  # the stand-in's own list of them
            assert world.run() == "done"
            for name, number in held_now(world.folder / "data").items():
                held[name].append(number)
    quarter = MANY // 4
    for name, numbers in held.items():
        grown = statistics.median(numbers[-10:]) - max(numbers[-2 * quarter : -quarter])
        assert grown <= GROWTH[name] * quarter, (name, numbers)


def held_now(data):
    """What this process and the data folder hold."""
    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return {
        "descriptors": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "threads": threading.active_count(),
        "files": sum(path.is_file() for path in data.rglob("*")),
        "objects": len(gc.get_objects()),
        "resident_kb": int(
            next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]
        ),
    }
