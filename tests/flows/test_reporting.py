import json
import logging
import os
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import pytest
from prefect.logging.handlers import PrefectConsoleHandler

from flows import clock, reporting
from flows.nightly import nightly
from flows.reporting import last_state, readable_errors
from forecasting.errors import (
    ForecastingError,
    HistoryError,
    NoBarError,
    SymbolsFailedError,
    UsageError,
)
from forecasting.night.night import Night, make_night
from forecasting.settings import Settings
from tests.report.nights import ORIGIN

FLOW_RUN = SimpleNamespace(id="a", expected_start_time=None, state=None)


def test_a_page_of_outcomes_that_cannot_be_added_is_a_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(reporting, "flow_run", lambda: FLOW_RUN)
    night = make_night("SBUX", ORIGIN, Settings(), now=clock.now)
    # There is no database
    assert reporting.publish_outcomes(Settings(data_dir=tmp_path), [night]) == ""
    (warned,) = caplog.messages
    assert warned.startswith("the page of the run was not made: ")


SETTINGS = Settings(symbols=("AAA", "BAD"))
NOTE = "The bar is missing."


def a_night(symbol="AAA", *, error=None):
    night = Night(date(2024, 3, 8), SETTINGS.for_symbol(symbol), clock.now, error=error)
    return replace(night, is_done=error is None)


NO_ROWS = HistoryError("no rows")
NO_SESSION = UsageError("no such session")
NO_BAR = NoBarError("Another.")
ONE = SETTINGS.for_symbol("AAA")


@pytest.mark.parametrize(
    ("nights", "settings", "name", "message"),
    [
        ([a_night()], SETTINGS, "Completed", "2 symbols: 2 done."),
        (
            [a_night(), a_night("BAD", error=NO_ROWS)],
            SETTINGS,
            "PartlyFailed",
            "1 of 2 failed. BAD",
        ),
        (
            [a_night(error=NO_ROWS), a_night("BAD", error=NO_SESSION)],
            SETTINGS,
            "Failed",
            "2 of 2 failed.",
        ),
        ([a_night(error=NO_SESSION)], ONE, "Failed", "no such session"),
        (
            [a_night(error=NoBarError(NOTE)), a_night(error=NO_BAR)],
            SETTINGS,
            "Stale",
            f"{NOTE} Another. 2 symbols: 2 done.",
        ),
        ([], SETTINGS, "Skipped", "Nothing new."),
    ],
)
def test_the_last_state_of_a_run_says_what_became_of_its_nights(nights, settings, name, message):
    state = last_state(nights, settings, done="2 symbols: 2 done.", nothing=lambda: "Nothing new.")
    assert state.name == name
    assert str(state.message).startswith(message)
    assert state.is_failed() == name.endswith("Failed")
    failure = UsageError if settings is ONE else SymbolsFailedError
    assert isinstance(state.data, failure) == state.is_failed()
    if name == "Completed":
        assert state.data == [night.id for night in nights]


def record_of(error):
    """A log record with the error's traceback, after the filters of Prefect's logger of flow runs."""
    logger = logging.getLogger("prefect.flow_runs")
    try:
        raise error
    except Exception:
        record = logger.makeRecord(
            logger.name, logging.ERROR, __file__, 1, "failed", (), sys.exc_info()
        )
    assert logger.filter(record)
    return record


def test_errors_are_logged_without_a_traceback_and_others_than_ours_name_its_file(
    tmp_path, monkeypatch
):
    (tmp_path / "forecasting.toml").write_text("")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    with readable_errors():
        pass
    assert record_of(ForecastingError("ours")).exc_info is None
    record = record_of(ZeroDivisionError("theirs"))
    (kept,) = (tmp_path / "forecasting-data" / "errors").iterdir()
    assert record.exc_info is None
    assert str(kept) in record.getMessage()


def test_a_line_that_nobody_reads_any_more_ends_no_thread_of_a_night(tmp_path, monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    root = logging.getLogger()
    with (tmp_path / "stdout").open("w") as out, os.fdopen(writer, "w", encoding="utf-8") as lines:
        monkeypatch.setattr(sys, "stdout", out)  # which Rich closes
        handler = PrefectConsoleHandler(stream=lines)
        monkeypatch.setattr(root, "handlers", [handler])
        with readable_errors():
            for text in ("the worker was killed", "and the night goes on"):
                logging.getLogger("forecasting.night").info(text)
        assert root.handlers != [handler]
        assert handler.console.quiet
        with suppress(BrokenPipeError):  # what is still buffered
            lines.close()


@pytest.mark.usefixtures("prefect_server")
def test_a_failed_night_is_sent_with_its_error_and_the_page_of_its_run(night_folder, posted):
    with pytest.raises(UsageError):
        nightly(as_of=date(2024, 3, 9))
    (message,) = map(json.loads, posted)
    assert message["title"] == "forecasting: 1 failed, no volume forecast"
    assert "- TEST volume: failed. " in message["message"]
    assert "found 2024-03-09, a Saturday" in message["message"]
    assert "/v2/runs/flow-run/" in message["message"].splitlines()[-1]
