"""The private names of other packages that this code uses: a docstring says what for."""

from __future__ import annotations

import ast
import contextlib
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]

OWN = {"_asdict", "_exit", "_fields", "_forecasting_traceback", "_mapping"}
"""Names with an underscore that their documents promise, or that are ours."""


def test_yfinance_time_zone() -> None:
    """A ticker with _tz set requests no time zone."""
    import yfinance

    ticker = yfinance.Ticker("SBUX")
    assert ticker._tz is None
    ticker._tz = "UTC"
    with mock.patch.object(ticker, "_fetch_ticker_tz", side_effect=AssertionError("it requests one")):
        assert ticker._get_ticker_tz(timeout=1) == "UTC"


def test_yfinance_calendar() -> None:
    """Calendars with _most_active_qy set requests no list of active stocks."""
    from yfinance import calendars

    calendar = calendars.Calendars(start="2024-03-01", end="2024-03-02")
    assert calendar._most_active_qy.is_empty
    query = calendars.CalendarQuery("or", [calendars.CalendarQuery("eq", ["ticker", "SBUX"])])
    calendar._most_active_qy = query
    refuse = mock.patch.object(calendars, "screen", side_effect=AssertionError("it requests the list"))
    answer = mock.patch.object(calendar, "_get_data", side_effect=LookupError("no answer"))
    with refuse, answer as asked, contextlib.suppress(LookupError):
        calendar.get_earnings_calendar(limit=100)
    assert query.to_dict() in asked.call_args.kwargs["query"].to_dict()["operands"]


def test_yfinance_data() -> None:
    """config.debug.hide_exceptions exists, YfData.cache_get.cache_clear() empties the cache of responses, and YfData is
    one object, in SingletonMeta._instances, until it is removed there.
    """
    import yfinance
    from yfinance.data import SingletonMeta, YfData

    assert yfinance.config.debug.hide_exceptions in (True, False)
    YfData.cache_get.cache_clear()
    with mock.patch.object(SingletonMeta, "_instances", {}):
        first = YfData()
        assert YfData() is first
        SingletonMeta._instances.pop(YfData)
        assert YfData() is not first


def test_every_private_name_of_another_package_is_stated_here() -> None:
    stated = " ".join(check.__doc__ or "" for name, check in globals().items() if name.startswith("test_"))
    used = {name for folder in ("forecasting", "flows", "migrations") for name in private_names(ROOT / folder)}
    assert {"_tz", "_instances"} <= used
    assert {name for name in used if name not in stated} == set()


def private_names(folder: Path) -> set[str]:
    """Names with one underscore that modules import from others, or take from anything but `self` and `cls`."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "cls"):
                found.add(node.attr)
            elif isinstance(node, ast.ImportFrom):
                found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("_") and not name.startswith("__")} - OWN
