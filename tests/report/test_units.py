from datetime import UTC, date, datetime

import pandas as pd
import pytest

from forecasting.report.units import (
    GAP,
    Unit,
    instant,
    long_day,
    p_value,
    percent,
    quantity,
    seconds,
    short_day,
    span_of_days,
    unit_for,
    unit_of,
)
from tests.report.nights import report_data, values_of


@pytest.mark.parametrize(
    ("level", "text"),
    [
        (8.42e6, "8.42_M shares"),
        (12.34e6, "12.3_M shares"),
        (3.62e9, "3.62_B shares"),
        (912e3, "912_k shares"),
        (640, "640_shares"),
        (64, "64.0_shares"),
        (3, "3.00_shares"),
    ],
)
def test_volumes_are_written_with_about_three_digits(level: float, text: str):
    values = values_of("volume") * 0 + level
    unit = unit_of(report_data(history=pd.DataFrame({"value": values, "settled": True})))
    assert unit.text(level) == text.replace("_", GAP)


@pytest.mark.parametrize(("usual", "briefly"), [(12.34e6, "12.3_M"), (640.0, "640")])
def test_a_volume_in_brief_lacks_the_word_shares(usual: float, briefly: str):
    unit = unit_for("volume", usual=usual, symbol="TEST", currency="USD")
    assert unit.brief(usual) == briefly.replace("_", GAP)
    assert unit.brief_span(usual, usual) == f"{unit.number(usual)}\N{EN DASH}{briefly}".replace("_", GAP)


def test_prices_have_their_currency_and_an_index_has_none():
    assert unit_of(report_data("close")).text(1091.064) == "$1,091.06"
    index = report_data("close", currency="", run={"symbol": "^GSPC"})
    assert (unit_of(index).text(2506.85), unit_of(index).name) == ("2,506.85", "points")
    assert unit_of(report_data("close", currency="")).name == "price"
    assert unit_of(report_data("close", currency="GBp")).text(71.3) == f"71.30{GAP}GBp"
    assert unit_of(report_data("close", currency="EUR")).span_text(1.5, 2) == f"1.50\N{EN DASH}2.00{GAP}EUR"


@pytest.mark.parametrize(("price", "text"), [(91.064, "$91.06"), (0.85, "$0.850"), (0.0015, "$0.00150")])
def test_a_price_below_a_dollar_has_three_digits(price: float, text: str):
    history = pd.DataFrame({"value": values_of("close") * 0 + price, "settled": True})
    assert unit_of(report_data("close", history=history)).text(price) == text


@pytest.mark.parametrize(("rate", "text"), [(1.08341, "$1.0834"), (0.85663, "$0.85663"), (148.231, "$148.23")])
def test_a_currency_pair_has_five_digits(rate: float, text: str):
    history = pd.DataFrame({"value": values_of("close") * 0 + rate, "settled": True})
    assert unit_of(report_data("close", history=history, run={"symbol": "EURUSD=X"})).text(rate) == text


def test_a_log_range_is_a_percentage():
    assert unit_of(report_data("range")).text(0.0193) == f"1.93{GAP}%"


def test_an_unknown_number_is_a_dash_and_a_negative_one_has_a_true_minus():
    unit = Unit(1.0, 1, "", "")
    assert (unit.number(float("nan")), unit.number(-2.25, finer=1)) == ("\N{EN DASH}", "\N{MINUS SIGN}2.25")


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.094, "+9_%"), (-0.094, "\N{MINUS SIGN}9_%"), (0.001, "0_%"), (-0.001, "0_%"), (float("nan"), "\N{EN DASH}")],
)
def test_a_share_shows_its_sign_unless_it_rounds_to_nothing(share: float, text: str):
    assert percent(share, signed=True) == text.replace("_", GAP)


def test_a_quantity_has_its_plural():
    assert [quantity(count, "origin") for count in (0, 1, 1250)] == ["0 origins", "1 origin", "1,250 origins"]


def test_days_and_instants_are_formatted_as_text():
    assert long_day(date(2024, 3, 8)) == "Friday 8 March 2024"
    assert short_day(date(2024, 3, 8)) == "Fri 8 Mar"
    assert instant(datetime(2024, 3, 9, 10, 31, tzinfo=UTC)) == "2024-03-09 10:31 UTC"
    assert span_of_days(date(2014, 1, 2), None) == "\N{EN DASH}"


@pytest.mark.parametrize(
    ("value", "text"), [(0.44, "0.4_s"), (12.4, "12_s"), (185.0, "3_min 5_s"), (None, "\N{EN DASH}")]
)
def test_seconds_are_rounded_to_what_matters(value: float | None, text: str):
    assert seconds(value) == text.replace("_", GAP)


def test_a_p_value_has_three_significant_digits_and_an_unknown_one_is_a_dash():
    dash = "\N{EN DASH}"
    assert [p_value(value) for value in (0.00046123, 0.0461, 0.5, None, float("nan"))] == [
        "0.000461",
        "0.0461",
        "0.5",
        dash,
        dash,
    ]
