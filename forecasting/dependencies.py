"""What this code relies on in other packages beyond what their documents promise, and the releases it was tested with.

tests/test_dependencies.py checks each assumption against the installed package, without a network: after an upgrade it
names the package and what has changed.
"""

import re
from dataclasses import dataclass
from importlib.metadata import version

TESTED = {
    "alembic": ("1.14.0", "1.20.1"),
    "apprise": ("1.13.0", "2.0.1"),
    "curl-cffi": ("0.17.0", "0.17.0"),
    "exchange-calendars": ("4.13.2", "4.13.2"),
    "pandas": ("2.2.2", "3.1.1"),
    "prefect": ("3.9.0", "3.9.1"),
    "psycopg": ("3.2.1", "3.3.9"),
    "pydantic": ("2.10.1", "2.14.4"),
    "sqlalchemy": ("2.0.40", "2.1.9"),
    "torch": ("2.6.0", "2.15.0"),
    "typer": ("0.16.0", "0.29.2"),
    "yfinance": ("1.7.0", "1.7.0"),
}
"""The oldest and the newest release of each package that the tests run on: deploy/locks/oldest.txt and newest.txt."""


@dataclass(frozen=True)
class Assumption:
    """One thing that this code relies on.

    Attributes:
        package: Its name on PyPI.
        states: What the package has or does, as a sentence.
        used_in: The module that relies on it.
    """

    package: str
    states: str
    used_in: str


_YAHOO, _SERVER = "forecasting/ingest/sources/yahoo.py", "flows/operations/server.py"

ASSUMPTIONS = {
    "alembic_errors": Assumption("alembic", "An unknown revision is a CommandError.", "forecasting/store/migrate.py"),
    "alembic_table": Assumption(
        "alembic", "The revision is column version_num of table alembic_version.", "forecasting/store/migrate.py"
    ),
    "curl_cffi_errors": Assumption("curl-cffi", "Each error of a request is an OSError.", _YAHOO),
    "curl_cffi_cut_off": Assumption(
        "curl-cffi",
        "A response that was cut off is a JSONDecodeError with `pos`, or an IncompleteRead.",
        _YAHOO,
    ),
    "exchange_calendars_names": Assumption(
        "exchange-calendars",
        "get_calendar_names() has all that get_calendar() makes.",
        "forecasting/sessions.py",
    ),
    "exchange_calendars_bounds": Assumption(
        "exchange-calendars",
        "bound_min() and bound_max() of a class of calendars are a day or None.",
        "forecasting/sessions.py",
    ),
    "exchange_calendars_weeks": Assumption(
        "exchange-calendars",
        "weekmask has a 1 for each usual weekday, Monday first; special_weekmasks has (first, last, other weekmask).",
        "forecasting/sessions.py",
    ),
    "pandas_string_storage": Assumption(
        "pandas", "The option mode.string_storage can be `python`.", "forecasting/store/frames.py"
    ),
    "prefect_paths": Assumption("prefect", "A server has the paths /health and /admin/version.", _SERVER),
    "prefect_drain": Assumption("prefect", "APILogWorker and EventsWorker have drain_all with a time limit.", _SERVER),
    "prefect_outside_a_run": Assumption(
        "prefect", "FlowRunContext.get() is None outside a flow run.", "flows/reporting.py"
    ),
    "prefect_failed": Assumption(
        "prefect",
        "The message of a failed run begins `Flow run encountered an exception:`.",
        "flows/reporting.py",
    ),
    "prefect_loggers": Assumption(
        "prefect", "Runs log to prefect.flow_runs, tasks to prefect.task_runs.", "flows/reporting.py"
    ),
    "prefect_schedule": Assumption("prefect", "A CronSchedule gives its next dates.", "flows/terminal/start.py"),
    "psycopg_options": Assumption(
        "psycopg", "Conninfo.get_defaults() lists libpq's options.", "forecasting/store/connect.py"
    ),
    "pydantic_problems": Assumption(
        "pydantic",
        "A problem has type, loc, msg and input; an own check's is a value_error, `Value error, ` before its text.",
        "forecasting/settings.py",
    ),
    "sqlalchemy_errors": Assumption(
        "sqlalchemy",
        "A failed connection is an OperationalError without statement, the driver's error in `orig`.",
        "forecasting/store/connect.py",
    ),
    "sqlalchemy_rowcount": Assumption(
        "sqlalchemy",
        "With preserve_rowcount, an insert's rowcount is that of the rows it added.",
        "forecasting/store/insert.py",
    ),
    "torch_adamw": Assumption(
        "torch", "torch.optim.adamw.adamw is a step of AdamW as a function.", "forecasting/train/loop.py"
    ),
    "torch_meta": Assumption(
        "torch",
        "A network made on the device meta draws nothing from the process's generator.",
        "forecasting/train/loop.py",
    ),
    "typer_sources": Assumption(
        "typer", "A context names which options the command line gave.", "flows/terminal/options.py"
    ),
    "yfinance_time_zone": Assumption("yfinance", "A ticker with _tz set requests no time zone.", _YAHOO),
    "yfinance_calendar": Assumption(
        "yfinance", "Calendars with _most_active_qy set requests no list of active stocks.", _YAHOO
    ),
    "yfinance_cache_folder": Assumption(
        "yfinance", "_TzDBManager.get_location() is what set_tz_cache_location was given.", _YAHOO
    ),
    "yfinance_exceptions_shown": Assumption("yfinance", "config.debug.hide_exceptions exists.", _YAHOO),
    "yfinance_cache": Assumption("yfinance", "YfData.cache_get.cache_clear() empties the cache of responses.", _YAHOO),
    "yfinance_session": Assumption(
        "yfinance", "YfData is one object, in SingletonMeta._instances, until it is removed there.", _YAHOO
    ),
    "yfinance_errors": Assumption(
        "yfinance", "YFRateLimitError and YFPricesMissingError, with yahoo_reason, are YFExceptions.", _YAHOO
    ),
}
"""By the name of the check in tests/test_dependencies.py."""


def untested_releases() -> str:
    """Which installed packages are older or newer than those tested, in words; empty where none is."""
    found = []
    for package, (oldest, newest) in TESTED.items():
        installed = version(package)
        if _parts(installed) < _parts(oldest):
            found.append(f"{package} {installed} (tested from {oldest})")
        elif _parts(installed) > _parts(newest):
            found.append(f"{package} {installed} (tested up to {newest})")
    return ", ".join(found)


def _parts(release: str) -> tuple[int, ...]:
    """The numbers of a release, without a suffix such as `rc1` or `+cpu`."""
    numbers = re.match(r"\d+(\.\d+)*", release)
    return tuple(int(part) for part in numbers[0].split(".")) if numbers else ()
