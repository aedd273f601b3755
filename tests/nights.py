"""Small nights for tests, and the rows that they leave in the ledger."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from flows import clock
from flows.start import start_night
from forecasting.night.night import Night
from forecasting.night.steps.fetch import as_stored, bars_source, request_of
from forecasting.night.steps.ingest import fetch_and_store
from forecasting.night.steps.preprocess import first_session
from forecasting.publish.pages import each_report
from forecasting.report.night_view import NightView
from forecasting.sessions import closes_at
from forecasting.settings import Settings, read_settings
from forecasting.store import connect, read, write
from forecasting.store.rows import FetchRow
from forecasting.store.schema import metadata
from forecasting.vocabulary import Clock
from tests.builders import csv_of_small_night, set_small_night
from tests.plain_flows import without_prefect
from tests.postgres import copied

ON_BOTH_DATABASES = pytest.mark.parametrize("night_url", ["sqlite", "postgres"], indirect=True)
"""For commands that write in a way of their own; tests/store has all statements on both, boundaries
the nights."""

TIMES = ("_at", "seconds", "flow_run_id", "data_as_of")
"""Parts of the names of columns that may differ between two ways to the same night."""


def rows(name: str, /, **where) -> list[dict[str, object]]:
    """Return the rows of a table or view whose columns have these values."""
    with connect.reading(read_settings().url) as connection:
        found = connection.execute(sa.text(f"SELECT * FROM {name}")).mappings()
        return sorted((dict(row) for row in found if row.items() >= where.items()), key=str)


def select(columns: str, table: str) -> list[tuple[Any, ...]]:
    with connect.reading(read_settings().url) as connection:
        return [tuple(row) for row in connection.execute(sa.text(f"SELECT {columns} FROM {table}"))]


def counts() -> dict[str, int]:
    """Return the number of rows of every table."""
    with connect.reading(read_settings().url) as connection:
        counted = sa.select(sa.func.count())
        return {
            name: connection.scalar(counted.select_from(table)) or 0
            for name, table in metadata.tables.items()
        }


def nights_done(url: str) -> int:
    """Return the number of nights of a ledger that are done."""
    with connect.reading(url) as connection:
        return int(
            connection.scalar(sa.text("SELECT count(*) FROM runs WHERE status = 'done'")) or 0
        )


def lasting(row: Mapping[str, object]) -> dict[str, object]:
    """Return a row without times and Prefect's ids, which differ between two ways to a night."""
    return {name: value for name, value in row.items() if not any(part in name for part in TIMES)}


def timeless(name: str) -> list[dict[str, object]]:
    """Return the rows of a table without what `lasting` leaves out."""
    return sorted(map(lasting, rows(name)), key=str)


def contents(url: str) -> dict[str, list[str]]:
    """Return the rows of every table as sorted text, without what `lasting` leaves out."""
    with connect.reading(url) as connection:
        return {
            table.name: sorted(
                str(lasting(row)) for row in connection.execute(table.select()).mappings()
            )
            for table in metadata.sorted_tables
        }


def after(session: date, hours: float = 13.0) -> Clock:
    """Return a clock that stands `hours` after the close of a session."""
    moment = closes_at(session) + timedelta(hours=hours)
    return lambda: moment


def night(as_of: date | None = None, mode: str = "auto"):
    start_night(as_of=as_of, mode=mode, switch_source=False)


def damage_weights():
    """Make every model of the ledger unusable."""
    with connect.transaction(read_settings().url) as connection:
        connection.execute(sa.text("UPDATE weights SET card = '{}'"))


@contextmanager
def ledger_in(folder: Path, migrated: Path, **settings) -> Iterator[pytest.MonkeyPatch]:
    """Within the block, small nights leave their `data` and their `ledger.db` in the folder, to be
    copied afterwards.

    TEST.csv is written there; `migrated` is a SQLite file without rows, `settings` are those of
    `set_small_night`.
    """
    (folder / "TEST.csv").write_text(csv_of_small_night())
    shutil.copy(migrated, folder / "ledger.db")
    with pytest.MonkeyPatch.context() as patch:
        set_small_night(patch, folder, f"sqlite:///{folder / 'ledger.db'}", **settings)
        without_prefect(patch.setattr)
        yield patch


def leave_nights(sessions: list[date], folder: Path, migrated: Path, **settings) -> Path:
    """Run small nights of these sessions and return the folder.

    The folder then has their `data` and their `ledger.db`.
    """
    with ledger_in(folder, migrated, **settings):
        for session in sessions:
            night(session)
    return folder


def copy_nights(folder: Path, data: Path, url: str):
    """Copy what `leave_nights` left in a folder to a new data folder and a ledger without rows."""
    shutil.copytree(folder / "data", data)
    copy_ledger(folder / "ledger.db", url)


def copy_ledger(file: Path, url: str):
    """Copy a SQLite ledger's file, which may still be open, to a ledger without rows."""
    if not url.startswith("sqlite:"):
        copied(f"sqlite:///{file}", url)
        return
    with (
        closing(sqlite3.connect(file)) as done,
        closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as own,
    ):
        done.backup(own)


def newest_reports(settings: Settings, as_of: date | None = None) -> list[NightView]:
    """Return the newest night of every symbol in the settings, or its night of `as_of`."""
    return list(each_report(settings, as_of, now=clock.now).values.values())


def killed(*args, **kwargs):
    raise KeyboardInterrupt


def killed_before(table: str) -> Callable[..., int]:
    """Return a stand-in for `write.add` that is killed before it writes a row of the table."""
    add = write.add
    return lambda connection, name, *added: (
        killed() if name == table else add(connection, name, *added)
    )


def ingest_only(settings: Settings, session: date, *, now: Clock, accept: bool = False):
    """Fetch and store the bars of a symbol up to a session without a night, and return the fetch."""
    asked = Night(session, settings.for_symbol(settings.symbol), now)
    source = bars_source(asked.settings, now=now)
    first = first_session(session, asked.settings)
    request = as_stored(request_of(asked, source, first, accept=accept), asked.settings)
    (done,) = fetch_and_store({asked.symbol: (asked, source, request)}).values()
    if done.error is not None:
        raise done.error
    with connect.reading(settings.url) as connection:
        return read.stored(connection, FetchRow, {"id": done.fetch_id})
