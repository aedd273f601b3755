from __future__ import annotations

import os
from pathlib import Path

import pytest
import sqlalchemy as sa

from forecasting.errors import StoreError, UsageError
from forecasting.settings import Settings
from forecasting.store import schema
from forecasting.store.connect import kept_open, parse, reading, sqlite_path, transaction
from forecasting.store.migrate import check_ready, current, upgrade
from tests.store.rows import at, store_bars

SECRET = "hunter2-geheim"


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


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:////x/q?x/forecasting.db", "SQLite takes none"),
    ],
)
def test_a_url_of_no_file_or_with_a_question_mark_is_refused(url, reason):
    with pytest.raises(UsageError, match=reason):
        parse(url)


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
