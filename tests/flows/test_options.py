from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from flows import options
from forecasting.errors import UsageError
from forecasting.values import parse_mode


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


def test_an_unknown_target_is_refused_as_it_was_typed() -> None:
    with pytest.raises(UsageError, match=r"^Invalid --target 'volumes': expected volume, close or range.$"):
        options.use(target="volumes")


def test_prefects_log_lines_stay_off_the_terminal() -> None:
    os.environ.pop("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", None)
    options.quieten_nights()
    assert os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] == "CRITICAL"


def test_a_log_level_that_was_asked_for_is_kept() -> None:
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "DEBUG"
    options.quieten_nights()
    assert os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] == "DEBUG"


def test_a_date_is_parsed_and_one_that_was_not_given_is_none() -> None:
    assert (options.parse("2024-03-08"), options.parse(None)) == (date(2024, 3, 8), None)


@pytest.mark.parametrize("text", ["yesterday", "2024-02-30", ""])
def test_a_text_that_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="2024-03-08"):
        options.parse(text)


def test_an_unknown_mode_is_refused_by_name() -> None:
    assert parse_mode("warm") == "warm"
    with pytest.raises(UsageError, match="Invalid mode 'fast'"):
        parse_mode("fast")


def test_the_log_level_is_one_that_prefects_logging_reads() -> None:
    import yaml
    from prefect.logging.configuration import DEFAULT_LOGGING_SETTINGS_PATH

    options.quieten_nights()
    handlers = yaml.safe_load(DEFAULT_LOGGING_SETTINGS_PATH.read_text(encoding="utf-8"))["handlers"]
    prefix, suffix = "PREFECT_LOGGING_HANDLERS_", "_LEVEL"
    set_levels = [name for name in os.environ if name.startswith(prefix) and name.endswith(suffix)]
    assert set_levels
    assert {name.removeprefix(prefix).removesuffix(suffix).lower() for name in set_levels} <= set(handlers)
