"""Connections that break in the middle of a night on Postgres, and a primary that is away for a while."""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from flows import clock
from forecasting.errors import ForecastingError
from forecasting.sessions import between, closes_at
from forecasting.store.tables import metadata
from tests.builders import LAST, random_bars, set_small_night, write_yahoo_csv
from tests.conftest import fresh_postgres
from tests.faults.boundaries import Boundaries, counted
from tests.nights import night, timeless

NIGHTS = between(date(2024, 3, 6), LAST)
DRAWN = 1
"""Boundaries that the everyday suite tries of each fault; the campaign tries them all."""

TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"


class Ledger:
    """A small ledger on Postgres whose last night is tried again and again, on a server that can be made to fail."""

    def __init__(self, folder: Path, server: sa.Engine, template: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._server, self._template, self._monkeypatch = folder, server, template, monkeypatch
        self.name = ""

    @contextmanager
    def before_the_last_night(self) -> Iterator[None]:
        """A database in which all nights but the last are done, its data folder beside it."""
        with fresh_postgres(self._server, template=self._template) as url:
            self.name = str(sa.make_url(url).database)
            shutil.rmtree(self.folder / "data", ignore_errors=True)
            set_small_night(self._monkeypatch, self.folder, url)
            for session in NIGHTS[:-1]:
                self.work_off(session)
            yield

    def work_off(self, session: date) -> None:
        """The night of a session, at the same moment whatever happens to it."""
        moment = closes_at(session) + timedelta(hours=13)
        self._monkeypatch.setattr(clock, "now", lambda: moment)
        night(session)

    def drop_connections(self) -> None:
        """End every connection to the ledger, as an administrator or a proxy that restarts does."""
        self.sql(TERMINATE.format(name=self.name))

    def go_away(self) -> None:
        """End every connection and accept no new one, as a primary does that fails over."""
        self.sql(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS false")
        self.drop_connections()

    def come_back(self) -> None:
        """Accept connections."""
        self.sql(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS true")

    def sql(self, statement: str) -> None:
        with self._server.connect() as connection:
            connection.exec_driver_sql(statement)


@pytest.fixture
def ledger(
    tmp_path: Path,
    postgres_server: sa.Engine,
    migrated_postgres: str,
    plain_flows: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Ledger:
    write_yahoo_csv(random_bars(days=650, seed=3, last=LAST), tmp_path / "TEST.csv")
    return Ledger(tmp_path, postgres_server, migrated_postgres, monkeypatch)


def tables() -> dict[str, list[dict[str, object]]]:
    return {name: timeless(name) for name in metadata.tables}


def undisturbed(ledger: Ledger, boundaries: Boundaries) -> tuple[int, dict[str, list[dict[str, object]]]]:
    """The boundaries of the last night, and the tables after it."""
    with ledger.before_the_last_night():
        with boundaries.process():
            ledger.work_off(LAST)
            passed = boundaries.passed
        return passed, tables()


FAULTS: tuple[Callable[[Ledger], None], ...] = (Ledger.drop_connections, Ledger.go_away)


def tried(ledger: Ledger, boundaries: Boundaries, boundary: int, fault: Callable[[Ledger], None]) -> str:
    """What came of the last night with a fault at one of its boundaries: `done`, or the error's text."""
    told = "done"
    with boundaries.process():
        boundaries.plan(boundary, lambda: fault(ledger))
        try:
            ledger.work_off(LAST)
        except ForecastingError as error:
            told = str(error)
    ledger.come_back()
    return told


def all_tried(ledger: Ledger, *, drawn: int | None) -> list[str]:
    """What came of each try; the night is then run once more, and its tables must be those of an undisturbed one."""
    told = []
    with counted(ledger.folder / "data") as boundaries:
        passed, wanted = undisturbed(ledger, boundaries)
        for place, fault in enumerate(FAULTS):
            every = range(1, passed + 1)
            for boundary in every if drawn is None else random.Random(place).sample(every, drawn):
                with ledger.before_the_last_night():
                    told.append(tried(ledger, boundaries, boundary, fault))
                    ledger.work_off(LAST)
                    found = tables()
                    wrong = [name for name in wanted if found[name] != wanted[name]]
                    assert not wrong, (fault.__name__, boundary, told[-1], wrong)
    return told


@pytest.mark.slow
def test_a_night_whose_connections_broke_and_that_is_run_again_equals_an_undisturbed_one(ledger: Ledger) -> None:
    told = all_tried(ledger, drawn=DRAWN)
    assert any(words != "done" for words in told)
    assert all("\n\n" not in words and "Traceback" not in words for words in told)


@pytest.mark.campaign
def test_connections_that_break_at_every_boundary(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    told = all_tried(ledger, drawn=None)
    with capsys.disabled():
        for words in sorted(set(told)):
            sys.stdout.write(f"{told.count(words)} {words}\n")
