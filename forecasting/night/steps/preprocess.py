"""What a night has at one instant, live or verified, and the windows made of it.

The market series (the VIX) is stored before the symbol's own fetch, whose instant fixes what was
known of it. A night whose series is late goes on with its last close, at most five sessions old, or
without any; its run has a note.
"""

import logging
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import get_args

import pandas as pd

from forecasting.errors import ArtifactError, FailedVerdict, NoBarError
from forecasting.ingest.earnings import RHYTHM
from forecasting.night.night import Night
from forecasting.night.run_log import open_run
from forecasting.preprocess.expected import rules_to_record
from forecasting.preprocess.windows import (
    FILLED_SESSIONS,
    TRAIN_SESSIONS,
    WARM_UP,
    MarketSeries,
    Windows,
    make_windows,
)
from forecasting.sessions import closes_at, last_completed, opens_at, sessions_index, shift
from forecasting.settings import Settings
from forecasting.store import connect, read, write
from forecasting.store.rows import FetchRow
from forecasting.train.checkpoint import Card
from forecasting.values import MarketChoice

logger = logging.getLogger("forecasting.preprocess")

STORED_NOTHING = ("held", *get_args(FailedVerdict))  # Verdicts of requests that stored no bar
_TOLERANCE = timedelta(minutes=5)  # between two machines that write to one ledger


def make_features(night: Night) -> Night:
    """The night with its windows, and its row in table runs."""
    started_at = night.now()
    with connect.reading(night.url) as connection:
        fetch = input_fetch(connection, night.settings, night.session, stored=night.stored_fetch)
        at = fetch.fetched_at  # no later version of a bar is used
        bars = read.bars(
            connection,
            night.symbol,
            first=first_session(night.session, night.settings),
            last=night.session,
            known_at=at,
        )
        events = read.events(connection, night.symbol, known_at=at)
        market, market_fetch, note = market_snapshot(connection, night, data_as_of=at)
    if len(bars) and bars.index[-1].date() != night.session:
        raise no_session(night)
    windows = make_windows(
        bars,
        events,
        origin=night.session,
        settings=night.settings,
        rows=TRAIN_SESSIONS,
        market=market,
    )
    if market is not None and not note and not windows.has_market:
        note = (
            f"Market series: too few of its {len(market.closes)} closes are of the bars' sessions; "
            "it was not used."
        )
    logger.info(
        "windows of %s: %d rows up to %s, fetch %s",
        night.series,
        len(windows),
        night.session,
        fetch.id,
    )
    with connect.transaction(night.url) as connection:
        open_run(connection, night, started_at=started_at, notes={"market": note})
        write.update(connection, "runs", night.id, {"market_fetch": market_fetch})
        _record_reports(connection, night, windows, seen_at=max(started_at, at))
    return replace(night, fetch_id=fetch.id, data_as_of=at, bars=bars, windows=windows)


def _record_reports(
    connection: connect.Connection, night: Night, windows: Windows, *, seen_at: datetime
) -> None:
    """Append the reports that nobody announced to table events, for people who query it.

    No night reads these rows: each origin makes them anew.
    """
    stored = read.all_event_rows(connection, night.symbol)
    rules = rules_to_record(windows.found_reports, windows.expected, stored)
    for session, rule in sorted(rules.items()):
        write.add(connection, "events", _report_row(night, session, rule, seen_at))


def _report_row(night: Night, session: date, rule: str, seen_at: datetime) -> dict[str, object]:
    """Return the row of table events of a report that nobody announced."""
    return {
        "symbol": night.symbol,
        "session": session,
        "kind": "earnings",
        "first_seen_at": seen_at,
        "known_from": night.session,
        "known_rule": rule,
        "announced": session,
        "timing": "",
        "source": RHYTHM,
    }


def no_session(night: Night) -> NoBarError:
    """The error of a night whose symbol has no bar of its session, and newer ones."""
    return NoBarError(
        f"{night.symbol} has no bar of {night.session}, and has newer ones: it did not trade in "
        "that session, whose night is closed."
    )


def ledger_instant(newest: datetime | None, now: datetime) -> datetime:
    """The instant of a write: now, but always after the newest instant of the ledger.

    What was known at a fetch is every row that an earlier one has stored. A clock that once was
    ahead would hide its rows from the nights after it, and from their replay.
    """
    return now if newest is None else max(now, newest + timedelta(microseconds=1))


def is_before(now: datetime, newest: datetime | None) -> bool:
    """Whether the clock is before the ledger's newest instant by more than machines differ."""
    return newest is not None and now < newest - _TOLERANCE


def first_session(session: date, settings: Settings) -> date:
    """The oldest session a night at `session` requests.

    From it on the bars fill the training window and what the first row of that looks back on.
    """
    return shift(session, -(TRAIN_SESSIONS + WARM_UP + 1), settings.exchange)


def input_fetch(
    connection: connect.Connection, own: Settings, session: date, *, stored: str = ""
) -> FetchRow:
    """The fetch whose bars a night of one symbol's settings uses.

    A StoreError if none has its session.

    A live night uses its own fetch. A night made up for later uses the last fetch before the next
    session opened or, when there was none, the first that brought its bar with its rolling window:
    so live and replay read the same rows, and a night within a span reads the rows that it would
    read alone. A replay names the fetch that is `stored` of it.
    """
    named = read.stored(connection, FetchRow, {"id": stored}) if stored else None
    if named is not None:
        return named
    # The last moment for a live forecast
    cutoff = opens_at(shift(session, 1, own.exchange), own.exchange)
    return read.fetch_as_of(
        connection, own.symbol, session, first=first_session(session, own), cutoff=cutoff
    )


def past_losses(connection: connect.Connection, night: Night, *, origins: int) -> pd.DataFrame:
    """The losses of the newest `origins` scored origins that the night before this one could score.

    More may be stored: where the night before was made up for late, or is replayed, it has scored
    the sessions after it too. A night that saw these would not decide as one that ran on time.
    Columns as `read.losses`.
    """
    before = read.issued_before(connection, *night.key, session=night.session)
    last, known_at = before or (date.min, None)
    return read.losses(connection, *night.key, last=last, origins=origins, known_at=known_at)


def market_of(night: Night) -> tuple[MarketChoice, date] | None:
    """A night's market series, and its newest session that has closed by the night's close.

    None without a series, and for the night of the series itself.
    """
    choice = night.settings.market_choice
    if choice is None or choice.symbol == night.symbol:
        return None
    return choice, last_completed(closes_at(night.session, night.exchange), choice.exchange)


def market_snapshot(
    connection: connect.Connection, night: Night, *, data_as_of: datetime
) -> tuple[MarketSeries | None, str, str]:
    """The market series as known at `data_as_of`, the id of its newest fetch, and a note.

    The note says what is missing of it; it is empty where nothing is.
    """
    market = market_of(night)
    if market is None:
        fit = read.newest_network(connection, *night.key, before=night.session)
        fitted_with = read.market_of_run(connection, fit.run_id) if fit else ""
        note = (
            f"Market series: none, though the newest fit has {fitted_with}: is FORECASTING_MARKET "
            "set?"
        )
        return None, "", note if fitted_with else ""
    choice, session = market
    fetch_at = partial(read.newest_fetch, connection, choice.symbol, known_at=data_as_of)
    fetch = fetch_at()
    # A month more than the windows, for closes that are filled forward
    first = first_session(night.session, night.settings) - timedelta(days=30)
    bars_at = partial(read.bars, connection, choice.symbol, known_at=data_as_of)
    bars = bars_at(first=first, last=session, columns=["close"])
    newest = bars.index[-1].date() if len(bars) else None
    note = missing_closes(choice, session, newest, fetch_at(with_bars=False))
    return MarketSeries(bars["close"], choice.exchange), "" if fetch is None else fetch.id, note


def missing_closes(
    choice: MarketChoice, session: date, newest: date | None, request: FetchRow | None = None
) -> str:
    """The note on a series that ends at `newest`; empty for one that reaches the session."""
    if newest == session:
        return ""
    name = f"Market series {choice.symbol}"
    reason = ""
    if request is not None and request.verdict in STORED_NOTHING:
        reason = f" {request.verdict}: {request.detail.rstrip('.')}."
    if newest is None:
        return f"{name}: nothing of it was stored, so the night went without.{reason}"
    missing = len(sessions_index(newest, session, choice.exchange)) - 1
    used = "filled forward" if missing <= FILLED_SESSIONS else "too old to be used"
    return (
        f"{name}: its close of {session} was not there; the newest is of {newest}, {used}.{reason}"
    )


def check_same_market(card: Card, fitted_with: str, night: Night) -> None:
    """Raise an ArtifactError for a model fitted with another market series than the night's.

    Coefficients of one index on the closes of another move every forecast: those of the VIX on an
    index of 90 points raised the median of a volume by 18%, and no gate or warm fit corrects it.
    """
    market = market_of(night)
    if card.has_market and fitted_with and market is not None and market[0].symbol != fitted_with:
        raise ArtifactError(
            f"Expected a model fitted with the market series {market[0].symbol}; found one fitted "
            f"with {fitted_with}. Fit from scratch (mode scratch), or set FORECASTING_MARKET back."
        )
