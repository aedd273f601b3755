from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import pytest

from flows import cli
from forecasting import __version__

COMMANDS = ("run", "ingest", "catch-up", "backtest", "show", "report", "models", "db", "check", "serve", "article")
COMMANDS += ("doctor", "settings", "export", "digest", "mcp")
ROOT = Path(__file__).resolve().parents[2]


def run(*words: str) -> tuple[int, str, str]:
    """The exit code, standard output and standard error of a command, run in this process."""
    out, err = io.StringIO(), io.StringIO()
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
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    assert "Usage" in out
    assert ("as they are now" in " ".join(out.split())) == (command == "export")  # --as-of of the others has a session


@pytest.mark.parametrize(("option", "shown"), [("--help", "Usage"), ("--version", f"forecasting {__version__}\n")])
def test_help_and_version_import_nothing_heavy(option: str, shown: str) -> None:
    heavy = [
        "torch", "prefect", "yfinance", "sklearn", "pandas", "sqlalchemy", "pydantic", "arch", "exchange_calendars",
    ]  # fmt: skip
    script = f"""import sys, flows.cli
try:
    sys.argv = ["forecasting", {option!r}]
    flows.cli.main()
finally:
    sys.stderr.write(repr([name for name in {heavy!r} if name in sys.modules]))"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert shown in found.stdout
    assert found.stderr == "[]"


def test_imports_are_hardly_searched_for_garbage() -> None:
    script = """import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count()))  # the last of those that a process calls as it ends
import flows, pandas
print(*(of["collections"] for of in gc.get_stats()))"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    young, _, old, frozen = map(int, found.stdout.split())
    assert young < 100
    assert old == 0
    assert frozen > 10_000


def test_a_seed_that_torch_cannot_take_is_refused_at_once() -> None:
    code, _, err = run("article", "--seed", str(2**63))
    assert (code, "'--seed'" in err) == (2, True)


def test_a_database_that_is_not_there_is_exit_code_1_and_makes_no_file(here: Path) -> None:
    for words in (("show",), ("db", "current")):
        code, _, err = run(*words)
        assert code == 1
        assert f"There is no database at {here / 'data' / 'forecasting.db'}. `forecasting db upgrade` creates it" in err
        assert not (here / "data").exists()


def test_a_run_makes_its_sqlite_database_and_says_where(here: Path) -> None:
    for created in (True, False):
        code, _, err = run("run", "--source", "csv:/nowhere.csv")
        assert code == 2
        assert (f"Created the database {here / 'data' / 'forecasting.db'}\n" in err) is created
    assert run("db", "current")[0] == 0


def test_init_writes_a_file_that_the_next_command_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("init", "--symbol", "MSFT", "--target", "range")
    assert (code, out) == (0, f"{tmp_path / 'forecasting.toml'}\n")
    _, out, _ = run("settings", "--json")
    found = json.loads(out)
    assert (found["symbols"], found["target"], found["data_dir"]) == (["MSFT"], "range", f"{tmp_path}/forecasting-data")


def test_ctrl_c_says_how_to_continue(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "settings", interrupted)
    code, _, err = run("show")
    assert (code, err) == (130, "Stopped; run the same command to continue.\n")


def test_the_help_has_every_command_in_one_of_two_groups() -> None:
    _, out, _ = run("--help")
    daily, advanced = out.partition("Every day:")[2].split("Advanced:")
    named = [[line.split()[0] for line in group.splitlines() if line.startswith("  ")] for group in (daily, advanced)]
    assert named[0] == list(cli.DAILY)
    assert set(COMMANDS) <= {*named[0], *named[1]}


@pytest.mark.parametrize("content", ["", "Date,Open\n2024-03-08,1\n", "not a table at all"])
def test_a_file_without_bars_is_refused_with_a_paragraph(here: Path, content: str) -> None:
    (here / "BAD.csv").write_text(content, encoding="utf-8")
    run("db", "upgrade")
    code, _, err = run("run", "--source", f"csv:{here / 'BAD.csv'}")
    assert code == 1
    assert "BAD.csv" in err
    assert len(err.strip().splitlines()) == 1


def test_settings_are_printed_without_the_password(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECASTING_DATABASE_URL", "postgresql://u:hunter2@localhost/d")
    code, out, _ = run("settings", "--json")
    assert code == 0
    assert "hunter2" not in out
    assert json.loads(out)["target"] == "volume"


def test_check_exits_with_4_when_nothing_is_fresh(here: Path) -> None:
    run("db", "upgrade")
    code, _, err = run("check")
    assert code == 4
    assert "no live volume forecast" in err


def test_a_backtest_writes_the_documented_keys(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECASTING_MEMBERS", "1")
    monkeypatch.setenv("FORECASTING_TRAIN_SESSIONS", "320")
    out = here / "result.json"
    words = ["backtest", "--source", "sample", "--symbol", "^GSPC", "--target", "volume", "--from", "2018-11-01"]
    words += ["--to", "2018-12-20", "--refit-every", "21", "--out", str(out), "--workers", "1"]
    code, shown, _ = run(*words)
    assert code == 0
    document = json.loads(out.read_text(encoding="utf-8"))
    keys = {"mae", "mae_naive", "baselines", "best_baseline", "skill_vs_naive", "skill_vs_best", "dm_p_value"}
    keys |= {"pinball", "coverage_80", "coverage_90", "r2_dollar_volume", "r2_baselines"}
    about = {"symbol", "target", "from", "to", "origins", "refits", "seconds", "confidence_set", "earnings_dates"}
    assert {*document} == about | {"overall", "horizons"}
    assert set(document["overall"]) == keys
    assert {horizon: set(figures) for horizon, figures in document["horizons"].items()} == {
        str(h): keys for h in range(1, 6)
    }
    assert (document["origins"], document["refits"]) == (34, 2)
    assert "horizon" in shown
