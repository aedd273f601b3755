import logging
import sys
from dataclasses import replace
from datetime import date

import pytest

from flows import clock
from flows.reporting import last_state, readable_errors
from forecasting.errors import (
    DataLateError,
    ForecastingError,
    HistoryError,
    NoBarError,
    SymbolsFailedError,
    UsageError,
)
from forecasting.night.night import Night
from forecasting.settings import Settings

SETTINGS = Settings(symbols=("AAA", "BAD"))


def a_night(symbol="AAA", *, error=None):
    night = Night(date(2024, 3, 8), SETTINGS.for_symbol(symbol), clock.now, error=error)
    return replace(night, is_done=error is None)


NO_ROWS = HistoryError("no rows")
NO_SESSION = UsageError("no such session")
NO_BAR = NoBarError("no session")
LATE = DataLateError("no bar yet")
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
            [a_night(error=LATE), a_night("BAD")],
            SETTINGS,
            "Stale",
            "1 of 2 failed. AAA: no bar yet 2 symbols: 2 done.",
        ),
        ([a_night(error=NO_BAR)], SETTINGS, "Completed", "Nothing new."),
        ([], SETTINGS, "Completed", "Nothing new."),
    ],
)
def test_the_last_state_of_a_run_says_what_became_of_its_nights(nights, settings, name, message):
    state = last_state(nights, settings, done="2 symbols: 2 done.", nothing=lambda: "Nothing new.")
    assert state.name == name
    assert str(state.message).startswith(message)
    assert state.is_failed() == name.endswith("Failed")
    assert state.is_cancelled() == (name == "Stale")  # grey in Prefect's list, not green
    failure = UsageError if settings is ONE else SymbolsFailedError
    assert isinstance(state.data, failure) == (state.is_failed() or name == "Stale")
    if name == "Completed":
        assert state.data == ([night.id for night in nights if night.is_done] or None)


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


def test_the_traceback_of_an_error_that_is_not_ours_is_one_log_line_cleaned(caplog):
    with readable_errors():
        pass
    assert record_of(ForecastingError("ours")).exc_info is None
    assert caplog.records == []
    record = record_of(ZeroDivisionError("of postgresql://me:geheim@host/d\x1b"))
    assert (record.exc_info, "ZeroDivisionError" in record.getMessage()) == (None, True)
    (logged,) = caplog.records
    assert logged.getMessage().splitlines()[0] == "Traceback (most recent call last):"
    assert "ZeroDivisionError: of postgresql://me:***" in logged.getMessage()
