"""Mornings killed for real at every boundary of their transactions, then run again: the tables of one clean run."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import sqlalchemy as sa

from tests.faults.mornings import MORNINGS, Morning, environment, in_a_process, run_morning, write_sources
from tests.flows.processes import until
from tests.nights import contents


class Place:
    """A data folder and its database, which can be put back to how they stood before any morning."""

    def __init__(self, folder: Path, url: str, server: Callable[[], sa.Engine]) -> None:
        self.folder, self.url, self._server = folder, url, server
        self.clean: dict[int, dict[str, list[str]]] = {}
        self.boundaries: dict[int, int] = {}

    def live_through_all(self) -> None:
        """Every morning once, undisturbed; keeps how things stood before each and after it."""
        for at, morning in enumerate(MORNINGS):
            self.keep(at)
            self.boundaries[at] = self.wake(morning)
            self.clean[at] = contents(self.url)

    def wake(self, morning: Morning, *, attempt: int = 0) -> int:
        """A morning to its end in this process, at half the cost of one of its own; the boundaries it passed."""
        write_sources(self.folder, morning)
        return run_morning(environment(self.folder, self.url), morning.moment(attempt))

    def wake_and_kill(self, morning: Morning, boundary: int | None, *, after_s: float | None = None) -> bool:
        """Whether the morning was still running when it was killed: at a boundary, or after some seconds."""
        write_sources(self.folder, morning)
        code = in_a_process(environment(self.folder, self.url), morning.moment(0), boundary, kill_after_s=after_s)
        if not self.is_sqlite:
            until(self.alone, "Postgres to see that the process is gone")
        return code == -signal.SIGKILL

    def time_of(self, at: int) -> float:
        """Seconds that morning `at` takes from start to end in a process of its own."""
        self.put_back(at)
        write_sources(self.folder, MORNINGS[at])
        started = time.perf_counter()
        assert in_a_process(environment(self.folder, self.url), MORNINGS[at].moment(0)) == 0
        return time.perf_counter() - started

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith("sqlite")

    def keep(self, at: int) -> None:
        """Keep a copy of how things stand before morning `at`."""
        (self.folder / "data").mkdir(exist_ok=True)
        shutil.copytree(self.folder / "data", self.folder / f"before{at}")
        if self.is_sqlite:
            source, kept = sqlite3.connect(self._file), sqlite3.connect(self.folder / f"before{at}.db")
            source.backup(kept)
            source.close()
            kept.close()
        else:
            self._sql(f"CREATE DATABASE {self._name}_{at} TEMPLATE {self._name} STRATEGY WAL_LOG")

    def put_back(self, at: int) -> None:
        """Put everything back to how it stood before morning `at`."""
        shutil.rmtree(self.folder / "data")
        shutil.copytree(self.folder / f"before{at}", self.folder / "data")
        if self.is_sqlite:
            for suffix in ("-wal", "-shm"):
                Path(self._file + suffix).unlink(missing_ok=True)
            shutil.copy(self.folder / f"before{at}.db", self._file)
        else:
            self._sql(f"DROP DATABASE {self._name} WITH (FORCE)")
            self._sql(f"CREATE DATABASE {self._name} TEMPLATE {self._name}_{at} STRATEGY WAL_LOG")

    def alone(self) -> bool:
        """Whether no connection to the database is left."""
        return not self._sql(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{self._name}'")

    @property
    def _file(self) -> str:
        return self.url.removeprefix("sqlite:///")

    @property
    def _name(self) -> str:
        return str(sa.make_url(self.url).database)

    def _sql(self, statement: str) -> object:
        with self._server().connect() as connection:
            found = connection.exec_driver_sql(statement)
            return found.scalar() if found.returns_rows else None


class Clean(NamedTuple):
    """Of each morning, run once and undisturbed on SQLite: the boundaries that it passed, and the tables after it.

    Rows name the folder of their sources, so what is compared with them must be run in the same one.
    """

    folder: Path
    boundaries: list[int]
    tables: list[dict[str, list[str]]]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite_file: Path) -> Clean:
    folder = tmp_path_factory.mktemp("clean")
    shutil.copy(migrated_sqlite_file, folder / "ledger.db")
    boundaries, tables = [], []
    for morning in MORNINGS:
        write_sources(folder, morning)
        boundaries.append(run_morning(environment(folder, f"sqlite:///{folder / 'ledger.db'}"), morning.moment(0)))
        tables.append(contents(f"sqlite:///{folder / 'ledger.db'}"))
    return Clean(folder, boundaries, tables)


@pytest.mark.slow
def test_mornings_killed_at_drawn_boundaries_and_run_again_equal_one_clean_run(
    database_url: str, clean: Clean, request: pytest.FixtureRequest
) -> None:
    """One boundary of each morning on each database; the next morning goes on from what the second run left."""
    shutil.rmtree(clean.folder / "data", ignore_errors=True)
    place = Place(clean.folder, database_url, lambda: request.getfixturevalue("postgres_server"))
    drawn = random.Random(11 + place.is_sqlite)
    for morning, passed, wanted in zip(MORNINGS, clean.boundaries, clean.tables, strict=True):
        most = passed if place.is_sqlite else passed * 3 // 4  # on Postgres a morning passes four fifths of them
        boundary = drawn.randint(1, most)
        assert place.wake_and_kill(morning, boundary)
        place.wake(morning, attempt=1)
        found = contents(place.url)
        assert [name for name in wanted if found[name] != wanted[name]] == [], (morning, boundary)


@pytest.fixture
def place(tmp_path: Path, database_url: str, request: pytest.FixtureRequest) -> Place:
    lived = Place(tmp_path, database_url, lambda: request.getfixturevalue("postgres_server"))
    lived.live_through_all()
    return lived


def differences(place: Place, at: int, boundary: int | None, *, after_s: float | None = None) -> str:
    """What is not as after one clean run, when morning `at` was killed at a boundary and run again; or empty."""
    place.put_back(at)
    killed = place.wake_and_kill(MORNINGS[at], boundary, after_s=after_s)
    assert killed or boundary is None
    place.wake(MORNINGS[at], attempt=1)
    found, wanted = contents(place.url), place.clean[at]
    wrong = [name for name in wanted if found[name] != wanted[name]]
    moment = f"boundary {boundary}" if after_s is None else f"{after_s:.3f} s"
    return f"morning {at} killed at {moment}: {', '.join(wrong)} differ" if wrong else ""


@pytest.mark.campaign
def test_mornings_killed_at_every_boundary_and_run_again_equal_one_clean_run(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    every = [(at, boundary) for at, passed in place.boundaries.items() for boundary in range(1, passed + 1)]
    wrong = [words for at, boundary in every if (words := differences(place, at, boundary))]
    with capsys.disabled():
        sys.stdout.write(f"\n{len(every)} boundaries ({place.boundaries}), {len(wrong)} differ\n")
    assert not wrong


@pytest.mark.campaign
def test_mornings_killed_at_random_moments_and_run_again_equal_one_clean_run(place: Place) -> None:
    drawn = random.Random(12)
    lasted = {at: place.time_of(at) for at in range(len(MORNINGS))}
    moments = [(at, drawn.uniform(0.0, lasted[at])) for at in (drawn.randrange(len(MORNINGS)) for _ in range(100))]
    wrong = [words for at, seconds in moments if (words := differences(place, at, None, after_s=seconds))]
    assert not wrong
