from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows import console
from forecasting.errors import SymbolsFailedError, UsageError
from forecasting.pipeline.symbols import SymbolOutcome
from forecasting.report.terminal import settings_document, settings_listing
from forecasting.settings import Settings
from tests.report.nights import forecasts, report_data


def test_nights_as_json_hold_every_quantile_and_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_nights([report_data(forecasts=forecasts(outside=""))], as_json=True)
    (night,) = json.loads(capsys.readouterr().out)
    assert (night["symbol"], night["origin_session"], night["model_id"]) == ("SBUX", "2024-03-08", "3f9c2ab1a77d0e11")
    assert night["notices"] == {}
    assert {"q05", "q50", "q95", "outside", "issued_at"} <= set(night["forecasts"][0])
    assert [row["horizon"] for row in night["forecasts"]] == [1, 2, 3, 4, 5]


def test_a_table_in_a_pipe_has_a_line_a_row_however_wide(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_table(["setting", "value"], [["a", None], ["b " * 300, 1]])
    shown = capsys.readouterr().out
    assert "None" not in shown
    assert len(shown.rstrip().splitlines()) == 4


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


def test_a_backtest_of_one_symbol_is_one_json_document_and_of_several_a_list(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for documents, shown in (([{"mae": 1 / 3}], {"mae": 0.3333333}), ([{"mae": 1.0}] * 2, [{"mae": 1.0}] * 2)):
        console.show_backtests(documents, as_json=True, out=None)
        assert json.loads(capsys.readouterr().out) == shown


def test_settings_are_printed_with_the_exchange_of_every_symbol(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(symbols=("SBUX", "VOD.L"))
    console.show_rows(settings_document(settings), settings_listing, as_json=True)
    assert json.loads(capsys.readouterr().out)["exchanges"] == {"SBUX": "XNYS", "VOD.L": "XLON"}
    console.show_rows(settings_document(settings), settings_listing)
    shown = capsys.readouterr().out
    assert "FORECASTING_SYMBOLS" in shown
    assert "SBUX=XNYS,VOD.L=XLON" in shown
