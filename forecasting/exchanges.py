"""On which exchange a symbol trades: what its suffix says, in the names of exchange_calendars."""

from collections.abc import Mapping

# Yahoo's suffixes whose sessions exchange_calendars knows: the exchange's own, or those of one that trades the same
# days and hours (Shenzhen those of Shanghai). Missing are Cairo, Caracas, Dubai, Kuwait, Qatar, Vietnam, and futures,
# which open when they close.
_BY_SUFFIX = {
    "AQ": "XLON",
    "AS": "XAMS",
    "AT": "ASEX",
    "AX": "XASX",
    "BA": "XBUE",
    "BD": "XBUD",
    "BE": "XHAM",
    "BK": "XBKK",
    "BO": "XBOM",
    "BR": "XBRU",
    "CL": "XBOG",
    "CN": "XTSE",
    "CO": "XCSE",
    "DE": "XETR",
    "DU": "XDUS",
    "F": "XFRA",
    "HA": "XHAM",
    "HE": "XHEL",
    "HK": "XHKG",
    "HM": "XHAM",
    "IC": "XICE",
    "IL": "XLON",
    "IR": "XDUB",
    "IS": "XIST",
    "JK": "XIDX",
    "JO": "XJSE",
    "KL": "XKLS",
    "KQ": "XKRX",
    "KS": "XKRX",
    "L": "XLON",
    "LS": "XLIS",
    "MC": "XMAD",
    "MI": "XMIL",
    "MU": "XHAM",
    "MX": "XMEX",
    "NE": "XTSE",
    "NS": "XBOM",
    "NZ": "XNZE",
    "OL": "XOSL",
    "PA": "XPAR",
    "PR": "XPRA",
    "PS": "XPHS",
    "RG": "XRIS",
    "RO": "XBSE",
    "SA": "BVMF",
    "SG": "XSTU",
    "SI": "XSES",
    "SN": "XSGO",
    "SR": "XSAU",
    "SS": "XSHG",
    "ST": "XSTO",
    "SW": "XSWX",
    "SZ": "XSHG",
    "T": "XTKS",
    "TA": "XTAE",
    "TL": "XTAL",
    "TO": "XTSE",
    "TW": "XTAI",
    "TWO": "XTAI",
    "V": "XTSE",
    "VI": "XWBO",
    "VS": "XLIT",
    "WA": "XWAR",
    "XA": "XASX",
    "XC": "XLON",
}


def exchange_of(symbol: str, *, named: Mapping[str, str], otherwise: str) -> str:
    """The exchange whose sessions count for `symbol`: as `named`, else as its suffix says, else `otherwise`.

    SBUX and BRK-B have no suffix. A suffix of no known exchange (BRK.B, ES=F) says nothing.
    """
    if symbol in named:
        return named[symbol]
    _, dot, suffix = symbol.rpartition(".")
    return _BY_SUFFIX.get(suffix, otherwise) if dot else otherwise


def parse_named(text: str) -> dict[str, str]:
    """The exchange of each symbol that `VOD=XLON,ES=F=CMES` names; the last = of a part parts them.

    Raises:
        ValueError: A part is not of that form, or a symbol is named twice.
    """
    named: dict[str, str] = {}
    for part in (part.strip() for part in text.split(",")):
        symbol, parted, exchange = (word.strip() for word in part.rpartition("="))
        if part and not (parted and symbol and exchange):
            raise ValueError(f"it reads SYMBOL=EXCHANGE,SYMBOL=EXCHANGE (VOD=XLON); found {part!r}")
        if named.setdefault(symbol, exchange) != exchange:
            raise ValueError(f"it names two exchanges of {symbol}: {named[symbol]} and {exchange}")
    named.pop("", None)
    return named


def check_exchange(name: str) -> str:
    """`name` itself.

    Raises:
        ValueError: exchange_calendars knows no such exchange.
    """
    if name == "XNYS":
        return name  # what nearly everybody has: no need to load the calendars for it
    import exchange_calendars as xc

    if name not in xc.get_calendar_names():
        raise ValueError(
            f"an exchange is a name that exchange_calendars knows (XNYS, XLON, XTKS, or 24/7); found {name!r}"
        )
    return name
