"""Whether the newest completed session of each symbol has a live forecast."""

from __future__ import annotations

from datetime import date

from forecasting.errors import ForecastingError, NoLiveForecastError, StoreError, SymbolsFailedError, UsageError
from forecasting.pipeline.each_symbol import combined
from forecasting.sessions import closes_at, last_completed, next_sessions, opens_at
from forecasting.settings import Settings
from forecasting.store import database, migrate, read
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


def _fresh(settings: Settings, *, now: Clock) -> str:
    migrate.check_ready(settings.url, writes=False, within_s=STATEMENT_S)
    fresh: dict[date, list[str]] = {}
    failed: list[tuple[str, ForecastingError]] = []
    with database.reading(settings.url, within_s=STATEMENT_S) as connection:
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
