from __future__ import annotations

import pytest

from forecasting.exchanges import _BY_SUFFIX, check_exchange, exchange_of, parse_named


@pytest.mark.parametrize(
    ("symbol", "exchange"),
    [
        ("SBUX", "XNYS"),
        ("BRK-B", "XNYS"),
        ("^GSPC", "XNYS"),
        ("VOD.L", "XLON"),
        ("SAP.DE", "XETR"),
        ("7203.T", "XTKS"),
        ("0700.HK", "XHKG"),
        ("RY.TO", "XTSE"),
        ("MC.PA", "XPAR"),
        ("ASML.AS", "XAMS"),
        ("VOLV-B.ST", "XSTO"),
        ("BRK.B", "XNYS"),  # a class of shares in other people's spelling is no exchange
        ("L", "XNYS"),  # Loews, not London
        ("ES=F", "XNYS"),
    ],
)
def test_the_suffix_says_on_which_exchange_a_symbol_trades(symbol: str, exchange: str) -> None:
    assert exchange_of(symbol, named={}, otherwise="XNYS") == exchange


def test_what_is_named_wins_over_the_suffix_and_the_rest_is_left_alone() -> None:
    named = parse_named("VOD.L=XAMS, ABC=XTKS,ES=F=CMES,")
    assert named == {"VOD.L": "XAMS", "ABC": "XTKS", "ES=F": "CMES"}
    assert [exchange_of(symbol, named=named, otherwise="XPAR") for symbol in ("VOD.L", "ES=F", "RY.TO", "ABCD")] == [
        "XAMS",
        "CMES",
        "XTSE",
        "XPAR",
    ]


@pytest.mark.parametrize("text", ["VOD.L", "=XLON", "VOD.L=", "VOD.L=XLON,SBUX", "A=XLON,A=XPAR"])
def test_a_part_that_names_no_pair_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"it reads SYMBOL=EXCHANGE|it names two exchanges of A"):
        parse_named(text)


def test_every_exchange_of_the_suffixes_is_one_that_exchange_calendars_knows() -> None:
    assert {check_exchange(name) for name in _BY_SUFFIX.values()} >= {"XLON", "XTKS", "XETR", "XHKG"}
    with pytest.raises(ValueError, match="'XLONDON'"):
        check_exchange("XLONDON")


def test_the_suffixes_are_those_that_yfinance_gives_the_same_exchanges() -> None:
    """yfinance keeps ISO's codes by suffix; ours differ where exchange_calendars names or lends another."""
    from yfinance.const import _MIC_TO_YAHOO_SUFFIX

    theirs = {suffix: mic for mic, suffix in _MIC_TO_YAHOO_SUFFIX.items()}
    assert set(_BY_SUFFIX) <= set(theirs)
    renamed = {"XATH": "ASEX", "XVIE": "XWBO", "BMEX": "XMAD", "MTAA": "XMIL", "XVIL": "XLIT"}
    lent = {"XLON": {"AQ", "XC", "IL"}, "XHAM": {"BE", "HA", "MU"}, "XTSE": {"CN", "NE", "V"}, "XBOM": {"NS"}}
    lent |= {"XKRX": {"KQ"}, "XSHG": {"SZ"}, "XTAI": {"TWO"}, "XASX": {"XA"}}
    differing = {
        suffix: ours for suffix, ours in _BY_SUFFIX.items() if renamed.get(theirs[suffix], theirs[suffix]) != ours
    }
    assert differing == {suffix: ours for ours, suffixes in lent.items() for suffix in suffixes}
