"""Whatever fails, a command ends with one paragraph and an exit code, and the night's row has the
reason."""

import errno
import io
import logging
import re
import shlex
import shutil
from unittest.mock import Mock

import pytest
from prefect.exceptions import UnfinishedRun

from flows import daily, nightly
from flows.cli import main
from flows.console import echo
from forecasting import errors
from forecasting.errors import ForecastingError
from tests.builders import LAST
from tests.flows.test_cli import run
from tests.nights import select

LONG = "x" * 5000


@pytest.fixture
def data(tmp_path, migrated_sqlite_file, monkeypatch):
    """A data folder with a migrated ledger."""
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    shutil.copy(migrated_sqlite_file, tmp_path / "data" / "forecasting.db")
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("error", "words", "is_logged"),
    [
        (
            ZeroDivisionError("in\ntwo lines"),
            r"a fault of its code .*\(ZeroDivisionError: in two lines\)",
            True,
        ),
        (MemoryError(), r"\(MemoryError: no message\)", True),
        (UnfinishedRun("x"), "UI's Cancel .*the nights went on to their end", True),
        (OSError(errno.ENOSPC, "x", "/ledger/x"), "/ledger/x: x.*Free space", False),
        (OSError(errno.EROFS, "x", "/ledger/x"), "/ledger/x: x.*right to write", False),
        (OSError(errno.ENOENT, "x", "/ledger/x"), "/ledger/x: x.*deleted during the run", False),
    ],
)
def test_an_error_is_a_paragraph_and_the_traceback_of_an_unexpected_one_is_logged(
    data, error, words, is_logged, monkeypatch, caplog
):
    monkeypatch.setattr(daily, "settings", Mock(side_effect=error))
    # In this process other tests' commands and flows may have given the lines handlers of their own
    monkeypatch.setattr(logging.getLogger("forecasting"), "propagate", True)
    monkeypatch.setattr(errors.logger, "handlers", [])
    code, out, err = run("show")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert re.search(words, err)
    assert ("Traceback (most recent call last)" in caplog.text) == is_logged


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        ("run --as-of yesterday", 2, "2024-03-08"),
        ("run --mode fast", 2, "auto, scratch, warm or skip"),
        ("run --source ftp:x", 2, "expected yahoo, a .csv or .parquet file, sample"),
        ("run --target price", 2, "Invalid --target 'price': expected volume or range."),
        ("run --target all,price", 2, "Invalid --target 'price': expected volume or range."),
        ("run --market VIX;csv", 2, "Invalid --market 'VIX;csv': expected none, a symbol as ^VIX"),
        ("run --symbol ''", 2, "after --symbol"),
        ("run --source sample --as-of 1900-01-01", 2, "1900-01-01"),
        ("show --symbols-file /nowhere/list.txt", 2, "--symbols-file /nowhere/list.txt"),
        ("models show 3f9c2a", 2, "or its unique beginning; found no model '3f9c2a'"),
        ("digest --format pdf", 2, "Invalid --format 'pdf': expected markdown or html."),
        ("db upgrade no-such-revision", 2, "no-such-revision"),
        ("db upgrade ''", 2, "Expected a revision, one of head, base"),
        ("show --database-url mysql://u:secret@h/d", 2, "postgresql://"),
        ("catch-up --source sample --from 2024-03-09 --to 2024-03-10", 2, "2024-03-09"),
        ("catch-up --source sample --from 0001-01-01 --to 2018-12-20", 2, "0001-01-01"),
        ("backtest --from 2018-11-01 --to 2018-12-20 --out /", 2, "it is a folder"),
        (f"backtest --from 2018-11-01 --to 2018-12-20 --out {LONG}", 2, "File name too long"),
        ("backtest --from 2018-11-01 --to 2018-12-20 --out /nowhere/x", 2, "no folder /nowhere."),
        (
            "backtest --source sample --symbol ^GSPC --workers 1 --from 2018-12-19 --to 2018-12-31",
            1,
            "Expected 6 or more origins",
        ),
        (f"show --database-url sqlite:////{LONG}", 1, "too long"),
        ("show --database-url sqlite:////tmp/x.db?mode=ro", 2, "SQLite takes none"),
        ("show --database-url postgresql://127.0.0.1:1/d?foo=bar", 2, "each of libpq's options once"),
        ("show --database-url postgresql://127.0.0.1:1/d?sslmode=x", 1, "sslmode"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_paragraph(data, command, code, text):
    found, _, err = run(*shlex.split(command))
    lines = [line for line in err.splitlines() if not line.startswith("Warning: --database-url")]
    assert (found, len(lines)) == (code, 1), err
    assert text in err
    assert "secret" not in err
    assert len(err) <= 2000


def test_a_character_that_the_locale_lacks_ends_no_command(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(
        "sys.stdout", io.TextIOWrapper(written, encoding="iso-8859-9", write_through=True)
    )
    monkeypatch.setattr("sys.argv", ["forecasting"])
    main(lambda: echo("80% interval 5.98\u201310.75 M"))
    assert written.getvalue() == b"80% interval 5.98\\u201310.75 M\n"


@pytest.mark.usefixtures("plain_flows")
def test_a_night_whose_page_cannot_be_written_is_failed_with_a_paragraph_and_the_next_run_recovers(
    night_folder,
):
    night_folder.mkdir()
    (night_folder / "reports").write_text("a file in place of the folder", encoding="utf-8")
    with pytest.raises(ForecastingError, match=r"File exists: .*reports"):
        nightly.nightly(first=LAST, last=LAST)
    ((status, error),) = select("status, error", "runs")
    assert (status, "File exists: " in str(error)) == ("failed", True)
    stored = select("model_id, horizon, q50", "forecasts ORDER BY 1, 2")
    assert len(stored) == 30
    (night_folder / "reports").unlink()
    nightly.nightly(first=LAST, last=LAST)
    assert select("status, error", "runs") == [("done", None)]
    assert select("model_id, horizon, q50", "forecasts ORDER BY 1, 2") == stored
