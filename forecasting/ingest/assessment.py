"""What a fetch means for the night that asked for it: usable, late, too short or held."""

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
    """What the store holds of a symbol before a fetch.

    Attributes:
        bars: Current versions, columns as `read.bars`.
        actions: Dividends and splits, the newest value of each: columns session, kind, value.
        adjustment: Session and Adj Close / Close of the newest fetch that had one; None without.
    """

    bars: pd.DataFrame
    actions: pd.DataFrame
    adjustment: tuple[date, float] | None


@dataclass(frozen=True)
class Request:
    """What was asked of a source.

    Attributes:
        session: The newest session, whose bar the night needs.
        source: The option that names the source, for messages.
        exchange: Whose sessions count.
        sessions_needed: Fewest sessions that a forecast can be made from.
    """

    session: date
    source: str
    exchange: str
    sessions_needed: int


@dataclass(frozen=True)
class Assessment:
    """What to write for a fetch.

    Attributes:
        revision: What it changes about the stored bars; where there is an error, its findings and nothing else.
        error: Why the night cannot use the fetch; None when it can.
    """

    revision: Revision
    error: DataLateError | HistoryError | None = None


def assess(fetched: Fetched, request: Request, stored: StoredBars) -> Assessment:
    """What the fetched bars change about the stored ones, with every finding, and whether the night can use them.

    Raises:
        BadDataError: The source brought something else than canonical bars.
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
    """The error of a fetch without the newest bar; None when it is there."""
    newest = bars.index[-1].date() if len(bars) else None
    if newest == request.session:
        return None
    return DataLateError(
        f"{symbol} has no usable bar for the session {request.session} yet; {request.source} ends at {newest}. "
        "Run again later, or give --as-of a session that has its bar.",
        newest,
    )


def short_history_error(bars: pd.DataFrame, stored: pd.DataFrame, symbol: str, request: Request) -> HistoryError | None:
    """The error of fewer sessions than a forecast needs; None when there are enough."""
    found = len(bars.index.union(stored.index[stored.index <= pd.Timestamp(request.session)]))
    if found >= request.sessions_needed:
        return None
    return HistoryError(
        f"A forecast of {symbol} at {request.session} needs at least {request.sessions_needed} sessions of bars; found "
        f"{found}. Use a source with a longer history, or wait."
    )


def held_error(bars: pd.DataFrame, revision: Revision, symbol: str, request: Request) -> DataLateError:
    """The error of a fetch whose newest bar is held back; names the newest session whose bar is not."""
    sessions = [session.date() for session in pd.DatetimeIndex(bars.index)]
    return DataLateError(
        f"{symbol}'s bar of {request.session} is held back, not stored: {revision.detail}. "
        "Run again later; the hold ends by itself after a few sessions.",
        next((day for day in reversed(sessions) if day not in revision.held), None),
    )
