import pytest

from forecasting.report import units
from forecasting.report.units import GAP

DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("target", "usual", "text"),
    [
        ("volume", 8.42e6, "8.42_M shares"),
        ("volume", 3.62e9, "3.62_B shares"),
        ("volume", 640, "640_shares"),
        ("volume", 3, "3.00_shares"),
        ("range", 0.0193, "1.93%"),
    ],
)
def test_a_value_has_about_three_digits_and_its_own_unit(target, usual, text):
    assert units.unit_for(target, usual=usual).text(usual) == text.replace("_", GAP)


def test_an_unknown_number_is_a_dash_and_a_share_shows_its_sign_unless_it_rounds_to_nothing():
    shares = {0.094: "+9%", -0.094: f"{MINUS}9%", 0.001: "0%", -0.001: "0%", float("nan"): DASH}
    assert [units.percent(share, signed=True) for share in shares] == list(shares.values())
    unit = units.Unit(1.0, 2)
    assert (unit.number(float("nan")), unit.number(-2.25)) == (DASH, f"{MINUS}2.25")
    assert [units.change(46.74, other) for other in (46.61, 44.0, 0)] == ["0%", "+6%", DASH]
