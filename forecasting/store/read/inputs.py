"""Fetched data: fetches, bars, actions, events and findings, as known now or at an instant."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from itertools import groupby
from operator import attrgetter

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy import Connection, func, select

from forecasting.errors import StoreError
from forecasting.ingest.earnings import (
    EXPECTED,
    RHYTHM,
    STORED,
    WITHDRAWN,
    valid_events,
    validity_intervals,
)
from forecasting.ingest.splits import ACCEPTED
from forecasting.store import schema
from forecasting.store.frames import first_record, frame
from forecasting.store.rows import FetchRow
from forecasting.store.schema import NO_BARS, PAUSED, action, bar, event, fetch, fetches, finding
from forecasting.targets import TARGETS

PRICES = ("open", "high", "low", "close", "volume")
LATEST = datetime.max.replace(tzinfo=UTC)
"""In place of now, for an instant at which all that is stored was known."""

# A bar that was held back was received too
_HAS_BARS = fetch.verdict.not_in(NO_BARS)
# Until 0.4 a finding said that the earnings dates had ended.
_FORMER_RULE = "earnings_stale"
_VALID = ["session", "kind", "known_from", "withdrawn_from"]


def newest_fetch(
    connection: Connection,
    symbol: str,
    *,
    known_at: datetime | None = None,
    run_id: str | None = None,
    with_bars: bool = True,
) -> FetchRow | None:
    """The symbol's newest fetch; None without one.

    Args:
        connection: An open one.
        symbol: Whose.
        known_at: Up to this instant; None for now.
        run_id: Of this night; None for any.
        with_bars: Whether it must have stored bars.
    """
    wanted = [fetch.symbol == symbol, fetch.fetched_at <= (known_at or LATEST)]
    if with_bars:
        wanted.append(_HAS_BARS)
    if run_id is not None:
        wanted.append(fetch.run_id == run_id)
    newest_first = (fetch.fetched_at.desc(), fetch.id.desc())
    newest = select(*fetch).where(*wanted).order_by(*newest_first)
    return first_record(connection, FetchRow, newest)


def paused_until(connection: Connection, source: str) -> datetime | None:
    """Until when a source is left alone after its newest rate limit; None where it had none."""
    newest = select(func.max(fetch.paused_until)).where(PAUSED, fetch.source == source)
    return connection.scalar(newest)


def fetch_as_of(
    connection: Connection, symbol: str, session: date, *, first: date, cutoff: datetime
) -> FetchRow:
    """The fetch whose bars a night at `session` uses.

    It is the newest up to `cutoff` that has the session's bar, as of a live forecast. Else it is
    the first with that bar: one that asked for sessions from `first` on before others, one of a
    night before others.

    Raises:
        StoreError: No fetch has the session's bar.
    """
    reaching = select(*fetch).where(
        fetch.symbol == symbol, fetch.last_received >= session, _HAS_BARS
    )
    order = (fetch.first_asked > first, fetch.run_id.is_(None), fetch.fetched_at, fetch.id)
    # Apart, so that the index of instants finds the newest, whatever the age of the ledger
    in_time = reaching.where(fetch.fetched_at <= cutoff).order_by(fetch.fetched_at.desc(), *order)
    later = reaching.where(fetch.fetched_at > cutoff).order_by(*order)
    stored = first_record(connection, FetchRow, in_time)
    stored = stored or first_record(connection, FetchRow, later)
    if stored is None:
        raise StoreError(
            f"Expected a fetch of {symbol} that reaches the session {session}; found none. "
            f"`forecasting run --as-of {session}` requests its bars."
        )
    return stored


def bars(
    connection: Connection,
    symbol: str,
    *,
    first: date = date.min,
    last: date | None = None,
    known_at: datetime | None = None,
    columns: Sequence[str] = PRICES,
) -> pd.DataFrame:
    """The newest version of each session's bar, now or as of an instant.

    Index session; these columns, version, and settled, whether a later night has confirmed it.
    """
    at = known_at or LATEST
    # Not the instants: to read them takes longer than all the rest.
    is_settled = func.coalesce(bar.settled_at <= at, sa.false()).label("settled")
    statement = (
        select(*bar["session", *columns, "version"], is_settled)
        .where(bar.symbol == symbol, bar.session.between(first, last or date.max))
        .where(bar.first_seen_at <= at)
        .order_by(bar.session, bar.version)
    )
    # The highest version comes last
    versions = frame(connection, statement).drop_duplicates("session", keep="last")
    return versions.set_index("session")


def symbol_with(
    connection: Connection, volumes: pd.Series, *, least: int, besides: str
) -> str | None:
    """A symbol other than `besides` whose bars have `least` or more of the volumes, by session."""
    others = select(fetch.symbol).where(fetch.symbol != besides)
    days = pd.DatetimeIndex(volumes.index).date
    pairs = list(zip(days, volumes.round().astype("int64").tolist(), strict=True))
    statement = (
        select(bar.symbol)
        .where(bar.symbol.in_(others), bar.superseded_at.is_(None))
        .where(sa.tuple_(bar.session, bar.volume).in_(pairs))
        .group_by(bar.symbol)
        .having(sa.func.count() >= least)
    )
    return connection.scalar(statement)


def actions(connection: Connection, symbol: str) -> pd.DataFrame:
    """Dividends and splits, the newest value of each: columns session, kind, value."""
    statement = (
        select(*action["session", "kind", "value"])
        .where(action.symbol == symbol)
        .order_by(*action["session", "kind", "first_seen_at"])
    )
    values = frame(connection, statement)
    return values.drop_duplicates(["session", "kind"], keep="last", ignore_index=True)


def events(
    connection: Connection, symbol: str, *, known_at: datetime | None = None
) -> pd.DataFrame:
    """Earnings dates as last seen.

    Columns session, kind, known_from, withdrawn_from (NaT: still valid).
    """
    seen = event_rows(connection, symbol, known_at=known_at)
    if seen.empty:  # as of most symbols of a file; a fifth of the time of a line of `show`
        return seen.assign(withdrawn_from=seen["known_from"])[_VALID]
    order = ["session", "kind", "known_from"]
    return validity_intervals(seen).sort_values(order, ignore_index=True)[_VALID]


def event_rows(
    connection: Connection, symbol: str, *, known_at: datetime | None = None
) -> pd.DataFrame:
    """Return announced earnings dates as stored, ascending by first_seen_at: columns STORED.

    Expected reports and those found in the volume are left out: each origin makes them anew from
    what it knows.
    """
    rows = all_event_rows(connection, symbol, known_at=known_at)
    return rows[rows["source"] != RHYTHM].reset_index(drop=True)


def all_event_rows(
    connection: Connection, symbol: str, *, known_at: datetime | None = None
) -> pd.DataFrame:
    """Return all rows of earnings dates as stored, ascending by first_seen_at: columns STORED."""
    statement = (
        select(*event[tuple(STORED)])
        .where(event.symbol == symbol, event.first_seen_at <= (known_at or LATEST))
        .where(event.kind == "earnings")
        .order_by(event.first_seen_at, event.session)
    )
    return frame(connection, statement)


def report_days(
    connection: Connection, symbol: str, *, known_at: datetime | None = None
) -> dict[date, bool]:
    """Return the sessions of all reports, and whether each report is only expected.

    The reports are those that were valid at the instant `known_at`, or that are valid now:
    announced, found in the volume, or expected.
    """
    valid = valid_events(all_event_rows(connection, symbol, known_at=known_at))
    is_expected = valid["known_rule"] == EXPECTED
    return dict(zip(valid["session"].dt.date, is_expected, strict=True))


def unannounced_symbols(connection: Connection) -> set[str]:
    """Return the symbols that have an expected report after all their announced ones."""
    is_expected = (event.source == RHYTHM) & (event.known_rule == EXPECTED)
    statement = (
        select(*event["symbol", "session", "source", "known_rule"])
        .where(event.symbol.in_(select(event.symbol).where(is_expected)))
        .order_by(event.first_seen_at)
    )
    newest = frame(connection, statement).drop_duplicates(["symbol", "session"], keep="last")
    # A report that was found in the volume was not announced either.
    is_announced = (newest["source"] != RHYTHM) & (newest["known_rule"] != WITHDRAWN)
    counted = newest[is_announced | (newest["known_rule"] == EXPECTED)].sort_values("session")
    last = counted.drop_duplicates("symbol", keep="last")
    return set(last["symbol"][last["known_rule"] == EXPECTED])


def findings(connection: Connection, fetch_id: str) -> pd.DataFrame:
    """Return the findings that were open once a fetch was written, and those that it added.

    Columns session, rule, severity, value, detail, and since, when each was first shown. Findings
    of a rule that no longer exists are left out.
    """
    shown = fetches.alias("shown").c
    since = fetch.fetched_at
    not_cleared = finding.cleared_at.is_(None) | (finding.cleared_at > shown.fetched_at)
    was_open = (since <= shown.fetched_at) & not_cleared
    columns = finding["session", "rule", "severity", "value", "detail"]
    statement = (
        select(*columns, since.label("since"))
        .join(fetches)
        .where(shown.id == fetch_id, shown.symbol == finding.symbol)
        .where(was_open | (finding.fetch_id == fetch_id), finding.rule != _FORMER_RULE)
        .order_by(finding.session, finding.rule, since)
    )
    return frame(connection, statement)


def newest_flag(
    connection: Connection,
    symbol: str,
    rules: Sequence[str],
    *,
    first: date,
    last: date,
    known_at: datetime,
) -> tuple[date, str] | None:
    """Session and rule of the newest flag by `rules` on the sessions `first` to `last`; or None."""
    newest_first = (
        select(finding.session, finding.rule)
        .join(fetches)
        .where(finding.symbol == symbol, finding.severity == "flag", finding.rule.in_(rules))
        .where(finding.session.between(first, last), fetch.fetched_at <= known_at)
        .order_by(finding.session.desc(), finding.rule)
    )
    return connection.execute(newest_first).first()


def split_factors(
    connection: Connection,
    symbol: str,
    forecasts: pd.DataFrame,
    *,
    until: pd.Series | datetime,
) -> pd.Series:
    """New shares per share of the day each forecast was issued, 1.0 without a split in between.

    A split counts when the bars of the forecast, fetched at data_as_of, could not show it yet, and
    those at `until`, one instant or one a row, do; not one of before first_received: its bars are
    on the new basis already.
    """
    statement = (
        select(*action["session", "first_seen_at", "value"])
        .where(action.kind == "split", action.symbol == symbol)
        .order_by(action.session, action.first_seen_at)
    )
    factor = np.ones(len(forecasts))
    for session, versions in groupby(connection.execute(statement), attrgetter("session")):
        _, instants, values = zip(*versions, strict=True)
        ratios = np.array([1.0, *values])  # 1.0 before it was first seen
        seen_at = pd.Series(instants, dtype="datetime64[us, UTC]")
        before = ratios[seen_at.searchsorted(forecasts["data_as_of"], side="right")]
        after = ratios[seen_at.searchsorted(until, side="right")]
        is_later = forecasts["first_received"] < pd.Timestamp(session)
        factor = np.where(is_later, factor * after / before, factor)
    return pd.Series(factor, index=forecasts.index)


def next_history(connection: Connection, symbol: str, instants: pd.Series) -> pd.Series:
    """The next instant after each at which the user accepted another history; NaT where none."""
    instant = fetch.fetched_at
    statement = (
        select(instant)
        .distinct()
        .join(schema.findings)
        .where(finding.symbol == symbol, finding.rule == ACCEPTED)
        .order_by(instant)
    )
    accepted = pd.Series([*connection.scalars(statement)], dtype="datetime64[us, UTC]")
    following = pd.Series([*accepted, None], dtype="datetime64[us, UTC]")
    return following.iloc[accepted.searchsorted(instants, side="right")].set_axis(instants.index)


def has_changed_basis(connection: Connection, symbol: str) -> bool:
    """Whether a split was seen, or another history accepted, after the symbol's first fetch.

    Without one all its forecasts are on one share basis.
    """
    first = select(func.min(fetch.fetched_at)).where(fetch.symbol == symbol).scalar_subquery()
    split = sa.exists().where(
        action.symbol == symbol, action.kind == "split", action.first_seen_at > first
    )
    accepted = sa.exists().where(finding.symbol == symbol, finding.rule == ACCEPTED)
    return bool(connection.scalar(select(split | accepted)))


def on_basis_at(
    connection: Connection,
    symbol: str,
    target: str,
    forecasts: pd.DataFrame,
    columns: Sequence[str],
    *,
    at: datetime | None,
) -> pd.DataFrame:
    """Past forecasts with `columns`, in the target's unit, on the share basis of `at` (None: now).

    Rows from before another history that the user accepted are left out, and so are data_as_of and
    first_received.
    """
    moment = at or LATEST
    accepted = next_history(connection, symbol, forecasts["data_as_of"])
    present = forecasts[~(accepted <= moment)].reset_index(drop=True)
    factor = split_factors(connection, symbol, present, until=moment)
    rebased = present.drop(columns=["data_as_of", "first_received"])
    for name in columns:
        rebased[name] = TARGETS[target].to_present(rebased[name], factor)
    return rebased
