"""What deploy/ gives to whom: passwords, rights in the database, and what a service may do to its
machine."""

import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml

from forecasting.settings import Settings, read_settings
from forecasting.store import connect, migrate
from forecasting.store.schema import metadata
from forecasting.store.views import VIEWS
from tests.builders import LAST, set_small_night
from tests.flows.processes import ROOT
from tests.nights import night
from tests.postgres import ROLES, a_role

DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("systemd/*.service"))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OF_NIGHTS = {"FORECASTING_NIGHTS_PASSWORD", "PREFECT_UI_PASSWORD"}
PASSWORDS_OF = {
    "postgres": {
        "POSTGRES_PASSWORD",
        "PREFECT_DB_PASSWORD",
        "FORECASTING_DB_PASSWORD",
        "FORECASTING_NIGHTS_PASSWORD",
    },
    "prefect": {"PREFECT_DB_PASSWORD", "PREFECT_UI_PASSWORD"},
    "migrate": {"FORECASTING_DB_PASSWORD"},
    "roles": {"FORECASTING_DB_PASSWORD"},
    "deploy": OF_NIGHTS,
    "worker": OF_NIGHTS,
    "dask-scheduler": set(),
    "dask-worker": OF_NIGHTS,
}
"""The variables that each service of compose.yaml requires, and has no more of."""

OF_UNITS = {
    "forecasting-migrate": ("forecasting", "migrate", {"PGPASSWORD", "FORECASTING_DATABASE_URL"}),
    "forecasting-serve": (
        "forecasting",
        "forecasting",
        {"PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"},
    ),
    "forecasting-worker": (
        "forecasting",
        "forecasting",
        {"FORECASTING_DATABASE_URL", "PREFECT_API_AUTH_STRING"},
    ),
    "prefect-server": (
        "prefect",
        "prefect-server",
        {"PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_SERVER_API_AUTH_STRING"},
    ),
}
"""Of each unit its user, its file of variables, and those without which it does not start."""


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_has_its_own_user_and_passwords_and_limited_memory(unit):
    text = unit.read_text()
    (user,) = re.findall(r"^User=(\S+)$", text, re.MULTILINE)
    (file,) = re.findall(r"^EnvironmentFile=/etc/forecasting/(\S+)\.env$", text, re.MULTILINE)
    required = set(re.findall(rf"\$\$\{{([A-Z_]+):\?set it in /etc/forecasting/{file}\.env", text))
    assert (user, file, required) == OF_UNITS[unit.stem]
    assert "\nMemoryMax=" in text
    # A stop of serve leaves its server for the run to be cancelled on.
    assert ("\nKillMode=mixed\n" in text) == (unit.stem == "forecasting-serve")
    # A unit that requires one that failed, as an upgrade, is not started, and not restarted either.
    assert "\nRequires=" not in text


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_service_has_no_rights_memory_port_or_password_that_it_does_not_need(name):
    service = COMPOSE["services"][name]
    limits = {"cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"], "read_only": True}
    assert service.items() >= limits.items()
    assert service.keys() >= {"pids_limit", "mem_limit"}
    assert ("cap_add" in service) == (name == "postgres")
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    passwords = re.findall(r"\$\{(\w+_PASSWORD)(:\?set it in .env)?", str(service["environment"]))
    assert {name for name, _ in passwords} == PASSWORDS_OF[name]
    assert all(required for _, required in passwords)


def test_compose_passes_every_setting_that_it_does_not_fix_itself(monkeypatch):
    passed = COMPOSE["x-settings"]
    fixed = {"data_dir", "cron"}  # image, prefect.yaml
    wanted = {f"FORECASTING_{name.upper()}" for name in Settings.model_fields.keys() - fixed}
    assert {name for name in passed if name.startswith("FORECASTING_")} == wanted
    plain = Settings().model_dump()
    for name in wanted - {"FORECASTING_DATABASE_URL"}:
        taken, _, default = passed[name].removeprefix("${").removesuffix("}").partition(":-")
        assert taken == name
        monkeypatch.setenv(name, default)
    assert read_settings().model_dump() == plain


@pytest.fixture
def roles(postgres_url):
    """URLs of a reader and a writer."""
    with sa.create_engine(postgres_url, poolclass=sa.pool.NullPool).begin() as connection:
        # As it is before PostgreSQL 15
        connection.exec_driver_sql("GRANT CREATE ON SCHEMA public TO PUBLIC")
    with a_role(postgres_url, "reader") as reader, a_role(postgres_url, "writer") as writer:
        yield {"reader": reader, "writer": writer}


def refused(url, statement):
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)
    except sa.exc.ProgrammingError as error:
        return "permission denied" in str(error) or "must be owner" in str(error)
    return False


def test_the_reader_reads_every_table_and_view_and_writes_nothing(roles):
    for name in (*metadata.tables, *VIEWS):
        assert not refused(roles["reader"], f"SELECT * FROM {name}"), name
    for name in metadata.tables:
        for statement in (
            f"DELETE FROM {name}",
            f"INSERT INTO {name} DEFAULT VALUES",
            f"TRUNCATE {name}",
        ):
            assert refused(roles["reader"], statement), statement
    assert refused(roles["reader"], "CREATE TABLE mine (x int)")


def test_the_writer_cannot_change_or_delete_history(roles):
    kept = ("id", "as_of", "symbol", "source", "code_version", "settings")
    for statement in (
        *(f"DELETE FROM {name}" for name in metadata.tables if name != "weights"),
        *(f"DROP TABLE {name}" for name in metadata.tables),
        *(f"UPDATE runs SET {column} = {column}" for column in kept),
        "UPDATE forecasts SET q50 = 0",
        "UPDATE scores SET error = 0",
        "UPDATE bar_versions SET volume = 0",
        "UPDATE models SET artifact_hash = ''",
    ):
        assert refused(roles["writer"], statement), statement


PASSWORDS = {
    f"{name}_PASSWORD": f"pw-of-{name}"
    for name in ("PREFECT_DB", "FORECASTING_DB", "FORECASTING_NIGHTS")
}


@contextmanager
def logged(server):
    """Within the block the server logs every statement."""
    with server.connect() as connection:
        connection.exec_driver_sql("ALTER SYSTEM SET log_statement = 'all'")
        connection.exec_driver_sql("SELECT pg_reload_conf()")
        yield
        connection.exec_driver_sql("ALTER SYSTEM RESET log_statement")
        connection.exec_driver_sql("SELECT pg_reload_conf()")


@pytest.fixture(scope="module")
def deployed(postgres_server, tmp_path_factory):
    """The URL of the owner after databases.sh, an upgrade and roles.sql; the words of psql."""
    if shutil.which("psql") is None:
        pytest.skip("psql is not installed: deploy/sql was not run")
    url = postgres_server.url
    folder = tmp_path_factory.mktemp("psql")
    arguments = folder / "arguments"
    program = folder / "psql"
    program.write_text(f'#!/bin/sh\necho "$@" >> {arguments}\nexec {shutil.which("psql")} "$@"\n')
    program.chmod(0o700)
    superuser = os.environ | PASSWORDS | {"PATH": f"{folder}:{os.environ['PATH']}"}
    superuser |= {"PGHOST": str(url.host or url.query["host"]), "POSTGRES_USER": str(url.username)}
    superuser |= {"PGPORT": str(url.port)} if url.port else {}
    with postgres_server.connect() as connection:  # which tests of other files have left
        connection.exec_driver_sql("DROP ROLE IF EXISTS forecasting_reader, forecasting_writer")
    with logged(postgres_server):
        script = DEPLOY / "sql" / "databases.sh"
        for _ in range(2):
            subprocess.run(["sh", script], env=superuser, check=True, timeout=60)
    owner = url.set(
        username="forecasting",
        password=PASSWORDS["FORECASTING_DB_PASSWORD"],
        database="forecasting",
    )
    for _ in range(2):  # as at each start of the worker
        migrate.upgrade(owner.render_as_string(hide_password=False))
        with sa.create_engine(owner, poolclass=sa.pool.NullPool).begin() as connection:
            connection.connection.cursor().execute(ROLES.read_bytes())
    yield owner, arguments.read_text()
    with postgres_server.connect() as connection:
        for name in ("forecasting", "prefect"):
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        connection.exec_driver_sql(
            "DROP ROLE forecasting_nights, forecasting_writer, forecasting_reader, forecasting, prefect"
        )


def test_no_password_of_databases_sh_is_an_argument_or_in_the_server_s_log(
    deployed, postgres_server
):
    with postgres_server.connect() as connection:
        log = Path(str(connection.scalar(sa.text("SHOW data_directory"))), "log").read_text()
    _, arguments = deployed
    assert "SET log_statement = 'none'" in log
    assert "--dbname postgres" in arguments
    assert not [word for word in PASSWORDS.values() if word in log + arguments]


def test_the_nights_role_runs_nights_and_backtests_but_neither_migrates_nor_rewrites(
    deployed, csv_of_bars, tmp_path, monkeypatch, plain_flows
):
    owner, _ = deployed
    password = PASSWORDS["FORECASTING_NIGHTS_PASSWORD"]
    url = owner.set(username="forecasting_nights", password=password)
    text = url.render_as_string(hide_password=False)
    set_small_night(monkeypatch, tmp_path, text)
    night(LAST)
    with connect.reading(text) as connection:
        assert connection.scalar(sa.text("SELECT status FROM night_log")) == "done"
    for statement in (
        "UPDATE runs SET code_version = 'x'",
        "ALTER TABLE runs ADD COLUMN x int",
        "CREATE TABLE x (x int)",
        "UPDATE alembic_version SET version_num = 'x'",
    ):
        assert refused(text, statement), statement
