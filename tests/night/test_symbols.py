import pytest

from flows.advanced import models_list
from flows.daily import show
from forecasting.errors import (
    DataLateError,
    StoreError,
    SymbolsFailedError,
    UnexpectedError,
    UsageError,
)
from forecasting.night.symbols import asked_symbols, combined, each_symbol
from forecasting.settings import Settings
from forecasting.store import write
from forecasting.store.connect import transaction
from tests.store.rows import forecast_row, model_row, run_row, start


def test_one_symbols_failure_neither_stops_nor_hides_the_others(tmp_path, monkeypatch):
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path))

    def work(own):
        if own.symbols == ("BAD",):
            raise UsageError("BAD is not traded.")
        if own.symbols == ("BUG",):
            raise ZeroDivisionError("seeded")
        return own.symbols[0].lower()

    found = each_symbol(Settings(symbols=("AAA", "BAD", "BUG", "CCC")), work)
    assert list(found.values.values()) == ["aaa", "ccc"]
    assert {name: type(error) for name, error in found.errors.items()} == {
        "BAD": UsageError,
        "BUG": UnexpectedError,
    }
    with pytest.raises(
        SymbolsFailedError, match=r"^2 of 4 failed. BAD: BAD is not traded. BUG: An error"
    ):
        found.raise_failed()


def test_failures_of_one_class_are_told_by_the_first():
    names = ("AAA", "BBB", "CCC", "DDD", "EEE")
    failed = {name: StoreError(f"{name} is held.") for name in names}
    failed["BUG"] = UsageError("x")
    said = "6 of 9 failed. AAA, BBB, CCC and 2 more, the first: AAA is held. BUG: x"
    assert str(combined(failed, of=9)) == said


@pytest.mark.parametrize(
    ("errors", "of", "code"),
    [
        ([UsageError("x"), UsageError("y")], 2, 2),
        ([UsageError("x"), UsageError("y")], 5, 1),
        ([DataLateError("x"), UsageError("y")], 2, 1),
        ([DataLateError("x")], 5, 3),
    ],
)
def test_the_exit_code_is_that_of_the_failures_where_they_agree_and_nothing_was_done_for_usage(
    errors, of, code
):
    failed = {str(place): error for place, error in enumerate(errors)}
    assert combined(failed, of=of).exit_code == code


def test_symbols_are_those_named_and_those_of_the_file_each_once(tmp_path):
    file = tmp_path / "list.txt"
    file.write_bytes("\ufeff# my list\nSBUX\r\n\n  brk-b # B shares\n^GSPC\n".encode())
    assert asked_symbols(["msft,SBUX", "AAPL"], file) == ["MSFT", "SBUX", "AAPL", "BRK-B", "^GSPC"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"SBUX\nsb/x\n", "line 2: Invalid symbol 'sb/x'"),
        (b"SBUX MSFT\n", "line 1: Invalid symbol 'SBUX MSFT'"),
        (b"# nothing\n\n", "found none"),
        (b"\xff\xfe\x00", "no UTF-8"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_that_is_no_list_of_symbols_is_refused(tmp_path, content, message):
    file = tmp_path / "list.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        asked_symbols([], file)


@pytest.fixture
def ledger(sqlite_url, tmp_path, monkeypatch):
    """The URL of a ledger with one night and one network of SBUX, the settings' own."""
    monkeypatch.setenv("FORECASTING_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path))
    with transaction(sqlite_url) as connection:
        start(connection, origins=("2024-03-08",))
        write.add(connection, "forecasts", forecast_row("lstm", "2024-03-08"))
    return sqlite_url


def test_a_symbol_without_a_forecast_is_named_with_its_nights_reason_else_with_what_the_ledger_holds(
    ledger, monkeypatch, capsys
):
    with transaction(ledger) as connection:
        write.add(
            connection,
            "runs",
            run_row("n", "2024-03-08", symbol="NEW", status="failed", error="no such symbol"),
        )
        write.add(connection, "runs", run_row("b", "2024-03-08", symbol="OLD"))
        write.add(connection, "models", model_row("ridge", "ridge", symbol="OLD"))
        write.add(
            connection, "forecasts", forecast_row("ridge", "2024-03-08", symbol="OLD", run_id="b")
        )
    for symbol, commands, words in (
        (
            "SBUXX",
            (show, models_list),
            "found none.*holds forecasts of OLD volume, SBUX volume: choose by --symbol and --target",
        ),
        ("NEW", (show,), "its night of 2024-03-08 has status failed: no such symbol"),
        (
            "OLD",
            (models_list,),
            "Expected a volume network of OLD in the database; found none: its forecasts",
        ),
    ):
        monkeypatch.setenv("FORECASTING_SYMBOLS", symbol)
        for command in commands:
            with pytest.raises(StoreError, match=words):
                command()
    monkeypatch.setenv("FORECASTING_TARGET", "range")
    with pytest.raises(StoreError, match="holds forecasts of OLD volume, SBUX volume: choose"):
        show()
    assert capsys.readouterr().out == ""
