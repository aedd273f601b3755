"""A database's password is neither asked for on the command line nor repeated, and a file may hold it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from flows import cli
from forecasting.errors import UsageError
from forecasting.settings import read_settings
from tests.flows.test_cli import run

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the environment is restored after the test."""
    monkeypatch.setattr(os, "environ", os.environ.copy())


@pytest.mark.parametrize(
    ("url", "has_password"),
    [
        (f"postgresql://me:{SECRET}@127.0.0.1/forecasting", True),
        (f"postgresql+psycopg://me:{SECRET}/x@db:5432/forecasting", True),
        (f"postgresql://me@db/forecasting?password={SECRET}", True),
        (f"postgresql://me@db/forecasting?sslmode=require&sslpassword={SECRET}", True),
        ("sqlite:////tmp/a:b@c/x.db", False),
        ("postgresql://me@127.0.0.1:5432/forecasting", False),
    ],
)
def test_a_password_on_the_command_line_is_warned_about_on_stderr_without_repeating_it(
    url: str, has_password: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_force: list[str | None] = []
    monkeypatch.setattr(cli, "settings", lambda: sys.exit(in_force.append(os.environ["FORECASTING_DATABASE_URL"])))
    code, out, err = run("check", "--database-url", url)
    assert (code, out, err.count("\n"), in_force) == (0, "", has_password, [url])
    assert ("--database-url contains a password" in err) == has_password
    assert SECRET not in err


URL = f"postgresql://me:{SECRET}@db.example/forecasting"


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--symbol", URL],
        ["run", "--symbols-file", URL],
        ["run", "--as-of", URL],
        ["run", URL],
        [URL],
        ["db", "upgrade", URL],
        ["show", f"--cost-ratio={URL}"],
        ["backtest", URL, "--from", "2023-01-03", "--to", "2023-12-29"],
        ["export", URL, "--out", "x.csv"],
    ],
)
def test_a_url_in_the_wrong_place_is_refused_without_its_password(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(*words)
    assert code == 2
    assert "postgresql:" in err
    assert SECRET not in out + err


@pytest.mark.parametrize("name", ["SYMBOLS", "TARGET", "EXCHANGE", "TRAIN_SESSIONS", "CRON", "RUNNER"])
def test_a_variable_that_has_a_url_is_refused_without_its_password(name: str) -> None:
    os.environ[f"FORECASTING_{name}"] = URL
    with pytest.raises(UsageError, match="postgresql:") as refused:
        read_settings()
    assert SECRET not in str(refused.value)


def test_the_url_can_come_from_a_secret_file_and_the_option_overrides_it(tmp_path: Path) -> None:
    (tmp_path / "forecasting_database_url").write_text(f"postgresql://me:{SECRET}@db/forecasting\n")
    os.environ["FORECASTING_SECRETS_DIR"] = str(tmp_path)
    assert read_settings().url == f"postgresql+psycopg://me:{SECRET}@db/forecasting"
    assert SECRET not in repr(read_settings()) + read_settings().model_dump_json()
    elsewhere = read_settings().model_copy(update={"data_dir": tmp_path, "database_url": None})  # as `replay` does
    assert elsewhere.url == f"sqlite:///{tmp_path}/forecasting.db"
    os.environ["FORECASTING_DATABASE_URL"] = "sqlite:////tmp/other.db"  # as the option does
    assert read_settings().url == "sqlite:////tmp/other.db"


@pytest.mark.parametrize("content", [b"\xff\xfe" + SECRET.encode(), None])
def test_secrets_that_cannot_be_read_are_refused_without_quoting_them(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "forecasting_database_url").write_bytes(content)
    os.environ["FORECASTING_SECRETS_DIR"] = str(tmp_path if content else tmp_path / "nowhere")
    with pytest.raises(UsageError, match="Expected FORECASTING_SECRETS_DIR to be a folder") as refused:
        read_settings()
    assert SECRET not in str(refused.value)
