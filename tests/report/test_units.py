import pytest

from forecasting.report import units
from forecasting.report.units import GAP

DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("target", "usual", "symbol", "currency", "text"),
    [
        ("volume", 8.42e6, "SBUX", "USD", "8.42_M shares"),
        ("volume", 3.62e9, "SBUX", "USD", "3.62_B shares"),
        ("volume", 640, "SBUX", "USD", "640_shares"),
        ("volume", 3, "SBUX", "USD", "3.00_shares"),
        ("close", 1091.064, "SBUX", "USD", "$1,091.06"),
        ("close", 0.0015, "SBUX", "USD", "$0.00150"),
        ("close", 71.3, "VOD.L", "GBp", "71.30_GBp"),
        ("close", 2506.85, "^GSPC", "USD", "2,506.85"),
        ("close", 71.3, "ODD", "", "71.30"),
        ("close", 1.08341, "EURUSD=X", "USD", "$1.0834"),
        ("range", 0.0193, "SBUX", "USD", "1.93%"),
    ],
)
def test_a_value_has_about_three_digits_and_its_own_unit(target, usual, symbol, currency, text):
    assert units.unit_for(target, usual=usual, symbol=symbol, currency=currency).text(
        usual
    ) == text.replace("_", GAP)


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
