"""The market series of a night (the VIX): fetched once for all symbols, before them; its failure never fails a night.

Like the companions, it is fetched before the symbol itself, so that one instant, that of the symbol's own fetch, fixes
what was stored of it, live and in replay. A night whose series is late goes on with its last close, at most five
sessions old; a night without any goes on without. The run's note says so.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import get_args

from forecasting.errors import ArtifactError, FailedVerdict
from forecasting.pipeline import shard
from forecasting.pipeline.companions import is_up_to_date
from forecasting.pipeline.ingest import fetch_and_store
from forecasting.pipeline.night_run import NightRun
from forecasting.pipeline.snapshot import first_session
from forecasting.preprocess.market import FILLED_SESSIONS, MarketSeries
from forecasting.sessions import closes_at, last_completed, sessions_index, shift
from forecasting.store import read
from forecasting.store.database import Connection
from forecasting.store.frames import Row
from forecasting.train.card import Card

logger = logging.getLogger("forecasting.market")

_MARGIN = timedelta(days=60)
"""More than a night needs, so that symbols of other exchanges, whose windows begin some days apart, share a fetch."""

_ASK_AGAIN = timedelta(minutes=30)
"""Pause after a request that brought no newest bar: each of a hundred symbols would make it, and wait for it, again."""


_STORED_NOTHING = ("held", *get_args(FailedVerdict))


@dataclass(frozen=True)
class MarketSnapshot:
    """The market series as it stood when the night's own bars were fetched.

    Attributes:
        series: Its closes.
        fetch_id: The newest fetch that had stored bars of it.
        note: For the run: what is missing; empty where the newest close is there.
    """

    series: MarketSeries | None
    fetch_id: str
    note: str


def market_run(run: NightRun) -> NightRun | None:
    """The night of the market series at its newest session that had closed when the night's session did.

    None where there is no series, or the symbol itself is it.
    """
    choice = run.settings.market_choice
    if choice is None or choice.symbol == run.spec.symbol:
        return None
    closed = closes_at(run.spec.session, run.settings.exchange)
    return run.market(choice, last_completed(closed, choice.exchange))


def fetch_market(runs: Sequence[NightRun], *, oldest: date | None = None, switch_source: bool = False) -> None:
    """Fetch the market series up to the nights' session, unless its newest bar is stored; nothing of it fails a night.

    Args:
        runs: The nights, one a symbol.
        oldest: As for `fetch_and_store`.
        switch_source: Allow bars of another source, or another history.
    """
    wanted = {one.id: (one, run) for run in runs if (one := market_run(run)) is not None}
    if not wanted:
        return
    asked = [one for one, _ in wanted.values()]
    first = {one.id: _reaching_back(one, run, oldest) for one, run in wanted.values()}
    checked = shard.read_each(
        shard.given(asked, asked), lambda connection, one, _: _is_enough(connection, one, first[one.id])
    )
    for outcome in checked:
        if outcome.error is None and outcome.get() and not switch_source:
            continue
        session = _earlier(outcome.run, first[outcome.run.id] - _MARGIN)
        (fetched,) = fetch_and_store(
            [outcome.run], oldest=session, switch_source=switch_source, purpose="market", stop_on=()
        )
        if fetched.error is not None:
            logger.warning("market series %s is not up to date: %s", outcome.run.spec.symbol, fetched.error)


def market_snapshot(connection: Connection, run: NightRun, *, data_as_of: datetime) -> MarketSnapshot:
    """The market series at the night's own fetch, made at `data_as_of`, and the note on what is missing of it."""
    one = market_run(run)
    if one is None:
        return MarketSnapshot(None, "", "")
    symbol = one.spec.symbol
    fetch = read.newest_fetch(connection, symbol, known_at=data_as_of)
    bars = read.bars(connection, symbol, last=one.spec.session, known_at=data_as_of)
    request = read.newest_request(connection, symbol, known_at=data_as_of)
    newest = bars.index[-1].date() if len(bars) else None
    series = MarketSeries(bars["close"], one.settings.exchange)
    return MarketSnapshot(series, fetch["id"] if fetch else "", _missing_note(one, newest, request))


def check_same_market(card: Card, fitted_with: str, run: NightRun) -> None:
    """Check that a model's effect of the market series is that of the night's series.

    Coefficients and means of one index on the closes of another move every forecast: those of the VIX on an index of
    90 points raised the median of a volume by 18 %, and no gate or warm fit corrects it.

    Args:
        card: Of the model.
        fitted_with: The series that the run of its fit used, `read.market_of_run`.
        run: The night.

    Raises:
        ArtifactError: It was fitted with another series.
    """
    one = market_run(run)
    if card.has_market and fitted_with and one is not None and one.spec.symbol != fitted_with:
        raise ArtifactError(
            f"Expected a model fitted with the market series {one.spec.symbol}; found one fitted with {fitted_with}. "
            "Fit from scratch (--mode scratch), or set FORECASTING_MARKET back."
        )


def _missing_note(one: NightRun, newest: date | None, request: Row | None) -> str:
    """The note on a series that ends before the night's session; empty for one that reaches it."""
    if newest == one.spec.session:
        return ""
    reason = ""
    if request is not None and request["verdict"] in _STORED_NOTHING:
        reason = f" {request['verdict']}: {str(request['detail']).rstrip('.')}."
    name = f"Market series {one.spec.symbol}"
    if newest is None:
        return f"{name}: nothing of it was stored, so the night went without.{reason}"
    missing = len(sessions_index(newest, one.spec.session, one.settings.exchange)) - 1
    used = "filled forward" if missing <= FILLED_SESSIONS else "too old to be used"
    return f"{name}: its close of {one.spec.session} was not there; the newest is of {newest}, {used}.{reason}"


def _reaching_back(one: NightRun, run: NightRun, oldest: date | None) -> date:
    """The day that the series has to reach back to: before the first session of the night's rolling window."""
    session = min(oldest or run.spec.session, run.spec.session)
    return first_session(session, run.settings) - timedelta(days=2 * FILLED_SESSIONS)


def _is_enough(connection: Connection, one: NightRun, first: date) -> bool:
    """Whether what is stored spans the night's window, or was asked for a moment ago."""
    newest = read.newest_session(connection, one.spec.symbol)
    spans = is_up_to_date(connection, one, oldest=_earlier(one, first))
    if spans and newest is not None and newest >= one.spec.session:
        return True
    request = read.newest_request(connection, one.spec.symbol)
    if request is None or request["last_asked"] < one.spec.session or request["first_asked"] > first:
        return False
    return bool(abs(one.now() - request["fetched_at"]) < _ASK_AGAIN)


def _earlier(one: NightRun, first: date) -> date:
    """The session of the series whose rolling window begins at `first` or before."""
    begins = first_session(one.spec.session, one.settings)
    later = len(sessions_index(first, begins, one.settings.exchange)) if first < begins else 0
    return shift(one.spec.session, -later, one.settings.exchange)
