"""What this code relies on in other packages beyond what their documents promise: a docstring says what."""

from __future__ import annotations

import ast
import contextlib
import inspect
from pathlib import Path
from unittest import mock

import pytest

ROOT = Path(__file__).resolve().parents[1]

OWN = {"_asdict", "_exit", "_fields", "_forecasting_traceback", "_mapping"}
"""Names with an underscore that their documents promise, or that are ours."""


def test_curl_cffi_errors() -> None:
    """Each error of a request is an OSError."""
    from curl_cffi.requests import exceptions
    from curl_cffi.requests.exceptions import RequestException

    kinds = [kind for kind in vars(exceptions).values() if inspect.isclass(kind) and issubclass(kind, RequestException)]
    assert {"ConnectionError", "Timeout", "SSLError"} <= {kind.__name__ for kind in kinds}
    assert issubclass(RequestException, OSError)


def test_curl_cffi_cut_off() -> None:
    """A response that was cut off is a JSONDecodeError with `pos`, or an IncompleteRead."""
    from curl_cffi.requests import Response
    from curl_cffi.requests.exceptions import IncompleteRead

    response = Response()
    for content, place in ((b'{"chart": ', 10), (b"<html>", 0)):
        response.content = content
        with pytest.raises(ValueError, match=r"^\S") as refused:
            response.json()
        assert (type(refused.value).__name__, refused.value.pos) == ("JSONDecodeError", place)  # type: ignore[attr-defined]
    assert IncompleteRead.__name__ == "IncompleteRead"


def test_prefect_paths() -> None:
    """A server has the paths /health and /admin/version."""
    from prefect.server.api import admin, server

    assert inspect.signature(server.create_api_app).parameters["health_check_path"].default == "/health"
    assert "/admin/version" in {route.path for route in admin.router.routes}


def test_prefect_failed() -> None:
    """The message of a failed run begins `Flow run encountered an exception:`."""
    from prefect import flow_engine

    assert '"Flow run encountered an exception:"' in inspect.getsource(flow_engine)


def test_torch_adamw() -> None:
    """torch.optim.adamw.adamw is a step of AdamW as a function."""
    import torch
    from torch.optim.adamw import adamw

    weight, named = torch.ones(1), {"foreach": True, "amsgrad": False, "maximize": False}
    zeros = [torch.zeros(1)], [torch.zeros(1)]
    adamw([weight], [torch.ones(1)], *zeros, [], [torch.tensor(0.0)], **named, beta1=0.9, beta2=0.999, lr=0.1,
          weight_decay=0.5, eps=0.0)  # fmt: skip
    torch.testing.assert_close(weight, torch.tensor([1.0 * (1 - 0.1 * 0.5) - 0.1]))


def test_torch_meta() -> None:
    """A network made on the device meta draws nothing from the process's generator."""
    import torch

    before = torch.get_rng_state()
    with torch.device("meta"):
        torch.nn.GRU(3, 4)
    assert torch.equal(torch.get_rng_state(), before)


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


def test_yfinance_errors() -> None:
    """YFRateLimitError and YFPricesMissingError, with yahoo_reason, are YFExceptions."""
    from yfinance.exceptions import YFException, YFPricesMissingError, YFRateLimitError

    assert YFPricesMissingError("SBUX", "", yahoo_reason="No data found").yahoo_reason == "No data found"
    assert issubclass(YFPricesMissingError, YFException)
    assert issubclass(YFRateLimitError, YFException)


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
