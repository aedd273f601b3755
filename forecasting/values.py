"""Values of options and settings, checked; an error names what was typed."""

import re
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path, PurePath
from typing import Any, get_args
from urllib.parse import quote, unquote

from forecasting.errors import UsageError
from forecasting.sessions import NEWEST_DAY, OLDEST_DAY
from forecasting.vocabulary import BASELINES, LSTM, PUBLISHED, Target

SYMBOL = re.compile(r"[A-Z0-9^][A-Z0-9.\-=^]{0,14}")
"""Yahoo's ticker alphabet; no other characters are allowed, since symbols become parts of file and
Prefect names."""

MARKET_FORMS = (
    "none, a symbol as ^VIX, or a .csv or .parquet file named with up to 14 of A-Z 0-9 . - = ^"
)
"""What chooses a market series, in words."""

NO_MARKET = "none"

SCHEDULE = (
    "five fields (minute 0-59, hour 0-23, day 1-31, month 1-12, weekday 0-7), such as 30 5-8 * * "
    "2-6"
)
"""What FORECASTING_CRON takes, in words."""

_FILE = re.compile(r"(csv|parquet):(.+)")


def check_symbol(symbol: str) -> str:
    """The symbol in capitals; a UsageError for one that is not in Yahoo's ticker alphabet."""
    if not isinstance(symbol, str):  # Python's callers may give anything
        raise UsageError(
            f"Invalid symbol {symbol!r:.60}: expected one text, such as 'SBUX'. Loop over several."
        )
    if not SYMBOL.fullmatch(symbol.upper()):
        raise UsageError(
            f"Invalid symbol {symbol!r:.60}: expected 1 to 15 of A-Z 0-9 . - = ^ (SBUX, BRK-B, "
            "^GSPC); write it as Yahoo does."
        )
    return symbol.upper()


def listed(text: str) -> list[str]:
    """The values of a comma separated text, in their order."""
    return [part.strip() for part in text.split(",") if part.strip()]


def with_kind(path: str) -> str:
    """The option csv:PATH or parquet:PATH of a path alone; any other text itself."""
    kind = PurePath(path).suffix[1:].lower()
    return f"{kind}:{path}" if kind in ("csv", "parquet") and ":" not in path else path


def is_file(source: str) -> bool:
    """Whether FORECASTING_SOURCE names a file, which nobody but its user brings up to date."""
    return _FILE.fullmatch(source) is not None


def parse_pairs(text: str) -> dict[str, str]:
    """The value of each name in `VOD=XLON,ES=F=CMES`; a ValueError for any other text."""
    pairs: dict[str, str] = {}
    for entry in listed(text):
        name, _, value = (word.strip() for word in entry.rpartition("="))
        if not (name and value):
            raise ValueError(f"Expected NAME=VALUE,NAME=VALUE, found {entry!r}")
        pairs[name] = value
    return pairs


def check_rival(name: str) -> str:
    """The name of a rival; a ValueError for one that is not valid or a forecaster's of ours."""
    if re.fullmatch("[a-z][a-z0-9_]{0,15}", name) and name not in (*BASELINES, LSTM, PUBLISHED):
        return name
    raise ValueError(
        "Expected NAME=csv:PATH,... with names of up to 16 of a-z 0-9 _, none a forecaster's of "
        f"ours; found {name[:40]!r}"
    )


def parse_targets(text: str) -> list[str]:
    """The parts of a comma separated text, in their order; for `all` every target."""
    parts = listed(text)
    if "all" not in parts:
        return parts
    return [*get_args(Target), *(part for part in parts if part != "all")]


def source_name(source: str) -> str:
    """FORECASTING_SOURCE as the ledger names it: a file, the same by any path, csv:FILE."""
    file = _FILE.fullmatch(source)
    return source if file is None else f"{file[1]}:{PurePath(file[2]).name}"


def check_choice(name: str, value: object, kind: Any) -> Any:  # noqa: ANN401 - a Literal, and one of its values
    """`value` itself, one of a Literal's; else a UsageError, which names the option or argument."""
    *others, last = get_args(kind)
    if not isinstance(value, str) or value not in (*others, last):
        raise UsageError(f"Invalid {name} {value!r:.60}: expected {', '.join(others)} or {last}.")
    return value


def check_option(name: str, text: str) -> str:
    """`text`, of an option that overrides the setting `name`; an error names the option."""
    if name == "target":
        texts = parse_targets(text)
        return ",".join(check_choice("--target", part, Target) for part in texts or [""])
    if name == "market":
        try:
            return check_market(text)
        except ValueError:
            raise UsageError(f"Invalid --market {text[:40]!r}: expected {MARKET_FORMS}.") from None
    if name == "cost_ratio" and not (
        re.fullmatch(r"(\d+\.?\d*|\.\d+)(e[+-]?\d\d?)?", text) and float(text) > 0.0
    ):
        raise UsageError(f"Invalid --cost-ratio {text[:40]!r}: expected a number above 0.")
    return text


def parse_date(text: str) -> date:
    """The date of an ISO text, within the span of the calendars; else a UsageError."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"Invalid date {text[:40]!r}: expected a day in the form 2024-03-08."
        ) from None
    if not OLDEST_DAY <= day <= NEWEST_DAY:
        raise UsageError(
            f"Invalid date {text}: expected a day from {OLDEST_DAY} to {NEWEST_DAY}. Correct it."
        )
    return day


def check_day(name: str, day: object) -> date:
    """The day that a caller from Python gives: a date, its text, or a naive midnight of a frame."""
    if isinstance(day, str):
        return parse_date(day)
    # NaT is not itself
    if isinstance(day, datetime) and day == day and day.tzinfo is None and day.time() == time():
        day = day.date()
    if type(day) is not date:
        raise UsageError(
            f"Invalid {name} {day!r:.60}: expected a datetime.date or a text such as '2024-03-08'."
        )
    return parse_date(str(day))


def check_text(name: str, text: object) -> str:
    """`text` itself, of a caller from Python; refused if empty, as of an unset variable."""
    if not isinstance(text, str):
        raise UsageError(f"Invalid {name}: expected a str, found {type(text).__name__}.")
    if not text.strip():
        raise UsageError(
            f"Invalid {name}: expected a text, found an empty one. Leave it out for the default."
        )
    return text


@dataclass(frozen=True)
class MarketChoice:
    """The market series that FORECASTING_MARKET chooses."""

    symbol: str  # that its bars are stored under
    source: str  # the option of the source that it is fetched from
    exchange: str  # whose sessions it has
    has_own_file: bool = False  # whether the source is a file of this series alone


def check_market(text: str) -> str:
    """The market series of a text: `none`, a file, or a symbol in capitals; else a ValueError."""
    if text.lower() == NO_MARKET:
        return NO_MARKET
    chosen = with_kind(text)
    symbol = market_symbol(chosen)
    if not SYMBOL.fullmatch(symbol):
        raise ValueError(f"Expected {MARKET_FORMS}, found {text[:40]!r}")
    return chosen if is_file(chosen) else symbol


def market_symbol(text: str) -> str:
    """The symbol that the series is stored under: of VIX.csv or vix.parquet `^VIX`; or `none`."""
    if text == NO_MARKET:
        return text
    file = _FILE.fullmatch(text)
    return text.upper() if file is None else f"^{Path(file[2]).stem.upper().lstrip('^')}"


def check_web_address(text: str) -> str:
    """`text` without a slash at its end: an address of a web server, or empty."""
    if text and not re.fullmatch(r"https?://[\w.:/~%\[\]-]+", text, re.ASCII):
        raise ValueError(f"Expected an address as https://HOST/reports, found {text[:80]!r}")
    return text.rstrip("/")


def encoded(path: Path) -> str:
    """The path percent-encoded, but for its slashes: its names may have `?` and %XX."""
    return quote(str(path), errors="surrogateescape")


def sqlite_database(url: str) -> str:
    """The path that a SQLite URL names, decoded; empty where it names none."""
    return unquote(url.partition(":///")[2].partition("?")[0], errors="surrogateescape")
