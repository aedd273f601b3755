"""What this code relies on in other packages beyond what their documents promise: a docstring says what."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from unittest import mock
from uuid import uuid4

import pytest

ROOT = Path(__file__).resolve().parents[1]

OWN = {"_asdict", "_exit", "_fields", "_forecasting_traceback", "_mapping"}
"""Names with an underscore that their documents promise, or that are ours."""


def test_alembic_errors() -> None:
    """An unknown revision is a CommandError."""
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    from forecasting.store.migrate import _config

    with pytest.raises(CommandError):
        ScriptDirectory.from_config(_config()).get_revision("nowhere")


def test_alembic_table() -> None:
    """The revision is column version_num of table alembic_version."""
    import sqlalchemy as sa
    from alembic.migration import MigrationContext

    with sa.create_engine("sqlite://").connect() as connection:
        connection.execute(sa.text("CREATE TABLE alembic_version (version_num TEXT)"))
        connection.execute(sa.text("INSERT INTO alembic_version (version_num) VALUES ('0042')"))
        assert MigrationContext.configure(connection).get_current_revision() == "0042"


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


def test_exchange_calendars_names() -> None:
    """get_calendar_names() has all that get_calendar() makes."""
    import exchange_calendars as xc

    assert "XNOWHERE" not in xc.get_calendar_names()
    for name in ("XLON", "24/7"):
        assert name in xc.get_calendar_names()
        assert xc.get_calendar(name).name == name


def test_exchange_calendars_bounds() -> None:
    """bound_min() and bound_max() of a class of calendars are a day or None."""
    import exchange_calendars as xc

    found = [kind() for name in ("XNYS", "XSAU") for kind in _bounds_of(type(xc.get_calendar(name)))]
    assert all(one is None or one.date() for one in found)


def test_exchange_calendars_weeks() -> None:
    """weekmask has a 1 for each usual weekday, Monday first; special_weekmasks has (first, last, other weekmask)."""
    import exchange_calendars as xc

    weeks = {name: xc.get_calendar(name).weekmask for name in ("XNYS", "XSAU", "24/7")}
    assert weeks == {"XNYS": "1111100", "XSAU": "1111001", "24/7": "1111111"}
    assert not hasattr(xc.get_calendar("XNYS"), "special_weekmasks")
    ((first, last, week),) = xc.get_calendar("XKRX").special_weekmasks
    assert (first, last.isoformat(), week) == (None, "1998-12-06T00:00:00", "1111110")


def _bounds_of(kind: type) -> list[Callable[[], object]]:
    return [kind.bound_min, kind.bound_max]  # type: ignore[attr-defined]


def test_pandas_string_storage() -> None:
    """The option mode.string_storage can be `python`."""
    import pandas as pd

    with pd.option_context("mode.string_storage", "python"):
        assert pd.StringDtype().storage == "python"


def test_prefect_paths() -> None:
    """A server has the paths /health and /admin/version."""
    from prefect.server.api import admin, server

    assert inspect.signature(server.create_api_app).parameters["health_check_path"].default == "/health"
    assert "/admin/version" in {route.path for route in admin.router.routes}


def test_prefect_drain() -> None:
    """APILogWorker and EventsWorker have drain_all with a time limit."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        inspect.signature(worker.drain_all).bind(timeout=5)


def test_prefect_outside_a_run() -> None:
    """FlowRunContext.get() is None outside a flow run."""
    from prefect.context import FlowRunContext

    assert FlowRunContext.get() is None


def test_prefect_failed() -> None:
    """The message of a failed run begins `Flow run encountered an exception:`."""
    from prefect import flow_engine

    assert '"Flow run encountered an exception:"' in inspect.getsource(flow_engine)


def test_prefect_loggers() -> None:
    """Runs log to prefect.flow_runs, tasks to prefect.task_runs."""
    from prefect.client.schemas.objects import FlowRun, TaskRun
    from prefect.logging.loggers import flow_run_logger, task_run_logger

    of_flow = flow_run_logger(FlowRun(flow_id=uuid4()))
    of_task = task_run_logger(TaskRun(task_key="key", dynamic_key="0"), flow_run=FlowRun(flow_id=uuid4()))
    assert (of_flow.logger.name, of_task.logger.name) == ("prefect.flow_runs", "prefect.task_runs")


def test_prefect_schedule() -> None:
    """A CronSchedule gives its next dates."""
    from prefect.server.schemas.schedules import CronSchedule

    schedule = CronSchedule(cron="30 5 * * 2-6", timezone="America/New_York")
    (due,) = asyncio.run(schedule.get_dates(1, datetime(2024, 3, 9, tzinfo=UTC)))
    assert due == datetime(2024, 3, 9, 10, 30, tzinfo=UTC)


def test_psycopg_options() -> None:
    """Conninfo.get_defaults() lists libpq's options."""
    from psycopg.pq import Conninfo

    assert {b"host", b"sslmode", b"connect_timeout"} <= {option.keyword for option in Conninfo.get_defaults()}


def test_pydantic_problems() -> None:
    """A problem has type, loc, msg and input; an own check's is a value_error, `Value error, ` before its text."""
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


def test_sqlalchemy_errors() -> None:
    """A failed connection is an OperationalError without statement, the driver's error in `orig`."""
    import sqlalchemy as sa
    from sqlalchemy.exc import OperationalError

    with pytest.raises(OperationalError) as failed:
        sa.create_engine("sqlite:////nowhere/at/all.db").connect()
    assert failed.value.statement is None
    assert str(failed.value.orig) == "unable to open database file"


def test_sqlalchemy_rowcount() -> None:
    """With preserve_rowcount, an insert's rowcount is that of the rows it added."""
    import sqlalchemy as sa

    insert = "INSERT INTO t VALUES (?) ON CONFLICT DO NOTHING"
    with sa.create_engine("sqlite://").connect() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x INTEGER PRIMARY KEY)")
        counts = [
            connection.exec_driver_sql(insert, rows, execution_options={"preserve_rowcount": True}).rowcount
            for rows in ([(1,), (2,)], [(2,), (3,)])
        ]
    assert counts == [2, 1]


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


def test_typer_sources() -> None:
    """A context names which options the command line gave."""
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


def test_yfinance_exceptions_shown() -> None:
    """config.debug.hide_exceptions exists."""
    import yfinance

    assert yfinance.config.debug.hide_exceptions in (True, False)


def test_yfinance_cache() -> None:
    """YfData.cache_get.cache_clear() empties the cache of responses."""
    from yfinance.data import YfData

    YfData.cache_get.cache_clear()


def test_yfinance_session() -> None:
    """YfData is one object, in SingletonMeta._instances, until it is removed there."""
    from yfinance.data import SingletonMeta, YfData

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
