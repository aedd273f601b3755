"""Instants in the ledger, and a clock of this machine that contradicts the ledger or the source."""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta

from forecasting.errors import ClockError, DataLateError, ForecastingError
from forecasting.ingest.sources import Fetched
from forecasting.pipeline.night import Night
from forecasting.sessions import after, is_session, opens_at, today

logger = logging.getLogger("forecasting.ingest")

_LATE_SESSIONS = 5  # an exchange closed for a week, at most
_TOLERANCE = timedelta(minutes=5)  # between two machines that write to one ledger


def ledger_instant(newest: datetime | None, now: datetime) -> datetime:
    """The instant of a write: now, but always after the newest instant of the ledger.

    What was known at a fetch is every row that an earlier one has stored. A clock that once was ahead would hide its
    rows from the nights after it, and from their replay.
    """
    return now if newest is None else max(now, newest + timedelta(microseconds=1))


def check_clock(fetched: Fetched, exchange: str, *, now: datetime, index: bool = False) -> None:
    """Refuse a clock that is behind the source.

    Args:
        fetched: The response.
        exchange: Exchange of its sessions.
        now: This machine's clock.
        index: A bar of today may come before the open: the VIX is calculated from 03:15 in New York on.

    Raises:
        ClockError: The source has a bar of a session that has not opened by this machine's clock.
    """
    newest = fetched.newest
    if newest is None or (index and newest <= today(now, exchange)):
        return
    if is_session(newest, exchange) and opens_at(newest, exchange) > now:
        raise ClockError(
            f"Expected no bar of a session that has not opened; {fetched.source} has one of {fetched.symbol} at "
            f"{newest}, which opens at {opens_at(newest, exchange):%Y-%m-%d %H:%M} UTC, and this machine's clock is at "
            f"{now:%Y-%m-%d %H:%M} UTC. Correct the clock (timedatectl, date); nothing was stored."
        )


def name_clock(error: ForecastingError | None, session: date, night: Night) -> ForecastingError | None:
    """The error, and a word on the clock where the source is behind it by more than a holiday or a slow night."""
    if not isinstance(error, DataLateError) or error.newest is None:
        return error
    behind = len(after(error.newest, session, night.settings.exchange))
    if behind <= _LATE_SESSIONS:
        return error
    clock = f"{night.now():%Y-%m-%d %H:%M} UTC"
    return DataLateError(
        f"{error} It is {behind} sessions behind: the symbol has stopped trading, or this machine's clock, at {clock}, "
        "is ahead.",
        error.newest,
        error.why,
    )


def is_before(now: datetime, newest: datetime | None) -> bool:
    """Whether the clock is before the newest instant of the ledger by more than two machines differ."""
    return newest is not None and now < newest - _TOLERANCE


def clock_note(newest: datetime | None, *, now: datetime) -> str:
    """The run's note on a clock that is, or once was, wrong; empty for a clock that agrees with the ledger."""
    if newest is None or not is_before(now, newest):
        return ""
    note = (
        f"This machine's clock is at {now:%Y-%m-%d %H:%M} UTC, before the newest fetch of the ledger at "
        f"{newest:%Y-%m-%d %H:%M} UTC: it is behind now, or was ahead then. This fetch is stored as the later one."
    )
    logger.warning(note)
    return note
