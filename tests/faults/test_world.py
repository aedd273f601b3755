"""Simulated worlds, each of one seed: after every morning the ledger holds what it must, and rare paths are reached.

Seeds of one's own: WORLD_SEEDS=100:200 WORLD_NIGHTS=60 .venv/bin/pytest -s -m campaign tests/faults/test_world.py
"""

from __future__ import annotations

import os
import shutil
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.conftest import DATABASES, fresh_postgres
from tests.faults import mishaps
from tests.faults.world import World, opened

SHORT = (
    [mishaps.kill_twice],
    [mishaps.restatement, mishaps.second_run],
    [mishaps.split, mishaps.locked],
    [mishaps.late, mishaps.disk_full],
    [mishaps.clock_wrong],
)
"""Mornings of the everyday suite; the campaign draws all of them."""

REACHED_SOON = (
    "killed", "a second run refused by the lock", "ended by StoreError", "run late", "run failed", "fetch late",
    "fetch revised", "fetch split", "published ok", "score settled, version 2", "weights pruned",
    "a night replayed: the same bits",
)  # fmt: skip

SEEDS = range(*map(int, os.environ.get("WORLD_SEEDS", "0:20").split(":")))
NIGHTS = int(os.environ.get("WORLD_NIGHTS", "60"))

REACHED = (
    *(f"mishap {mishap.__name__}" for mishap in mishaps.MISHAPS), *REACHED_SOON, "run done",
)  # fmt: skip
"""Paths that twenty seeds of sixty nights take, each of them."""


def test_a_short_world_keeps_its_ledger_whole(
    tmp_path: Path, sqlite_url: str, migrated_sqlite_file: Path, plain_flows: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(0, tmp_path / "world", sqlite_url, nights=len(SHORT), empty=migrated_sqlite_file)
    with opened(world, monkeypatch.setattr):
        reached = world.live_through(SHORT)
    assert [path for path in REACHED_SOON if not reached[path]] == []


@pytest.fixture(params=DATABASES)
def fresh_ledger(
    request: pytest.FixtureRequest, tmp_path: Path, migrated_sqlite_file: Path
) -> Callable[[], AbstractContextManager[str]]:
    """Makes the URL of a migrated ledger without a row, again and again."""

    @contextmanager
    def sqlite() -> Iterator[str]:
        shutil.copy(migrated_sqlite_file, tmp_path / "ledger.db")
        yield f"sqlite:///{tmp_path / 'ledger.db'}"

    @contextmanager
    def postgres() -> Iterator[str]:
        server, template = request.getfixturevalue("postgres_server"), request.getfixturevalue("migrated_postgres")
        with fresh_postgres(server, template=template) as url:
            yield f"{url}&options=-c%20lock_timeout%3D100ms"  # whatever holds a lock here holds it all night

    return {"sqlite": sqlite, "postgres": postgres}[request.param]


@pytest.mark.campaign
def test_worlds_keep_their_ledgers_whole_and_reach_every_rare_path(
    fresh_ledger: Callable[[], AbstractContextManager[str]],
    tmp_path: Path,
    migrated_sqlite_file: Path,
    plain_flows: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reached, failed = Counter[str](), dict[int, str]()
    for seed in SEEDS:
        with fresh_ledger() as url:
            world = World(seed, tmp_path / "world", url, nights=NIGHTS, empty=migrated_sqlite_file)
            try:
                with opened(world, monkeypatch.setattr):
                    reached += world.live()
            except Exception:  # a seed that fails hides no other
                failed[seed] = f"on {world.today}: {traceback.format_exc()}"
                sys.stdout.write(f"\nseed {seed} failed {failed[seed]}")
        shutil.rmtree(tmp_path / "world")
    sys.stdout.write("\n" + "\n".join(f"{count:7d} {path}" for path, count in sorted(reached.items())) + "\n")
    assert not failed
    assert [path for path in REACHED if not reached[path]] == []
