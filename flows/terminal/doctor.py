"""Checks of everything that a night needs; changes nothing."""

import shutil
from collections.abc import Callable
from pathlib import Path

from flows import clock
from forecasting.errors import ForecastingError
from forecasting.sessions import last_completed
from forecasting.settings import Settings, read_settings
from forecasting.store import migrate


def doctor() -> list[dict[str, str]]:
    """The checks, one row each: check, state (`ok` or `wrong`) and what was found."""
    settings = read_settings()
    return [
        _attempt("database", lambda: _database(settings)),
        _attempt("sessions", lambda: f"newest completed: {_newest_sessions(settings)}"),
        _attempt("source", lambda: _source(settings)),
        _attempt("disk", lambda: f"{shutil.disk_usage(_existing(settings.data_dir)).free / 2**30:.0f} GiB free"),
        _attempt("prefect", _prefect),
    ]


def _attempt(check: str, found: Callable[[], str]) -> dict[str, str]:
    try:
        return {"check": check, "state": "ok", "found": str(found())}
    except ForecastingError as error:
        return {"check": check, "state": "wrong", "found": str(error)}


def _database(settings: Settings) -> str:
    migrate.check_ready(settings.url)
    return f"at revision {migrate.current(settings.url)}"


def _newest_sessions(settings: Settings) -> str:
    exchanges = dict.fromkeys(settings.exchange_of(symbol) for symbol in settings.symbols)
    return ", ".join(f"{last_completed(clock.now(), exchange)} of {exchange}" for exchange in exchanges)


def _source(settings: Settings) -> str:
    from forecasting.ingest.sources.choose import source_of

    source = source_of(settings.source, cache_dir=settings.data_dir.absolute() / "yahoo-cache")
    return f"{source.name} for {', '.join(settings.symbols)} (no request made)"


def _existing(folder: Path) -> Path:
    absolute = folder.absolute()
    return next(path for path in (absolute, *absolute.parents) if path.exists())


def _prefect() -> str:
    from prefect.settings import PREFECT_API_URL

    from flows.operations.server import check_server

    if PREFECT_API_URL.value() is None:
        return "no server configured: each run starts a temporary one"
    return f"server {check_server()} responds"
