"""Simulated worlds, each of one seed: their ledgers stay whole, and rare paths are reached.

Seeds of one's own: WORLD_SEEDS=100:200 WORLD_NIGHTS=60 .venv/bin/pytest -s -m campaign
tests/faults/test_world.py
"""

import os
import shutil
from collections import Counter, defaultdict

import pytest

from tests.faults.world import (
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
    restatement,
    second_run,
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
    world = World(40, folder / "world", url, nights=len(SHORT))
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
