"""The installed packages against what this code assumes of them: a failure names the package and what has changed."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated
from unittest import mock
from uuid import uuid4

import pytest

from forecasting import dependencies
from forecasting.dependencies import ASSUMPTIONS, TESTED, Assumption, untested_releases

ROOT = Path(__file__).resolve().parents[1]

OWN = {"_asdict", "_exit", "_fields", "_forecasting_traceback", "_mapping"}
"""Names with an underscore that their documents promise, or that are ours."""


def alembic_errors() -> None:
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    from forecasting.store.migrate import _config

    with pytest.raises(CommandError):
        ScriptDirectory.from_config(_config()).get_revision("nowhere")


def alembic_table() -> None:
    import sqlalchemy as sa
    from alembic.migration import MigrationContext

    with sa.create_engine("sqlite://").connect() as connection:
        connection.execute(sa.text("CREATE TABLE alembic_version (version_num TEXT)"))
        connection.execute(sa.text("INSERT INTO alembic_version (version_num) VALUES ('0042')"))
        assert MigrationContext.configure(connection).get_current_revision() == "0042"


def curl_cffi_errors() -> None:
    from curl_cffi.requests import exceptions
    from curl_cffi.requests.exceptions import RequestException

    kinds = [kind for kind in vars(exceptions).values() if inspect.isclass(kind) and issubclass(kind, RequestException)]
    assert {"ConnectionError", "Timeout", "SSLError"} <= {kind.__name__ for kind in kinds}
    assert issubclass(RequestException, OSError)


def curl_cffi_cut_off() -> None:
    from curl_cffi.requests import Response
    from curl_cffi.requests.exceptions import IncompleteRead

    response = Response()
    for content, place in ((b'{"chart": ', 10), (b"<html>", 0)):
        response.content = content
        with pytest.raises(ValueError, match=r"^\S") as refused:
            response.json()
        assert (type(refused.value).__name__, refused.value.pos) == ("JSONDecodeError", place)  # type: ignore[attr-defined]
    assert IncompleteRead.__name__ == "IncompleteRead"


def exchange_calendars_names() -> None:
    import exchange_calendars as xc

    assert "XNOWHERE" not in xc.get_calendar_names()
    for name in ("XLON", "24/7"):
        assert name in xc.get_calendar_names()
        assert xc.get_calendar(name).name == name


def exchange_calendars_bounds() -> None:
    import exchange_calendars as xc

    found = [kind() for name in ("XNYS", "XSAU") for kind in _bounds_of(type(xc.get_calendar(name)))]
    assert all(one is None or one.date() for one in found)


def exchange_calendars_weeks() -> None:
    import exchange_calendars as xc

    weeks = {name: xc.get_calendar(name).weekmask for name in ("XNYS", "XSAU", "24/7")}
    assert weeks == {"XNYS": "1111100", "XSAU": "1111001", "24/7": "1111111"}
    assert not hasattr(xc.get_calendar("XNYS"), "special_weekmasks")
    ((first, last, week),) = xc.get_calendar("XKRX").special_weekmasks
    assert (first, last.isoformat(), week) == (None, "1998-12-06T00:00:00", "1111110")


def _bounds_of(kind: type) -> list[Callable[[], object]]:
    return [kind.bound_min, kind.bound_max]  # type: ignore[attr-defined]


def pandas_string_storage() -> None:
    import pandas as pd

    with pd.option_context("mode.string_storage", "python"):
        assert pd.StringDtype().storage == "python"


def prefect_paths() -> None:
    from prefect.server.api import admin, server

    assert inspect.signature(server.create_api_app).parameters["health_check_path"].default == "/health"
    assert "/admin/version" in {route.path for route in admin.router.routes}


def prefect_drain() -> None:
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        inspect.signature(worker.drain_all).bind(timeout=5)


def prefect_outside_a_run() -> None:
    from prefect.context import FlowRunContext

    assert FlowRunContext.get() is None


def prefect_failed() -> None:
    from prefect import flow_engine

    assert '"Flow run encountered an exception:"' in inspect.getsource(flow_engine)


def prefect_loggers() -> None:
    from prefect.client.schemas.objects import FlowRun, TaskRun
    from prefect.logging.loggers import flow_run_logger, task_run_logger

    of_flow = flow_run_logger(FlowRun(flow_id=uuid4()))
    of_task = task_run_logger(TaskRun(task_key="key", dynamic_key="0"), flow_run=FlowRun(flow_id=uuid4()))
    assert (of_flow.logger.name, of_task.logger.name) == ("prefect.flow_runs", "prefect.task_runs")


def prefect_schedule() -> None:
    from prefect.server.schemas.schedules import CronSchedule

    schedule = CronSchedule(cron="30 5 * * 2-6", timezone="America/New_York")
    (due,) = asyncio.run(schedule.get_dates(1, datetime(2024, 3, 9, tzinfo=UTC)))
    assert due == datetime(2024, 3, 9, 10, 30, tzinfo=UTC)


def psycopg_options() -> None:
    from psycopg.pq import Conninfo

    assert {b"host", b"sslmode", b"connect_timeout"} <= {option.keyword for option in Conninfo.get_defaults()}


def pydantic_problems() -> None:
    from pydantic import AfterValidator, BaseModel, ValidationError

    def refuse(value: int) -> int:
        raise ValueError("expected another")

    class Form(BaseModel):
        number: int
        checked: Annotated[int, AfterValidator(refuse)]

    with pytest.raises(ValidationError) as refused:
        Form.model_validate({"number": "many", "checked": 1})
    of_type, of_check = refused.value.errors(include_url=False)
    assert (of_type["loc"], of_type["input"]) == (("number",), "many")
    assert of_type["msg"] == "Input should be a valid integer, unable to parse string as an integer"
    assert (of_check["type"], of_check["msg"]) == ("value_error", "Value error, expected another")


def sqlalchemy_errors() -> None:
    import sqlalchemy as sa
    from sqlalchemy.exc import OperationalError

    with pytest.raises(OperationalError) as failed:
        sa.create_engine("sqlite:////nowhere/at/all.db").connect()
    assert failed.value.statement is None
    assert str(failed.value.orig) == "unable to open database file"


def sqlalchemy_rowcount() -> None:
    import sqlalchemy as sa

    insert = "INSERT INTO t VALUES (?) ON CONFLICT DO NOTHING"
    with sa.create_engine("sqlite://").connect() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x INTEGER PRIMARY KEY)")
        counts = [
            connection.exec_driver_sql(insert, rows, execution_options={"preserve_rowcount": True}).rowcount
            for rows in ([(1,), (2,)], [(2,), (3,)])
        ]
    assert counts == [2, 1]


def torch_adamw() -> None:
    import torch
    from torch.optim.adamw import adamw

    weight, named = torch.ones(1), {"foreach": True, "amsgrad": False, "maximize": False}
    zeros = [torch.zeros(1)], [torch.zeros(1)]
    adamw([weight], [torch.ones(1)], *zeros, [], [torch.tensor(0.0)], **named, beta1=0.9, beta2=0.999, lr=0.1,
          weight_decay=0.5, eps=0.0)  # fmt: skip
    torch.testing.assert_close(weight, torch.tensor([1.0 * (1 - 0.1 * 0.5) - 0.1]))


def torch_meta() -> None:
    import torch

    before = torch.get_rng_state()
    with torch.device("meta"):
        torch.nn.GRU(3, 4)
    assert torch.equal(torch.get_rng_state(), before)


def typer_sources() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        import typer
        from typer.testing import CliRunner

    app, found = typer.Typer(), list[object]()

    def command(context, one="", other=""):  # type: ignore[no-untyped-def]
        found.extend(context.get_parameter_source(name) for name in ("one", "other"))

    command.__annotations__ = {"context": typer.Context, "one": str, "other": str}  # as a text it would be looked up
    app.command()(command)
    CliRunner().invoke(app, ["--one", "x"])
    assert [source.name == "COMMANDLINE" for source in found] == [True, False]  # type: ignore[attr-defined]


def yfinance_time_zone() -> None:
    import yfinance

    ticker = yfinance.Ticker("SBUX")
    assert ticker._tz is None
    ticker._tz = "UTC"
    with mock.patch.object(ticker, "_fetch_ticker_tz", side_effect=AssertionError("it requests one")):
        assert ticker._get_ticker_tz(timeout=1) == "UTC"


def yfinance_calendar() -> None:
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


def yfinance_cache_folder() -> None:
    import yfinance
    from yfinance.cache import _TzDBManager

    before = _TzDBManager.get_location()
    try:
        yfinance.set_tz_cache_location("somewhere")
        assert _TzDBManager.get_location() == "somewhere"
    finally:
        yfinance.set_tz_cache_location(before)


def yfinance_exceptions_shown() -> None:
    import yfinance

    assert yfinance.config.debug.hide_exceptions in (True, False)


def yfinance_cache() -> None:
    from yfinance.data import YfData

    YfData.cache_get.cache_clear()


def yfinance_session() -> None:
    from yfinance.data import SingletonMeta, YfData

    with mock.patch.object(SingletonMeta, "_instances", {}):
        first = YfData()
        assert YfData() is first
        SingletonMeta._instances.pop(YfData)
        assert YfData() is not first


def yfinance_errors() -> None:
    from yfinance.exceptions import YFException, YFPricesMissingError, YFRateLimitError

    assert YFPricesMissingError("SBUX", "", yahoo_reason="No data found").yahoo_reason == "No data found"
    assert issubclass(YFPricesMissingError, YFException)
    assert issubclass(YFRateLimitError, YFException)


def broken(assumption: Assumption, check: Callable[[], None]) -> str:
    """What has changed, with the installed release and those tested; empty where the assumption holds."""
    try:
        check()
    except (Exception, pytest.fail.Exception) as error:
        package, (oldest, newest) = assumption.package, TESTED[assumption.package]
        cause = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        return (
            f"{package} {version(package)} no longer is as {assumption.used_in} relies on: {assumption.states} "
            f"Found {cause}. It was so from {oldest} to {newest}."
        )
    return ""


@pytest.mark.parametrize("name", ASSUMPTIONS)
def test_the_installed_release_is_as_assumed(name: str) -> None:
    if changed := broken(ASSUMPTIONS[name], globals()[name]):
        pytest.fail(changed, pytrace=False)


def test_a_package_that_has_changed_is_named_with_its_release_and_what_is_gone() -> None:
    def look_for_it() -> None:
        SimpleNamespace()._most_active_qy  # noqa: B018 - as a release without it

    words = broken(ASSUMPTIONS["yfinance_calendar"], look_for_it)
    assert words.startswith(f"yfinance {version('yfinance')} no longer is as forecasting/ingest/sources/yahoo.py")
    assert "_most_active_qy set requests no list" in words
    assert "Found AttributeError: 'types.SimpleNamespace' object has no attribute '_most_active_qy'" in words


def test_every_private_name_of_another_package_is_an_assumption() -> None:
    stated = " ".join(assumption.states for assumption in ASSUMPTIONS.values())
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


def test_every_assumption_names_the_module_that_relies_on_it_and_imports_the_package() -> None:
    for name, assumption in ASSUMPTIONS.items():
        text = (ROOT / assumption.used_in).read_text(encoding="utf-8")
        imported = assumption.package.replace("-", "_")
        assert imported in text or imported == "curl_cffi", name
        assert name.startswith(imported), name


def test_a_release_beyond_those_tested_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {package: newest for package, (_, newest) in TESTED.items()}
    monkeypatch.setattr(dependencies, "version", installed.__getitem__)
    assert untested_releases() == ""
    installed |= {"yfinance": "1.10.0rc1", "torch": "2.5.1+cpu", "pandas": "3.1.1.post1"}
    assert untested_releases() == "torch 2.5.1+cpu (tested from 2.6.0), yfinance 1.10.0rc1 (tested up to 1.7.0)"
