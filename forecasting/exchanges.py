"""The exchange of a symbol, from its suffix, by the names of exchange_calendars."""

from collections.abc import Mapping
from datetime import date

OLDEST_DAY, NEWEST_DAY = date(1962, 1, 2), date(2060, 12, 31)
"""The span of all calendars: Yahoo's oldest daily bars start in 1962."""

# Yahoo's suffixes whose sessions exchange_calendars has: the exchange's own, or those of one with the same days and
# hours (Shanghai's for Shenzhen). Missing are Cairo, Caracas, Dubai, Kuwait, Qatar, Vietnam, and futures, whose next
# session opens as one closes.
_SUFFIXES = {
    "ASEX": "AT",
    "BVMF": "SA",
    "XAMS": "AS",
    "XASX": "AX XA",
    "XBKK": "BK",
    "XBOG": "CL",
    "XBOM": "BO NS",
    "XBRU": "BR",
    "XBSE": "RO",
    "XBUD": "BD",
    "XBUE": "BA",
    "XCSE": "CO",
    "XDUB": "IR",
    "XDUS": "DU",
    "XETR": "DE",
    "XFRA": "F",
    "XHAM": "BE HA HM MU",
    "XHEL": "HE",
    "XHKG": "HK",
    "XICE": "IC",
    "XIDX": "JK",
    "XIST": "IS",
    "XJSE": "JO",
    "XKLS": "KL",
    "XKRX": "KQ KS",
    "XLIS": "LS",
    "XLIT": "VS",
    "XLON": "AQ IL L XC",
    "XMAD": "MC",
    "XMEX": "MX",
    "XMIL": "MI",
    "XNZE": "NZ",
    "XOSL": "OL",
    "XPAR": "PA",
    "XPHS": "PS",
    "XPRA": "PR",
    "XRIS": "RG",
    "XSAU": "SR",
    "XSES": "SI",
    "XSGO": "SN",
    "XSHG": "SS SZ",
    "XSTO": "ST",
    "XSTU": "SG",
    "XSWX": "SW",
    "XTAE": "TA",
    "XTAI": "TW TWO",
    "XTAL": "TL",
    "XTKS": "T",
    "XTSE": "CN NE TO V",
    "XWAR": "WA",
    "XWBO": "VI",
}
_BY_SUFFIX = {suffix: exchange for exchange, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}


def exchange_of(symbol: str, *, overrides: Mapping[str, str], default: str) -> str:
    """The exchange of `symbol`: from `overrides`, else from its suffix, else `default`.

    SBUX and BRK-B have no suffix. A suffix without an exchange (BRK.B, ES=F) is ignored.
    """
    if symbol in overrides:
        return overrides[symbol]
    _, dot, suffix = symbol.rpartition(".")
    return _BY_SUFFIX.get(suffix, default) if dot else default


def is_us_stock(symbol: str) -> bool:
    """Whether it may be a US stock or fund, whose symbols have letters and hyphens, as Yahoo writes them."""
    return symbol.replace("-", "").isalnum()


def may_report_earnings(symbol: str) -> bool:
    """Whether a company may stand behind it: not behind ^GSPC, EURUSD=X, ES=F or BTC-USD, as Yahoo writes them."""
    _, hyphen, quote = symbol.rpartition("-")  # the classes of a share (BRK-B) have one or two letters
    return not (symbol.startswith("^") or "=" in symbol or (hyphen and len(quote) == 3))


def parse_exchanges(text: str) -> dict[str, str]:
    """The exchange of each symbol in `VOD=XLON,ES=F=CMES`; the last = of an entry separates the two.

    Raises:
        ValueError: An entry is not of that form, or a symbol has two exchanges.
    """
    exchanges: dict[str, str] = {}
    for entry in (entry.strip() for entry in text.split(",")):
        symbol, separator, exchange = (word.strip() for word in entry.rpartition("="))
        if entry and not (separator and symbol and exchange):
            raise ValueError(f"Expected SYMBOL=EXCHANGE,SYMBOL=EXCHANGE (VOD=XLON), found {entry!r}")
        if exchanges.setdefault(symbol, exchange) != exchange:
            raise ValueError(f"Expected one exchange of {symbol}, found {exchanges[symbol]} and {exchange}")
    exchanges.pop("", None)
    return exchanges


def check_exchange(name: str) -> str:
    """`name` itself.

    Raises:
        ValueError: exchange_calendars has no such exchange.
    """
    if name == "XNYS":
        return name  # the default; it does not load the calendars
    import exchange_calendars as xc

    if name not in xc.get_calendar_names():
        raise ValueError(f"Expected an exchange of exchange_calendars (XNYS, XLON, XTKS, or 24/7), found {name!r}")
    return name
