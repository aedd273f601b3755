"""Mornings killed for real before every statement, around every commit and file, then run again: as one clean run.

Each morning is a scheduled night of one small symbol, here or in a process forked from one that has everything
imported.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pandas as pd
import pytest
import sqlalchemy as sa
from threadpoolctl import threadpool_limits

from flows import clock, nightly
from forecasting.sessions import closes_at
from tests.builders import random_bars, set_small_night, write_yahoo_csv
from tests.faults.boundaries import counted
from tests.faults.forks import fork
from tests.nights import contents
from tests.plain_flows import without_prefect

RESTATED = (date(2024, 2, 27),)
MORNINGS: tuple[tuple[date, tuple[date, ...]], ...] = (
    (date(2024, 2, 26), ()),  # the first night of all: a fit from scratch, promoted
    (date(2024, 2, 27), ()),  # warm; the first scores
    (date(2024, 2, 28), ()),  # a day of earnings, after the close
    (date(2024, 2, 29), RESTATED),  # a bar restated, and scored again
    (date(2024, 3, 5), RESTATED),  # two sessions missed: three nights in one run, weights pruned
)
"""The newest session that has closed, and the sessions whose volume the vendor has meanwhile raised by half."""


class Place(NamedTuple):
    """A folder with the vendor's file and a data folder, and the URL of its ledger."""

    folder: Path
    url: str

    def wake(self, at: int, *, attempt: int = 0, kill_at: int | None = None) -> int:
        """Run morning `at` here, killed at a boundary perhaps, a second attempt later; the boundaries it passed."""
        session, restated = MORNINGS[at]
        bars = random_bars(days=560, seed=3, last=MORNINGS[-1][0])
        bars.loc[[pd.Timestamp(day) for day in restated], "volume"] *= 1.5
        write_yahoo_csv(bars.loc[: pd.Timestamp(session)].round({"volume": 0}), self.folder / "TEST.csv")
        events = self.folder / "events.csv"
        events.write_text("announced,timing\n" + "".join(f"{day},amc\n" for day in ("2023-11-02", "2024-02-28")))
        moment = closes_at(session) + timedelta(hours=13, minutes=10 * attempt)
        with (
            pytest.MonkeyPatch.context() as patch,
            mock.patch.object(clock, "now", lambda: moment),
            threadpool_limits(1),
            counted(self.folder / "data") as boundaries,
            boundaries.process(),
        ):
            set_small_night(patch, self.folder, self.url, train_sessions=300, KEEP_ARTIFACTS=5, EVENTS=f"csv:{events}")
            without_prefect(patch.setattr)
            if kill_at is not None:
                boundaries.plan(kill_at, lambda: os.kill(os.getpid(), signal.SIGKILL))
            nightly.nightly()
        return boundaries.passed

    def differs(self, at: int, kill_at: int, wanted: dict[str, list[str]]) -> list[str]:
        """The tables that are not as after one clean run, when morning `at` was killed at a boundary and run again."""
        process = fork(Place.wake, self, at, kill_at=kill_at)
        process.join(120)
        assert process.exitcode == -signal.SIGKILL, (at, kill_at)
        self.wake(at, attempt=1)
        found = contents(self.url)
        return [name for name in wanted if found[name] != wanted[name]]


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
    place, boundaries, tables = Place(folder, f"sqlite:///{folder / 'ledger.db'}"), [], []
    for at in range(len(MORNINGS)):
        boundaries.append(place.wake(at))
        tables.append(contents(place.url))
    return Clean(folder, boundaries, tables)


@pytest.fixture
def place(clean: Clean, database_url: str) -> Place:
    shutil.rmtree(clean.folder / "data", ignore_errors=True)
    return Place(clean.folder, database_url)


@pytest.mark.slow
def test_mornings_killed_at_drawn_boundaries_and_run_again_equal_one_clean_run(place: Place, clean: Clean) -> None:
    """One boundary of each morning on each database; the next morning goes on from what the second run left."""
    is_sqlite = place.url.startswith("sqlite")
    drawn = random.Random(11 + is_sqlite)
    for at, passed in enumerate(clean.boundaries):
        most = passed if is_sqlite else passed * 3 // 4  # on Postgres a morning passes four fifths of them
        boundary = drawn.randint(1, most)
        assert place.differs(at, boundary, clean.tables[at]) == [], (at, boundary)


class Kept:
    """Copies of the data folder and of the database as they stood before each morning."""

    def __init__(self, place: Place, server: Callable[[], sa.Engine]) -> None:
        self.place, self._server = place, server
        self._name = str(sa.make_url(place.url).database)
        self._is_sqlite = place.url.startswith("sqlite")

    def keep(self, at: int) -> None:
        (self.place.folder / "data").mkdir(exist_ok=True)
        shutil.copytree(self.place.folder / "data", self._copy(at), dirs_exist_ok=True)
        if self._is_sqlite:
            kept = self._copy(at) / "kept.db"
            with closing(sqlite3.connect(self._name)) as source, closing(sqlite3.connect(kept)) as copy:
                source.backup(copy)
        else:
            self._sql(f"CREATE DATABASE {self._name}_{at} TEMPLATE {self._name} STRATEGY WAL_LOG")

    def put_back(self, at: int) -> None:
        shutil.rmtree(self.place.folder / "data")
        shutil.copytree(self._copy(at), self.place.folder / "data")
        if self._is_sqlite:
            for suffix in ("-wal", "-shm"):
                Path(self._name + suffix).unlink(missing_ok=True)
            shutil.move(self.place.folder / "data" / "kept.db", self._name)
        else:
            self._sql(f"DROP DATABASE {self._name} WITH (FORCE)")
            self._sql(f"CREATE DATABASE {self._name} TEMPLATE {self._name}_{at} STRATEGY WAL_LOG")

    def _copy(self, at: int) -> Path:
        return self.place.folder / f"before{at}-{self._name.rpartition('/')[2]}"

    def _sql(self, statement: str) -> None:
        with self._server().connect() as connection:
            connection.exec_driver_sql(statement)


@pytest.mark.campaign
def test_mornings_killed_at_every_boundary_and_run_again_equal_one_clean_run(
    place: Place, clean: Clean, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Kept(place, lambda: request.getfixturevalue("postgres_server"))
    wrong, every = [], 0
    for at in range(len(MORNINGS)):
        kept.keep(at)
        boundaries = place.wake(at)
        every += boundaries
        for boundary in range(1, boundaries + 1):
            kept.put_back(at)
            if tables := place.differs(at, boundary, clean.tables[at]):
                wrong.append((at, boundary, tables))
    with capsys.disabled():
        sys.stdout.write(f"\n{every} boundaries, {len(wrong)} differ\n")
    assert not wrong
