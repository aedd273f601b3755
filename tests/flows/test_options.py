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


def test_the_log_level_is_one_that_prefects_logging_reads() -> None:
    import yaml
    from prefect.logging.configuration import DEFAULT_LOGGING_SETTINGS_PATH

    options.quieten_nights()
    handlers = yaml.safe_load(DEFAULT_LOGGING_SETTINGS_PATH.read_text(encoding="utf-8"))["handlers"]
    prefix, suffix = "PREFECT_LOGGING_HANDLERS_", "_LEVEL"
    set_levels = [name for name in os.environ if name.startswith(prefix) and name.endswith(suffix)]
    assert set_levels
    assert {name.removeprefix(prefix).removesuffix(suffix).lower() for name in set_levels} <= set(handlers)
