"""Whether everything that a night needs is there; nothing is changed and no request is made."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from forecasting.dependencies import untested_releases
from forecasting.errors import ForecastingError, StoreError, UsageError
from forecasting.ingest.sources.plugins import source_of
from forecasting.pipeline.folders import ARTIFACTS, PRETRAINED, REPORTS
from forecasting.pipeline.second_source import witness_of
from forecasting.sessions import ends_soon, last_completed
from forecasting.settings import Settings
from forecasting.store import migrate
from forecasting.vocabulary import Clock

LEAST_FREE = 2**30
"""Bytes free on the disk of the data folder below which `doctor` calls it wrong."""


def night_checks(settings: Settings, *, now: Clock) -> dict[str, Callable[[], str]]:
    """The checks by name: each returns what it found, or raises a ForecastingError."""
    return {
        "database": lambda: _database(settings),
        "sessions": lambda: f"newest completed: {_newest_sessions(settings, now)}",
        "source": lambda: _source(settings),
        **({"witness": lambda: _witness(settings)} if settings.witness else {}),
        "packages": _packages,
        "disk": lambda: _disk(settings),
    }


def checked(checks: Mapping[str, Callable[[], str]]) -> list[dict[str, str]]:
    """The results, one row each: check, state (`ok` or `wrong`) and what was found."""
    return [_result(name, check) for name, check in checks.items()]


def check_writable(folder: Path, *, variable: str) -> None:
    """Check that this user can write files in a folder, which a variable names.

    Raises:
        UsageError: They cannot, or there is none.
    """
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(
            f"Expected a folder in {variable} that this user can write; found {folder}, which is missing or may not be "
            f"written, as that of a user without a home. Set {variable} to another folder."
        )


def _result(name: str, check: Callable[[], str]) -> dict[str, str]:
    try:
        return {"check": name, "state": "ok", "found": check()}
    except ForecastingError as error:
        return {"check": name, "state": "wrong", "found": str(error)}


def _disk(settings: Settings) -> str:
    for folder in (settings.data_dir, *(settings.data_dir / name for name in (ARTIFACTS, PRETRAINED, REPORTS))):
        check_writable(_existing(folder), variable="FORECASTING_DATA_DIR")
    free = shutil.disk_usage(_existing(settings.data_dir)).free
    found = f"{free / 2**30:.1f} GiB free"
    if free < LEAST_FREE:
        raise StoreError(f"Expected {LEAST_FREE / 2**30:.0f} GiB or more free at {settings.data_dir}; found {found}.")
    return found


def _database(settings: Settings) -> str:
    migrate.check_ready(settings.url)
    return f"at revision {migrate.current(settings.url)}"


def _newest_sessions(settings: Settings, now: Clock) -> str:
    exchanges = dict.fromkeys(settings.exchange_of(symbol) for symbol in settings.symbols)
    newest = {exchange: last_completed(now(), exchange) for exchange in exchanges}
    ends = filter(None, [ends_soon(session, exchange) for exchange, session in newest.items()])
    return ". ".join([", ".join(f"{session} of {exchange}" for exchange, session in newest.items()), *ends])


def _source(settings: Settings) -> str:
    source = source_of(settings.source, cache_dir=settings.yahoo_cache)
    return f"{source.name} for {', '.join(settings.symbols)} (no request made)"


def _witness(settings: Settings) -> str:
    witness = witness_of(settings)
    return f"{witness.name if witness else 'none'} (no request made)"


def _packages() -> str:
    """Another release than those tested is no fault, and the first suspect after one."""
    untested = untested_releases()
    return f"not among the releases tested: {untested}" if untested else "among the releases tested"


def _existing(folder: Path) -> Path:
    absolute = folder.absolute()
    return next(path for path in (absolute, *absolute.parents) if path.exists())
