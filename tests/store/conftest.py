"""One prepared ledger of each database for all tests of the store.

What a test writes is rolled back.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from forecasting.store.connect import engine
from tests.conftest import DATABASES


@pytest.fixture(scope="session")
def shared_sqlite_url(migrated_sqlite_file, tmp_path_factory):
    return f"sqlite:///{shutil.copy(migrated_sqlite_file, tmp_path_factory.mktemp('shared') / 'forecasting.db')}"


@pytest.fixture(scope="session")
def shared_postgres_url(postgres_server, migrated_postgres):
    from tests.postgres import fresh_postgres

    with fresh_postgres(postgres_server, template=migrated_postgres) as url:
        yield url


@pytest.fixture(params=DATABASES)
def connection(request):
    """A transaction on a migrated database without a row, once on SQLite and once on Postgres."""
    with engine(request.getfixturevalue(f"shared_{request.param}_url")).connect() as connection:
        yield connection
        connection.rollback()


def another_process(program: str, url: str, line: str) -> subprocess.Popen[str]:
    """A process that has everything imported and has written this line."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-W", "ignore", "-c", program, url]
    piped = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen(command, text=True, env=environment, **piped)
    assert process.stdout is not None
    assert process.stdout.readline() == line
    return process
