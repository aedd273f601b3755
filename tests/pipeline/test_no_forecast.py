"""What a symbol without a forecast is answered with, by each command that reads the ledger."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.cli import models_list, models_rollback, show
from forecasting.errors import StoreError, SymbolsFailedError
from forecasting.pipeline.symbols import HELD_NAMED, check_forecast
from forecasting.store import write
from forecasting.store.connect import reading, transaction
from tests.store.rows import SYMBOL, TARGET, forecast_row, model_row, run_row, start

UNKNOWN = (
    "Expected a volume forecast of SBUXX in the database; found none. Make one: forecasting run --symbol SBUXX "
    "--target volume. The database holds forecasts of SBUX volume."
)
"""Of a ledger that holds SBUX volume alone."""


@pytest.fixture
def ledger(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a ledger with one night and one network of SBUX, the settings' own."""
    monkeypatch.setenv("FORECASTING_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path))
    with transaction(sqlite_url) as connection:
        start(connection, origins=("2024-03-08",))
        write.add_forecasts(connection, [forecast_row("lstm", "2024-03-08")])
    return sqlite_url


def error_of(url: str, symbol: str) -> str:
    with reading(url) as connection, pytest.raises(StoreError) as raised:
        check_forecast(connection, symbol, TARGET)
    return str(raised.value)


def test_a_symbol_with_a_forecast_passes_and_a_misspelt_one_is_answered_with_those_there_are(ledger: str) -> None:
    with reading(ledger) as connection:
        check_forecast(connection, SYMBOL, TARGET)
    assert error_of(ledger, "SBUXX") == UNKNOWN


def test_the_reason_that_a_night_left_comes_before_what_the_ledger_holds(ledger: str) -> None:
    with transaction(ledger) as connection:
        write.start_run(connection, run_row("n", "2024-03-08", symbol="NEW", status="failed", error="no such symbol"))
    assert (
        error_of(ledger, "NEW")
        == "NEW has no volume forecast; its night of 2024-03-08 has status failed: no such symbol"
    )


def test_only_the_first_symbols_of_a_large_ledger_are_named(ledger: str) -> None:
    with transaction(ledger) as connection:
        for place in range(HELD_NAMED):
            symbol = f"A{place}"
            write.start_run(connection, run_row(symbol, "2024-03-08", symbol=symbol))
            write.add_model(connection, model_row(f"m{place}", symbol=symbol))
            write.add_forecasts(connection, [forecast_row(f"m{place}", "2024-03-08", symbol=symbol, run_id=symbol)])
    assert error_of(ledger, "SBUXX").endswith(
        "forecasts of A0 volume, A1 volume, A2 volume, A3 volume, A4 volume, A5 volume and 1 more."
    )


def test_models_of_a_misspelt_symbol_are_answered_as_show_is(ledger: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (show, models_list, models_rollback):
        with pytest.raises(StoreError) as raised:
            command(symbol=["SBUXX"])
        assert (str(raised.value), raised.value.exit_code) == (UNKNOWN, 1)
    assert capsys.readouterr().out == ""


def test_models_of_the_other_symbols_are_listed_before_the_one_without_is_named(
    ledger: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SymbolsFailedError) as raised:
        models_list(symbol=["SBUXX", SYMBOL], as_json=True)
    assert str(raised.value) == f"1 of 2 symbols failed. SBUXX: {UNKNOWN}"
    assert [row["id"] for row in json.loads(capsys.readouterr().out)] == ["lstm"]


def test_a_symbol_with_the_forecasts_of_baselines_alone_is_said_to_have_no_network(ledger: str) -> None:
    with transaction(ledger) as connection:
        write.start_run(connection, run_row("b", "2024-03-08", symbol="OLD"))
        write.add_model(connection, model_row("ridge", "ridge", symbol="OLD"))
        write.add_forecasts(connection, [forecast_row("ridge", "2024-03-08", symbol="OLD", run_id="b")])
    with pytest.raises(StoreError, match="Expected a volume network of OLD in the database; found none: its forecasts"):
        models_list(symbol=["OLD"])
