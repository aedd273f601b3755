from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from forecasting.errors import StoreError, UsageError
from forecasting.store import tables
from forecasting.store.database import kept_open, reading, transaction
from forecasting.store.engine import engine
from forecasting.store.migrate import check_ready, current, downgrade, head, upgrade
from forecasting.store.tables import views
from tests.store.rows import store_bars

ROOT = Path(__file__).parents[2]
SECRET = "hunter2-geheim"
NEWEST = head()


def refusal(url: str) -> str:
    with pytest.raises(StoreError) as caught:
        check_ready(url)
    message = str(caught.value)
    assert "\n" not in message
    return message


def set_revision(url: str, revision: str) -> None:
    with transaction(url) as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})


def test_a_migrated_database_is_ready(database_url):
    check_ready(database_url)
    assert current(database_url) == head()


def test_a_sqlite_file_that_is_not_there_is_named_and_not_made(empty_sqlite_url):
    path = empty_sqlite_url.removeprefix("sqlite:///")
    assert current(empty_sqlite_url) is None
    assert refusal(empty_sqlite_url).startswith(f"There is no database at {path}. `forecasting db upgrade` creates it")
    with pytest.raises(StoreError, match="There is no database"):
        downgrade(empty_sqlite_url, "base")
    with pytest.raises(StoreError, match="cannot be opened"), transaction(empty_sqlite_url):
        pass
    assert not Path(path).parent.exists()


def test_a_postgres_database_without_an_encoding_is_spoken_to_in_utf_8(postgres_server):
    name = "test_ascii"
    with postgres_server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    url = postgres_server.url.set(database=name).render_as_string(hide_password=False)
    try:
        upgrade(url)
        check_ready(url)
        with transaction(url) as connection:
            assert connection.scalar(sa.text("SELECT 'Größe'")) == "Größe"
    finally:
        with postgres_server.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_postgres_that_is_not_there_is_told_apart_from_one_that_is_not_migrated(empty_postgres_url):
    assert current(empty_postgres_url) is None
    assert "holds no forecasting tables yet. Run `forecasting db upgrade`" in refusal(empty_postgres_url)
    elsewhere = sa.make_url(empty_postgres_url).set(database="nowhere").render_as_string(hide_password=False)
    assert "cannot be reached: connection failed" in refusal(elsewhere)
    assert 'database "nowhere" does not exist' in refusal(elsewhere)


def test_a_sqlite_file_that_is_not_migrated_is_refused(tmp_path):
    path = tmp_path / "empty.db"
    path.touch()
    assert "holds no forecasting tables yet" in refusal(f"sqlite:///{path}")


def test_an_older_revision_asks_for_the_upgrade(database_url, monkeypatch):
    monkeypatch.setattr("forecasting.store.migrate._revisions", lambda: ["0009", NEWEST])
    assert f"is at revision {NEWEST}; this code needs 0009. Run `forecasting db upgrade`" in refusal(database_url)


def test_a_newer_revision_asks_for_newer_code_and_is_never_migrated(database_url):
    set_revision(database_url, "9999")
    told = f"is at revision 9999, which this code does not have (its newest is {NEWEST})"
    assert told in refusal(database_url)
    for change in (upgrade, lambda url: downgrade(url, "base")):
        with pytest.raises(StoreError, match="revision 9999, which this code does not have"):
            change(database_url)


def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "notes.db"
    path.write_text("not a database, but long enough to be read as a header of one; " * 20)
    assert "is not a SQLite file" in refusal(f"sqlite:///{path}")


@contextmanager
def without_rights() -> Iterator[None]:
    """As a user that owns nothing; root may write anywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(("file_mode", "folder_mode"), [(0o444, 0o777), (0o444, 0o555)], ids=["file", "folder"])
def test_a_sqlite_file_that_may_not_be_written_is_refused(sqlite_url, file_mode, folder_mode):
    with tempfile.TemporaryDirectory(prefix="forecasting-tests-") as folder:  # others may not enter tmp_path
        path = Path(folder, "forecasting.db")
        shutil.copy(sqlite_url.removeprefix("sqlite:///"), path)
        path.chmod(file_mode)
        Path(folder).chmod(folder_mode)
        for attempt in (check_ready, upgrade):
            with (
                without_rights(),
                pytest.raises(StoreError, match=f"^The database {path} cannot be (written|opened): "),
            ):
                attempt(f"sqlite:///{path}")
        Path(folder).chmod(0o700)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"folder .* for the database cannot be created: Not a directory"):
        upgrade(f"sqlite:///{tmp_path / 'file' / 'deeper' / 'forecasting.db'}")


def test_a_postgres_role_that_may_only_read_is_refused(postgres_url):
    with engine(postgres_url).begin() as connection:
        connection.exec_driver_sql("CREATE ROLE onlooker LOGIN")
        connection.exec_driver_sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO onlooker")
    try:
        onlooker = sa.make_url(postgres_url).set(username="onlooker").render_as_string(hide_password=False)
        assert "cannot be written by this user, who lacks INSERT on " in refusal(onlooker)
        read_only = sa.make_url(postgres_url).update_query_dict({"options": "-c default_transaction_read_only=on"})
        assert "the server, or this role's session, is read-only" in refusal(
            read_only.render_as_string(hide_password=False)
        )
    finally:
        with engine(postgres_url).begin() as connection:
            connection.exec_driver_sql("DROP OWNED BY onlooker")
            connection.exec_driver_sql("DROP ROLE onlooker")


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://night:{SECRET}@127.0.0.1:1/ledger",
        f"postgres://night:{SECRET}@127.0.0.1:1/ledger",
        f"postgresql://night@127.0.0.1:1/ledger?password={SECRET}",
        f"postgresql://night:x@{SECRET}@127.0.0.1:1/ledger",
        f"postgresql://night:x@127.0.0.1:{SECRET}/ledger",
        f"postgresql+psycopg2://night:{SECRET}@nowhere.invalid/ledger",
        f"mysql://night:{SECRET}@127.0.0.1/ledger",
        f"{SECRET}",
    ],
)
def test_a_password_is_in_no_message(url, caplog):
    for attempt in (check_ready, upgrade, current):
        with pytest.raises((StoreError, UsageError)) as caught:
            attempt(url)
        assert SECRET not in "".join(str(told) for told in (caught.value, caught.value.__cause__, caplog.text))


def test_a_database_in_memory_is_refused():
    for url in ("sqlite://", "sqlite:///:memory:"):
        with pytest.raises(UsageError, match="names no file"):
            engine(url)


def test_upgrade_and_downgrade_undo_each_other(empty_database_url):
    upgrade(empty_database_url)
    with reading(empty_database_url) as connection:
        made = sa.inspect(connection)
        assert set(made.get_table_names()) == {*tables.metadata.tables, "alembic_version"}
        assert set(made.get_view_names()) == set(views.VIEWS)
    upgrade(empty_database_url)
    downgrade(empty_database_url, "base")
    with reading(empty_database_url) as connection:
        left = sa.inspect(connection)
        assert (left.get_table_names(), left.get_view_names()) == (["alembic_version"], [])
    assert current(empty_database_url) is None
    upgrade(empty_database_url)
    check_ready(empty_database_url)


def test_a_revision_that_does_not_exist_is_the_callers_mistake(database_url):
    for change in (upgrade, downgrade):
        with pytest.raises(UsageError, match="No migration to 'nonsense'"):
            change(database_url, "nonsense")
    check_ready(database_url)


def test_a_reader_cannot_write(database_url):
    with pytest.raises(Exception, match=r"read-?only"), reading(database_url) as connection:
        connection.execute(sa.delete(tables.runs))


def test_a_reader_sees_one_state_throughout(database_url):
    count = sa.select(sa.func.count()).select_from(tables.fetches)
    with reading(database_url) as reader:
        assert reader.scalar(count) == 0
        with transaction(database_url) as writer:
            store_bars(writer, {"2024-03-08": 1.0}, seen="2024-03-08T21:00")
        assert reader.scalar(count) == 0


def test_sqlite_readers_and_a_writer_do_not_wait_for_each_other(sqlite_url):
    path = sqlite_url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_transactions_share_a_connection_while_it_is_kept_open_and_at_no_other_time(database_url):
    mark, marked = sa.text("CREATE TEMPORARY TABLE mark (a INTEGER)"), sa.text("SELECT * FROM mark")
    with kept_open(database_url):
        with transaction(database_url) as connection:
            connection.execute(mark)
        with transaction(database_url) as connection:
            assert connection.execute(marked).all() == []
    with pytest.raises(Exception, match="mark"), transaction(database_url) as connection:
        connection.execute(marked)


def test_a_shared_connection_reads_and_writes_in_turn(database_url):
    with kept_open(database_url):
        for session in ("2024-03-07", "2024-03-08"):
            with pytest.raises(Exception, match=r"read-?only"), reading(database_url) as connection:
                connection.execute(sa.delete(tables.runs))
            with transaction(database_url) as connection:
                store_bars(connection, {session: 1.0}, seen=f"{session}T21:00")


def test_a_sqlite_file_that_is_kept_open_keeps_its_log_from_one_transaction_to_the_next(sqlite_url):
    log = Path(sqlite_url.removeprefix("sqlite:///") + "-wal")
    with transaction(sqlite_url) as connection:
        store_bars(connection, {"2024-03-07": 1.0}, seen="2024-03-07T21:00")
    assert not log.exists()
    with kept_open(sqlite_url):
        with transaction(sqlite_url) as connection:
            store_bars(connection, {"2024-03-08": 1.0}, seen="2024-03-08T21:00")
        assert log.stat().st_size
    assert not log.exists()


def test_two_upgrades_at_once_both_end_well(empty_database_url):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    code = "import sys; from forecasting.store.migrate import upgrade; upgrade(sys.argv[1])"
    command = [sys.executable, "-W", "ignore", "-c", code, empty_database_url]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    assert [process.communicate()[1] for process in both] == ["", ""]
    check_ready(empty_database_url)


STOPS_HALF_WAY = """
import sys
from forecasting.store import migrate
from forecasting.store.tables import views
views.create = lambda *_: (print("migrated", flush=True), sys.stdin.read())
migrate.upgrade(sys.argv[1])
"""


def test_an_upgrade_that_is_killed_leaves_nothing(empty_database_url):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-c", STOPS_HALF_WAY, empty_database_url]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline() == "migrated\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with reading(empty_database_url) as connection:
        assert sa.inspect(connection).get_table_names() == []
    upgrade(empty_database_url)
    check_ready(empty_database_url)
