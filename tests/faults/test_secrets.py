"""Secrets in variables that may hold one, and where none belongs.

No output, log, file, table or artifact has them.

Nor has the command line of a process; a password in an option is warned about, and a file may hold
it.
"""

import logging
import os
import traceback
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

import forecasting as fc
from flows import clock
from flows.start import start_night
from forecasting.errors import ForecastingError, UsageError
from forecasting.publish import pages
from forecasting.report.page import render_page
from forecasting.settings import read_settings
from forecasting.store import connect
from tests.builders import LAST, random_bars, set_small_night, write_yahoo_csv
from tests.flows.test_cli import run

AT = datetime(2024, 3, 9, 10, 30, tzinfo=UTC)
CANARIES = [f"canary{number}" for number in range(6)]
"""In the database's password, its option, the webhook, the mail address, three keys and a password
of Prefect's."""

COMMANDS = """
run
run --json
run --source csv:missing.csv
run --source csv:broken.csv
run --as-of 2024-03-10
show --json
digest --format html
check
report --out page.html
report --out /proc/page.html
export history --out x.csv
models show nothing
models withdraw nothing
settings --json
db upgrade
doctor
check --notify
run --database-url postgresql://u:canary0@127.0.0.1:1/x?connect_timeout=1
run --database-url postgresql://u:canary0@127.0.0.1:1/x?canary1=canary1
show --database-url mysql://u:canary0@h/x
show --database-url postgresql://u@127.0.0.1:1/x?password=canary0
show --database-url postgresql://u@127.0.0.1:1/x?sslmode=require&sslpassword=canary0
check --database-url postgresql://u:canary0@a:canary1@h/x
check --database-url sqlite:///a:b@c/x.db
check --database-url postgresql://u@127.0.0.1:1/x
"""
URL = "postgresql://u:canary0@h/x"
MISPLACED = f"""
run --symbol {URL}
run --symbols-file {URL}
run --as-of {URL}
run {URL}
{URL}
db upgrade {URL}
show --cost-ratio={URL}
backtest {URL} --from 2023-01-03 --to 2023-12-29
export {URL} --out x.csv
"""


@pytest.fixture
def secrets(postgres_url, tmp_path, monkeypatch):
    """A small night's settings with a canary in every secret; the database's URL."""
    write_yahoo_csv(random_bars(days=650, seed=3, last=LAST), tmp_path / "TEST.csv")
    (tmp_path / "broken.csv").write_text("Date,Open\nx,y\n")
    with_password = (
        sa.make_url(postgres_url).set(password=CANARIES[0]).render_as_string(hide_password=False)
    )
    set_small_night(monkeypatch, tmp_path, with_password)
    monkeypatch.setattr(pages, "render_page", render_page)
    mail = "mailto://u:canary3@127.0.0.1:1?from=a@example.org&to=d@example.org"
    monkeypatch.setenv("FORECASTING_NOTIFY", f"json://127.0.0.1:1/canary2 {mail}")
    monkeypatch.setenv("FORECASTING_DB_PASSWORD", "canary4")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:canary5")
    monkeypatch.setattr(clock, "now", lambda: AT)
    monkeypatch.chdir(tmp_path)
    return with_password


def found_in(text):
    return [canary for canary in CANARIES if canary in text]


def check_left_behind(*folders):
    """No file of the folders, no value of the ledger and no command line of this machine has a
    canary."""
    for folder in folders:
        for path in (path for path in folder.rglob("*") if path.is_file()):
            assert found_in(path.read_bytes().decode("latin-1")) == [], path
            assert found_in(path.name) == []
    with connect.reading(read_settings().url) as connection:
        names = sa.inspect(connection).get_table_names()
        assert "forecasts" in names
        for name in names:
            rows = connection.execute(sa.text(f'SELECT * FROM "{name}"')).fetchall()
            assert found_in(str(rows)) == [], name
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert found_in(process.read_text(errors="replace")) == [], process
        except OSError:  # it has ended
            continue


def test_no_command_shows_or_keeps_a_secret(secrets, plain_flows, tmp_path, capfd, caplog):
    caplog.set_level(logging.DEBUG)
    codes = []
    for command in filter(None, (COMMANDS + MISPLACED).splitlines()):
        code, out, err = run(*command.split())
        codes.append(code)
        assert found_in(out + err) == [], command
        has_password = "-url" in command and "canary" in command
        assert ("--database-url contains a password" in err) == has_password, command
        if command in MISPLACED.splitlines():
            assert (code, "postgresql:" in err) == (2, True), command
        else:  # it has not ended before what it is here for
            assert "does not expect" not in err, command
    assert (codes[0], {1, 2} <= set(codes)) == (0, True)
    assert found_in("".join([caplog.text, *capfd.readouterr()])) == []
    check_left_behind(tmp_path)


def test_no_error_and_no_text_of_the_settings_has_a_secret(secrets):
    local = "postgresql://u@127.0.0.1:1"
    for url in (
        secrets,
        *(secrets.replace("canary0", f"canary0{sign}") for sign in "@/:?#%"),
        f"x{secrets}",
        "postgresql://u@127.0.0.1:canary0/x",
        f"{local}/x?password=canary0",
        "mysql://u:canary0@h/x",
        "canary0",
    ):
        for port in ("", "?port=1&connect_timeout=1"):
            try:
                fc.connect(url + port).latest("TEST")
            except (ForecastingError, ValueError) as error:
                shown = "".join([repr(error), *traceback.format_exception(error)])
                assert found_in(shown) == [], url
    assert found_in(repr(read_settings()) + read_settings().model_dump_json()) == []


def test_a_night_through_prefect_leaves_no_secret_in_its_database(
    secrets, prefect_server, tmp_path, monkeypatch
):
    start_night(as_of=LAST, mode="auto", switch_source=False)
    monkeypatch.setenv("FORECASTING_SOURCE", f"csv:{tmp_path / 'broken.csv'}")
    with pytest.raises(ForecastingError) as failed:
        start_night(as_of=LAST, mode="scratch", switch_source=True)
    assert found_in(str(failed.value)) == []
    home = Path(os.environ["PREFECT_HOME"])
    assert list(home.rglob("*.db"))
    check_left_behind(tmp_path, home)


@pytest.mark.parametrize("name", ["SYMBOLS", "TARGETS", "EXCHANGE", "WORKERS", "RUNNER"])
def test_a_variable_that_has_a_url_is_refused_without_its_password(name):
    os.environ[f"FORECASTING_{name}"] = URL
    with pytest.raises(UsageError, match="postgresql:") as refused:
        read_settings()
    assert found_in(str(refused.value)) == []


def test_the_url_can_come_from_a_secret_file_and_the_option_overrides_it(tmp_path):
    (tmp_path / "forecasting_database_url").write_text(f"{URL}\n")
    os.environ["FORECASTING_SECRETS_DIR"] = str(tmp_path)
    assert read_settings().url == "postgresql://u:canary0@h/x"
    assert found_in(repr(read_settings()) + read_settings().model_dump_json()) == []
    # As `verify` does
    elsewhere = read_settings().model_copy(update={"data_dir": tmp_path, "database_url": None})
    assert elsewhere.url == f"sqlite:///{tmp_path}/forecasting.db"
    os.environ["FORECASTING_DATABASE_URL"] = "sqlite:////tmp/other.db"  # as the option does
    assert read_settings().url == "sqlite:////tmp/other.db"


@pytest.mark.parametrize("content", [b"\xff\xfecanary0", None])
def test_secrets_that_cannot_be_read_are_refused_without_quoting_them(tmp_path, content):
    if content is not None:
        (tmp_path / "forecasting_database_url").write_bytes(content)
    os.environ["FORECASTING_SECRETS_DIR"] = str(tmp_path if content else tmp_path / "nowhere")
    with pytest.raises(
        UsageError, match="Expected FORECASTING_SECRETS_DIR to be a folder"
    ) as refused:
        read_settings()
    assert found_in(str(refused.value)) == []
