"""What deploy/ gives to whom: passwords, rights in the database, and what a service may do to its
machine."""

import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
import sqlalchemy as sa
import yaml

from forecasting.settings import Settings, read_settings
from forecasting.store import connect, lock, migrate
from forecasting.store.schema import metadata
from forecasting.store.views import VIEWS
from tests.builders import LAST, set_small_night
from tests.flows.processes import ROOT
from tests.nights import night
from tests.postgres import a_role

DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("systemd/*.service"))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SECRETS = ["POSTGRES_PASSWORD", "PREFECT_DB_PASSWORD", "FORECASTING_DB_PASSWORD"]
SECRETS += ["FORECASTING_NIGHTS_PASSWORD", "PREFECT_UI_PASSWORD"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_is_limited_and_exposed_to_three_of_ten_at_most(unit):
    lines = unit.read_text().splitlines()
    for expected in (
        "CapabilityBoundingSet=",
        "NoNewPrivileges=yes",
        "SystemCallFilter=@system-service",
    ):
        assert expected in lines
    for start in ("MemoryMax=", "RestrictAddressFamilies="):
        assert any(line.startswith(start) for line in lines)
    # A stop of serve leaves its server for the run to be cancelled on.
    assert ("KillMode=mixed" in lines) == (unit.name == "forecasting-serve.service")
    # A unit that requires one that failed, as an upgrade, is not started, and not restarted either.
    assert not any(line.startswith("Requires=") for line in lines)
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: the units were not rated")
    command = [
        "systemd-analyze",
        "security",
        "--offline=true",
        "--threshold=30",
        "--no-pager",
        str(unit),
    ]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stdout[-500:]
    assert re.search(r"Overall exposure level for \S+: [012]\.\d", found.stdout)


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_container_has_no_rights_and_no_memory_that_it_does_not_need(name):
    service = COMPOSE["services"][name]
    limits = {"cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"], "read_only": True}
    assert service.items() >= limits.items()
    assert service["pids_limit"]
    assert service["mem_limit"]
    assert ("cap_add" in service) == (name == "postgres")


def test_each_service_has_the_passwords_that_it_needs_alone_and_every_server_requires_one():
    worker, prefect = (COMPOSE["services"][name]["environment"] for name in ("worker", "prefect"))
    units = {unit.name: unit.read_text() for unit in UNITS}
    examples = {path.name: path.read_text() for path in DEPLOY.glob("systemd/*.env.example")}
    ours = examples["forecasting.env.example"]
    servers = examples["prefect-server.env.example"]
    for text, has, lacks in (
        (
            str(worker),
            ["postgresql://forecasting_nights:"],
            ["PREFECT_DB_PASSWORD", "FORECASTING_DB_PASSWORD"],
        ),
        (
            str(prefect),
            ["'PREFECT_SERVER_API_AUTH_STRING': 'admin:${PREFECT_UI_PASSWORD:?"],
            ["FORECASTING"],
        ),
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


def compose():
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    if (
        shutil.which("docker")
        and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0
    ):
        return ["docker", "compose"]
    pytest.skip(
        "neither docker-compose nor docker compose is installed: compose.yaml was not validated"
    )


def compose_config(secrets):
    command = [*compose(), "--file", str(DEPLOY / "compose.yaml"), "config"]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent"} | secrets
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_a_night_is_tried_four_times_on_each_morning_after_a_weekday_without_a_limit_that_a_lost_run_could_fill():
    found = yaml.safe_load((DEPLOY / "prefect.yaml").read_text())["deployments"]
    assert {entry["name"] for entry in found} == {
        "nightly",
        "weekly-scratch",
        "catch-up",
        "backtest",
    }
    assert not any("concurrency_limit" in entry for entry in found)
    crons = [schedule for entry in found for schedule in entry.get("schedules", ())]
    assert {entry["timezone"] for entry in crons} == {"America/New_York"}
    assert sorted(entry["cron"] for entry in crons) == ["30 5-8 * * 2-5", "30 5-8 * * 6"]
    assert Settings().cron == "30 5-8 * * 2-6"


@pytest.mark.parametrize("profile", ["", "cluster"])
def test_compose_is_valid_and_opens_ports_on_loopback_alone(profile):
    secrets = {name: f"secret-{name.lower()}" for name in SECRETS}
    found = compose_config(secrets | {"COMPOSE_PROFILES": profile})
    assert (found.returncode, found.stderr) == (0, "")
    services = yaml.safe_load(found.stdout)["services"]
    cluster = {"dask-scheduler", "dask-worker"} if profile else set()
    assert (
        set(services) == {"postgres", "prefect", "migrate", "roles", "deploy", "worker"} | cluster
    )
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    assert all("healthcheck" in services[name] for name in ("postgres", "prefect", "worker"))


@pytest.mark.parametrize("missing", SECRETS)
def test_compose_names_a_password_that_is_missing(missing):
    secrets = dict.fromkeys(SECRETS, "x")
    del secrets[missing]
    refused = compose_config(secrets).stderr
    assert f"required variable {missing} is missing a value: set it in .env" in refused


def test_compose_passes_every_setting_that_it_does_not_fix_itself(monkeypatch):
    passed = COMPOSE["x-settings"]
    fixed = {"data_dir", "cron"}  # image, prefect.yaml
    wanted = {f"FORECASTING_{name.upper()}" for name in Settings.model_fields.keys() - fixed}
    wanted.add("FORECASTING_TARGET")  # another name of a setting
    assert {name for name in passed if name.startswith("FORECASTING_")} == wanted
    plain = Settings().model_dump()
    for name in wanted - {"FORECASTING_DATABASE_URL"}:
        taken, _, default = passed[name].removeprefix("${").removesuffix("}").partition(":-")
        assert taken == name
        monkeypatch.setenv(name, default)
    assert read_settings().model_dump() == plain


def test_systemd_accepts_the_units(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: the units were not verified")
    for name in ("forecasting", "prefect"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    for unit in UNITS:
        # The programs are where an installation has them; here stand-ins take their place.
        (tmp_path / unit.name).write_text(
            unit.read_text().replace("/opt/forecasting/.venv/bin/", f"{tmp_path}/")
        )
    units = sorted(tmp_path.glob("*.service"))
    found = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=60
    )
    assert len(units) == 4
    assert (found.returncode, found.stderr) == (0, "")


def test_each_unit_requires_what_its_own_example_leaves_empty():
    for unit in UNITS:
        text = unit.read_text()
        (file,) = re.findall(r"^EnvironmentFile=/etc/forecasting/(\S+)$", text, re.MULTILINE)
        example = assignments((DEPLOY / "systemd" / f"{file}.example").read_text())
        required = set(
            re.findall(r"\$\$\{([A-Z_]+):\?set it in /etc/forecasting/" + re.escape(file), text)
        )
        assert text.count(":?") == len(required)
        empty = {name for name, value in example.items() if not value}
        if unit.name == "forecasting-migrate.service":
            assert required == empty | {"FORECASTING_DATABASE_URL"}
            assert (
                ":" not in example["FORECASTING_DATABASE_URL"].partition("://")[2].partition("@")[0]
            )
        else:
            assert required == (set() if unit.name == "forecasting-serve.service" else empty)


def test_serve_needs_the_first_part_of_its_example_alone(tmp_path, monkeypatch):
    first, _ = (DEPLOY / "systemd" / "forecasting.env.example").read_text().split("# From here on")
    for name, value in assignments(first).items():
        assert value, name
        monkeypatch.setenv(name, value.replace("/var/lib", str(tmp_path)))
    assert read_settings().url == f"sqlite:///{tmp_path}/forecasting/forecasting.db"
    # With it, `serve` would look for a server instead of starting one
    assert "PREFECT_API_URL" not in first


def assignments(text):
    lines = [line for line in text.splitlines() if re.match(r"[A-Z_]+=", line)]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


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


def test_roles_are_granted_in_one_statement_so_that_a_night_beside_it_keeps_its_rights(
    postgres_url,
):
    engine = sa.create_engine(postgres_url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection, connection.begin() as transaction:
        one = connection.connection.cursor()
        # Postgres prepares no second statement
        one.execute((DEPLOY / "sql" / "roles.sql").read_bytes(), prepare=True)
        transaction.rollback()


def test_the_writer_cannot_change_or_delete_history(roles):
    for name in metadata.tables:
        assert refused(roles["writer"], f"DELETE FROM {name}"), name
        assert refused(roles["writer"], f"DROP TABLE {name}"), name
    assert refused(roles["writer"], "UPDATE forecasts SET q50 = 0")
    assert refused(roles["writer"], "UPDATE scores SET error = 0")
    assert refused(roles["writer"], "UPDATE bar_versions SET volume = 0")
    for column in (
        "id",
        "as_of",
        "symbol",
        "source",
        "started_at",
        "code_version",
        "settings_hash",
        "settings",
    ):
        assert refused(roles["writer"], f"UPDATE runs SET {column} = {column}"), column
    assert refused(roles["writer"], "UPDATE models SET artifact_hash = ''")


def test_what_a_later_migration_makes_is_the_roles_own_too(roles, postgres_url):
    assert not refused(postgres_url, "CREATE TABLE later (x int)")
    assert not refused(roles["reader"], "SELECT * FROM later")
    assert not refused(roles["writer"], "INSERT INTO later VALUES (1)")
    assert refused(roles["reader"], "INSERT INTO later VALUES (1)")


PASSWORDS = {
    f"{name}_PASSWORD": f"pw-of-{name}"
    for name in ("PREFECT_DB", "FORECASTING_DB", "FORECASTING_NIGHTS")
}


@contextmanager
def logged(server):
    """Within the block the server logs every statement."""
    with server.connect() as connection:
        for reset in (False, True):
            for setting, value in {
                "log_statement": "'all'",
                "log_min_duration_statement": "0",
            }.items():
                change = f"RESET {setting}" if reset else f"SET {setting} = {value}"
                connection.exec_driver_sql(f"ALTER SYSTEM {change}")
            connection.exec_driver_sql("SELECT pg_reload_conf()")
            if not reset:
                yield


@pytest.fixture(scope="module")
def deployed(postgres_server, tmp_path_factory):
    """The URL of the owner after databases.sh, an upgrade and roles.sql.

    And a file of the arguments of psql.
    """
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
        subprocess.run(
            ["sh", DEPLOY / "sql" / "databases.sh"], env=superuser, check=True, timeout=60
        )
    owner = url.set(username="forecasting", password=None, database="forecasting")
    plain = owner.set(drivername="postgresql").render_as_string()
    password = {"PGPASSWORD": PASSWORDS["FORECASTING_DB_PASSWORD"]}
    grant = ["psql", "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", plain]
    with mock.patch.dict(os.environ, password):
        for _ in range(2):  # as at each start of the worker
            migrate.upgrade(plain)
            subprocess.run(
                [*grant, "--file", str(DEPLOY / "sql" / "roles.sql")], check=True, timeout=60
            )
    yield owner, arguments
    with postgres_server.connect() as connection:
        for name in ("forecasting", "prefect"):
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        for role in (
            "forecasting_nights",
            "forecasting_writer",
            "forecasting_reader",
            "forecasting",
            "prefect",
        ):
            connection.exec_driver_sql(f"DROP ROLE {role}")


def test_no_password_of_databases_sh_is_an_argument_or_in_the_server_s_log(
    deployed, postgres_server
):
    with postgres_server.connect() as connection:
        log = Path(str(connection.scalar(sa.text("SHOW data_directory"))), "log").read_text()
    assert "SET log_statement = 'none'" in log
    arguments = deployed[1].read_text()
    assert "--dbname postgres" in arguments
    assert not [word for word in PASSWORDS.values() if word in log + arguments]


def test_the_nights_role_runs_nights_and_backtests_but_neither_migrates_nor_rewrites(
    deployed, csv_of_bars, tmp_path, monkeypatch, plain_flows
):
    url = deployed[0].set(
        username="forecasting_nights", password=PASSWORDS["FORECASTING_NIGHTS_PASSWORD"]
    )
    text = url.render_as_string(hide_password=False)
    set_small_night(monkeypatch, tmp_path, text)
    night(LAST)
    with lock.night_lock(read_settings().url, "backtest"), connect.reading(text) as connection:
        assert connection.scalar(sa.text("SELECT status FROM night_log")) == "done"
    for statement in (
        "UPDATE runs SET code_version = 'x'",
        "ALTER TABLE runs ADD COLUMN x int",
        "CREATE TABLE x (x int)",
        "UPDATE alembic_version SET version_num = 'x'",
    ):
        assert refused(text, statement), statement
