"""What deploy/ gives to whom: passwords, rights in the database, and what a service may do to its machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml

from forecasting.store import connect, lock
from tests.flows.processes import ROOT, without_server

DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("systemd/*.service"))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_is_limited_and_exposed_to_three_of_ten_at_most(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    for expected in ("CapabilityBoundingSet=", "NoNewPrivileges=yes", "SystemCallFilter=@system-service"):
        assert expected in lines
    for start in ("MemoryMax=", "RestrictAddressFamilies="):
        assert any(line.startswith(start) for line in lines)
    # A unit that requires one that failed, as an upgrade, is not started, and not restarted either.
    assert not any(line.startswith("Requires=") for line in lines)
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: the units were not rated")
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=30", "--no-pager", str(unit)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stdout[-500:]
    assert re.search(r"Overall exposure level for \S+: [012]\.\d", found.stdout)


@pytest.mark.parametrize("name", COMPOSE)
def test_a_container_has_no_rights_and_no_memory_that_it_does_not_need(name: str) -> None:
    service = COMPOSE[name]
    limits = {"cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"], "read_only": True}
    assert service.items() >= limits.items()
    assert service["pids_limit"]
    assert service["mem_limit"]
    assert ("cap_add" in service) == (name == "postgres")


def test_each_service_has_the_passwords_that_it_needs_alone_and_every_server_requires_one() -> None:
    worker, prefect = str(COMPOSE["worker"]["environment"]), COMPOSE["prefect"]["environment"]
    units = {unit.name: unit.read_text() for unit in UNITS}
    examples = {path.name: path.read_text() for path in DEPLOY.glob("systemd/*.env.example")}
    ours, servers = examples["forecasting.env.example"], examples["prefect-server.env.example"]
    for text, has, lacks in (
        (worker, ["postgresql://forecasting_nights:"], ["PREFECT_DB_PASSWORD", "FORECASTING_DB_PASSWORD"]),
        (str(prefect), ["'PREFECT_SERVER_API_AUTH_STRING': 'admin:${PREFECT_UI_PASSWORD:?"], ["FORECASTING"]),
        (
            units["prefect-server.service"],
            [
                "User=prefect\n",
                "File=/etc/forecasting/prefect-server.env\n",
                "{PREFECT_SERVER_API_AUTH_STRING:?",
            ],
            ["forecasting.env"],
        ),
        (
            units["forecasting-worker.service"],
            [
                "User=forecasting\n",
                "File=/etc/forecasting/forecasting.env\n",
                "forecasting-migrate.service",
            ],
            ["prefect-server.env"],
        ),
        (ours, [], ["PREFECT_SERVER_DATABASE_CONNECTION_URL", "PGPASSWORD"]),
        (servers, [], ["FORECASTING_DATABASE_URL", "PGPASSWORD"]),
    ):
        assert [part for part in has if part not in text] == []
        assert [part for part in lacks if part in text] == []


PASSWORDS = {f"{name}_PASSWORD": f"pw-of-{name}" for name in ("PREFECT_DB", "FORECASTING_DB", "FORECASTING_NIGHTS")}


@contextmanager
def logged(server: sa.Engine) -> Iterator[None]:
    """Within the block the server logs every statement."""
    with server.connect() as connection:
        for reset in (False, True):
            for setting, value in {"log_statement": "'all'", "log_min_duration_statement": "0"}.items():
                change = f"RESET {setting}" if reset else f"SET {setting} = {value}"
                connection.exec_driver_sql(f"ALTER SYSTEM {change}")
            connection.exec_driver_sql("SELECT pg_reload_conf()")
            if not reset:
                yield


@pytest.fixture
def deployed(postgres_server: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.URL]:
    """The URL of the ledger's owner, after databases.sh, `db upgrade` and roles.sql, as deploy/README.md has them."""
    if shutil.which("psql") is None:
        pytest.skip("psql is not installed: deploy/sql was not run")
    url = postgres_server.url
    host = str(url.host or url.query["host"])
    (tmp_path / "psql").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/arguments\nexec {shutil.which("psql")} "$@"\n')
    (tmp_path / "psql").chmod(0o700)
    superuser = os.environ | PASSWORDS | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PGHOST": host}
    superuser |= {"POSTGRES_USER": str(url.username)} | ({"PGPORT": str(url.port)} if url.port else {})
    with postgres_server.connect() as connection:  # which tests of other files have left
        connection.exec_driver_sql("DROP ROLE IF EXISTS forecasting_reader, forecasting_writer")
    with logged(postgres_server):
        subprocess.run(["sh", DEPLOY / "sql" / "databases.sh"], env=superuser, check=True, timeout=60)
    owner = url.set(username="forecasting", password=None, database="forecasting")
    plain = owner.set(drivername="postgresql").render_as_string()
    environment = without_server(os.environ) | {
        "FORECASTING_DATABASE_URL": plain,
        "PGPASSWORD": PASSWORDS["FORECASTING_DB_PASSWORD"],
    }
    grant = ["psql", "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", plain]
    for _ in range(2):  # as at each start of the worker
        for command in (
            [sys.executable, "-m", "flows.cli", "db", "upgrade"],
            [*grant, "--file", str(DEPLOY / "sql" / "roles.sql")],
        ):
            done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr
    yield owner
    with postgres_server.connect() as connection:
        for name in ("forecasting", "prefect"):
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        for role in ("forecasting_nights", "forecasting_writer", "forecasting_reader", "forecasting", "prefect"):
            connection.exec_driver_sql(f"DROP ROLE {role}")


@pytest.mark.slow
def test_no_password_of_databases_sh_is_an_argument_or_in_the_server_s_log(deployed, postgres_server, tmp_path):
    with postgres_server.connect() as connection:
        log = Path(str(connection.scalar(sa.text("SHOW data_directory"))), "log").read_text()
    assert "SET log_statement = 'none'" in log
    arguments = (tmp_path / "arguments").read_text()
    assert "--dbname postgres" in arguments
    assert not [word for word in PASSWORDS.values() if word in log + arguments]


@pytest.mark.slow
def test_the_nights_role_runs_nights_and_backtests_but_neither_migrates_nor_rewrites(
    deployed, csv_of_bars, tmp_path, monkeypatch, plain_flows
):
    from flows.start import start_night
    from forecasting.settings import read_settings
    from tests.builders import LAST

    nights = PASSWORDS["FORECASTING_NIGHTS_PASSWORD"]
    url = deployed.set(username="forecasting_nights", password=nights).render_as_string(hide_password=False)
    settings = {"DATA_DIR": str(tmp_path), "SOURCE": f"csv:{csv_of_bars}", "SYMBOLS": "TEST", "MEMBERS": "1"}
    settings |= {"TRAIN_SESSIONS": "320", "DATABASE_URL": url}
    for name, value in settings.items():
        monkeypatch.setenv(f"FORECASTING_{name}", value)
    start_night(as_of=LAST, mode="auto", switch_source=False)
    with lock.night_lock(read_settings().url, "backtest"), connect.reading(url) as connection:
        assert connection.scalar(sa.text("SELECT status FROM night_log")) == "done"
    engine = sa.create_engine(deployed.set(username="forecasting_nights", password=nights), poolclass=sa.pool.NullPool)
    for statement in (
        "UPDATE runs SET code_version = 'x'",
        "UPDATE forecasts SET q50 = 0",
        "DELETE FROM standings",
        "ALTER TABLE runs ADD COLUMN x int",
        "CREATE TABLE x (x int)",
        "UPDATE alembic_version SET version_num = 'x'",
    ):
        with pytest.raises(sa.exc.ProgrammingError, match=r"permission denied|must be owner"), engine.begin() as mine:
            mine.exec_driver_sql(statement)
    connect.engine(url).dispose()
    connect.engine(read_settings().url).dispose()
