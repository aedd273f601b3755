"""The exchange of a symbol, from its suffix, by the names of exchange_calendars."""

from collections.abc import Mapping
from datetime import date

OLDEST_DAY, NEWEST_DAY = date(1962, 1, 2), date(2060, 12, 31)
"""The span of all calendars: Yahoo's oldest daily bars start in 1962."""

# Yahoo's suffixes whose sessions exchange_calendars has: the exchange's own, or those of one with the same days and
# hours (Shanghai's for Shenzhen). Missing are Cairo, Caracas, Dubai, Kuwait, Qatar, Vietnam, and futures, whose next
# session opens as one closes.
_SUFFIXES = """
AQ=XLON AS=XAMS AT=ASEX AX=XASX BA=XBUE BD=XBUD BE=XHAM BK=XBKK BO=XBOM BR=XBRU CL=XBOG CN=XTSE CO=XCSE DE=XETR
DU=XDUS F=XFRA HA=XHAM HE=XHEL HK=XHKG HM=XHAM IC=XICE IL=XLON IR=XDUB IS=XIST JK=XIDX JO=XJSE KL=XKLS KQ=XKRX
KS=XKRX L=XLON LS=XLIS MC=XMAD MI=XMIL MU=XHAM MX=XMEX NE=XTSE NS=XBOM NZ=XNZE OL=XOSL PA=XPAR PR=XPRA PS=XPHS
RG=XRIS RO=XBSE SA=BVMF SG=XSTU SI=XSES SN=XSGO SR=XSAU SS=XSHG ST=XSTO SW=XSWX SZ=XSHG T=XTKS TA=XTAE TL=XTAL
TO=XTSE TW=XTAI TWO=XTAI V=XTSE VI=XWBO VS=XLIT WA=XWAR XA=XASX XC=XLON
"""
_BY_SUFFIX = dict(pair.split("=") for pair in _SUFFIXES.split())


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
    """The exchange of each symbol in `VOD=XLON,ES=F=CMES`, the last = of an entry separates; else a ValueError."""
    exchanges: dict[str, str] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        symbol, _, exchange = (word.strip() for word in entry.rpartition("="))
        if not (symbol and exchange):
            raise ValueError(f"Expected SYMBOL=EXCHANGE,SYMBOL=EXCHANGE (VOD=XLON), found {entry!r}")
        if exchanges.setdefault(symbol, exchange) != exchange:
            raise ValueError(f"Expected one exchange of {symbol}, found {exchanges[symbol]} and {exchange}")
    return exchanges


def check_exchange(name: str) -> str:
    """`name` itself; a ValueError where exchange_calendars has no such exchange."""
    if name == "XNYS":
        return name  # the default; it does not load the calendars
    import exchange_calendars as xc

    if name not in xc.get_calendar_names():
        raise ValueError(f"Expected an exchange of exchange_calendars (XNYS, XLON, XTKS, or 24/7), found {name!r}")
    return name
