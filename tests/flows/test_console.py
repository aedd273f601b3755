from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows import console
from forecasting.errors import SymbolsFailedError, UsageError
from forecasting.pipeline.symbols import SymbolOutcome
from forecasting.report.terminal import settings_document, settings_listing
from forecasting.settings import Settings
from tests.report.nights import report_data


def test_of_several_nights_each_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_nights([report_data(), report_data(run={"symbol": "MSFT"})])
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines()[2:4]] == ["SBUX", "MSFT"]
    assert "is expected to trade" not in shown


def test_what_stopped_a_symbol_is_raised_after_the_others_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = [SymbolOutcome("BAD", error=UsageError("no such symbol")), SymbolOutcome("SBUX", Path("page.html"))]
    with pytest.raises(SymbolsFailedError, match=r"^1 of 2 symbols failed. BAD: no such symbol$"):
        console.show_outcomes(outcomes, console.show_paths)
    assert capsys.readouterr().out == "page.html\n"


def test_settings_are_printed_with_the_exchange_of_every_symbol(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(symbols=("SBUX", "VOD.L"))
    console.show_rows(settings_document(settings), settings_listing, as_json=True)
    assert json.loads(capsys.readouterr().out)["exchanges"] == {"SBUX": "XNYS", "VOD.L": "XLON"}
    console.show_rows(settings_document(settings), settings_listing)
    shown = capsys.readouterr().out
    assert "FORECASTING_SYMBOLS" in shown
    assert "SBUX=XNYS,VOD.L=XLON" in shown
