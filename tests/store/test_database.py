from __future__ import annotations

import os
import socket
import sqlite3
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from forecasting.errors import StoreError, UsageError
from forecasting.settings import Settings
from forecasting.store import schema, write
from forecasting.store.connect import engine, kept_open, parse, reading, savepoint, sqlite_path, transaction
from forecasting.store.migrate import check_ready, current, upgrade
from tests.store.rows import at, forecast_row, run_row, store_bars

SECRET = "hunter2-geheim"


def test_a_postgres_database_without_an_encoding_is_read_and_written_in_utf_8(postgres_server):
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


def test_a_statement_that_is_repeated_is_not_prepared_so_that_any_session_of_a_pooler_can_run_it(postgres_url):
    with transaction(postgres_url) as connection:
        for number in range(10):
            assert connection.scalar(sa.text("SELECT CAST(:number AS int)"), {"number": number}) == number
        assert connection.scalar(sa.text("SELECT count(*) FROM pg_prepared_statements")) == 0


def test_what_a_postgres_database_sets_for_sessions_changes_no_value(postgres_url):
    set_there = {
        "datestyle": "German",
        "timezone": "Asia/Tokyo",
        "extra_float_digits": "-5",
        "default_transaction_isolation": "serializable",
    }
    name = sa.make_url(postgres_url).database
    with transaction(postgres_url) as connection:
        for setting, value in set_there.items():
            connection.exec_driver_sql(f"ALTER DATABASE {name} SET {setting} = '{value}'")
    with transaction(postgres_url) as connection:
        store_bars(connection, {"2024-03-08": 1.0}, seen="2024-03-08T21:00")
        versions = schema.bar_versions.c
        read = connection.execute(sa.select(versions.first_seen_at, versions.settled_at)).one()
        assert read == (at("2024-03-08T21:00"), None)
        assert connection.scalar(sa.text("SELECT 0.1::float8 + 0.2::float8")) == 0.1 + 0.2
        assert connection.scalar(sa.text("SHOW transaction_isolation")) == "read committed"


def test_a_new_sqlite_file_and_what_lies_beside_it_have_the_permissions_of_the_umask(empty_sqlite_url):
    before = os.umask(0o002)
    try:
        upgrade(empty_sqlite_url)
        with transaction(empty_sqlite_url):
            files = sorted(Path(sa.make_url(empty_sqlite_url).database or "").parent.glob("forecasting.db*"))
            modes = {path.name.removeprefix("forecasting.db"): f"{path.stat().st_mode & 0o777:o}" for path in files}
    finally:
        os.umask(before)
    assert modes == {"": "664", "-shm": "664", "-wal": "664"}


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
        assert SECRET not in "".join(str(part) for part in (caught.value, caught.value.__cause__, caplog.text))


def test_of_several_hosts_each_is_named():
    url = "postgresql://night:x@/ledger?host=127.0.0.1:1&host=127.0.0.1:2&target_session_attrs=read-write"
    named = r"^The database ledger on 127\.0\.0\.1:1, 127\.0\.0\.1:2 cannot be reached"
    with pytest.raises(StoreError, match=named), reading(url):
        pass


def test_a_database_in_memory_is_refused():
    for url in ("sqlite://", "sqlite:///:memory:"):
        with pytest.raises(UsageError, match="names no file"):
            engine(url)


NAMES = ("q?x", "job%2Fmain", "100%", "a b", "caf\u00e9", "#1", "a@b:c", "+", "%25", "?mode=ro", "\udcff")
"""Of folders that the parts of a URL could be read into; the last one is a byte that is no UTF-8."""


@pytest.mark.parametrize("name", NAMES)
def test_the_ledger_of_a_data_folder_is_in_that_folder_whatever_its_name(tmp_path, name):
    url, path = Settings(data_dir=tmp_path / name).url, tmp_path / name / "forecasting.db"
    assert sqlite_path(parse(url)) == path
    upgrade(url)
    check_ready(url)
    assert path.is_file()
    assert list(tmp_path.iterdir()) == [tmp_path / name]


def test_a_path_in_a_url_is_decoded_by_every_release_of_sqlalchemy(monkeypatch):
    for decoded in ("/x/a b%2F.db", "/x/a%20b%252F.db"):  # by 2.1, and as 2.0 leaves it
        monkeypatch.setattr(sa, "make_url", lambda _, found=decoded: sa.URL.create("sqlite", database=found))
        assert sqlite_path(parse("sqlite:////x/a%20b%252F.db")) == Path("/x/a b%2F.db")


def test_the_rest_of_a_path_after_a_question_mark_is_refused_and_not_left_out():
    with pytest.raises(UsageError, match="SQLite takes none"):
        parse("sqlite:////x/q?x/forecasting.db")


def test_a_reader_cannot_write(database_url):
    with pytest.raises(Exception, match=r"read-?only"), reading(database_url) as connection:
        connection.execute(sa.delete(schema.runs))


def test_a_reader_sees_one_state_throughout(database_url):
    count = sa.select(sa.func.count()).select_from(schema.fetches)
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


def test_transactions_share_a_connection_only_inside_kept_open(database_url):
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
                connection.execute(sa.delete(schema.runs))
            with transaction(database_url) as connection:
                store_bars(connection, {session: 1.0}, seen=f"{session}T21:00")


def test_a_sqlite_file_that_is_kept_open_keeps_its_log_between_transactions(sqlite_url):
    log = Path(sqlite_url.removeprefix("sqlite:///") + "-wal")
    with transaction(sqlite_url) as connection:
        store_bars(connection, {"2024-03-07": 1.0}, seen="2024-03-07T21:00")
    assert not log.exists()
    with kept_open(sqlite_url):
        with transaction(sqlite_url) as connection:
            store_bars(connection, {"2024-03-08": 1.0}, seen="2024-03-08T21:00")
        assert log.stat().st_size
    assert not log.exists()


def test_a_failed_savepoint_is_undone_alone(database_url):
    runs = sa.select(schema.runs.c.id).order_by(schema.runs.c.id)
    with transaction(database_url) as connection:
        with savepoint(connection):
            write.start_run(connection, run_row("before", "2024-03-06"))
        refused = r"The database refused a row: .*\. This step wrote nothing for it\."
        with pytest.raises(StoreError, match=refused), savepoint(connection):
            write.start_run(connection, run_row("undone", "2024-03-07"))
            write.add_forecasts(connection, [forecast_row("no such model", "2024-03-07")])
        with pytest.raises(KeyError), savepoint(connection):
            write.start_run(connection, run_row("undone too", "2024-03-07"))
            raise KeyError
        with savepoint(connection):
            write.start_run(connection, run_row("after", "2024-03-08"))
        assert connection.scalars(runs).all() == ["after", "before"]
    with reading(database_url) as connection:
        assert connection.scalars(runs).all() == ["after", "before"]


def test_an_error_outside_every_savepoint_undoes_them_all(database_url):
    with pytest.raises(KeyError), transaction(database_url) as connection:
        with savepoint(connection):
            write.start_run(connection, run_row("run", "2024-03-06"))
        raise KeyError
    with reading(database_url) as connection:
        assert connection.scalars(sa.select(schema.runs.c.id)).all() == []


def test_a_database_that_accepts_no_more_connections_is_said_to_be_reached(postgres_url: str) -> None:
    owner = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with owner.connect() as connection:
        connection.exec_driver_sql("CREATE ROLE test_crowded LOGIN PASSWORD 'x' CONNECTION LIMIT 0")
        crowded = sa.make_url(postgres_url).set(username="test_crowded", password="x")
        try:
            named = r"accepts no more connections: .*too many connections for role \"test_crowded\"\. End sessions"
            with pytest.raises(StoreError, match=named), reading(crowded.render_as_string(hide_password=False)):
                pass
        finally:
            connection.exec_driver_sql("DROP ROLE test_crowded")


def test_a_pooler_that_refuses_what_sessions_set_is_named_with_the_way_past_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as pooler:
        answers = threading.Thread(target=refuse_as_pgbouncer, args=(pooler,))
        answers.start()
        url = f"postgresql://u@127.0.0.1:{pooler.getsockname()[1]}/d?sslmode=disable&gssencmode=disable"
        named = r"through a pooler that .* unsupported startup parameter.*ignore_startup_parameters = options"
        with pytest.raises(StoreError, match=named), reading(url):
            pass
        answers.join()


def refuse_as_pgbouncer(pooler: socket.socket) -> None:
    """Answer one connection as PgBouncer 1.24 does where options of a session are not passed over."""
    connection, _ = pooler.accept()
    with connection:
        assert b"extra_float_digits=1" in connection.recv(4096)
        text = "unsupported startup parameter in options: extra_float_digits"
        fields = f"SFATAL\0C08P01\0M{text}\0\0".encode()
        connection.sendall(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
