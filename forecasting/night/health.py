"""Whether nights are well: what `check` and `doctor` report, and why nothing was to do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta
from itertools import product
from typing import get_args

from forecasting.errors import (
    FailedVerdict,
    ForecastingError,
    StoreError,
    UsageError,
)
from forecasting.ingest.earnings import check_events
from forecasting.ingest.sources import Source, plugins
from forecasting.night.folders import ARTIFACTS, REPORTS
from forecasting.night.models import weights_state
from forecasting.night.night import make_night
from forecasting.night.plan import check_market, check_source, early_end, newest_session
from forecasting.night.second_source import witness_of
from forecasting.night.steps.ingest import check_bars
from forecasting.night.symbols import each_symbol, own_settings, with_announced
from forecasting.plain_text import named, quantity
from forecasting.sessions import (
    closes_at,
    ends_soon,
    holidays,
    last_completed,
    name_of,
    next_sessions,
    opens_at,
)
from forecasting.settings import Settings
from forecasting.store import connect, lock, migrate, read, schema
from forecasting.store.connect import Connection, place
from forecasting.store.frames import Row
from forecasting.time_limit import TimeLimitError, within
from forecasting.vocabulary import CHAMPION, HORIZONS, Clock, Target

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
    is_held = lock.is_held(settings.url, "night")
    rows = list[Row]()
    with connect.reading(settings.url, within_s=STATEMENT_S) as connection:
        for symbol in settings.symbols:
            stored = read.announced_days(connection, symbol)
            own = with_announced(settings.for_symbol(symbol), stored)
            rows.append(_state(connection, own, now(), is_held))
    without = [row for row in rows if row["cause"] == "without a night"]
    for row in without if len(without) <= ASKED else ():
        own = own_settings(settings, row["symbol"])
        try:
            check_events(own.events, own.symbols)
            check_market(own)
            _newest_of_source(
                own, plugins.source_of(own.source, cache_dir=own.yahoo_cache), now=now
            )
        except ForecastingError as refused:  # as it refuses a run, which leaves no row
            row |= {"cause": "without a usable input", "error": str(refused)}
    return rows


def _state(connection: Connection, own: Settings, at: datetime, is_held: bool | None) -> Row:
    """Whether the newest completed session has a live forecast, for check.txt.

    Without one, `cause` says why.
    """
    symbol = own.symbols[0]
    exchange = own.exchange
    series = {"symbol": own.symbols[0], "target": own.target}
    row = Row(dict.fromkeys(("session", "opened", "night", "fetch", "error")))
    row |= {"symbol": symbol, "exchange": name_of(exchange), "cause": ""}
    try:
        due = last_completed(at, exchange)
        opened = opens_at(next_sessions(due, max(HORIZONS), exchange)[0], exchange)
    except ForecastingError as ended:  # no night can forecast them
        return row | {"cause": "without a calendar", "error": str(ended)}
    newest = read.newest(
        connection,
        "forecasts",
        "origin_session",
        series | {"kind": "live", "role": CHAMPION},
    )
    row |= {"session": due, "opened": opened, "is_open": at >= opened, "newest": newest}
    if newest is not None and newest >= due:
        return row
    if read.row(connection, "forecasts", series | {"origin_session": due}) is not None:
        return row | {"cause": "issued late"}
    begun = read.row(
        connection,
        "runs",
        series | {"as_of": due},
        order=("status DESC", "started_at DESC"),
    )
    if begun and begun["status"] == "running":
        cause = {True: "at work", False: "cut off", None: "at work or cut off"}[is_held]
        return row | {"cause": cause, "night": begun}
    if begun and begun["status"] != "done":
        return row | {"cause": _why_stopped(begun["status"]), "night": begun}
    closed = closes_at(due, exchange)
    asked = read.newest_fetch(connection, symbol, with_bars=False)
    if asked and asked["verdict"] in get_args(FailedVerdict) and asked["fetched_at"] > closed:
        return row | {"cause": _why_stopped(asked["verdict"]), "fetch": asked}
    stopped = read.unfinished_run(
        connection,
        symbol,
        own.target,
        after=newest or date.min,
    )
    row |= {"closed": closed, "last": stopped, "has_any": read.row(connection, "forecasts", series)}
    return row | {"cause": "waiting" if is_held else "without a night"}


def _why_stopped(kind: str) -> str:
    """The cause by the status of a night, or by the verdict of a request."""
    return "without a bar" if kind == "late" else "failed"


def _newest_of_source(own: Settings, source: Source, *, now: Clock) -> tuple[date, str]:
    """The newest session of a symbol in its file, or what a run would refuse."""
    night = make_night(
        own.symbols[0],
        newest_session(own, now=now),
        own,
        now=now,
    )
    with suppress(StoreError):  # of which the row database tells
        check_bars(night)
    early = early_end([night], now=now)  # of a file, which is read
    if early and source.name != "sample":  # which ends in 2018
        raise ForecastingError(f"{early} Bring the source up to date.")
    return night.session, early


def night_checks(settings: Settings, *, now: Clock) -> dict[str, Callable[[], str]]:
    """The checks by name: each returns what it found, or raises a ForecastingError."""

    def database() -> str:
        migrate.check_ready(settings.url)
        with connect.reading(settings.url) as connection:
            # A damaged file opens, and fails where its pages are read
            for table in schema.metadata.tables:
                read.row(connection, table, {})
        return (
            f"at revision {migrate.current(settings.url)}, all {len(schema.metadata.tables)} "
            "tables readable"
        )

    def sessions() -> str:
        exchanges = (own_settings(settings, symbol).exchange for symbol in settings.symbols)
        newest = {exchange: last_completed(now(), exchange) for exchange in exchanges}
        ends = filter(None, [ends_soon(session, exchange) for exchange, session in newest.items()])
        each = ", ".join(
            f"{session} of {name_of(exchange)}" for exchange, session in newest.items()
        )
        return ". ".join([f"newest completed: {each}", *ends])

    def source() -> str:
        source = check_source(settings)

        found = each_symbol(settings, lambda own: _newest_of_source(own, source, now=now), now=now)
        found.raise_failed()
        oldest, early = min(found.values.values())
        state = "no request made" if plugins.is_live(source) else f"read up to {oldest}"
        return ". ".join(
            filter(None, [f"{source.name} for {', '.join(settings.symbols)} ({state})", early])
        )

    def models() -> str:
        migrate.check_ready(settings.url, writes=False)
        with connect.reading(settings.url) as connection:
            every = [
                read.champion(connection, *of) for of in product(settings.symbols, get_args(Target))
            ]
        rows = [row | {"state": weights_state(row, settings)} for row in every if row is not None]
        if lost := [
            "{symbol} {target} {id}: {state}".format_map(row)
            for row in rows
            if row["state"] != "kept"
        ]:
            raise StoreError(
                f"The weights of published models are not as they were written ({named(lost, 3)}). "
                "Restore them from a "
                "backup; without it the next night fits from scratch."
            )
        return f"weights of {quantity(len(rows), 'published model')} as they were written"

    def witness() -> str:
        return f"{getattr(witness_of(settings), 'name', None)} (no request made)"

    def disk() -> str:
        for folder in (settings.data_dir.absolute() / name for name in (ARTIFACTS, REPORTS, "")):
            found = next(path for path in (folder, *folder.parents) if path.exists())
            if not os.access(found, os.W_OK | os.X_OK):
                raise UsageError(
                    "Expected a folder in FORECASTING_DATA_DIR that this user can write; found "
                    f"{found}."
                )
        free = shutil.disk_usage(found).free / 2**30
        if free < LEAST_FREE:
            raise StoreError(
                f"Expected {LEAST_FREE} GiB or more free at {settings.data_dir}; found {free:.1f} "
                "GiB."
            )
        return f"{free:.1f} GiB free"

    return {
        "database": database,
        "sessions": sessions,
        "source": source,
        "market": lambda: check_market(settings, now=now),
        **({} if migrate.is_missing(settings.url) else {"models": models}),
        **(
            {"events": lambda: check_events(settings.events, settings.symbols)}
            if settings.events
            else {}
        ),
        **({"witness": witness} if settings.witness else {}),
        "disk": disk,
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


def nothing_new(settings: Settings, *, as_of: date | None, now: Clock) -> str:
    """The reason that nights had nothing to do.

    Without `as_of` the holidays since too, up to ten days.
    """
    each = [own_settings(settings, symbol) for symbol in settings.symbols]
    newest = dict.fromkeys((as_of or newest_session(own, now=now), own.exchange) for own in each)
    sentences = [
        "Nothing new since the session "
        f"{' and '.join(f'{day} of {name_of(name)}' for day, name in newest)}."
    ]
    for day, exchange in newest if as_of is None else ():
        # Today's from the hour on at which its session would have closed.
        past = (now() - closes_at(day, exchange)).days
        closed = (
            holidays(day + timedelta(days=1), day + timedelta(days=past), exchange)
            if 0 < past < 10
            else ()
        )
        if len(closed):
            sentences.append(
                f"{name_of(exchange)} was closed on "
                f"{', '.join(f'{one:%A} {one.date()}' for one in closed)}."
            )
    return " ".join(sentences)
