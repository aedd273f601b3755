"""The assessment of a fetch for its night: usable, late, too short or held."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import pandas as pd

from forecasting.errors import DataLateError, HistoryError
from forecasting.ingest.bars import check_bars
from forecasting.ingest.revisions import Revision, explain, nothing_changed
from forecasting.ingest.sources import Fetched


@dataclass(frozen=True)
class StoredBars:
    """The stored bars of a symbol before a fetch.

    Attributes:
        bars: Current versions, columns as `read.bars`.
        actions: Dividends and splits, the newest value of each: columns session, kind, value.
        adjustment: Session and Adj Close / Close of the newest fetch that has one; None without.
    """

    bars: pd.DataFrame
    actions: pd.DataFrame
    adjustment: tuple[date, float] | None


@dataclass(frozen=True)
class Request:
    """A request to a source.

    Attributes:
        session: The newest session, whose bar the night needs.
        source: The option that names the source, for messages.
        exchange: Exchange of the sessions.
        sessions_needed: Fewest sessions that a forecast needs.
    """

    session: date
    source: str
    exchange: str
    sessions_needed: int


@dataclass(frozen=True)
class Assessment:
    """What to write for a fetch.

    Attributes:
        revision: What it changes about the stored bars; with an error, its findings alone.
        error: Why the night cannot use the fetch; None when it can.
    """

    revision: Revision
    error: DataLateError | HistoryError | None = None


def assess(fetched: Fetched, request: Request, stored: StoredBars) -> Assessment:
    """What the fetched bars change about the stored ones, with every finding, and whether the night can use them.

    Raises:
        BadDataError: The source returned bars of another shape than the canonical one.
    """
    bars, findings = check_bars(fetched, exchange=request.exchange, known=stored.bars)
    error = late_error(bars, fetched.symbol, request) or short_history_error(bars, stored.bars, fetched.symbol, request)
    if error is not None:
        return Assessment(nothing_changed(error.verdict, str(error), findings), error)
    revision = explain(
        stored.bars,
        bars,
        actions=fetched.actions,
        known_actions=stored.actions,
        known_adjustment=stored.adjustment,
    )
    revision = replace(revision, findings=[*findings, *revision.findings])
    if request.session in revision.held:
        held = held_error(bars, revision, fetched.symbol, request)
        return Assessment(nothing_changed(held.verdict, str(held), revision.findings), held)
    return Assessment(revision)


def late_error(bars: pd.DataFrame, symbol: str, request: Request) -> DataLateError | None:
    """The error of a fetch without the newest bar; None with it."""
    newest = bars.index[-1].date() if len(bars) else None
    if newest == request.session:
        return None
    return DataLateError(
        f"{symbol} has no usable bar for the session {request.session} yet; {request.source} ends at {newest}. "
        "Run again later, or give --as-of a session that has its bar.",
        newest,
    )


def short_history_error(bars: pd.DataFrame, stored: pd.DataFrame, symbol: str, request: Request) -> HistoryError | None:
    """The error of fewer sessions than a forecast needs; None with enough."""
    found = len(bars.index.union(stored.index[stored.index <= pd.Timestamp(request.session)]))
    if found >= request.sessions_needed:
        return None
    return HistoryError(
        f"Expected at least {request.sessions_needed} sessions of bars for a forecast of {symbol} at "
        f"{request.session}; found {found}. Use a source with a longer history, or wait."
    )


def held_error(bars: pd.DataFrame, revision: Revision, symbol: str, request: Request) -> DataLateError:
    """The error of a fetch whose newest bar is held back; it names the newest session with a usable bar."""
    sessions = [session.date() for session in pd.DatetimeIndex(bars.index)]
    return DataLateError(
        f"{symbol}'s bar of {request.session} is held back, not stored: {revision.detail}. "
        "Run again later; the hold ends by itself after a few sessions.",
        next((day for day in reversed(sessions) if day not in revision.held), None),
    )
