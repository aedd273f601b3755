"""Databases, a Prefect server, one small night and safety for all tests.

None reaches anything of the user's.
"""

import gc
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Generator
from contextlib import ExitStack
from datetime import date, datetime
from pathlib import Path
from unittest import mock

import pytest
import sqlalchemy as sa

# Before anything imports prefect, which reads these once: a flow run by accident fails at once and
# leaves no file.
_PREFECT_HOME = tempfile.mkdtemp(prefix="forecasting-tests-prefect-")
for name in [name for name in os.environ if name.startswith(("PREFECT_", "FORECASTING_"))]:
    del os.environ[name]
os.environ |= {
    "PREFECT_HOME": _PREFECT_HOME,
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    "DO_NOT_TRACK": "1",
}
# Workers share the cores: threads of torch and BLAS beside them only wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"

# `tests.builders`, whatever folder pytest starts in
sys.path.insert(0, str(Path(__file__).parent.parent))

DATABASES = ["sqlite", "postgres"]
PREFECT_PASSWORD = "admin:test"


def refuse_untyped(value: date) -> str:
    raise TypeError(
        f"{value!r} was bound without SQLAlchemy's type: Python 3.12 deprecates sqlite3's own "
        "adapters."
    )


# On every Python as on the newest: the columns' types make text of dates and instants before
# sqlite3 sees them.
for kind in (date, datetime):
    sqlite3.register_adapter(kind, refuse_untyped)


@pytest.hookimpl(optionalhook=True, wrapper=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> Generator[None, int, int]:
    """Start one worker more than there are cores, if the slow tests run.

    Some of the slow tests wait for processes.
    """
    cores = yield
    return cores + ("not slow" not in config.option.markexpr)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect tests without the garbage collector, which would take four of ten seconds."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]):
    """Mark as slow what needs a server, and what `make test` leaves out: -m "not slow" replaces its
    -m."""
    servers = {"postgres_server", "prefect_server", "served"}
    for item in items:
        needs_server = "postgres" in item.name or servers & set(getattr(item, "fixturenames", ()))
        left_out = item.get_closest_marker("campaign") or item.get_closest_marker("network")
        if needs_server or left_out:
            item.add_marker(pytest.mark.slow)


def pytest_unconfigure():
    shutil.rmtree(_PREFECT_HOME, ignore_errors=True)
    if processes := sys.modules.get("tests.flows.processes"):
        for path in (processes.FRESH_DATABASE, processes.FRESH_LOCK):
            path.unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def own_settings():
    """Restore the environment after each test.

    A command in the test's process writes its options to the environment.
    """
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(params=DATABASES)
def database_url(request):
    """Give a migrated database without a row, once on SQLite and once on Postgres."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def night_url(request):
    """The migrated database of `night_folder`: SQLite, or what `tests.nights.ON_BOTH_DATABASES`
    gives."""
    return str(request.getfixturevalue(f"{getattr(request, 'param', 'sqlite')}_url"))


@pytest.fixture(params=DATABASES)
def empty_database_url(request):
    """A database that is not migrated; on SQLite there is not even a file, nor its folder."""
    return request.getfixturevalue(f"empty_{request.param}_url")


@pytest.fixture
def sqlite_url(empty_sqlite_url, migrated_sqlite_file):
    """A migrated SQLite file."""
    path = Path(empty_sqlite_url.removeprefix("sqlite:///"))
    path.parent.mkdir()
    shutil.copy(migrated_sqlite_file, path)
    return empty_sqlite_url


@pytest.fixture
def postgres_url(postgres_server, migrated_postgres):
    """A migrated Postgres database of the test's own."""
    from tests.postgres import fresh_postgres

    with fresh_postgres(postgres_server, template=migrated_postgres) as url:
        yield url


@pytest.fixture
def empty_sqlite_url(tmp_path):
    """A SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path / 'ledger' / 'forecasting.db'}"


@pytest.fixture
def empty_postgres_url(postgres_server):
    """An empty Postgres database of the test's own."""
    from tests.postgres import fresh_postgres

    with fresh_postgres(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def migrated_sqlite_file(tmp_path_factory):
    from forecasting.store.migrate import upgrade

    path = tmp_path_factory.mktemp("migrated") / "forecasting.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server):
    from forecasting.store.migrate import upgrade
    from tests.postgres import fresh_postgres

    with fresh_postgres(postgres_server) as url:
        upgrade(url)
        yield sa.make_url(url).database or ""


@pytest.fixture(scope="session")
def postgres_server():
    """A real PostgreSQL of this test session's own, in a temporary folder, as an engine on its
    first database."""
    from tests.postgres import running_postgres

    yield from running_postgres()


@pytest.fixture(scope="session")
def prefect_server_url():
    """The API's URL of a Prefect server that runs until the test session ends."""
    from tests.flows import processes

    settings = {"PREFECT_SERVER_API_AUTH_STRING": PREFECT_PASSWORD}
    with processes.prefect_server(Path(_PREFECT_HOME), **settings) as url:
        yield url


@pytest.fixture(scope="module")
def prefect_server(prefect_server_url):
    """A Prefect server to which the flows in this process report."""
    from prefect.events.clients import NullEventsClient
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import (
        PREFECT_API_AUTH_STRING,
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        temporary_settings,
    )

    with ExitStack() as stack:
        client = {PREFECT_API_URL: prefect_server_url, PREFECT_API_AUTH_STRING: PREFECT_PASSWORD}
        # The thread of the heartbeat ends a run with up to a second of sleep.
        stack.enter_context(temporary_settings(client | {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}))
        # No test reads events, and their thread outlives a server that is slow to take them.
        EventsWorker.set_client_override(NullEventsClient)
        stack.callback(EventsWorker.set_client_override, None)
        for worker in (APILogWorker, EventsWorker):  # they send in threads of their own
            stack.callback(worker.drain_all, timeout=60)
        yield


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A Prefect server in a process of its own, set up as in compose.yaml, for tests of workers and
    pages."""
    from tests.flows import processes

    folder = tmp_path_factory.mktemp("served")
    port = processes.free_port()
    with ExitStack() as stack:

        def start():
            return stack.enter_context(processes.prefect_server(folder, port=port))

        yield processes.Served(start(), start)


@pytest.fixture(scope="module")
def deployed(served, tmp_path_factory):
    """The API's URL of `served`, once deploy/prefect.yaml has been deployed on it as its first
    lines say."""
    from tests.flows import processes

    processes.deploy(processes.environment_of(tmp_path_factory.mktemp("deployed"), served.url))
    return served.url


@pytest.fixture
def csv_of_bars(tmp_path):
    """650 sessions of seeded bars up to LAST in Yahoo's columns."""
    from tests.builders import csv_of_small_night

    path = tmp_path / "TEST.csv"
    path.write_text(csv_of_small_night())
    return path


@pytest.fixture
def posted(monkeypatch):
    """What the address in FORECASTING_NOTIFY receives, as JSON, in order."""
    from tests.flows.sinks import http_sink

    with http_sink() as (url, bodies):
        monkeypatch.setenv("FORECASTING_NOTIFY", url.replace("http", "json"))
        yield bodies


@pytest.fixture
def plain_flows(monkeypatch):
    """Run flows and tasks as plain functions, without Prefect.

    A night then takes a third of the time.
    """
    from tests.plain_flows import without_prefect

    without_prefect(monkeypatch.setattr)


@pytest.fixture
def night_folder(tmp_path, night_url, csv_of_bars, monkeypatch):
    """The data folder of a small night: one network, a short window.

    A test that runs a flow also asks for `plain_flows` or for `prefect_server`; with neither, a
    flow fails at once.
    """
    from tests.builders import set_small_night

    set_small_night(monkeypatch, tmp_path, night_url)
    return tmp_path / "data"


@pytest.fixture
def real_pages(night_folder, monkeypatch):
    """Nights in `night_folder` write the page that a user has, not `builders.blank_page`."""
    from forecasting.publish import pages
    from forecasting.report.page import render_page

    monkeypatch.setattr(pages, "render_page", render_page)


@pytest.fixture(scope="session")
def folders_of_nights(tmp_path_factory, migrated_sqlite_file):
    """What the nights of 2024-03-06 and 2024-03-07 leave, each on a ledger of its own, by day of
    the month."""
    from tests.nights import leave_nights

    return {
        day: leave_nights(
            [date(2024, 3, day)], tmp_path_factory.mktemp("night"), migrated_sqlite_file
        )
        for day in (6, 7)
    }


@pytest.fixture
def done_on_the_sixth(folders_of_nights, night_folder, night_url):
    """The night of 2024-03-06 is done in `night_folder`, as if the test had begun with it."""
    from tests.nights import copy_nights

    copy_nights(folders_of_nights[6], night_folder, night_url)


@pytest.fixture
def done_on_the_seventh(folders_of_nights, night_folder, night_url):
    """The night of 2024-03-07 is done in `night_folder`, as if the test had begun with it."""
    from tests.nights import copy_nights

    copy_nights(folders_of_nights[7], night_folder, night_url)
