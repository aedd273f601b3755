"""Which symbols and origins choose settings, and which confirm them.

A setting is chosen on the choosing half of the stocks up to the last choosing origin. The other half, and the years
after it, are looked at once a release: what they show confirms. Stocks are split by a hash of their name, so that no
taste is in it. The split was made on 2026-11-26: the settings of the model that are older were chosen on years of both
parts, so for them only bars after 2024-03-08 confirm; for what was chosen since, the confirming part does.
SBUX, with which the project began, chooses; its later years confirm.
"""

import hashlib
from datetime import date

LAST_CHOOSING = date(2022, 3, 8)
"""Two years before the end of the panel that the project was developed on."""


def chooses(symbol: str) -> bool:
    """Whether settings may be chosen on the symbol's origins up to LAST_CHOOSING."""
    return symbol == "SBUX" or int(hashlib.sha256(symbol.encode()).hexdigest(), 16) % 2 == 0


PARTS = ("all", "choosing", "confirming")


def split(symbols: list[str], part: str) -> list[str]:
    """The symbols of one of PARTS; SBUX is in all of them, with other years."""
    if part == "all":
        return symbols
    return [symbol for symbol in symbols if symbol == "SBUX" or chooses(symbol) == (part == "choosing")]


def name_of(symbols: list[str], first: date, last: date) -> str:
    """What a table over these symbols and origins is of: it chose settings, confirms them, or is mixed."""
    if last <= LAST_CHOOSING and all(chooses(symbol) for symbol in symbols):
        return "choosing"
    later = first > LAST_CHOOSING
    return "confirming" if later or not any(chooses(symbol) for symbol in symbols) else "mixed"
