import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import pytest

from flows import cli, daily, start
from flows.options import asked_symbols
from forecasting.errors import UsageError
from forecasting.settings import Outcomes, read_settings
from forecasting.store import migrate
from tests.builders import LAST, random_bars, write_yahoo_csv
from tests.flows import processes
from tests.nights import rows

DAILY = ["init", "run", "show", "digest", "report", "check", "serve"]
ADVANCED = "catch-up backtest verify export order mcp doctor settings models db"


def run(*words):
    """The exit code, standard output and standard error of a command, run in this process."""
    out = io.StringIO()
    err = io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["forecasting", *words]),
        mock.patch.dict(os.environ),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        cli.main()
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


@pytest.mark.parametrize("words", ["show", "check"])
def test_a_database_that_is_not_there_is_exit_code_1_and_makes_no_file(here, words):
    code, _, err = run(*words.split())
    assert code == 1
    assert f"There is no database at {here / 'data' / 'forecasting.db'}. `forecasting run`" in err
    assert list(here.iterdir()) == []


def test_a_run_whose_every_symbol_is_refused_makes_no_database(here):
    code, _, err = run("run", "--source", "sample", "--symbol", "KO,PEP")
    assert (code, list(here.iterdir())) == (2, [])
    assert err.startswith("2 of 2 failed. KO, PEP, the first: KO is not in the sample")


@pytest.mark.parametrize("command", ["run --as-of 2018-12-28", "catch-up", "serve"])
@pytest.mark.parametrize("option", ["--source", "--market", "--events"])
def test_a_file_that_is_not_there_is_exit_code_2_and_makes_no_database(here, command, option):
    words = f"{command} --source sample {option} csv:nofile.csv"
    code, _, err = run(*words.split())
    assert (code, list(here.iterdir())) == (2, [])
    assert err.startswith(f"Expected a file in {option[2:]}; found nothing at /")


def test_what_refuses_a_run_that_nobody_watches_is_sent(here, posted):
    migrate.upgrade(read_settings().url)
    assert run("run", "--source", "csv:nofile.csv")[0] == 2
    (sent,) = map(json.loads, posted)
    assert sent["title"] == "forecasting: SBUX volume: the run failed (night.failed)"
    assert sent["message"].startswith("The run of SBUX volume failed. Expected a file ")


def test_a_file_without_symbols_is_refused_for_several(here):
    write_yahoo_csv(random_bars(days=30, seed=3), here / "bars.csv")
    code, _, err = run("run", "--source", f"csv:{here / 'bars.csv'}", "--symbol", "SBUX,AAPL")
    assert (code, (here / "data").exists()) == (2, False)
    assert err.startswith(
        "Expected a column symbol in csv:bars.csv, the source of SBUX, AAPL; found none."
    )


def test_a_run_of_a_night_that_is_done_says_that_nothing_was_run(here):
    _, first, _ = run("run", "--source", "sample", "--symbol", "^GSPC")
    code, again, err = run("run", "--source", "sample", "--symbol", "^GSPC", "--mode", "scratch")
    assert (code, again) == (0, first)
    assert "Nothing new since the session 2018-12-31 of XNYS. No night was run.\n" in err
    (document,) = json.loads(run("show", "--symbol", "^GSPC", "--json")[1])
    assert document["origin_session"] == "2018-12-31"


def test_the_version_names_the_schema_and_a_downgrade_the_command_for_its_views(here):
    assert run("--version")[1].endswith(f"revision {migrate.head()}\n")
    run("db", "upgrade")
    assert "`forecasting db upgrade`" in run("db", "downgrade", "0016")[1]


@pytest.mark.parametrize(
    "words", [["run", "--source", " "], ["show", "--symbol="], ["serve", "--target", ""]]
)
def test_an_empty_value_is_refused(here, words):
    code, _, err = run(*words)
    assert code == 2
    assert f"Expected a value after {words[1].strip('=')}, found an empty text" in err


@pytest.mark.parametrize(
    ("words", "targets"),
    [
        ("--target range --target=volume", ("range", "volume")),
        ("--target volume,,range,volume", ("volume", "range")),
        ("--target all", ("volume", "range")),
    ],
)
def test_several_targets_of_options_override_the_variable(words, targets, monkeypatch):
    monkeypatch.setenv("FORECASTING_TARGETS", "range")
    found = []
    monkeypatch.setattr(start, "start_serving", lambda **_: found.append(read_settings().targets))
    assert run("serve", *words.split())[0] == 0
    assert found == [targets]


def test_init_writes_a_file_that_the_next_command_reads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("init", "--symbol", "SBUX", "--target", "range")
    file = tmp_path / "forecasting.toml"
    assert (code, out) == (0, f"{file}\n")
    # Also the default is written
    lines = [line for line in file.read_text().splitlines() if line[:1] not in ("", "#")]
    assert lines == ['symbols = ["SBUX"]', 'targets = ["range"]']
    found = json.loads(run("settings", "--json")[1])
    wanted = {"symbols": ["SBUX"], "targets": ["range"], "data_dir": f"{tmp_path}/forecasting-data"}
    assert found | wanted == found


def test_ctrl_c_says_how_to_continue(monkeypatch):
    monkeypatch.setattr(daily, "settings", mock.Mock(side_effect=KeyboardInterrupt))
    assert run("show")[::2] == (130, "Stopped; run the same command to continue.\n")


@pytest.mark.parametrize("command", [*DAILY, *ADVANCED.split()])
def test_a_command_has_its_own_help(command):
    code, out, _ = run(command, "--help")
    assert (code, "Usage" in out) == (0, True)
    # --as-of of the others has a session
    assert ("as they are now" in " ".join(out.split())) == (command == "export")


def test_a_backtest_writes_the_documented_keys(here):
    out = here / "result.json"
    words = "backtest --source sample --symbol ^GSPC --target volume --from 2018-12-10 --workers 1"
    words += f" --to 2018-12-20 --refit-every 5 --out {out}"
    code, shown, _ = run(*words.split())
    assert (code, "horizon" in shown) == (0, True)
    document = json.loads(out.read_text(encoding="utf-8"))
    about = "symbol target from to origins refits nights seconds overall horizons"
    assert set(document) == {*about.split(), "totals", "earnings_dates", "next_session"}
    compared = "nights mae mae_share coverage_80 leads over_limit verdict"
    assert [*document["next_session"]] == compared.split()
    figures = "mae baselines pinball reference reference_skill"
    figures += " reference_p_value coverage_80 coverage_90 r2_dollar_volume r2_baselines"
    for found in (document["overall"], *document["horizons"].values()):
        assert set(found) == set(figures.split())
    assert (*document["horizons"], *document["totals"]) == (*"12345", *"2345")
    assert (document["origins"], document["refits"]) == (9, 2)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("backtest --source sample --symbol KO,PEP", 2),
        ("order --symbol KO --shares 3e6", 1),
        ("show --symbol KO,PEP", 1),
    ],
)
def test_a_command_whose_every_symbol_fails_prints_no_json(words, code):
    migrate.upgrade(read_settings().url)
    ended, out, err = run(*words.split(), "--json")
    assert (ended, out, "KO" in err) == (code, "", True)


@pytest.mark.parametrize("first", ["--symbol", "--symbols-file"])
def test_given_options_override_the_environment_and_others_leave_it(first, tmp_path, monkeypatch):
    (tmp_path / "list.txt").write_text("MSFT\nAAPL # apples\n", encoding="utf-8")
    os.environ |= {"FORECASTING_TARGETS": "volume", "FORECASTING_SOURCE": "yahoo"}
    found = {}
    monkeypatch.setattr(daily, "settings", lambda: sys.exit(found.update(os.environ)))
    given = {"--symbol": "SBUX,MSFT", "--symbols-file": str(tmp_path / "list.txt")}
    words = [first, given.pop(first), *next(iter(given.items())), "--target", "range"]
    assert run("show", *words)[0] == 0
    names = ("SYMBOLS", "TARGETS", "SOURCE")
    assert [found[f"FORECASTING_{name}"] for name in names] == ["SBUX,MSFT,AAPL", "range", "yahoo"]


def test_what_stopped_a_symbol_is_said_after_the_others_are_shown(monkeypatch):
    outcomes = Outcomes({"SBUX": "all the same"}, {"BAD": UsageError("no such symbol")})
    monkeypatch.setattr("forecasting.audit.verify.verify", lambda *_, **__: outcomes)
    failed = (1, "all the same\n", "1 of 2 failed. BAD: no such symbol\n")
    assert run("verify") == failed


IMPORTED = """
import sys
from flows import cli
try:
    cli.main()
finally:
    heavy = "torch", "prefect", "yfinance", "sklearn", "pandas", "sqlalchemy", "pydantic", "arch", "exchange_calendars"
    print("imported", *[name for name in heavy if name in sys.modules])
"""


def imported(*words):
    """Which large packages a command has imported."""
    command = [sys.executable, "-W", "ignore", "-c", IMPORTED, *words]
    ended = subprocess.run(
        command, capture_output=True, text=True, cwd=processes.ROOT, env=dict(os.environ)
    )
    assert ended.returncode == 0, ended.stderr
    return set(ended.stdout.splitlines()[-1].split()[1:])


@pytest.mark.slow
def test_help_imports_nothing_large_and_a_night_and_a_catch_up_without_a_server_no_prefect(
    night_folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "no-prefect"))
    assert imported("--help") == set()
    assert imported("run", "--as-of", str(LAST)) & {"torch", "prefect"} == {"torch"}
    assert not imported("catch-up", "--from", str(LAST), "--to", str(LAST)) & {"torch", "prefect"}
    (run,) = rows("runs")
    assert (run["status"], run["trigger"], run["flow_run_id"]) == ("done", "run", None)


@pytest.mark.parametrize("name", [".env", "prefect.toml", "pyproject.toml", "link"])
def test_a_file_of_another_user_in_the_working_folder_is_passed_over_or_refused_before_prefect_reads_it(
    name, tmp_path, monkeypatch
):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "prefect")
    file = tmp_path / (".env" if name == "link" else name)
    if name == "link":  # to a file of ours: a log, say, that has others' text
        file.symlink_to(Path(__file__))
    else:
        file.touch()
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    if file.lstat().st_uid == 0:
        os.chown(file, 4243, -1, follow_symlinks=False)
    assert not start.has_server()
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    with pytest.raises(UsageError, match=rf"found {re.escape(str(file))} of another user"):
        start.has_server()
    assert "prefect" not in sys.modules


def test_a_command_reads_its_arguments_as_they_were_given(monkeypatch):
    given = ["forecasting", "order", "--orders", "csv:/book:mon.csv"]
    monkeypatch.setattr(sys, "argv", given)
    read = []
    cli.main(lambda: read.extend(sys.argv))
    assert read == given


@pytest.mark.parametrize("cron", ["nightly", "0 0-99 * * *"])
def test_a_schedule_that_prefect_refuses_is_refused_by_serve(cron, here, sqlite_url, monkeypatch):
    for name, value in {"CRON": cron, "DATABASE_URL": sqlite_url}.items():
        monkeypatch.setenv(f"FORECASTING_{name}", value)
    monkeypatch.setenv("PREFECT_HOME", "x")
    words = re.escape(f"Invalid FORECASTING_CRON '{cron}': expected five fields")
    with pytest.raises(UsageError, match=words):
        start.start_serving(mode="auto", switch_source=False)


def test_symbols_are_those_named_and_those_of_the_file_each_once(tmp_path):
    file = tmp_path / "list.txt"
    file.write_bytes("\ufeff# my list\nSBUX\r\n\n  brk-b # B shares\n^GSPC\n".encode())
    assert asked_symbols(["msft,SBUX", "AAPL"], file) == ["MSFT", "SBUX", "AAPL", "BRK-B", "^GSPC"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"SBUX\nsb/x\n", "line 2: Invalid symbol 'sb/x'"),
        (b"SBUX MSFT\n", "line 1: Invalid symbol 'SBUX MSFT'"),
        (b"# nothing\n\n", "found none"),
        (b"\xff\xfe\x00", "no UTF-8"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_that_is_no_list_of_symbols_is_refused(tmp_path, content, message):
    file = tmp_path / "list.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        asked_symbols([], file)
