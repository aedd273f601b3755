"""What came of each series, and the failures of several as one."""

import pytest

from forecasting.errors import (
    DataLateError,
    StoreError,
    SymbolsFailedError,
    UnexpectedError,
    UsageError,
    combined,
)
from forecasting.settings import Settings, each_symbol


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
