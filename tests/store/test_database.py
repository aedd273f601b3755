import os
import signal
from contextlib import suppress

import pytest
import sqlalchemy as sa

from flows.start import start_serving
from forecasting.errors import LockedError, StoreError, UsageError
from forecasting.settings import Settings
from forecasting.store import read, schema, write
from forecasting.store.connect import (
    engine,
    kept_open,
    lock_of,
    parse,
    reading,
    sqlite_path,
    transaction,
)
from forecasting.store.lock import is_held, night_lock, serve_lock
from forecasting.store.migrate import check_ready, upgrade
from tests.store.conftest import another_process
from tests.store.rows import at, model_row, store_bars


def test_a_statement_that_is_repeated_is_not_prepared_so_that_any_session_of_a_pooler_can_run_it(
    postgres_url,
):
    with transaction(postgres_url) as connection:
        for number in range(10):
            connection.scalar(sa.text("SELECT CAST(:number AS int)"), {"number": number})
        assert connection.scalar(sa.text("SELECT count(*) FROM pg_prepared_statements")) == 0


def test_what_a_postgres_database_sets_for_sessions_changes_no_value(postgres_url):
    set_there = {
        "datestyle": "German",
        "timezone": "'Asia/Tokyo'",
        "extra_float_digits": "-5",
        "default_transaction_isolation": "serializable",
    }
    name = sa.make_url(postgres_url).database
    with transaction(postgres_url) as connection:
        for setting, value in set_there.items():
            connection.exec_driver_sql(f"ALTER DATABASE {name} SET {setting} = {value}")
    with transaction(postgres_url) as connection:
        store_bars(connection, {"2024-03-08": 1.0}, seen="2024-03-08T21:00")
        seen_at = read.newest(connection, "bar_versions", "first_seen_at", {})
        assert seen_at == at("2024-03-08T21:00")
        assert connection.scalar(sa.text("SELECT 0.1::float8 + 0.2::float8")) == 0.1 + 0.2
        assert connection.scalar(sa.text("SHOW transaction_isolation")) == "read committed"


@pytest.fixture
def umask():
    """What sets the umask, until the test has ended."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def modes(folder, pattern):
    return {path.name: f"{path.stat().st_mode & 0o777:o}" for path in folder.glob(pattern)}


def test_a_new_sqlite_file_and_what_lies_beside_it_have_the_permissions_of_the_umask(
    empty_sqlite_url, umask
):
    umask(0o002)
    upgrade(empty_sqlite_url)
    with transaction(empty_sqlite_url):
        found = modes(sqlite_path(empty_sqlite_url).parent, "forecasting.db*")
    assert found == {f"forecasting.db{ending}": "664" for ending in ("", "-shm", "-wal")}


def test_of_several_hosts_each_is_named():
    several = "host=127.0.0.1:1&host=127.0.0.1:2&target_session_attrs=read-write"
    named = r"^The database ledger on 127\.0\.0\.1:1, 127\.0\.0\.1:2 cannot be reached"
    refused = pytest.raises(StoreError, match=named)
    with refused, reading(f"postgresql://night:x@/ledger?{several}"):
        pass


NAMES = (
    "q?x",
    "job%2Fmain",
    "100%",
    "a b",
    "caf\u00e9",
    "#1",
    "a@b:c",
    "+",
    "%25",
    "?mode=ro",
    "\udcff",
)
"""Of folders that the parts of a URL could be read into; the last one is a byte that is no UTF-8."""


@pytest.mark.parametrize("name", NAMES)
def test_the_ledger_of_a_data_folder_is_in_that_folder_whatever_its_name(tmp_path, name):
    url = Settings(data_dir=tmp_path / name).url
    path = tmp_path / name / "forecasting.db"
    assert sqlite_path(url) == path
    upgrade(url)
    check_ready(url)
    assert path.is_file()
    assert list(tmp_path.iterdir()) == [tmp_path / name]


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:////x/hunter2?x/forecasting.db",
        "mysql://u:hunter2@h/d",
        "postgresql://u:hunter2@b@h/d",
        "postgresql://u:p@h/d?hunter2=x",
        "postgresql://u:hunter2@h:x/d",
    ],
)
def test_a_url_of_no_file_or_of_another_form_is_refused_and_not_quoted(url):
    with pytest.raises(UsageError, match="Expected a database URL: of a file") as refused:
        parse(url)
    assert "hunter2" not in str(refused.value)


def test_a_reader_sees_one_state_throughout(database_url):
    count = sa.select(sa.func.count()).select_from(schema.fetches)
    with reading(database_url) as reader:
        assert reader.scalar(count) == 0
        with transaction(database_url) as writer:
            store_bars(writer, {"2024-03-08": 1.0}, seen="2024-03-08T21:00")
        assert reader.scalar(count) == 0


def test_transactions_share_a_connection_only_inside_kept_open_and_read_and_write_in_turn(
    database_url,
):
    mark = sa.text("CREATE TEMPORARY TABLE mark (a INTEGER)")
    marked = sa.text("SELECT * FROM mark")
    with kept_open(database_url):
        with transaction(database_url) as connection:
            connection.execute(mark)
        for session in ("2024-03-07", "2024-03-08"):
            with pytest.raises(Exception, match=r"read-?only"), reading(database_url) as connection:
                connection.execute(sa.delete(schema.runs))
            with transaction(database_url) as connection:
                assert connection.execute(marked).all() == []
                store_bars(connection, {session: 1.0}, seen=f"{session}T21:00")
    with pytest.raises(Exception, match="mark"), transaction(database_url) as connection:
        connection.execute(marked)


HOLDER = """
import sys
from forecasting.store.lock import night_lock
with night_lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_that_another_process_holds_is_refused_naming_it_and_free_once_that_is_killed(
    database_url,
):
    with another_process(HOLDER, database_url, "held\n") as holder:
        with pytest.raises(
            LockedError, match=rf"at work in another run \(.*process {holder.pid} on .*\)"
        ):
            night_lock(database_url).__enter__()
        assert is_held(database_url)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    for _ in range(10_000):  # Postgres notices a dead client when it next looks at the connection
        with suppress(LockedError), night_lock(database_url):
            assert is_held(database_url)
            break
    assert is_held(database_url) is False


OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND "
    "datname = "
)


def test_a_block_that_failed_raises_its_own_error_although_the_connection_of_its_lock_was_lost(
    postgres_url,
):
    with (
        pytest.raises(StoreError, match=r"^The database of the block"),
        night_lock(postgres_url),
    ):
        with engine(postgres_url).connect() as connection:
            connection.exec_driver_sql(f"{OTHERS} current_database()")
        raise StoreError("The database of the block cannot be reached: its own error.")
    with night_lock(postgres_url):
        pass


def test_a_run_whose_lock_was_lost_writes_nothing_more_and_the_next_one_does(postgres_url):
    for lost in (True, False):
        with night_lock(postgres_url):
            with transaction(postgres_url) as connection:
                write.add(connection, "models", model_row(f"before {lost}"))
                session = lock_of(postgres_url)
            if lost:
                with engine(postgres_url).connect() as connection:
                    connection.exec_driver_sql(f"SELECT pg_terminate_backend({session}, 10000)")
                refused = f"lock of this run, process {session} .* writes nothing more"
                with pytest.raises(StoreError, match=refused):
                    transaction(postgres_url).__enter__()
    with reading(postgres_url) as connection:
        stored = read.values(connection, "models", "id", {})
    assert stored == ["before False", "before True"]


def test_two_threads_of_one_process_exclude_each_other(database_url):
    with (
        night_lock(database_url),
        pytest.raises(LockedError, match=f"process {os.getpid()} on "),
    ):
        night_lock(database_url).__enter__()


def test_a_ledger_reached_by_a_symbolic_link_has_one_lock(sqlite_url, tmp_path):
    (tmp_path / "link.db").symlink_to(sqlite_url.removeprefix("sqlite:///"))
    with night_lock(sqlite_url), pytest.raises(LockedError, match="at work in another run"):
        night_lock(f"sqlite:///{tmp_path / 'link.db'}").__enter__()


def test_no_other_user_can_read_the_folder_or_the_lock_of_a_ledger(empty_sqlite_url, umask):
    umask(0o022)
    folder = sqlite_path(empty_sqlite_url).parent
    upgrade(empty_sqlite_url)
    with night_lock(empty_sqlite_url):
        found = modes(folder, "*.lock") | modes(folder.parent, "ledger")
    assert found == {"forecasting.db.lock": "600", "ledger": "700"}


def test_a_second_serve_on_the_data_folder_is_refused_before_it_promises_a_night(
    sqlite_url, tmp_path, monkeypatch
):
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("FORECASTING_DATABASE_URL", sqlite_url)
    refused = rf"Another `forecasting serve`.*process {os.getpid()} .*--target TARGET,TARGET"
    with serve_lock(tmp_path), pytest.raises(LockedError, match=refused):
        start_serving(mode="auto", switch_source=False)
