from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from flows import cli, options
from tests.flows.test_cli import run


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's environment, put back after the test."""
    monkeypatch.setattr(os, "environ", dict(os.environ))


@pytest.mark.parametrize("first", ["--symbol", "--symbols-file"])
def test_given_options_override_the_environment_and_others_leave_it(
    first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "list.txt").write_text("MSFT\nAAPL # apples\n", encoding="utf-8")
    os.environ |= {"FORECASTING_TARGET": "close", "FORECASTING_SOURCE": "yahoo"}
    found: dict[str, str | None] = {}
    monkeypatch.setattr(cli, "settings", lambda: sys.exit(found.update(os.environ)))
    given = {"--symbol": "SBUX,MSFT", "--symbols-file": str(tmp_path / "list.txt")}
    words = [first, given.pop(first), *next(iter(given.items())), "--target", "range"]
    assert run("init", *words)[0] == 0
    names = ("SYMBOLS", "TARGET", "SOURCE")
    assert [found[f"FORECASTING_{name}"] for name in names] == ["SBUX,MSFT,AAPL", "range", "yahoo"]


def test_a_log_level_that_was_asked_for_is_kept() -> None:
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "DEBUG"
    options.quieten_nights()
    assert os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] == "DEBUG"
