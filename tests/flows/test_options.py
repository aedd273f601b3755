from __future__ import annotations

import os
from pathlib import Path

import pytest

from flows import options


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's environment, put back after the test."""
    monkeypatch.setattr(os, "environ", dict(os.environ))


def test_given_options_override_the_environment_and_others_leave_it() -> None:
    os.environ |= {"FORECASTING_TARGET": "close", "FORECASTING_SOURCE": "yahoo"}
    options.use(["SBUX", "MSFT"], target="range", source=None)
    found = {name: os.environ.get(f"FORECASTING_{name}") for name in ("SYMBOLS", "TARGET", "SOURCE")}
    assert found == {"SYMBOLS": "SBUX,MSFT", "TARGET": "range", "SOURCE": "yahoo"}


def test_symbols_of_a_file_come_after_those_named(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("MSFT\nAAPL # apples\n", encoding="utf-8")
    options.use(["SBUX,MSFT"], tmp_path / "list.txt")
    assert os.environ["FORECASTING_SYMBOLS"] == "SBUX,MSFT,AAPL"


def test_a_log_level_that_was_asked_for_is_kept() -> None:
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "DEBUG"
    options.quieten_nights()
    assert os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] == "DEBUG"
