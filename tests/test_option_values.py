from __future__ import annotations

from datetime import date

import pytest

from forecasting.errors import UsageError
from forecasting.option_values import check_option, check_symbol, parse_date, refuse_empty_values


@pytest.mark.parametrize("symbol", ["SBUX", "BRK-B", "VOD.L", "^GSPC", "7203.T"])
def test_a_symbol_as_yahoo_writes_it_is_accepted(symbol):
    assert check_symbol(symbol) == symbol


@pytest.mark.parametrize("symbol", ["", "sbux", "../SBUX", "-SBUX", "SB UX", "A" * 16, "SBUX\n"])
def test_any_other_symbol_is_refused_as_it_was_typed(symbol):
    with pytest.raises(UsageError, match=r"^Invalid symbol .*write it as Yahoo does") as refused:
        check_symbol(symbol)
    assert repr(symbol) in str(refused.value)


def test_a_date_is_an_iso_day_inside_the_calendars():
    assert parse_date("2024-03-08") == date(2024, 3, 8)
    for text, words in (("8 March", "the form"), ("2024-02-30", "the form"), ("1022-03-08", "a day from 1962")):
        with pytest.raises(UsageError, match=f"^Invalid date .*{words}"):
            parse_date(text)


def test_a_target_is_refused_as_it_was_typed():
    assert check_option("target", "range") == "range"
    with pytest.raises(UsageError, match=r"^Invalid --target 'volumes': expected volume, close or range.$"):
        check_option("target", "volumes")


@pytest.mark.parametrize("text", ["0", "-3", "inf", "nan", "three", ""])
def test_an_option_for_the_cost_ratio_is_refused_as_it_was_typed(text):
    with pytest.raises(UsageError, match=rf"^Invalid --cost-ratio '{text}': expected a number above 0, such as 3.$"):
        check_option("cost_ratio", text)
    assert check_option("cost_ratio", "3") == "3"


def test_an_empty_value_is_refused_with_its_option_and_others_are_not():
    refuse_empty_values(["run", "--symbol", "SBUX", "--source=sample"])
    for arguments in (["run", "--symbol", " "], ["run", "--symbol="]):
        with pytest.raises(UsageError, match=r"^Expected a value after --symbol, found an empty text"):
            refuse_empty_values(arguments)
    with pytest.raises(UsageError, match=r"^Expected a value, found an empty text"):
        refuse_empty_values([""])
