"""Escape codes, line ends, Markdown and megabytes from a source or the database do not reach a person raw."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import sqlalchemy as sa

from flows import console
from flows.reporting import readable_errors
from forecasting.plain_text import LIMIT
from forecasting.report.prefect import night_markdown
from forecasting.settings import read_settings
from forecasting.store import connect
from tests.nights import ON_BOTH_DATABASES, newest_reports

HOSTILE = "\x1b]0;owned\x07\x1b[2J![see](http://evil.example/x.png)<script>\r\n[red]" + "A" * 1_000_000


@pytest.fixture
def hostile_night(done_on_the_seventh: None, night_url: str) -> None:
    """A night whose texts in the database have since been replaced."""
    with connect.transaction(night_url) as connection:
        for column in ("fetches.title", "fetches.detail", "runs.note", "runs.mode_reason", "forecasts.reason"):
            table, _, name = column.partition(".")
            connection.execute(sa.text(f"UPDATE {table} SET {name} = :text"), {"text": HOSTILE})


@ON_BOTH_DATABASES
def test_show_prints_neither_escape_codes_nor_megabytes(
    hostile_night: None, capsys: pytest.CaptureFixture[str]
) -> None:
    console.show_nights(newest_reports(read_settings()))
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\r" not in printed
    assert "\ufffd]0;owned" in printed
    assert len(printed) < 5 * LIMIT


def test_a_table_s_cells_are_text_and_not_the_terminal_s_markup(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_record({"note": "[red]x[/red]\x1b[31m" + "A" * 1_000_000})
    printed = capsys.readouterr().out
    assert "[red]x[/red]\ufffd[31m" in printed
    assert len(printed) < 5 * LIMIT


def test_artifacts_have_no_image_link_or_html_of_the_database(hostile_night: None) -> None:
    (data,) = newest_reports(read_settings())
    page = night_markdown(data, Path("page.html"))
    assert "![see]" not in page
    assert "<script>" not in page
    assert "\x1b" not in page
    assert len(page) < 20 * LIMIT


def test_a_log_line_of_the_library_is_one_clean_line(caplog: pytest.LogCaptureFixture) -> None:
    before = logging.getLogRecordFactory()
    try:
        for _ in range(2):
            with readable_errors():
                pass
        logging.getLogger("forecasting.any").warning("%s: %s", "TEST", HOSTILE)
        logging.getLogger("another").warning("a\nb")
    finally:
        logging.setLogRecordFactory(before)
    ours, theirs = (record.getMessage() for record in caplog.records)
    assert ours.startswith("TEST: \ufffd]0;owned\ufffd")
    assert (ours.count("\n"), len(ours), theirs) == (0, LIMIT, "a\nb")
