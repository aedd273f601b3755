"""Whether nights are well: what `check` and `doctor` report, and why nothing was to do."""

import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import cast, get_args

from forecasting.conditions import EARNINGS, Check, Condition, Kind, of_earnings
from forecasting.errors import FailedVerdict, ForecastingError, StoreError, UsageError
from forecasting.ingest.event_files import check_events
from forecasting.ingest.sources import Source, plugins
from forecasting.night.night import Night, RunOptions
from forecasting.night.plan import (
    check_market_source,
    check_source,
    early_end,
    newest_of_run,
    newest_session,
)
from forecasting.night.steps.fetch import check_bars
from forecasting.night.steps.ingest import bars_ended
from forecasting.sessions import (
    closes_at,
    ends_soon,
    holidays,
    last_completed,
    next_sessions,
    opens_at,
)
from forecasting.settings import Settings, each_symbol
from forecasting.store import connect, future, lock, migrate, read, schema
from forecasting.store.connect import Connection, place
from forecasting.store.rows import FindingRow, RunRow
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


@dataclass(frozen=True)
class LiveState:
    """Whether the newest completed session of a series has a live forecast."""

    name: str  # as in `Settings.series`
    symbol: str
    target: Target
    exchange: str
    session: date | None = None  # that one; None where its calendar or its bars have ended
    opens: datetime | None = None  # the session after it
    is_open: bool = False  # whether that has opened
    condition: Condition | None = None  # why it has none; None where it has one
    notes: Sequence[Condition] = ()  # what else is to be known of its symbol

    @property
    def series(self) -> str:
        """What names it: symbol and target."""
        return f"{self.symbol} {self.target}"


def live_states(settings: Settings, *, now: Clock) -> list[LiveState]:
    """The state of each symbol and target.

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


def _states(settings: Settings, *, now: Clock) -> list[LiveState]:
    migrate.check_ready(settings.url, writes=False, within_s=STATEMENT_S)
    is_locked = lock.is_held(settings.url)
    with connect.reading(settings.url, within_s=STATEMENT_S) as connection:
        ahead = future.rows_ahead(connection, now())
        notes = _of_earnings(connection, settings.symbols)
        states = []
        for name, own in settings.series.items():
            state = _state(connection, name, own, now(), is_locked)
            states.append(replace(state, notes=[*state.notes, *notes.get(own.symbol, ())]))
    if ahead is not None:
        return [replace(state, condition=ahead) for state in states]
    without = [one for one in states if one.condition and one.condition.kind == "no_night"]
    if len(without) > ASKED:
        return states
    return [
        _with_refusal(state, settings, now=now) if state in without else state for state in states
    ]


def _of_earnings(connection: Connection, symbols: Sequence[str]) -> dict[str, Sequence[Condition]]:
    """Return what is to be known of the earnings dates of each symbol."""
    shown = {"symbol": list(symbols), "rule": list(EARNINGS), "cleared_at": None}
    found = defaultdict[str, list[tuple[str, date]]](list)
    for row in read.all_stored(connection, FindingRow, shown):
        if row.session is not None:
            found[row.symbol].append((row.rule, row.session))
    unannounced = read.unannounced_symbols(connection)
    notes: dict[str, Sequence[Condition]] = {}
    for symbol in symbols:
        expected = [Condition("earnings_unannounced")] if symbol in unannounced else []
        notes[symbol] = [*expected, *of_earnings(found[symbol])]
    return notes


def _with_refusal(state: LiveState, settings: Settings, *, now: Clock) -> LiveState:
    """A state without a night, with the error that refuses its run, which leaves no row."""
    own = settings.for_symbol(state.symbol)
    try:
        check_events(own.events, own.symbols)
        check_market_source(own)
        source = plugins.source_of(own.source, cache_dir=own.yahoo_cache)
        _newest_of_source(own, source, now=now)
    except ForecastingError as refused:
        return replace(state, condition=Condition("refused", {"reason": str(refused)}))
    return state


def _state(
    connection: Connection, name: str, own: Settings, at: datetime, is_locked: bool | None
) -> LiveState:
    state = LiveState(name, own.symbol, own.target, own.exchange)
    try:
        session = last_completed(at, own.exchange)
        opens = opens_at(next_sessions(session, max(HORIZONS), own.exchange)[0], own.exchange)
    except ForecastingError as ended:  # no night can forecast them
        return replace(state, condition=Condition("no_calendar", {"reason": str(ended)}))
    state = replace(state, session=session, opens=opens, is_open=at >= opens)
    live = own.columns | {"kind": "live", "role": PUBLISHED}
    newest = read.newest(connection, "forecasts", "origin_session", live)
    if newest is not None and newest >= session:
        return state
    missing = _why_missing(connection, own, state, is_locked)
    if missing.kind == "ended":
        return replace(state, session=None, notes=[missing])
    return replace(state, condition=missing)


def _why_missing(
    connection: Connection, own: Settings, state: LiveState, is_locked: bool | None
) -> Condition:
    """Why a completed session has no live forecast."""
    issued = read.row(connection, "forecasts", own.columns | {"origin_session": state.session})
    if issued is not None:
        values = {"issued": issued.issued_at, "session": issued.target_session}
        return Condition("issued_late", values)
    of_session = own.columns | {"as_of": state.session}
    night = read.stored(connection, RunRow, of_session, order=("started_at DESC",))
    if night is not None and night.status == "running":
        kinds: dict[bool | None, Kind] = {True: "running", False: "cut_off", None: "unended"}
        values = {"session": night.as_of, "began": night.started_at}
        return Condition(kinds[is_locked], values)
    if night is not None and night.status != "done":
        return night.outcome
    return _why_not_begun(connection, own, state, is_locked)


def _why_not_begun(
    connection: Connection, own: Settings, state: LiveState, is_locked: bool | None
) -> Condition:
    """Why a session has no night: a request that failed since its close, or none has begun."""
    request = read.newest_fetch(connection, own.symbol, with_bars=False)
    if request is not None and request.verdict in get_args(FailedVerdict):
        closed = closes_at(cast("date", state.session), own.exchange)
        if request.fetched_at > closed:
            kind: Kind = "late" if request.verdict == "late" else "failed"
            return Condition(kind, {"reason": f"{request.verdict}: {request.detail}"})
    if is_locked:
        return Condition("running")
    ended = bars_ended(connection, own)  # in a file, of which a run by hand plans no newer night
    return Condition("ended", {"reason": ended}) if ended else Condition("no_night", own.columns)


def _newest_of_source(own: Settings, source: Source, *, now: Clock) -> tuple[date, str]:
    """The newest session of a symbol in its file, or what a run would refuse."""
    night = Night(newest_session(own, now=now), own, now)
    with suppress(StoreError):  # of which the row database tells
        check_bars(night)
    early = early_end(own, {own.symbol: night.session}, now=now)  # of a file, which is read
    if early and source.name != "sample":  # which ends in 2018
        raise ForecastingError(f"{early} Bring the source up to date.")
    return night.session, early


def night_checks(settings: Settings, *, now: Clock) -> dict[str, Callable[[], str]]:
    """The checks by name: each returns what it found, or raises a ForecastingError."""
    checks: dict[str, Callable[[], str]] = {
        "database": lambda: _database(settings, now=now),
        "sessions": lambda: _sessions(settings, now=now),
        "source": lambda: _source(settings, now=now),
        "market": lambda: check_market_source(settings, now=now),
    }
    if settings.events:
        checks["events"] = lambda: check_events(settings.events, settings.symbols)
    checks["disk"] = lambda: _disk(settings)
    return checks


def _database(settings: Settings, *, now: Clock) -> str:
    migrate.check_ready(settings.url)
    future.check_clock(settings.url, now())
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


def _disk(settings: Settings) -> str:
    data_dir = settings.data_dir.absolute()
    for folder in (settings.reports, data_dir):
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


def checked(checks: Mapping[str, Callable[[], str]]) -> list[Check]:
    """What each check found."""
    rows = []
    for name, check in checks.items():
        try:
            rows.append(Check(name, "ok", check()))
        except ForecastingError as error:
            rows.append(Check(name, "wrong", str(error)))
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
    if options.last is None:
        sentences += [_closures(day, exchange, now()) for day, exchange in newest]
    return " ".join(filter(None, sentences))


def _closures(day: date, exchange: str, at: datetime) -> str:
    """The holidays of an exchange since a session, up to ten days; empty without any."""
    # Today's from the hour on at which its session would have closed.
    past = (at - closes_at(day, exchange)).days
    if not 0 < past < 10:
        return ""
    closed = holidays(day + timedelta(days=1), day + timedelta(days=past), exchange)
    days = ", ".join(f"{one:%A} {one.date()}" for one in closed)
    return f"{exchange} was closed on {days}." if days else ""
