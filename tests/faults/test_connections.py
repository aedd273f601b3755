"""Connections that break in the middle of a night on Postgres, and a primary that is away for a while."""

from __future__ import annotations

import random
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import sqlalchemy as sa

import forecasting as fc
from flows import cli, clock
from forecasting.errors import ForecastingError, StoreError
from forecasting.sessions import between, closes_at
from forecasting.settings import read_settings
from forecasting.store.schema import metadata
from tests.builders import LAST, random_bars, set_small_night, write_yahoo_csv
from tests.faults.boundaries import counted
from tests.nights import night, timeless
from tests.plain_flows import without_prefect
from tests.postgres import fresh_postgres

NIGHTS = between(date(2024, 3, 7), LAST)
PASSWORD = "never-shown"
"""Of the tests' database, which asks for none."""


class Ledger:
    """A small ledger on Postgres whose last night is tried again and again, on a server that can be made to fail."""

    def __init__(self, folder: Path, server: sa.Engine) -> None:
        self.folder, self._server = folder, server
        self.name = self._template = ""

    @contextmanager
    def all_but_the_last_night(self, migrated: str) -> Iterator[None]:
        """Within the block, what the nights before the last one left is kept, database and data folder."""
        with fresh_postgres(self._server, template=migrated) as url:
            with self._in_force(url):
                for session in NIGHTS[:-1]:
                    self.work_off(session)
            (self.folder / "data").rename(self.folder / "kept")
            self._template = self.name
            yield

    @contextmanager
    def before_the_last_night(self) -> Iterator[None]:
        """A database in which all nights but the last are done, its data folder beside it."""
        with fresh_postgres(self._server, template=self._template) as url, self._in_force(url):
            shutil.rmtree(self.folder / "data", ignore_errors=True)
            shutil.copytree(self.folder / "kept", self.folder / "data")
            yield

    @contextmanager
    def _in_force(self, url: str) -> Iterator[None]:
        """Settings of a small night on a database; rows name the source, so every one is asked in the same folder."""
        self.name = str(sa.make_url(url).database)
        with_password = sa.make_url(url).set(password=PASSWORD).render_as_string(hide_password=False)
        with pytest.MonkeyPatch.context() as patch:
            set_small_night(patch, self.folder, with_password)
            without_prefect(patch.setattr)
            yield

    def work_off(self, session: date) -> None:
        """The night of a session, at the same moment whatever happens to it."""
        moment = closes_at(session) + timedelta(hours=13)
        with mock.patch.object(clock, "now", lambda: moment):
            night(session)

    def drop_connections(self) -> None:
        """End every connection to the ledger, as an administrator or a proxy that restarts does."""
        self.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}'")

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


@pytest.fixture(scope="module")
def ledger(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: sa.Engine, migrated_postgres: str
) -> Iterator[Ledger]:
    folder = tmp_path_factory.mktemp("ledger")
    write_yahoo_csv(random_bars(days=650, seed=3, last=LAST), folder / "TEST.csv")
    kept = Ledger(folder, postgres_server)
    with kept.all_but_the_last_night(migrated_postgres):
        yield kept


def tables() -> dict[str, list[dict[str, object]]]:
    return {name: timeless(name) for name in metadata.tables}


@pytest.fixture(scope="module")
def undisturbed(ledger: Ledger) -> tuple[int, dict[str, list[dict[str, object]]]]:
    """The boundaries of the last night, and the tables after it."""
    with counted(ledger.folder / "data") as boundaries, ledger.before_the_last_night():
        with boundaries.process():
            ledger.work_off(LAST)
            passed = boundaries.passed
        return passed, tables()


FAULTS: tuple[Callable[[Ledger], None], ...] = (Ledger.drop_connections, Ledger.go_away)
BROKEN = re.compile(r"The database test_\w+ on \S+ cannot be reached: [^\n]+ Check that the server runs, [^\n]+\.")


def all_tried(
    ledger: Ledger, undisturbed: tuple[int, Any], fault: Callable[[Ledger], None], *, every: bool
) -> list[str]:
    """What came of each try, `done` or the error; run once more, the tables must be those of an undisturbed night.

    At every boundary, or at drawn ones until a try has not ended well, as where no connection is in use.
    """
    told: list[str] = []
    passed, wanted = undisturbed
    early = random.Random(FAULTS.index(fault)).sample(
        range(1, passed // 2), passed // 2 - 1
    )  # much is still to be done
    with counted(ledger.folder / "data") as boundaries:
        for boundary in range(1, passed + 1) if every else early:
            with ledger.before_the_last_night():
                told.append("done")
                with boundaries.process():
                    boundaries.plan(boundary, lambda: fault(ledger))
                    try:
                        ledger.work_off(LAST)
                    except ForecastingError as error:
                        told[-1] = str(error)
                ledger.come_back()
                ledger.work_off(LAST)
                found = tables()
                wrong = [name for name in wanted if found[name] != wanted[name]]
                assert not wrong, (fault.__name__, boundary, told[-1], wrong)
            if not every and told[-1] != "done":
                break
    return told


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_night_whose_connections_broke_and_that_is_run_again_equals_an_undisturbed_one(
    ledger: Ledger, undisturbed: tuple[int, Any], fault: Callable[[Ledger], None]
) -> None:
    words = all_tried(ledger, undisturbed, fault, every=False)[-1]
    assert BROKEN.fullmatch(words)
    assert PASSWORD not in words


@pytest.mark.campaign
@pytest.mark.parametrize("fault", FAULTS)
def test_connections_that_break_at_every_boundary(
    ledger: Ledger,
    undisturbed: tuple[int, Any],
    fault: Callable[[Ledger], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = all_tried(ledger, undisturbed, fault, every=True)
    plain = [re.sub(r"test_\w{12}", "NAME", words) for words in told]
    with capsys.disabled():
        for words in sorted(set(plain)):
            sys.stdout.write(f"{plain.count(words)} {words}\n")
    assert [words for words in told if words != "done" and not BROKEN.fullmatch(words)] == []


@pytest.mark.slow
def test_commands_and_python_calls_whose_connections_break_end_with_the_same_paragraph(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ledger.folder)

    def show() -> str:
        capfd.readouterr()
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as left:
            patch.setattr(sys, "argv", ["forecasting", "show"])
            cli.main()
        return capfd.readouterr().err.strip() if left.value.code else "done"

    def history() -> str:
        try:
            fc.connect(read_settings().url).history()
        except StoreError as error:
            return str(error)
        return "done"

    with counted(ledger.folder / "data") as boundaries, ledger.before_the_last_night():
        for call in (show, history):
            with boundaries.process():
                assert call() == "done"
                passed = boundaries.passed
            told = []
            for boundary in range(1, passed + 1):
                with boundaries.process():
                    boundaries.plan(boundary, ledger.drop_connections)
                    told.append(call())
            broken = set(told) - {"done"}
            assert broken
            assert [words for words in broken if not BROKEN.fullmatch(words) or PASSWORD in words] == []
