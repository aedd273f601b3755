from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from prefect.logging.handlers import PrefectConsoleHandler

from flows.operations.logs import readable_errors
from forecasting.errors import ForecastingError, UnexpectedError, UsageError


@pytest.fixture
def library() -> Iterator[logging.Logger]:
    """The library's logger at WARNING, and afterwards as it was."""
    logger = logging.getLogger("forecasting")
    level = logger.level
    logger.setLevel(logging.WARNING)
    yield logger
    logger.setLevel(level)


def record_of(error: Exception) -> logging.LogRecord:
    """A log record with the error's traceback, after the filters of Prefect's logger of flow runs."""
    logger = logging.getLogger("prefect.flow_runs")
    try:
        raise error
    except Exception:
        record = logger.makeRecord(logger.name, logging.ERROR, __file__, 1, "failed", (), sys.exc_info())
    assert logger.filter(record)
    return record


def test_info_of_the_library_is_recorded_within_the_block_alone(library: logging.Logger) -> None:
    with readable_errors():
        assert library.isEnabledFor(logging.INFO)
    assert not library.isEnabledFor(logging.INFO)


def test_the_level_is_restored_after_an_error(library: logging.Logger) -> None:
    with pytest.raises(UsageError), readable_errors():
        raise UsageError("seeded")
    assert library.level == logging.WARNING


def test_errors_are_logged_without_a_traceback_and_others_than_ours_name_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path))
    with readable_errors():
        pass
    assert record_of(ForecastingError("ours")).exc_info is None
    record = record_of(ZeroDivisionError("theirs"))
    (kept,) = (tmp_path / "errors").iterdir()
    assert record.exc_info is None
    assert str(kept) in record.getMessage()


def test_an_error_that_is_not_ours_leaves_the_block_as_one_that_names_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path))
    with (
        pytest.raises(UnexpectedError, match=r"\(ZeroDivisionError: theirs\)\. Its traceback is in "),
        readable_errors(),
    ):
        raise ZeroDivisionError("theirs")


def test_a_second_block_adds_no_second_filter() -> None:
    logger = logging.getLogger("prefect.task_runs")
    with readable_errors():
        before = list(logger.filters)
    with readable_errors():
        assert logger.filters == before


def test_a_line_that_nobody_reads_any_more_ends_no_thread_of_a_night() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with readable_errors(), os.fdopen(writer, "w", encoding="utf-8") as lines:
        handler = PrefectConsoleHandler(stream=lines)
        for text in ("the worker was killed", "and the night goes on"):
            handler.emit(logging.LogRecord("forecasting.night", logging.INFO, __file__, 1, text, (), None))
        assert handler.console.quiet
        with suppress(BrokenPipeError):  # what is still buffered
            lines.close()
