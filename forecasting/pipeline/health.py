"""Whether nights are well: a live forecast for the newest session, what `doctor` checks, why there is nothing to do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path

from forecasting.errors import ForecastingError, NoLiveForecastError, StoreError, SymbolsFailedError, UsageError
from forecasting.ingest.sources.files import Files
from forecasting.ingest.sources.plugins import source_of
from forecasting.pipeline import notify
from forecasting.pipeline.folders import ARTIFACTS, PRETRAINED, REPORTS
from forecasting.pipeline.notify import Alert
from forecasting.pipeline.plan import newest_session
from forecasting.pipeline.second_source import witness_of
from forecasting.pipeline.symbols import combined, joined
from forecasting.sessions import closes_at, ends_soon, holidays, last_completed, next_sessions, opens_at
from forecasting.settings import Settings
from forecasting.store import connect, migrate, read
from forecasting.store.connect import place
from forecasting.store.frames import Row
from forecasting.time_limit import TimeLimitError, within
from forecasting.vocabulary import HORIZONS, Clock

CHECK_S = 10.0
"""Seconds within which a check ends, whatever the database does: a scheduler waits for it."""

STATEMENT_S = 3
"""Seconds of each of its statements on Postgres, so that a lock is named before `CHECK_S` is over."""


def check_fresh(settings: Settings, *, now: Clock) -> str:
    """A sentence naming the symbols and sessions, when the newest completed session of each has its live forecast.

    Raises:
        NoLiveForecastError: The only symbol has none; names the session that is missing and the newest forecast.
        SymbolsFailedError: Some of several have none, likewise; names the others too.
        UsageError: The exchange of the only symbol has no calendar.
        StoreError: The database is not ready, or does not respond within `CHECK_S`.
    """
    try:
        return within(CHECK_S, lambda: _fresh(settings, now=now), name="check")
    except TimeLimitError:
        raise StoreError(
            f"The database {place(settings.url)} did not respond within {CHECK_S:g} s. Check that its server runs, "
            "that its disk responds, and that no other process locks it."
        ) from None


def check_and_send(settings: Settings, *, now: Clock) -> str:
    """As `check_fresh`, whose error is sent before it is raised; raises as `notify.check_addresses`, too."""
    notify.check_addresses(settings)
    try:
        return check_fresh(settings, now=now)
    except ForecastingError as error:
        what = Alert("forecast.missing", joined(settings.symbols), settings.target, None, str(error))
        notify.send(settings, [what])
        raise


def _fresh(settings: Settings, *, now: Clock) -> str:
    migrate.check_ready(settings.url, writes=False, within_s=STATEMENT_S)
    fresh: dict[date, list[str]] = {}
    failed: list[tuple[str, ForecastingError]] = []
    with connect.reading(settings.url, within_s=STATEMENT_S) as connection:
        for symbol in settings.symbols:
            own = settings.for_symbol(symbol)
            try:
                wanted = last_completed(now(), own.exchange)
            except UsageError as without:  # its exchange has no calendar
                failed.append((symbol, without))
                continue
            newest = read.newest_live_origin(connection, symbol, own.target)
            if newest is None or newest < wanted:
                exists = read.has_forecast(connection, symbol, own.target, origin=wanted)
                stopped = read.unfinished_run(connection, symbol, own.target, after=newest or date.min)
                failed.append((symbol, NoLiveForecastError(not_fresh(own, wanted, newest, exists, stopped))))
            else:
                fresh.setdefault(wanted, []).append(symbol)
    each = (f"{', '.join(symbols)} from the session {wanted}" for wanted, symbols in fresh.items())
    sentence = f"Fresh: {'; '.join(each)}." if fresh else ""
    if failed:
        error = combined(failed, of=len(settings.symbols))
        raise SymbolsFailedError(f"{error} {sentence}", error.exit_code) if fresh else error
    return sentence


def not_fresh(own: Settings, wanted: date, newest: date | None, exists: bool, stopped: Row | None) -> str:
    """The paragraph about the symbol of `own`, whose newest live forecast is of the session `newest`.

    `exists`: `wanted` has a forecast, which is not live. `stopped`: the row of its newest night, if late or failed.
    """
    try:
        following = next_sessions(wanted, max(HORIZONS), own.exchange)[0]
    except ForecastingError as ended:  # no night can forecast them
        return f"{own.symbols[0]} has no live {own.target} forecast from the session {wanted}. {ended}"
    closed, opened = closes_at(wanted, own.exchange), opens_at(following, own.exchange)
    found = f"the newest is of {newest}" if newest else "there is none at all"
    do = "See whether the schedule runs, then `forecasting run`."
    if exists:
        found = f"it was made after {own.exchange} had opened again at {opened:%H:%M} UTC"
        do = "Schedule the night before that, in FORECASTING_CRON."
    elif stopped is not None:
        do = f"Its night of {stopped['as_of']} has status {stopped['status']}: `forecasting show` has the reason."
    return (
        f"{own.symbols[0]} has no live {own.target} forecast from the session {wanted}, which closed "
        f"{closed:%Y-%m-%d %H:%M} UTC; {found}. {do}"
    )


LEAST_FREE = 2**30
"""Bytes free on the disk of the data folder below which `doctor` calls it wrong."""


def night_checks(settings: Settings, *, now: Clock) -> dict[str, Callable[[], str]]:
    """The checks by name: each returns what it found, or raises a ForecastingError."""
    return {
        "database": lambda: _database(settings),
        "sessions": lambda: f"newest completed: {_newest_sessions(settings, now)}",
        "source": lambda: _source(settings),
        **({"witness": lambda: _witness(settings)} if settings.witness else {}),
        **({"notify": lambda: notify.check_addresses(settings)} if settings.notify else {}),
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


def _existing(folder: Path) -> Path:
    absolute = folder.absolute()
    return next(path for path in (absolute, *absolute.parents) if path.exists())


def nothing_new(settings: Settings, *, as_of: date | None, now: Clock) -> str:
    """The reason that nights had nothing to do, holidays named; `as_of` as for `missed_nights`."""
    each = [settings.for_symbol(symbol) for symbol in settings.symbols]
    sessions = dict.fromkeys((as_of or newest_session(own.symbols[0], own, now=now), own.exchange) for own in each)
    if len(sessions) == 1:
        done = f"the newest session there is, {next(iter(sessions))[0]}, was already done."
    else:
        newest = " and ".join(f"{day} of {exchange}" for day, exchange in sessions)
        done = f"the newest sessions there are, {newest}, were already done."
    closed = [(exchange, closed_since(day, exchange, now=now)) for day, exchange in sessions]
    holidays = [
        f"{exchange} was closed on {', '.join(f'{day:%A} {day}' for day in days)}." for exchange, days in closed if days
    ]
    return " ".join(["Nothing new:", done, *holidays])


def closed_since(newest: date, exchange: str, *, now: Clock) -> list[date]:
    """The holidays of the exchange after `newest`, today's from the hour on at which its session would have closed.

    None when `newest` is over ten days old, as in a file: then no holiday is the reason.
    """
    past = (now() - closes_at(newest, exchange)).days
    first, last = newest + timedelta(days=1), newest + timedelta(days=past)
    days: list[date] = holidays(first, last, exchange).date.tolist() if past < 10 else []
    return days


def unnamed_new_symbols(settings: Settings) -> str:
    """A warning, one line, that names the symbols new to the ledger whose file has no column symbol; empty without any.

    A misspelt --symbol would otherwise have forecasts of its own for good: the file fits every name.
    """
    source = source_of(settings.source, cache_dir=settings.yahoo_cache)
    if not isinstance(source, Files):
        return ""
    with connect.reading(settings.url) as connection:
        new = [symbol for symbol in settings.symbols if read.newest_fetch(connection, symbol) is None]
    try:
        if not new or source.states_symbol():
            return ""
    except ForecastingError:  # the night reports it
        return ""
    return (
        f"Warning: {source.name} has no column symbol, and {', '.join(new)} is new to this ledger: its bars are taken "
        "for those of that symbol. Stop here if the name is misspelt.\n"
    )
