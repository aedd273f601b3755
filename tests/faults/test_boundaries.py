"""Mornings broken off before every statement, around every commit and file, then run again.

As one clean run.

Each is a scheduled night of one small symbol with a market series and earnings dates. It is killed
for real, in a process forked from one that has everything imported; on PostgreSQL its connections
break too, once or for a while.
"""

import os
import random
import re
import shutil
import signal
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pandas as pd
import pytest
import sqlalchemy as sa
from threadpoolctl import threadpool_limits

from flows import clock, nightly
from forecasting.errors import StoreError
from forecasting.sessions import closes_at
from forecasting.store import connect
from forecasting.store.schema import metadata
from tests.builders import random_bars, set_small_night, write_yahoo_csv
from tests.faults.boundaries import counted, fork
from tests.nights import contents, copy_ledger, copy_nights
from tests.plain_flows import without_prefect
from tests.postgres import check_views
from tests.yahoo_stand_in import market_bars

RESTATED = (date(2024, 2, 27),)
MORNINGS: tuple[tuple[date, tuple[date, ...]], ...] = (
    (date(2024, 2, 26), ()),  # the first night of all: a fit from scratch
    (date(2024, 2, 27), ()),  # warm; the first scores
    (date(2024, 2, 28), ()),  # a day of earnings, after the close
    (date(2024, 2, 29), RESTATED),  # a bar restated, and scored again
    (date(2024, 3, 5), RESTATED),  # two sessions missed: three nights in one run, weights pruned
)
"""The newest session that has closed, and the sessions whose volume the vendor has meanwhile raised
by half."""

SEVERAL = 4
"""The morning of several nights: one whose connection broke after its forecasts stays failed, as
its row says."""

PASSWORD = "never-shown"
"""Of the tests' database, which asks for none."""

BROKEN = re.compile(
    r"The database test_\w+ on \S+ cannot be reached: [^\n]+ Check that the server runs [^\n]+\."
    # The connection that has the lock was the one that broke
    r"|The session with the lock of this run, [^\n]+ has ended, [^\n]+ Run again\."
)


class Place(NamedTuple):
    """A folder with the vendor's file and a data folder, and the URL of its ledger."""

    folder: Path
    url: str

    @property
    def name(self):
        """The database: on SQLite its file."""
        return str(sa.make_url(self.url).database)

    def sql(self, statement):
        """A statement of the administrator of the PostgreSQL server."""
        url = sa.make_url(self.url).set(database="postgres")
        server = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
        with server.connect() as connection:
            connection.exec_driver_sql(statement)

    def wake(self, at, *, attempt=0, boundary=0, fault=None):
        """Run morning `at` here, with a fault at a boundary perhaps, a second attempt later.

        The boundaries passed.
        """
        session, restated = MORNINGS[at]
        bars = random_bars(days=560, seed=3, last=MORNINGS[-1][0])
        bars.loc[[pd.Timestamp(day) for day in restated], "volume"] *= 1.5
        bars = bars.loc[: pd.Timestamp(session)].round({"volume": 0})
        events, market = (self.folder / f"{name}.csv" for name in ("events", "VIX"))
        write_yahoo_csv(bars, self.folder / "TEST.csv")
        market_bars(bars)[["close"]].rename_axis("Date").to_csv(market)
        given = {
            "EVENTS": f"csv:{events}",
            "MARKET": f"csv:{market}",
        }
        events.write_text(
            "announced,timing\n" + "".join(f"{day},amc\n" for day in ("2023-11-02", "2024-02-28"))
        )
        moment = closes_at(session) + timedelta(hours=13, minutes=10 * attempt)
        with (
            pytest.MonkeyPatch.context() as patch,
            mock.patch.object(clock, "now", lambda: moment),
            threadpool_limits(1),
            counted(self.folder / "data") as boundaries,
            boundaries.process(),
        ):
            set_small_night(patch, self.folder, self.url, train_sessions=300, **given)
            without_prefect(patch.setattr)
            if fault is not None:
                boundaries.plan(boundary, lambda: fault(self))
            nightly.nightly()
        return boundaries.passed

    def is_broken_off(self, at, boundary, fault):
        """Whether a fault at a boundary of morning `at` ends it.

        Each but a kill does so in the same paragraph.
        """
        if fault is kill:
            process = fork(Place.wake, self, at, boundary=boundary, fault=kill)
            process.join(120)
            assert process.exitcode == -signal.SIGKILL, (at, boundary)
            return True
        try:
            self.wake(at, boundary=boundary, fault=fault)
        except StoreError as error:
            assert BROKEN.fullmatch(str(error)), (at, boundary, error)
            assert PASSWORD not in str(error)
            return True
        finally:
            self.sql(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS true")
        return False

    def differs(self, at, wanted):
        """The tables that are not as after one clean run, once morning `at` is run again."""
        self.wake(at, attempt=1)
        found = contents(self.url)
        return [name for name in wanted if found[name] != wanted[name]]


def kill(place):
    os.kill(os.getpid(), signal.SIGKILL)


def drop(place):
    """End every connection to the ledger, as an administrator or a proxy that restarts does."""
    place.sql(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{place.name}'"
    )


def go_away(place):
    """End every connection and accept no new one, as a primary does that fails over."""
    place.sql(f"ALTER DATABASE {place.name} ALLOW_CONNECTIONS false")
    drop(place)


class Clean(NamedTuple):
    """Of each morning, run once and undisturbed on SQLite.

    The boundaries that it passed, and the tables after it.

    Rows name the folder of their sources, so what is compared with them must be run in the same
    one. In it `before0` and so on have what `copy_nights` takes, as it stood before each morning.
    """

    folder: Path
    boundaries: list[int]
    tables: list[dict[str, list[str]]]


@pytest.fixture(scope="module")
def clean(tmp_path_factory, migrated_sqlite_file):
    folder = tmp_path_factory.mktemp("clean")
    shutil.copy(migrated_sqlite_file, folder / "ledger.db")
    place = Place(folder, f"sqlite:///{folder / 'ledger.db'}")
    boundaries = []
    tables = []
    for at in range(len(MORNINGS)):
        (folder / "data").mkdir(exist_ok=True)
        shutil.copytree(folder / "data", folder / f"before{at}" / "data")
        copy_ledger(folder / "ledger.db", f"sqlite:///{folder / f'before{at}' / 'ledger.db'}")
        boundaries.append(place.wake(at))
        tables.append(contents(place.url))
    return Clean(folder, boundaries, tables)


@pytest.fixture
def place(clean, database_url):
    shutil.rmtree(clean.folder / "data", ignore_errors=True)
    if database_url.startswith("sqlite"):
        return Place(clean.folder, database_url)
    return Place(
        clean.folder,
        sa.make_url(database_url).set(password=PASSWORD).render_as_string(hide_password=False),
    )


@pytest.mark.slow
def test_mornings_broken_off_at_drawn_boundaries_and_run_again_equal_one_clean_run(place, clean):
    """Each is killed once; on Postgres the next attempt loses its connections.

    The next morning goes on from there.
    """
    is_sqlite = place.url.startswith("sqlite")
    drawn = random.Random(11 + is_sqlite)
    broken = []
    for at, passed in enumerate(clean.boundaries):
        # On Postgres a morning passes four fifths of them
        most = passed if is_sqlite else passed * 3 // 4
        place.is_broken_off(at, boundary := drawn.randint(1, most), kill)
        if not is_sqlite and at != SEVERAL:
            broken.append(
                place.is_broken_off(at, drawn.randint(1, most // 2), (drop, go_away)[at % 2])
            )
        assert place.differs(at, clean.tables[at]) == [], (at, boundary)
    # Some hit a connection that was in use
    assert is_sqlite or {True} <= {any(broken[::2]), any(broken[1::2])}


def put_back(place, before):
    """The data folder and the rows as they stood before a morning."""
    shutil.rmtree(place.folder / "data", ignore_errors=True)
    if not place.url.startswith("sqlite"):
        with connect.transaction(place.url) as connection:
            connection.exec_driver_sql(f"TRUNCATE {', '.join(metadata.tables)}")
    copy_nights(before, place.folder / "data", place.url)


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("database_url", "fault"),
    [("sqlite", kill), ("postgres", kill), ("postgres", drop), ("postgres", go_away)],
    indirect=["database_url"],
)
def test_mornings_broken_off_at_every_boundary_and_run_again_equal_one_clean_run(
    place, clean, fault, capsys
):
    wrong = []
    every = 0
    for at in range(len(MORNINGS) if fault is kill else SEVERAL):
        put_back(place, before := clean.folder / f"before{at}")
        boundaries = place.wake(at)
        every += boundaries
        for boundary in range(1, boundaries + 1):
            put_back(place, before)
            place.is_broken_off(at, boundary, fault)
            if tables := place.differs(at, clean.tables[at]):
                wrong.append((at, boundary, tables))
    with capsys.disabled():
        sys.stdout.write(f"\n{every} boundaries, {len(wrong)} differ\n")
    assert not wrong


@pytest.mark.slow
def test_every_view_of_the_mornings_is_the_same_on_both_databases(clean, postgres_url):
    copy_ledger(clean.folder / "ledger.db", postgres_url)
    check_views(f"sqlite:///{clean.folder / 'ledger.db'}", postgres_url, "TEST")
