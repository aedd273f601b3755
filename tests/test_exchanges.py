from __future__ import annotations

import pytest

from forecasting.exchanges import _BY_SUFFIX, check_exchange, exchange_of, may_report_earnings, parse_exchanges


def test_the_suffix_determines_the_exchange_an_override_precedes_it() -> None:
    pairs = "SBUX=XNYS BRK-B=XNYS ^GSPC=XNYS VOD.L=XLON SAP.DE=XETR 7203.T=XTKS 0700.HK=XHKG RY.TO=XTSE MC.PA=XPAR "
    pairs += "ASML.AS=XAMS VOLV-B.ST=XSTO BRK.B=XNYS L=XNYS ES=F=XNYS"  # a class of shares as others write it; Loews
    for symbol, _, exchange in (pair.rpartition("=") for pair in pairs.split()):
        assert exchange_of(symbol, overrides={}, default="XNYS") == exchange
    exchanges = parse_exchanges("VOD.L=XAMS, ABC=XTKS,ES=F=CMES,")
    assert exchanges == {"VOD.L": "XAMS", "ABC": "XTKS", "ES=F": "CMES"}
    for symbol, exchange in {"VOD.L": "XAMS", "ES=F": "CMES", "RY.TO": "XTSE", "ABCD": "XPAR"}.items():
        assert exchange_of(symbol, overrides=exchanges, default="XPAR") == exchange


@pytest.mark.parametrize("text", ["VOD.L", "=XLON", "VOD.L=", "VOD.L=XLON,SBUX", "A=XLON,A=XPAR"])
def test_an_entry_that_is_no_pair_or_a_second_exchange_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"Expected SYMBOL=EXCHANGE|Expected one exchange of A"):
        parse_exchanges(text)


def test_exchange_calendars_has_every_exchange_of_the_suffixes() -> None:
    assert {check_exchange(name) for name in _BY_SUFFIX.values()} >= {"XLON", "XTKS", "XETR", "XHKG"}
    with pytest.raises(ValueError, match="'XLONDON'"):
        check_exchange("XLONDON")


def test_companies_have_symbols_that_are_no_index_pair_future_or_coin() -> None:
    companies = ("SBUX", "BRK-B", "BAC-PL", "VOD.L", "VOLV-B.ST", "SAGA-PREF.ST", "0700.HK")
    others = ("^GSPC", "^N225", "EURUSD=X", "ES=F", "BTC-USD", "ETH-EUR")
    assert [name for name in (*companies, *others) if may_report_earnings(name)] == list(companies)


def test_the_suffixes_match_those_of_yfinance() -> None:
    """yfinance maps ISO codes to suffixes; ours differ where exchange_calendars renames one or has a substitute."""
    from yfinance.const import _MIC_TO_YAHOO_SUFFIX

    of_yfinance = {suffix: mic for mic, suffix in _MIC_TO_YAHOO_SUFFIX.items()}
    assert set(_BY_SUFFIX) <= set(of_yfinance)
    renamed = {"XATH": "ASEX", "XVIE": "XWBO", "BMEX": "XMAD", "MTAA": "XMIL", "XVIL": "XLIT"}
    substitutes = {"XLON": {"AQ", "XC", "IL"}, "XHAM": {"BE", "HA", "MU"}, "XTSE": {"CN", "NE", "V"}, "XBOM": {"NS"}}
    substitutes |= {"XKRX": {"KQ"}, "XSHG": {"SZ"}, "XTAI": {"TWO"}, "XASX": {"XA"}}
    differing = {
        suffix: ours
        for suffix, ours in _BY_SUFFIX.items()
        if renamed.get(of_yfinance[suffix], of_yfinance[suffix]) != ours
    }
    assert differing == {suffix: ours for ours, suffixes in substitutes.items() for suffix in suffixes}
