"""Whether nights are well: what `check` and `doctor` report, and why nothing was to do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import get_args

from forecasting.errors import (
    FailedVerdict,
    ForecastingError,
    StoreError,
    UsageError,
)
from forecasting.ingest.event_files import check_events
from forecasting.ingest.sources import Source, plugins
from forecasting.night.folders import ARTIFACTS, REPORTS
from forecasting.night.models import weights_state
from forecasting.night.night import RunOptions, make_night
from forecasting.night.plan import (
    check_market,
    check_source,
    early_end,
    newest_of_run,
    newest_session,
)
from forecasting.night.steps.fetch import check_bars
from forecasting.night.symbols import each_symbol
from forecasting.plain_text import named, quantity
from forecasting.sessions import (
    closes_at,
    ends_soon,
    holidays,
    last_completed,
    next_sessions,
    opens_at,
)
from forecasting.settings import Settings
from forecasting.store import connect, lock, migrate, read, schema
from forecasting.store.connect import Connection, place
from forecasting.store.frames import Row
from forecasting.time_limit import TimeLimitError, within
from forecasting.vocabulary import HORIZONS, PUBLISHED, Clock, Target

# Seconds within which a check ends, whatever the database does: a scheduler waits for it
CHECK_S = 10.0
# Symbols without a night of which a check asks a file; of more it would take too long, as `doctor`
# may
ASKED = 20
LEAST_FREE = 1  # GiB free on the disk of the data folder below which `doctor` calls it wrong
# Seconds of each of its statements on Postgres, so that a lock is named before `CHECK_S` is over
STATEMENT_S = 3


def live_states(settings: Settings, *, now: Clock) -> list[Row]:
    """A row a symbol: its newest completed session, and why that has no live forecast (`cause`).

    Raises:
        StoreError: The database did not respond within CHECK_S.
    """
    try:
        return within(CHECK_S, lambda: _states(settings, now=now), name="check")
    except TimeLimitError:
        raise StoreError(
            f"The database {place(settings.url)} did not respond within {CHECK_S:g} s. Check "
            "server, disk and locks."
        ) from None


def _states(settings: Settings, *, now: Clock) -> list[Row]:
    migrate.check_ready(settings.url, writes=False, within_s=STATEMENT_S)
    is_locked = lock.is_held(settings.url)
    rows = []
    with connect.reading(settings.url, within_s=STATEMENT_S) as connection:
        for name, own in settings.series.items():
            state = _state(connection, own, now(), is_locked)
            rows.append(state | {"name": name})
    without = [row for row in rows if row["cause"] == "without a night"]
    if len(without) <= ASKED:
        for row in without:
            _name_refusal(row, settings, now=now)
    return rows


def _name_refusal(row: Row, settings: Settings, *, now: Clock) -> None:
    """Give a symbol without a night the error that refuses its run, which leaves no row."""
    own = settings.for_symbol(row["symbol"])
    try:
        check_events(own.events, own.symbols)
        check_market(own)
        source = plugins.source_of(own.source, cache_dir=own.yahoo_cache)
        _newest_of_source(own, source, now=now)
    except ForecastingError as refused:
        row |= {"cause": "without a usable input", "error": str(refused)}


def _state(connection: Connection, own: Settings, at: datetime, is_locked: bool | None) -> Row:
    """Whether the newest completed session has a live forecast, for check.txt; else the `cause`."""
    exchange = own.exchange
    row = Row(dict.fromkeys(("session", "opened", "night", "fetch", "error")))
    row |= {**own.columns, "exchange": exchange, "cause": ""}
    try:
        session = last_completed(at, exchange)
        opened = opens_at(next_sessions(session, max(HORIZONS), exchange)[0], exchange)
    except ForecastingError as ended:  # no night can forecast them
        return row | {"cause": "without a calendar", "error": str(ended)}
    live = own.columns | {"kind": "live", "role": PUBLISHED}
    newest = read.newest(
        connection,
        "forecasts",
        "origin_session",
        live,
    )
    row |= {"session": session, "opened": opened, "is_open": at >= opened, "newest": newest}
    if newest is not None and newest >= session:
        return row
    issued = read.row(connection, "forecasts", own.columns | {"origin_session": session})
    if issued is not None:
        return row | {"cause": "issued late", "issued_at": issued["issued_at"]}
    stopped = _stopped(
        connection,
        own,
        session,
        is_locked,
    )
    return row | (
        stopped
        or _unstarted(
            connection,
            own,
            session,
            newest,
            is_locked,
        )
    )


def _unstarted(
    connection: Connection,
    own: Settings,
    session: date,
    newest: date | None,
    is_locked: bool | None,
) -> Row:
    """Why a session has no night: a request that failed since its close, or none has begun."""
    closed = closes_at(session, own.exchange)
    request = read.newest_fetch(connection, own.symbol, with_bars=False) or Row()
    has_failed = request.get("verdict") in get_args(FailedVerdict)
    if has_failed and request["fetched_at"] > closed:
        return Row(cause=_why_stopped(request["verdict"]), fetch=request)
    return Row(
        cause="being made" if is_locked else "without a night",
        closed=closed,
        last=read.unfinished_run(connection, *own.key, after=newest or date.min),
        has_any=read.row(connection, "forecasts", own.columns),
    )


def _stopped(connection: Connection, own: Settings, session: date, is_locked: bool | None) -> Row:
    """Why the night of a session has not ended, with its row; empty without such a night."""
    of_session = own.columns | {"as_of": session}
    night = read.row(connection, "runs", of_session, order=("started_at DESC",))
    if night is None or night["status"] == "done":
        return Row()
    if night["status"] != "running":
        return Row(cause=_why_stopped(night["status"]), night=night)
    causes = {True: "at work", False: "cut off", None: "at work or cut off"}
    return Row(cause=causes[is_locked], night=night)


def _why_stopped(kind: str) -> str:
    """The cause by the status of a night, or by the verdict of a request."""
    return "without a bar" if kind == "late" else "failed"


def _newest_of_source(own: Settings, source: Source, *, now: Clock) -> tuple[date, str]:
    """The newest session of a symbol in its file, or what a run would refuse."""
    night = make_night(
        own.symbol,
        newest_session(own, now=now),
        own,
        now=now,
    )
    with suppress(StoreError):  # of which the row database tells
        check_bars(night)
    early = early_end(own, {own.symbol: night.session}, now=now)  # of a file, which is read
    if early and source.name != "sample":  # which ends in 2018
        raise ForecastingError(f"{early} Bring the source up to date.")
    return night.session, early


def night_checks(settings: Settings, *, now: Clock) -> dict[str, Callable[[], str]]:
    """The checks by name: each returns what it found, or raises a ForecastingError."""
    checks: dict[str, Callable[[], str]] = {
        "database": lambda: _database(settings),
        "sessions": lambda: _sessions(settings, now=now),
        "source": lambda: _source(settings, now=now),
        "market": lambda: check_market(settings, now=now),
    }
    if not migrate.is_missing(settings.url):
        checks["models"] = lambda: _models(settings)
    if settings.events:
        checks["events"] = lambda: check_events(settings.events, settings.symbols)
    checks["disk"] = lambda: _disk(settings)
    return checks


def _database(settings: Settings) -> str:
    migrate.check_ready(settings.url)
    tables = schema.metadata.tables
    with connect.reading(settings.url) as connection:
        for table in tables:  # a damaged file opens, and fails where its pages are read
            read.row(connection, table, {})
    revision = migrate.current(settings.url)
    return f"{place(settings.url)} at revision {revision}, all {len(tables)} tables readable"


def _sessions(settings: Settings, *, now: Clock) -> str:
    exchanges = [settings.for_symbol(symbol).exchange for symbol in settings.symbols]
    newest = {exchange: last_completed(now(), exchange) for exchange in exchanges}
    each = ", ".join(f"{session} of {name}" for name, session in newest.items())
    ends = [ends_soon(session, exchange) for exchange, session in newest.items()]
    return ". ".join([f"newest completed: {each}", *filter(None, ends)])


def _source(settings: Settings, *, now: Clock) -> str:
    source = check_source(settings)
    one = settings.for_target(settings.target)
    found = each_symbol(one, lambda own: _newest_of_source(own, source, now=now))
    found.raise_failed()
    oldest, early = min(found.values.values())
    state = "no request made" if plugins.is_live(source) else f"read up to {oldest}"
    sentence = f"{source.name} for {', '.join(settings.symbols)} ({state})"
    return f"{sentence}. {early}" if early else sentence


def _models(settings: Settings) -> str:
    migrate.check_ready(settings.url, writes=False)
    lost = []
    published = 0
    with connect.reading(settings.url) as connection:
        for key in product(settings.symbols, get_args(Target)):
            newest = read.newest_network(connection, *key)
            if newest is None:
                continue
            published += 1
            state = weights_state(newest, settings)
            if state != "kept":
                lost.append(f"{' '.join(key)} {newest['id']}: {state}")
    if lost:
        raise StoreError(
            f"The weights of published models are not as they were written ({named(lost, 3)}). "
            "Restore them from a backup; without it the next night fits from scratch."
        )
    return f"weights of {quantity(published, 'published model')} as they were written"


def _disk(settings: Settings) -> str:
    data_dir = settings.data_dir.absolute()
    for folder in (data_dir / ARTIFACTS, data_dir / REPORTS, data_dir):
        present = _present(folder)
        if not os.access(present, os.W_OK | os.X_OK):
            raise UsageError(
                "Expected a folder in FORECASTING_DATA_DIR that this user can write; found "
                f"{present}."
            )
    free = shutil.disk_usage(_present(data_dir)).free / 2**30
    if free < LEAST_FREE:
        raise StoreError(
            f"Expected {LEAST_FREE} GiB or more free at {settings.data_dir}; found {free:.1f} GiB."
        )
    return f"{free:.1f} GiB free"


def _present(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def checked(checks: Mapping[str, Callable[[], str]]) -> list[dict[str, str]]:
    """The results, one row each: check, state (`ok` or `wrong`) and what was found."""
    rows = []
    for name, check in checks.items():
        try:
            rows.append({"check": name, "state": "ok", "found": check()})
        except ForecastingError as error:
            rows.append({"check": name, "state": "wrong", "found": str(error)})
    return rows


def nothing_new(settings: Settings, options: RunOptions, *, now: Clock) -> str:
    """Why nights had nothing to do; without a span with the holidays since, up to ten days."""
    if options.first != options.last:
        first = options.first or "the oldest missed"
        return f"Every session from {first} to {options.last or 'the newest'} was already done."
    each = [settings.for_symbol(symbol) for symbol in settings.symbols]
    newest = dict.fromkeys((newest_of_run(own, options, now=now), own.exchange) for own in each)
    since = " and ".join(f"{day} of {exchange}" for day, exchange in newest)
    sentences = [f"Nothing new since the session {since}."]
    for day, exchange in newest:
        # Today's from the hour on at which its session would have closed.
        past = (now() - closes_at(day, exchange)).days
        if options.last is not None or not 0 < past < 10:
            continue
        closed = holidays(day + timedelta(days=1), day + timedelta(days=past), exchange)
        if len(closed):
            days = ", ".join(f"{one:%A} {one.date()}" for one in closed)
            sentences.append(f"{exchange} was closed on {days}.")
    return " ".join(sentences)
