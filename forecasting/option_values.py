"""Values of options and settings, checked; an error names what was typed."""

import math
import re
from collections.abc import Sequence
from datetime import date, datetime, time
from pathlib import PurePath
from typing import cast, get_args

from forecasting.errors import UsageError
from forecasting.exchanges import NEWEST_DAY, OLDEST_DAY
from forecasting.market_choice import NONE, symbol_of
from forecasting.plain_text import fits_utf8
from forecasting.vocabulary import Clock, Mode, Target

SYMBOL = re.compile(r"[A-Z0-9^][A-Z0-9.\-=^]{0,14}")
"""Yahoo's ticker alphabet; no other characters are allowed, since symbols become parts of file and Prefect names."""

MARKET_FORMS = "none, a symbol in capitals such as ^VIX, or csv:PATH or parquet:PATH of a file with such a name"
"""What chooses a market series, in words."""


def check_symbol(symbol: str) -> str:
    """`symbol` itself.

    Raises:
        UsageError: It has lower-case letters or characters outside Yahoo's ticker alphabet.
    """
    if not isinstance(symbol, str) or not SYMBOL.fullmatch(symbol):  # Python's callers may give anything
        raise UsageError(
            f"Invalid symbol {symbol!r:.60}: expected 1 to 15 of A-Z 0-9 . - = ^ (SBUX, BRK-B, ^GSPC); "
            "write it as Yahoo does, in capitals."
        )
    return symbol


def listed(text: str) -> list[str]:
    """The values of a comma separated text, in their order."""
    return [part.strip() for part in text.split(",") if part.strip()]


def source_name(source: str) -> str:
    """A source as the ledger names it: `csv:FILE` for `csv:PATH`, as a file is the same by any path; others as is.

    Args:
        source: As FORECASTING_SOURCE.
    """
    kind, colon, path = source.partition(":")
    return f"{kind}:{PurePath(path).name}" if colon and kind in ("csv", "parquet") else source


def parse_mode(text: str) -> Mode:
    """One of the modes in which a challenger is fitted.

    Raises:
        UsageError: Anything else.
    """
    if not isinstance(text, str) or text not in get_args(Mode):
        raise UsageError(f"Invalid mode {text!r:.60}: expected auto, scratch, warm or skip.")
    return cast(Mode, text)


def check_option(name: str, text: str) -> str:
    """`text` itself, the value of an option that overrides the setting `name`.

    Raises:
        UsageError: It is not valid; names the option as it was typed.
    """
    if name == "target" and text not in get_args(Target):
        raise UsageError(f"Invalid --target {text!r}: expected volume, close or range.")
    if name == "cost_ratio" and not _is_above_zero(text):
        raise UsageError(f"Invalid --cost-ratio {text[:40]!r}: expected a number above 0, such as 3.")
    if name == "market" and not chooses_market(text):
        raise UsageError(f"Invalid --market {text[:40]!r}: expected {MARKET_FORMS}.")
    return text


def chooses_market(text: str) -> bool:
    """Whether a text is `none` or leads to the symbol of a market series."""
    return text == NONE or SYMBOL.fullmatch(symbol_of(text)) is not None


def _is_above_zero(text: str) -> bool:
    try:
        return 0.0 < float(text) < math.inf
    except ValueError:
        return False


def parse_date(text: str) -> date:
    """The date of an ISO text.

    Raises:
        UsageError: Not of the form 2024-03-08, no such day, or outside the span of the calendars.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"Invalid date {text[:40]!r}: expected the form 2024-03-08.") from None
    if not OLDEST_DAY <= day <= NEWEST_DAY:
        raise UsageError(f"Invalid date {text}: expected a day from {OLDEST_DAY} to {NEWEST_DAY}. Correct it.")
    return day


def check_day(name: str, day: object) -> date:
    """The day that a caller from Python gives: a date, or a midnight without a time zone, as in a frame's index.

    Raises:
        UsageError: Anything else, or a day outside the span of the calendars.
    """
    if isinstance(day, datetime) and day == day and day.tzinfo is None and day.time() == time():  # NaT is not itself
        day = day.date()
    if not isinstance(day, date) or isinstance(day, datetime):
        raise UsageError(f"Invalid {name} {day!r:.60}: expected a datetime.date, such as date(2024, 3, 8).")
    return parse_date(str(day))


def check_text(name: str, text: object) -> str:
    """`text` itself, which a caller from Python gives.

    Raises:
        UsageError: It is no str, or empty, which a variable that is not set often is.
    """
    if not isinstance(text, str):
        raise UsageError(f"Invalid {name}: expected a str, found {type(text).__name__}.")
    if not text.strip():
        raise UsageError(f"Invalid {name}: expected a text, found an empty one. Leave it out for the default.")
    if not fits_utf8(text):
        raise UsageError(f"Invalid {name}: expected text that UTF-8 can hold, found half of a surrogate pair.")
    return text


def checked_clock(now: object) -> Clock:
    """`now` itself, a clock that a caller from Python gives.

    Raises:
        UsageError: It is no function that returns an aware datetime.
    """
    at = now() if callable(now) else None
    if not isinstance(at, datetime) or at.tzinfo is None:
        raise UsageError(
            f"Invalid now {now!r:.60}: expected a function that returns an instant with a time zone: flows.clock.now."
        )
    return cast(Clock, now)


def refuse_empty_values(arguments: Sequence[str]) -> None:
    """Refuse empty arguments: for an option one would be read as its default, as from an unset shell variable.

    Raises:
        UsageError: Names the option.
    """
    before = ""
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not argument.strip() or (equals and name.startswith("--") and not value.strip()):
            option = name if equals else before
            raise UsageError(
                f"Expected a value{f' after {option}' if option.startswith('-') else ''}, found an empty text. "
                "Leave the option out for its default, or check the variable that it comes from."
            )
        before = argument
