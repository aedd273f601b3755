"""Fetched data: fetches, bars, corporate actions, events and findings, as known now or at any instant."""

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from forecasting.errors import StoreError
from forecasting.ingest.earnings import STORED, WITHDRAWN, validity_intervals
from forecasting.ingest.splits import ACCEPTED, rebase
from forecasting.sessions import DAY_KINDS
from forecasting.store import schema
from forecasting.store.frames import Row, first_row, frame, rows
from forecasting.targets import TARGETS

PRICES = ("open", "high", "low", "close", "volume")
# A bar that was held back was received too
_HAS_BARS = schema.fetches.c.verdict.not_in(schema.NO_BARS)
_VALID = ["session", "kind", "known_from", "withdrawn_from"]


def newest_fetch(
    connection: sa.Connection,
    symbol: str,
    *,
    known_at: datetime | None = None,
    run_id: str | None = None,
    with_bars: bool = True,
) -> Row | None:
    """The symbol's newest fetch, a row of table fetches; None without one.

    Args:
        connection: An open one.
        symbol: Whose.
        known_at: Up to this instant; None for now.
        run_id: Of this night; None for any.
        with_bars: Whether it must have stored bars.
    """
    table = schema.fetches
    wanted = [table.c.symbol == symbol]
    if with_bars:
        wanted.append(_HAS_BARS)
    if known_at is not None:
        wanted.append(table.c.fetched_at <= known_at)
    if run_id is not None:
        wanted.append(table.c.run_id == run_id)
    newest_first = (table.c.fetched_at.desc(), table.c.id.desc())
    return first_row(connection, sa.select(table).where(*wanted).order_by(*newest_first))


def fetch_as_of(
    connection: sa.Connection, symbol: str, session: date, *, first: date, cutoff: datetime
) -> Row:
    """The fetch whose bars a night at `session` uses, a row of table fetches.

    It is the newest up to `cutoff` that has the session's bar, as of a live forecast. Else it is the
    first with that bar, one that asked for sessions from `first` on before others, one of a night
    before others.

    Raises:
        StoreError: No fetch has the session's bar.
    """
    table = schema.fetches
    reaching = sa.select(table).where(
        table.c.symbol == symbol, table.c.last_received >= session, _HAS_BARS
    )
    in_time = reaching.where(table.c.fetched_at <= cutoff).order_by(
        table.c.fetched_at.desc(), table.c.id.desc()
    )
    late = reaching.order_by(table.c.run_id.is_(None), table.c.fetched_at, table.c.id)
    for statement in (in_time, late.where(table.c.first_asked <= first), late):
        fetch = first_row(connection, statement)
        if fetch is not None:
            return fetch
    raise StoreError(
        f"Expected a fetch of {symbol} that reaches the session {session}; found none. "
        "Run ingest first."
    )


def bars(
    connection: sa.Connection,
    symbol: str,
    *,
    first: date | None = None,
    last: date | None = None,
    known_at: datetime | None = None,
) -> pd.DataFrame:
    """The newest version of each session's bar, now or as of an instant.

    Index session; columns PRICES, version, and settled, whether a later night has confirmed it.
    """
    table = schema.bar_versions
    is_settled: sa.ColumnElement[bool] = table.c.settled_at.is_not(None)
    known: sa.ColumnElement[bool] = table.c.superseded_at.is_(None)
    if known_at is not None:
        is_settled = table.c.settled_at <= known_at
        known = table.c.first_seen_at <= known_at
    # Not the instants: to read them takes longer than all the rest.
    settled = sa.type_coerce(sa.case((is_settled, 1), else_=0), sa.Boolean).label("settled")
    span = table.c.session.between(first or date.min, last or date.max)
    statement = (
        sa.select(*table.c["session", *PRICES, "version"], settled)
        .where(table.c.symbol == symbol, span, known)
        .order_by(table.c.session, table.c.version)
    )
    # The highest version comes last
    versions = frame(connection, statement).drop_duplicates("session", keep="last")
    return versions.set_index("session")


def symbol_with(
    connection: sa.Connection, volumes: pd.Series, *, least: int, besides: str
) -> str | None:
    """A symbol other than `besides` with `least` or more of the volumes, by session, in its bars."""
    table = schema.bar_versions
    fetches = schema.fetches
    others = sa.select(fetches.c.symbol).where(fetches.c.symbol != besides)
    days = pd.DatetimeIndex(volumes.index).date
    pairs = list(zip(days, volumes.round().astype("int64").tolist(), strict=True))
    statement = (
        sa.select(table.c.symbol)
        .where(table.c.symbol.in_(others), table.c.superseded_at.is_(None))
        .where(sa.tuple_(table.c.session, table.c.volume).in_(pairs))
        .group_by(table.c.symbol)
        .having(sa.func.count() >= least)
    )
    return connection.scalar(statement.limit(1))


def first_prints(
    connection: sa.Connection,
    symbol: str,
    *,
    first: date,
    last: date,
    basis_at: datetime | None = None,
) -> pd.DataFrame:
    """The bars as first stored, on the share basis known at `basis_at` (None: now).

    Index session; columns PRICES.
    """
    table = schema.bar_versions
    basis = (table.c.first_seen_at.label("data_as_of"), schema.fetches.c.first_received)
    statement = (
        sa.select(*table.c["session", *PRICES], *basis)
        .join(schema.fetches)
        .where(table.c.symbol == symbol, table.c.session.between(first, last))
        .order_by(table.c.session, table.c.version)
    )
    stored = frame(connection, statement).drop_duplicates("session", ignore_index=True)
    rebased = rebase(stored, split_factors(connection, symbol, stored, until=basis_at))
    return rebased.drop(columns=["data_as_of", "first_received"]).set_index("session")


def actions(connection: sa.Connection, symbol: str) -> pd.DataFrame:
    """Dividends and splits, the newest value of each: columns session, kind, value."""
    table = schema.corporate_actions
    statement = (
        sa.select(*table.c["session", "kind", "value"])
        .where(table.c.symbol == symbol)
        .order_by(*table.c["session", "kind", "first_seen_at"])
    )
    values = frame(connection, statement)
    return values.drop_duplicates(["session", "kind"], keep="last", ignore_index=True)


def events(
    connection: sa.Connection, symbol: str, *, known_at: datetime | None = None
) -> pd.DataFrame:
    """Earnings dates as last seen.

    Columns session, kind, known_from, withdrawn_from (NaT: still valid).
    """
    seen = event_rows(connection, symbol, known_at=known_at)
    seen = seen[seen["kind"] == "earnings"]
    if seen.empty:  # as of most symbols of a file; a fifth of the time of a line of `show`
        return seen.assign(withdrawn_from=seen["known_from"])[_VALID]
    order = ["session", "kind", "known_from"]
    return validity_intervals(seen).sort_values(order, ignore_index=True)[_VALID]


def announced_days(
    connection: sa.Connection, symbol: str, *, known_at: datetime | None = None
) -> dict[tuple[str, date], str]:
    """Kind and day of the announced days valid now or as of an instant, each with its source."""
    table = schema.events
    columns = (table.c[name] for name in STORED)
    known = sa.true() if known_at is None else table.c.first_seen_at <= known_at
    statement = sa.select(*columns).where(
        table.c.symbol == symbol, table.c.kind.in_(DAY_KINDS), known
    )
    seen = rows(connection, statement.order_by(table.c.first_seen_at))
    newest = {(row["kind"], row["session"]): row for row in seen}
    return {day: row["source"] for day, row in newest.items() if row["known_rule"] != WITHDRAWN}


def events_near(
    connection: sa.Connection, sessions: Collection[date], within: timedelta
) -> dict[str, list[Any]]:
    """By symbol, the valid earnings dates of those with one `within` some days of a session.

    Columns STORED.
    """
    table = schema.events
    near = [table.c.session.between(session - within, session + within) for session in sessions]
    of_earnings = table.c.kind == "earnings"
    named = sa.select(table.c.symbol).where(of_earnings, sa.or_(sa.false(), *near))
    statement = (
        sa.select(*table.c["symbol", *STORED])
        .where(of_earnings, table.c.symbol.in_(named))
        .order_by(*table.c["symbol", "first_seen_at", "session"])
    )
    by_symbol = dict[str, list[Any]]()
    for symbol, seen in frame(connection, statement).groupby("symbol"):
        intervals = validity_intervals(seen)
        valid = intervals[intervals["withdrawn_from"].isna()]
        by_symbol[str(symbol)] = valid.to_dict("records")
    return by_symbol


def event_rows(
    connection: sa.Connection, symbol: str, *, known_at: datetime | None = None
) -> pd.DataFrame:
    """Rows of table events, now or as of an instant, ascending by first_seen_at: columns STORED."""
    table = schema.events
    statement = sa.select(*table.c[tuple(STORED)]).where(table.c.symbol == symbol)
    if known_at is not None:
        statement = statement.where(table.c.first_seen_at <= known_at)
    return frame(connection, statement.order_by(table.c.first_seen_at, table.c.session))


def findings(connection: sa.Connection, fetch_id: str) -> pd.DataFrame:
    """The findings that were open once a fetch was written, and those that it added.

    Columns session, rule, severity, value, detail, and since, when each was first shown.
    """
    table = schema.findings
    fetched = schema.fetches.alias("fetch")
    first = schema.fetches.alias("first")
    not_cleared = table.c.cleared_at.is_(None) | (table.c.cleared_at > fetched.c.fetched_at)
    was_open = (first.c.fetched_at <= fetched.c.fetched_at) & not_cleared
    columns = table.c["session", "rule", "severity", "value", "detail"]
    statement = (
        sa.select(*columns, first.c.fetched_at.label("since"))
        .join(first, first.c.id == table.c.fetch_id)
        .join(fetched, fetched.c.symbol == table.c.symbol)
        .where(fetched.c.id == fetch_id, was_open | (table.c.fetch_id == fetch_id))
        .order_by(table.c.session, table.c.rule, first.c.fetched_at)
    )
    return frame(connection, statement)


def newest_flag(
    connection: sa.Connection,
    symbol: str,
    rules: Sequence[str],
    *,
    first: date,
    last: date,
    known_at: datetime,
) -> tuple[date, str] | None:
    """Session and rule of the newest flag by these rules on sessions `first` to `last`, as of an instant."""
    table = schema.findings
    fetch = schema.fetches
    flag = first_row(
        connection,
        sa.select(table.c.session, table.c.rule)
        .join(fetch)
        .where(table.c.symbol == symbol, table.c.severity == "flag", table.c.rule.in_(rules))
        .where(table.c.session.between(first, last), fetch.c.fetched_at <= known_at)
        .order_by(table.c.session.desc(), table.c.rule),
    )
    return None if flag is None else (flag["session"], flag["rule"])


def split_factors(
    connection: sa.Connection,
    symbol: str,
    forecasts: pd.DataFrame,
    *,
    until: pd.Series | datetime | None = None,
) -> pd.Series:
    """New shares per share of the day each forecast was issued, 1.0 without a split in between.

    A split counts when the bars of the forecast, fetched at data_as_of, could not show it yet, and
    those at `until`, one instant or one a row (None: now), do; not one of before first_received:
    its bars are on the new basis already.
    """
    table = schema.corporate_actions
    statement = (
        sa.select(*table.c["session", "first_seen_at", "value"])
        .where(table.c.kind == "split", table.c.symbol == symbol)
        .order_by(table.c.session, table.c.first_seen_at)
    )
    factor = np.ones(len(forecasts))
    for session, versions in frame(connection, statement).groupby("session"):
        ratios = np.concatenate([[1.0], versions["value"]])  # 1.0 before it was first seen
        seen_at = versions["first_seen_at"]
        before = ratios[seen_at.searchsorted(forecasts["data_as_of"], side="right")]
        after = ratios[-1 if until is None else seen_at.searchsorted(until, side="right")]
        factor = np.where(forecasts["first_received"] < session, factor * after / before, factor)
    return pd.Series(factor, index=forecasts.index)


def next_history(connection: sa.Connection, symbol: str, instants: pd.Series) -> pd.Series:
    """The next instant after each at which the user accepted another history; NaT where none."""
    accepted = accepted_at(connection, symbol)
    following = pd.Series([*accepted, None], dtype="datetime64[us, UTC]")
    return following.iloc[accepted.searchsorted(instants, side="right")].set_axis(instants.index)


def of_present_history(
    connection: sa.Connection, symbol: str, forecasts: pd.DataFrame, *, at: datetime | None
) -> pd.DataFrame:
    """Forecasts (data_as_of) without those before another history accepted by an instant (None: now)."""
    accepted = next_history(connection, symbol, forecasts["data_as_of"])
    is_present = accepted.isna() if at is None else ~(accepted <= at)
    present: pd.DataFrame = forecasts[is_present.to_numpy()]
    return present.reset_index(drop=True)


def accepted_at(connection: sa.Connection, symbol: str) -> pd.Series:
    """The instants at which the user accepted another history of the symbol's bars, ascending."""
    table = schema.findings
    instant = schema.fetches.c.fetched_at
    statement = (
        sa.select(instant)
        .distinct()
        .join(table)
        .where(table.c.symbol == symbol, table.c.rule == ACCEPTED)
        .order_by(instant)
    )
    return pd.Series([*connection.scalars(statement)], dtype="datetime64[us, UTC]")


def on_basis_at(
    connection: sa.Connection,
    symbol: str,
    target: str,
    forecasts: pd.DataFrame,
    columns: Sequence[str],
    *,
    at: datetime | None,
) -> pd.DataFrame:
    """Past forecasts with `columns`, in the target's unit, on the share basis of an instant (None: now).

    Rows from before another history that the user accepted are left out, and so are data_as_of and
    first_received.
    """
    present = of_present_history(connection, symbol, forecasts, at=at)
    factor = split_factors(connection, symbol, present, until=at)
    rebased = present.drop(columns=["data_as_of", "first_received"])
    for name in columns:
        rebased[name] = TARGETS[target].to_present(rebased[name], factor)
    return rebased
