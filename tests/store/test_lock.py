from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from flows.start import start_serving
from forecasting.errors import LockedError, StoreError
from forecasting.store.connect import engine
from forecasting.store.lock import night_lock, serve_lock
from forecasting.store.migrate import upgrade

HOLDER = """
import sys
from forecasting.store.lock import night_lock
with night_lock(sys.argv[1], "night"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process_holds_it(url: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-W", "ignore", "-c", HOLDER, url]
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=environment, **piped) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_lock_that_another_process_holds_is_refused_naming_it_and_free_once_that_is_killed(database_url):
    with another_process_holds_it(database_url) as holder:
        with pytest.raises(LockedError, match=rf"held by another run \(.*process {holder.pid} on .*\)"):
            night_lock(database_url, "night").__enter__()
        with night_lock(database_url, "backtest"):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        _until_free(database_url)


def _until_free(url: str) -> None:
    """Postgres notices a dead client when it next looks at the connection, not in the same instant."""
    for _ in range(10_000):
        try:
            with night_lock(url, "night"):
                return
        except LockedError:
            continue
    raise AssertionError("the lock outlived its holder")


def test_a_block_that_failed_raises_its_own_error_although_the_connection_of_its_lock_was_lost(postgres_url):
    with pytest.raises(StoreError, match=r"^The database .* cannot be reached: "), night_lock(postgres_url, "night"):
        drop_connections(postgres_url)
        raise StoreError("The database of the block cannot be reached: its own error.")
    with night_lock(postgres_url, "night"):
        pass


def drop_connections(url: str) -> None:
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = "
    with engine(url).connect() as connection:
        connection.exec_driver_sql(f"{others} current_database()")


def test_two_threads_of_one_process_exclude_each_other(database_url):
    with night_lock(database_url, "night"), pytest.raises(LockedError, match=f"process {os.getpid()} on "):
        night_lock(database_url, "night").__enter__()


def test_a_ledger_reached_by_a_symbolic_link_has_one_lock(sqlite_url, tmp_path):
    (tmp_path / "link.db").symlink_to(sqlite_url.removeprefix("sqlite:///"))
    with (
        night_lock(sqlite_url, "night"),
        pytest.raises(LockedError, match="held by another run"),
        night_lock(f"sqlite:///{tmp_path / 'link.db'}", "night"),
    ):
        pass


def test_no_other_user_can_read_the_folder_or_a_lock_of_a_ledger(empty_sqlite_url):
    folder = Path(sa.make_url(empty_sqlite_url).database or "").parent
    before = os.umask(0o022)
    try:
        upgrade(empty_sqlite_url)
        (folder / "forecasting.db.backtest.lock").touch(0o644)  # of an earlier release
        with night_lock(empty_sqlite_url, "night"), night_lock(empty_sqlite_url, "backtest"):
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.glob("*.lock")}
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert modes == {"forecasting.db.night.lock": 0o600, "forecasting.db.backtest.lock": 0o600}


def test_a_lock_without_its_folder_names_the_command_that_creates_it(empty_sqlite_url):
    with pytest.raises(StoreError, match=r"cannot be opened.*: No such file.*`forecasting db upgrade` creates"):
        night_lock(empty_sqlite_url, "night").__enter__()


def test_a_second_serve_on_the_data_folder_is_refused_before_it_promises_a_night(sqlite_url, tmp_path, monkeypatch):
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("FORECASTING_DATABASE_URL", sqlite_url)
    with (
        serve_lock(tmp_path),
        pytest.raises(LockedError, match=rf"Another `forecasting serve`.*process {os.getpid()} "),
    ):
        start_serving()
