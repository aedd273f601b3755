"""Whether nights are well: a live forecast for the newest session, what `doctor` checks, what was done and is to do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

from forecasting.errors import ForecastingError, NoLiveForecastError, StoreError, SymbolsFailedError, UsageError
from forecasting.ingest.sources.plugins import source_of
from forecasting.pipeline import notify
from forecasting.pipeline.folders import ARTIFACTS, PRETRAINED, REPORTS
from forecasting.pipeline.plan import newest_session
from forecasting.pipeline.second_source import witness_of
from forecasting.pipeline.symbols import combined, joined
from forecasting.report.units import age, quantity
from forecasting.sessions import closes_at, ends_soon, holidays, last_completed, next_sessions, opens_at
from forecasting.settings import Settings
from forecasting.store import connect, migrate, read
from forecasting.store.connect import place
from forecasting.store.frames import Row
from forecasting.time_limit import TimeLimitError, within
from forecasting.vocabulary import CHAMPION, HORIZONS, Clock

CHECK_S = 10.0  # Seconds within which a check ends, whatever the database does: a scheduler waits for it
STATEMENT_S = 3  # Seconds of each of its statements on Postgres, so that a lock is named before `CHECK_S` is over


def check_fresh(settings: Settings, *, now: Clock) -> str:
    """A sentence that names symbols and sessions; an error where one lacks the live forecast of its newest session."""
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
        subject = f"{joined(settings.symbols)} {settings.target}"
        notify.send(settings, f"forecast.missing, {subject}", f"{subject}: {error}")
        raise


def _fresh(settings: Settings, *, now: Clock) -> str:
    migrate.check_ready(settings.url, writes=False, within_s=STATEMENT_S)
    fresh: dict[date, list[str]] = {}
    failed: list[tuple[str, ForecastingError]] = []
    with connect.reading(settings.url, within_s=STATEMENT_S) as connection:
        for symbol in settings.symbols:
            own = settings.for_symbol(symbol)
            try:
                due = last_completed(now(), own.exchange)
            except UsageError as without:  # its exchange has no calendar
                failed.append((symbol, without))
                continue
            series = {"symbol": symbol, "target": own.target}
            live = series | {"kind": "live", "role": CHAMPION}
            newest = read.newest(connection, "forecasts", "origin_session", live)
            if newest is not None and newest >= due:
                fresh.setdefault(due, []).append(symbol)
                continue
            exists = read.row(connection, "forecasts", series | {"origin_session": due}) is not None
            stopped = read.unfinished_run(connection, symbol, own.target, after=newest or date.min)
            failed.append((symbol, NoLiveForecastError(not_fresh(own, due, newest, exists, stopped))))
    each = "; ".join(f"{', '.join(symbols)} from the session {due}" for due, symbols in fresh.items())
    sentence = f"Fresh: {each}." if fresh else ""
    if failed:
        error = combined(failed, of=len(settings.symbols))
        raise SymbolsFailedError(f"{error} {sentence}", error.exit_code) if fresh else error
    return sentence


def not_fresh(own: Settings, due: date, newest: date | None, exists: bool, stopped: Row | None) -> str:
    """Why the session `due` has no live forecast: it `exists` but is not live, or its night has `stopped`."""
    try:
        following = next_sessions(due, max(HORIZONS), own.exchange)[0]
    except ForecastingError as ended:  # no night can forecast them
        return f"{own.symbols[0]} has no live {own.target} forecast from the session {due}. {ended}"
    closed, opened = closes_at(due, own.exchange), opens_at(following, own.exchange)
    found = f"the newest is of {newest}" if newest else "there is none at all"
    do = "See whether the schedule runs, then `forecasting run`."
    if exists:
        found = f"it was made after {own.exchange} had opened again at {opened:%H:%M} UTC"
        do = "Schedule the night before that, in FORECASTING_CRON."
    elif stopped is not None:
        do = f"Its night of {stopped['as_of']} has status {stopped['status']}: `forecasting show` has the reason."
    return (
        f"{own.symbols[0]} has no live {own.target} forecast from the session {due}, which closed "
        f"{closed:%Y-%m-%d %H:%M} UTC; {found}. {do}"
    )


LEAST_FREE = 2**30  # Bytes free on the disk of the data folder below which `doctor` calls it wrong


def night_checks(settings: Settings, *, now: Clock) -> dict[str, Callable[[], str]]:
    """The checks by name: each returns what it found, or raises a ForecastingError."""

    def source() -> str:
        name = source_of(settings.source, cache_dir=settings.yahoo_cache).name
        return f"{name} for {', '.join(settings.symbols)} (no request made)"

    def witness() -> str:
        return f"{getattr(witness_of(settings), 'name', None)} (no request made)"

    return {
        "database": lambda: _database(settings),
        "sessions": lambda: f"newest completed: {_newest_sessions(settings, now)}",
        "source": source,
        **({"witness": witness} if settings.witness else {}),
        **({"notify": lambda: notify.check_addresses(settings)} if settings.notify else {}),
        "disk": lambda: _disk(settings),
    }


def checked(checks: Mapping[str, Callable[[], str]]) -> list[dict[str, str]]:
    """The results, one row each: check, state (`ok` or `wrong`) and what was found."""
    rows = []
    for name, check in checks.items():
        try:
            rows.append({"check": name, "state": "ok", "found": check()})
        except ForecastingError as error:
            rows.append({"check": name, "state": "wrong", "found": str(error)})
    return rows


def check_writable(folder: Path, *, variable: str) -> None:
    """Raise a UsageError where this user cannot write files in a folder, which a variable names."""
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(
            f"Expected a folder in {variable} that this user can write; found {folder}, which is missing or may not be "
            f"written, as that of a user without a home. Set {variable} to another folder."
        )


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


def _existing(folder: Path) -> Path:
    absolute = folder.absolute()
    return next(path for path in (absolute, *absolute.parents) if path.exists())


def nothing_new(settings: Settings, *, as_of: date | None, now: Clock) -> str:
    """The reason that nights had nothing to do, holidays named: none ten days after the session, as of a file."""
    each = [settings.for_symbol(symbol) for symbol in settings.symbols]
    newest = dict.fromkeys((as_of or newest_session(own.symbols[0], own, now=now), own.exchange) for own in each)
    sentences = [f"Nothing new since the session {' and '.join(f'{day} of {name}' for day, name in newest)}."]
    for day, exchange in newest:
        # Today's from the hour on at which its session would have closed.
        past = (now() - closes_at(day, exchange)).days
        closed = holidays(day + timedelta(days=1), day + timedelta(days=past), exchange) if 0 < past < 10 else ()
        if len(closed):
            sentences.append(f"{exchange} was closed on {', '.join(f'{one:%A} {one.date()}' for one in closed)}.")
    return " ".join(sentences)


def completed_sentence(settings: Settings, done: Sequence[str], first: date, last: date) -> str:
    """How many nights a catch-up has done, `done` having one text each; none where all had their forecasts."""
    names = ", ".join(settings.symbols)
    if not done:
        which = f"every session from {first} to {last}" if first < last else f"the session {first}"
        return f"{names}: {which} has its forecasts already; nothing was run."
    return f"{names}: {quantity(len(done), 'night')} completed between {first} and {last}."


def next_night_sentence(settings: Settings, targets: Sequence[str], due: datetime, *, now: datetime) -> str:
    """When the next night of the symbols starts, in the schedule's time zone, and which settings change that."""
    return (
        f"{', '.join(settings.symbols)} {', '.join(targets)}: the next night starts on {due:%A %Y-%m-%d at %H:%M %Z}, "
        f"in {age(now, due)}. FORECASTING_CRON is {settings.cron}, FORECASTING_TIMEZONE {settings.timezone}."
    )
