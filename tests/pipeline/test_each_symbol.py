from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from forecasting.errors import DataLateError, ForecastingError, SymbolsFailedError, UnexpectedError, UsageError
from forecasting.pipeline.symbols import combined, each_symbol, raise_failed, values_of
from forecasting.settings import Settings


def now() -> datetime:
    return datetime(2024, 3, 9, tzinfo=UTC)


def test_one_symbols_failure_neither_stops_nor_hides_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path))

    def work(own: Settings) -> str:
        if own.symbols == ("BAD",):
            raise UsageError("BAD is not traded.")
        if own.symbols == ("BUG",):
            raise ZeroDivisionError("seeded")
        return own.symbols[0].lower()

    found = each_symbol(Settings(symbols=("AAA", "BAD", "BUG", "CCC")), work, now=now)
    assert values_of(found) == ["aaa", "ccc"]
    assert [type(outcome.error) for outcome in found] == [type(None), UsageError, UnexpectedError, type(None)]
    with pytest.raises(SymbolsFailedError, match=r"^2 of 4 symbols failed. BAD: BAD is not traded. BUG: An error"):
        raise_failed(found)


def test_each_symbol_has_the_settings_of_its_own_exchange() -> None:
    found = each_symbol(Settings(symbols=("SBUX", "VOD.L")), lambda own: own.exchange, now=now)
    assert values_of(found) == ["XNYS", "XLON"]


def test_without_a_failure_nothing_is_raised() -> None:
    raise_failed(each_symbol(Settings(symbols=("AAA",)), lambda own: own.symbols, now=now))


def test_the_only_symbol_asked_for_fails_with_its_own_error() -> None:
    error = DataLateError("no bar yet")
    assert combined([("AAA", error)], of=1) is error


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([UsageError("x"), UsageError("y")], 2),
        ([DataLateError("x"), UsageError("y")], 1),
        ([DataLateError("x")], 3),
    ],
)
def test_the_exit_code_is_that_of_the_failures_where_they_agree(errors: list[ForecastingError], code: int) -> None:
    assert combined([(str(place), error) for place, error in enumerate(errors)], of=5).exit_code == code


def test_hundreds_of_failures_are_one_short_paragraph_that_counts_them() -> None:
    same = [(f"S{place}", DataLateError("no bar yet")) for place in range(300)]
    assert str(combined(same, of=500)) == "300 of 500 symbols failed. S0, S1, S2, S3, S4 and 295 others: no bar yet"
    each = [(f"S{place}", DataLateError(f"{place} bars of S{place} " + "x" * 2000)) for place in range(300)]
    message = str(combined(each, of=500))
    assert len(message) < 1500
    assert message.endswith(" And 295 other failures.")


def test_one_cause_that_names_each_symbol_is_read_once() -> None:
    down = [(name, DataLateError(f"Yahoo gave nothing for {name}. Check the network.")) for name in ("S", "^FTSE")]
    alone = ("BRK-B", DataLateError("BRK-B, of BRK, is new."))
    assert str(combined([*down, alone], of=9)) == (
        "3 of 9 symbols failed. S, ^FTSE: Yahoo gave nothing for each. Check the network. BRK-B: BRK-B, of BRK, is new."
    )
