"""Locks that somebody forgot: a wait ends with an error that names the process.

Readers and nights never wait.
"""

from contextlib import contextmanager
from itertools import cycle

import psycopg
import pytest
import sqlalchemy as sa

from forecasting.errors import StoreError
from forecasting.night import health
from forecasting.publish import messages
from forecasting.sessions import shift
from forecasting.store import connect, lock, write
from forecasting.store.schema import metadata
from tests import cookbook
from tests.builders import LAST
from tests.faults.boundaries import counted
from tests.flows.test_cli import run
from tests.nights import night, rows
from tests.postgres import a_role
from tests.store.rows import at, model_row


@pytest.fixture
def short_waits(monkeypatch):
    """Connections of this process wait for a second, or what a test sets.

    `engine` keeps its engines by URL.
    """
    connect.engine.cache_clear()
    monkeypatch.setattr(connect, "BUSY_TIMEOUT_S", 1)
    yield
    connect.engine.cache_clear()


@contextmanager
def forgotten(url, *statements):
    """A transaction that somebody left open in another program; its process."""
    other = sa.create_engine(sa.make_url(url).update_query_dict({"application_name": "psql"}))
    with other.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
        yield int(connection.scalar(sa.text("SELECT pg_backend_pid()")) or 0)
    other.dispose()


@pytest.mark.parametrize(
    ("held", "wanted", "table"),
    [
        (
            "LOCK TABLE runs IN ACCESS EXCLUSIVE MODE",
            "SELECT id FROM runs",
            " holds a lock on runs",
        ),
        (
            "SELECT * FROM alembic_version FOR UPDATE",
            "UPDATE alembic_version SET version_num = version_num",
            "",
        ),
    ],
)
def test_a_forgotten_lock_is_an_error_that_names_its_process(
    postgres_url, short_waits, held, wanted, table
):
    with forgotten(postgres_url, held) as pid:
        named = rf"Process {pid} \(psql, role \S+, idle in transaction since 20.*UTC\){table}"
        with (
            pytest.raises(StoreError, match=named),
            connect.transaction(postgres_url) as connection,
        ):
            connection.exec_driver_sql(wanted)


def test_check_names_the_holder_of_a_lock(postgres_url, short_waits, monkeypatch):
    """By the limit of its statements alone.

    The whole check, whose limit names nobody, and any lock may take long.
    """
    monkeypatch.setenv("FORECASTING_DATABASE_URL", postgres_url)
    monkeypatch.setattr(health, "STATEMENT_S", 1)
    monkeypatch.setattr(health, "CHECK_S", 100.0)
    monkeypatch.setattr(connect, "BUSY_TIMEOUT_S", 200)
    with (
        forgotten(postgres_url, "LOCK TABLE forecasts IN ACCESS EXCLUSIVE MODE") as pid,
        pytest.raises(StoreError, match=rf"Process {pid} \(psql"),
    ):
        messages.check_fresh(now=lambda: at("2024-03-09T12:00"))


def test_neither_a_vacuum_nor_an_analyze_waits_for_a_night(postgres_url, short_waits):
    with lock.night_lock(postgres_url), connect.engine(postgres_url).connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql("SET lock_timeout = '100ms'")
        for command in ("VACUUM", "ANALYZE"):
            connection.exec_driver_sql(command)


def test_a_reader_shows_reports_and_checks(postgres_url, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path / "data"))
    with connect.transaction(postgres_url) as connection:
        write.add(connection, "models", model_row("one"))
    wanted = {  # the ledger has no forecast
        "check": (4, ""),
        "show": (1, "found none"),
        "report": (1, "found none"),
        "models list": (0, ""),
        "models show one": (0, ""),
        "run": (1, "Connect as the writer role"),
    }
    with a_role(postgres_url, "reader") as reader:
        for command, (code, words) in wanted.items():
            found, _, err = run(*command.split(), "--database-url", reader)
            assert (found, words in err) == (code, True), command


BOUNDARIES = 1000
"""More than a night has."""


@contextmanager
def reader(url):
    """A connection of another program, which does not wait for a lock."""
    plain = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True, options="-c lock_timeout=1ms") as connection:
        yield connection


@pytest.mark.parametrize("night_url", ["postgres"], indirect=True)
@pytest.mark.usefixtures("plain_flows", "short_waits")
def test_no_reader_waits_for_a_night_and_no_night_for_a_reader(night_folder, night_url):
    """One keeps one state of every table open.

    At every boundary another opens every table, and asks a question.
    """
    questions = [
        recipe.query.replace("^GSPC", "TEST")
        for recipe in cookbook.recipes(cookbook.DOCUMENT.read_text())
    ]
    every = f"LOCK TABLE {', '.join(metadata.tables)} IN ACCESS SHARE MODE".encode()
    night(shift(LAST, -1))
    asked = cycle(questions)
    refused = []
    with (
        reader(night_url) as patient,
        reader(night_url) as other,
        counted(night_folder) as boundaries,
        boundaries.process(),
    ):
        patient.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        before = [patient.execute(query.encode()).fetchall() for query in questions]
        patient.execute(every)

        def ask():
            try:
                with other.transaction():
                    other.execute(every)
                    other.execute(next(asked).encode()).fetchall()
            except psycopg.Error as error:  # raised here it would be the night's
                refused.append(f"boundary {boundaries.passed}: {error}")

        for boundary in range(1, BOUNDARIES):
            boundaries.plan(boundary, ask)
        night(LAST)
        assert 2 * len(questions) < boundaries.passed < BOUNDARIES
        assert [patient.execute(query.encode()).fetchall() for query in questions] == before
    assert refused == []
    assert [row["status"] for row in rows("runs")] == ["done", "done"]
