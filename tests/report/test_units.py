from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest

from forecasting.plain_text import quantity
from forecasting.report import units
from forecasting.report.units import GAP

DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
NOW = datetime(2024, 3, 9, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("target", "usual", "symbol", "currency", "text"),
    [
        ("volume", 8.42e6, "SBUX", "USD", "8.42_M shares"),
        ("volume", 12.34e6, "SBUX", "USD", "12.3_M shares"),
        ("volume", 3.62e9, "SBUX", "USD", "3.62_B shares"),
        ("volume", 912e3, "SBUX", "USD", "912_k shares"),
        ("volume", 640, "SBUX", "USD", "640_shares"),
        ("volume", 64, "SBUX", "USD", "64.0_shares"),
        ("volume", 3, "SBUX", "USD", "3.00_shares"),
        ("close", 1091.064, "SBUX", "USD", "$1,091.06"),
        ("close", 0.85, "SBUX", "USD", "$0.850"),
        ("close", 0.0015, "SBUX", "USD", "$0.00150"),
        ("close", 71.3, "VOD.L", "GBp", "71.30_GBp"),
        ("close", 2506.85, "^GSPC", "USD", "2,506.85"),
        ("close", 71.3, "ODD", "", "71.30"),
        ("close", 1.08341, "EURUSD=X", "USD", "$1.0834"),
        ("close", 0.85663, "EURUSD=X", "USD", "$0.85663"),
        ("close", 148.231, "EURUSD=X", "USD", "$148.23"),
        ("range", 0.0193, "SBUX", "USD", "1.93%"),
    ],
)
def test_a_value_has_about_three_digits_and_its_own_unit(target, usual, symbol, currency, text):
    assert units.unit_for(target, usual=usual, symbol=symbol, currency=currency).text(
        usual
    ) == text.replace("_", GAP)


def test_a_unit_is_named_and_a_volume_in_brief_lacks_the_word_shares():
    names = [
        units.unit_for("close", usual=70.0, symbol=symbol, currency="").name
        for symbol in ("^GSPC", "ODD")
    ]
    assert names == ["points", "price"]
    unit = units.unit_for("volume", usual=12.34e6, symbol="TEST", currency="USD")
    assert (unit.name, unit.brief(12.34e6)) == ("M shares", f"12.3{GAP}M")
    assert unit.brief(12.34e6, 12.34e6) == f"12.3{DASH}12.3{GAP}M"
    assert unit.text(1e6, 2e6) == f"1.0{DASH}2.0{GAP}M shares"


def test_an_unknown_number_is_a_dash_and_a_share_shows_its_sign_unless_it_rounds_to_nothing():
    shares = {0.094: "+9%", -0.094: f"{MINUS}9%", 0.001: "0%", -0.001: "0%", float("nan"): DASH}
    assert [units.percent(share, signed=True) for share in shares] == list(shares.values())
    unit = units.Unit(1.0, 1, "", "")
    assert (unit.number(float("nan")), unit.number(-2.25, finer=1)) == (DASH, f"{MINUS}2.25")
    changes = [
        units.change(46.74, other, target=target)
        for target, other in (("volume", 46.61), ("close", 46.61), ("volume", 0))
    ]
    assert changes == ["0%", "+0.3%", DASH]


def test_counts_ages_days_instants_and_p_values_are_text_and_unknown_ones_a_dash():
    assert [quantity(count, "origin") for count in (0, 1, 1250)] == [
        "0 origins",
        "1 origin",
        "1,250 origins",
    ]
    ages = {-1: "0 min", 1: "60 min", 14.4: "14 h", 47: "47 h", 72: "3 d", 24 * 365.25 * 8: "8.0 y"}
    assert [units.age(NOW - timedelta(hours=hours), NOW) for hours in ages] == list(ages.values())
    spans = {0.44: "0.4_s", 12.4: "12_s", 185.0: "3_min 5_s", None: DASH}
    assert [units.seconds(value) for value in spans] == [
        text.replace("_", GAP) for text in spans.values()
    ]
    for day in (date(2024, 3, 8), pd.Timestamp("2024-03-08"), "2024-03-08"):
        shown = [words(units.as_day(day)) for words in (units.long_day, units.short_day)]
        assert shown == ["Friday 8 March 2024", "Fri 8 Mar"]
    assert units.instant(datetime(2024, 3, 9, 10, 31, tzinfo=UTC)) == "2024-03-09 10:31 UTC"
    assert (units.instant(None), units.span_of_days(date(2014, 1, 2), None)) == (DASH, DASH)
    shown = [units.p_value(value) for value in (0.00046123, 0.0461, 0.5, None, float("nan"))]
    assert shown == ["0.000461", "0.0461", "0.5", DASH, DASH]
