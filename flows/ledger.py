"""What the command line reads from the ledger, and whether all that a night needs is in place; changes nothing."""

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

from flows import clock
from flows.night import report_path
from flows.steps.report import report_night, write_page
from forecasting.errors import ForecastingError, NothingFreshError
from forecasting.report.night import Night
from forecasting.sessions import closes_at, last_completed, next_sessions, opens_at
from forecasting.settings import Settings, read_settings
from forecasting.store import database, reads, record


def newest_nights(as_of: date | None = None) -> list[Night]:
    """The newest night of every symbol in the settings, or the one of the session `as_of`.

    Raises:
        StoreError: The database is not ready, or holds no forecast of a symbol.
    """
    settings = read_settings()
    database.check_ready(settings.url)
    with database.reading(settings.url) as connection:
        return [
            report_night(connection, symbol, settings.target, exchange=settings.exchange_of(symbol), origin=as_of)
            for symbol in settings.symbols
        ]


def write_report(out: Path | None) -> str:
    """The path of the page written for the first symbol in the settings."""
    settings = read_settings()
    night = newest_nights()[0]
    return str(write_page(night, out or report_path(settings, night.symbol, night.target)))


def check_fresh() -> str:
    """A sentence that says the newest completed session of each symbol's exchange has its live forecast.

    Raises:
        NothingFreshError: A symbol has none; says which session is wanted and what the newest forecast is.
    """
    settings = read_settings()
    database.check_ready(settings.url)
    fresh: dict[date, list[str]] = {}
    with database.reading(settings.url) as connection:
        for symbol in settings.symbols:
            own = settings.for_symbol(symbol)
            wanted = last_completed(clock.now(), own.exchange)
            newest = record.newest_live_origin(connection, symbol, own.target)
            if newest is None or newest < wanted:
                spoken = reads.has_spoken(connection, symbol, own.target, origin=wanted)
                raise NothingFreshError(not_fresh(own, wanted, newest, spoken))
            fresh.setdefault(wanted, []).append(symbol)
    said = (f"{', '.join(symbols)} from the session {wanted}" for wanted, symbols in fresh.items())
    return f"Fresh: {'; '.join(said)}."


def not_fresh(own: Settings, wanted: date, newest: date | None, spoken: bool) -> str:
    """What `check` says of the symbol of `own`, whose newest live forecast is of the session `newest`.

    `spoken` says that `wanted` has a forecast all the same, which is not live.
    """
    closed, opened = closes_at(wanted, own.exchange), opens_at(next_sessions(wanted, 1, own.exchange)[0], own.exchange)
    found = f"the newest is of {newest}" if newest else "there is none at all"
    do = "See whether the schedule runs, then: forecasting run"
    if spoken:
        found = f"it was made after {own.exchange} had opened again at {opened:%H:%M} UTC"
        do = "Schedule the night before that, in FORECASTING_CRON"
    return (
        f"{own.symbols[0]} has no live {own.target} forecast from the session {wanted}, which closed "
        f"{closed:%Y-%m-%d %H:%M} UTC; {found}. {do}"
    )


def doctor() -> list[dict[str, str]]:
    """What a night needs, one row each: what, whether it is in place, and what was found. Changes nothing."""
    settings = read_settings()
    checks = [_attempt("database", lambda: _ready(settings))]
    checks.append(_attempt("sessions", lambda: f"newest completed: {_newest_in_words(settings)}"))
    checks.append(_attempt("source", lambda: _source_in_words(settings)))
    checks.append(
        _attempt("disk", lambda: f"{shutil.disk_usage(_existing(settings.data_dir)).free / 2**30:.0f} GiB free")
    )
    checks.append(_attempt("prefect", _prefect_in_words))
    return checks


def _ready(settings: Settings) -> str:
    database.check_ready(settings.url)
    return f"at revision {database.current(settings.url)}"


def _attempt(what: str, found: Callable[[], str]) -> dict[str, str]:
    try:
        return {"check": what, "state": "ok", "found": str(found())}
    except ForecastingError as error:
        return {"check": what, "state": "wrong", "found": str(error)}


def _newest_in_words(settings: Settings) -> str:
    exchanges = dict.fromkeys(settings.exchange_of(symbol) for symbol in settings.symbols)
    return ", ".join(f"{last_completed(clock.now(), exchange)} of {exchange}" for exchange in exchanges)


def _source_in_words(settings: Settings) -> str:
    from forecasting.ingest.sources.choose import source_of

    source = source_of(settings.source, cache_dir=settings.data_dir.absolute() / "yahoo-cache")
    return f"{source.name} for {', '.join(settings.symbols)} (not asked for bars)"


def _existing(folder: Path) -> Path:
    absolute = folder.absolute()
    return next(path for path in (absolute, *absolute.parents) if path.exists())


def _prefect_in_words() -> str:
    from prefect.settings import PREFECT_API_URL

    from flows.server import check_server

    if PREFECT_API_URL.value() is None:
        return "no server configured: each run starts a temporary one"
    return f"server {check_server()} answers"
