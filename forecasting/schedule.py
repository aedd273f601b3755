"""Checks of the schedule's settings, without the scheduler: a wrong one is refused before `serve` starts a server."""

import re
from zoneinfo import ZoneInfo

_CRON_NAMES = {
    "month": ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    "day of the week": ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
}
_CRON_RANGES = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "day of the week": (0, 7)}


_OF_MONTH = re.compile(r"L\d|\w+#[1-5]")
"""MON#1 is the first Monday of a month, L5 the last Friday; Prefect takes no other weekdays beside them."""

_HOUR = re.compile(r"([01]\d|2[0-3])(:[0-5]\d){1,2}", re.ASCII)

_SHORTCUTS = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")


def check_cron(text: str) -> str:
    """`text` itself, a schedule that Prefect takes.

    Raises:
        ValueError: Neither @daily or its like nor five fields of numbers, names, ranges, lists and steps.
    """
    found = text.split()
    if text in _SHORTCUTS:
        return text
    if len(found) != len(_CRON_RANGES):
        raise ValueError(
            f"Expected five fields (minute hour day month weekday: 30 5-8 * * 2-6), found {len(found)} in {text[:40]!r}"
        )
    for field, (name, (low, high)) in zip(found, _CRON_RANGES.items(), strict=True):
        parts = field.split(",")
        of_month = [part for part in parts if name == "day of the week" and _OF_MONTH.fullmatch(part)]
        if field == "?" and name.startswith("day"):
            continue
        if not all(_is_cron_part(part, name, low, high) for part in parts) or len(of_month) not in (0, len(parts)):
            raise ValueError(f"Expected {name} from {low} to {high}, found {field[:40]!r} in {text[:40]!r}")
    return text


def _is_cron_part(part: str, name: str, low: int, high: int) -> bool:
    if name == "day of the week" and _OF_MONTH.fullmatch(part):
        part = part.partition("#")[0] if "#" in part else part[1:]
    span, slash, step = part.partition("/")
    if slash and not (step.isascii() and step.isdigit() and int(step[:9]) > 0):
        return False
    if span == "*" or (part == "L" and name == "day"):
        return True
    names = _CRON_NAMES.get(name, [])
    ends = [str(names.index(end.upper()) + low) if end.upper() in names else end for end in span.split("-")]
    if len(ends) > 2 or not all(end.isascii() and end.isdigit() and len(end) <= 2 for end in ends):
        return False
    return all(low <= int(end) <= high for end in ends)


def check_hour(value: object) -> object:
    """`value` itself, a text as `09:00` or `09:00:30`; values from Python are checked by their type.

    A text with a time zone of its own would be read as one and its zone ignored: FORECASTING_TIMEZONE has the zone.

    Raises:
        ValueError: Another text.
    """
    if isinstance(value, str) and not _HOUR.fullmatch(value):
        raise ValueError(f"Expected a time of FORECASTING_TIMEZONE such as 09:00, found {value[:40]!r}")
    return value


def check_time_zone(name: str) -> str:
    """`name` itself.

    Raises:
        ValueError: This machine has no such time zone.
    """
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # OSError: a name of a folder, such as America, or one that is too long
        raise ValueError(f"Expected a time zone such as America/New_York, found {name[:40]!r}") from None
    return name
