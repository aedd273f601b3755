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
    """The symbol's newest fetch that stored bars, or of any outcome; now or as of an instant.

    Of one night's or any.
    """
    table = schema.fetches
    wanted = [table.c.symbol == symbol, *([_HAS_BARS] if with_bars else [])]
    wanted += [] if known_at is None else [table.c.fetched_at <= known_at]
    wanted += [] if run_id is None else [table.c.run_id == run_id]
    newest_first = (table.c.fetched_at.desc(), table.c.id.desc())
    return first_row(connection, sa.select(table).where(*wanted).order_by(*newest_first))


def fetch_as_of(
    connection: sa.Connection, symbol: str, session: date, *, first: date, cutoff: datetime
) -> Row:
    """The fetch whose bars a night at `session` uses.

    The newest with its bar up to `cutoff`, of a live forecast.

    Else the first with that bar that asked for sessions from `first` on; else the first. Fetches of
    nights come first.
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
        if (found := first_row(connection, statement)) is not None:
            return found
    raise StoreError(
        f"Expected a fetch of {symbol} that reaches the session {session}; found none. Run ingest "
        "first."
    )


def bars(
    connection: sa.Connection,
    symbol: str,
    *,
    first: date | None = None,
    last: date | None = None,
    known_at: datetime | None = None,
) -> pd.DataFrame:
    """One row per session, the newest version, now or as of an instant: index session.

    PRICES, version, settled.
    """
    table = schema.bar_versions
    columns = [table.c[name] for name in ("session", *PRICES, "version")]
    is_settled = (
        table.c.settled_at.is_not(None) if known_at is None else table.c.settled_at <= known_at
    )
    # Not the instants: to read them takes longer than all the rest.
    settled = sa.type_coerce(sa.case((is_settled, 1), else_=0), sa.Boolean).label("settled")
    known = (
        table.c.superseded_at.is_(None) if known_at is None else table.c.first_seen_at <= known_at
    )
    span = table.c.session.between(first or date.min, last or date.max)
    statement = sa.select(*columns, settled).where(table.c.symbol == symbol, span, known)
    found = frame(connection, statement.order_by(table.c.session, table.c.version))
    # The highest version comes last
    return found.drop_duplicates("session", keep="last").set_index("session")


def symbol_with(
    connection: sa.Connection, volumes: pd.Series, *, least: int, besides: str
) -> str | None:
    """A symbol other than `besides` that has `least` or more of the volumes, by session, in its bars; None without."""
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
        .limit(1)
    )
    found: str | None = connection.scalar(statement)
    return found


def first_prints(
    connection: sa.Connection,
    symbol: str,
    *,
    first: date,
    last: date,
    basis_at: datetime | None = None,
) -> pd.DataFrame:
    """The bars as first stored, on the share basis known at `basis_at` (None: now): index session.

    PRICES.
    """
    table = schema.bar_versions
    fetches = schema.fetches
    basis = (table.c.first_seen_at.label("data_as_of"), fetches.c.first_received)
    statement = (
        sa.select(table.c.session, *(table.c[name] for name in PRICES), *basis)
        .join(fetches)
        .where(table.c.symbol == symbol, table.c.session.between(first, last))
        .order_by(table.c.session, table.c.version)
    )
    found = frame(connection, statement).drop_duplicates("session", keep="first", ignore_index=True)
    rebased = rebase(
        found,
        split_factors(
            connection,
            symbol,
            found,
            until=basis_at,
        ),
    )
    return rebased.drop(columns=["data_as_of", "first_received"]).set_index("session")


def actions(connection: sa.Connection, symbol: str) -> pd.DataFrame:
    """Dividends and splits, the newest value of each: columns session, kind, value."""
    table = schema.corporate_actions
    statement = sa.select(table.c.session, table.c.kind, table.c.value).where(
        table.c.symbol == symbol
    )
    found = frame(
        connection, statement.order_by(table.c.session, table.c.kind, table.c.first_seen_at)
    )
    return found.drop_duplicates(["session", "kind"], keep="last", ignore_index=True)


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
    return validity_intervals(seen).sort_values(
        ["session", "kind", "known_from"], ignore_index=True
    )[_VALID]


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
    columns = (table.c[name] for name in STORED)
    statement = sa.select(table.c.symbol, *columns).where(of_earnings, table.c.symbol.in_(named))
    seen = frame(
        connection, statement.order_by(table.c.symbol, table.c.first_seen_at, table.c.session)
    )
    valid = {
        str(symbol): validity_intervals(of_symbol) for symbol, of_symbol in seen.groupby("symbol")
    }
    return {
        symbol: rows[rows["withdrawn_from"].isna()].to_dict("records")
        for symbol, rows in valid.items()
    }


def event_rows(
    connection: sa.Connection, symbol: str, *, known_at: datetime | None = None
) -> pd.DataFrame:
    """Rows of table events without the symbol, ascending by first_seen_at and session.

    With known_at, as of then.
    """
    table = schema.events
    statement = sa.select(*(table.c[name] for name in STORED)).where(table.c.symbol == symbol)
    if known_at is not None:
        statement = statement.where(table.c.first_seen_at <= known_at)
    return frame(connection, statement.order_by(table.c.first_seen_at, table.c.session))


def findings(connection: sa.Connection, fetch_id: str) -> pd.DataFrame:
    """The findings that were open once a fetch was written, those that it added, and `since` when each was shown."""
    table = schema.findings
    fetched = schema.fetches.alias("fetch")
    first = schema.fetches.alias("first")
    columns = [table.c[name] for name in ("session", "rule", "severity", "value", "detail")]
    not_cleared = table.c.cleared_at.is_(None) | (table.c.cleared_at > fetched.c.fetched_at)
    was_open = (first.c.fetched_at <= fetched.c.fetched_at) & not_cleared
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
    """Session and rule of the newest flag by these rules on the sessions `first` to `last`, as known at an instant."""
    table = schema.findings
    fetch = schema.fetches
    wanted = (table.c.symbol == symbol, table.c.severity == "flag", table.c.rule.in_(rules))
    statement = sa.select(table.c.session, table.c.rule).join(fetch)
    statement = statement.where(
        *wanted, table.c.session.between(first, last), fetch.c.fetched_at <= known_at
    )
    found = connection.execute(
        statement.order_by(table.c.session.desc(), table.c.rule).limit(1)
    ).first()
    return None if found is None else (found.session, found.rule)


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
    seen = sa.select(table.c.session, table.c.first_seen_at, table.c.value).where(
        table.c.kind == "split"
    )
    splits = frame(
        connection,
        seen.where(table.c.symbol == symbol).order_by(table.c.session, table.c.first_seen_at),
    )
    factor = np.ones(len(forecasts))
    for session, versions in splits.groupby("session"):
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
    """Forecasts (data_as_of) without those before another history that was accepted by an instant, None for now."""
    accepted = next_history(connection, symbol, forecasts["data_as_of"])
    present: pd.DataFrame = forecasts[
        (accepted.isna() if at is None else ~(accepted <= at)).to_numpy()
    ]
    return present.reset_index(drop=True)


def accepted_at(connection: sa.Connection, symbol: str) -> pd.Series:
    """The instants at which the user accepted another history of the symbol's bars, ascending."""
    table = schema.findings
    fetches = schema.fetches
    statement = sa.select(fetches.c.fetched_at).distinct().join(table)
    statement = statement.where(table.c.symbol == symbol, table.c.rule == ACCEPTED).order_by(
        fetches.c.fetched_at
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
    """Past forecasts with these columns, in the target's unit, on the share basis known at an instant (None: now).

    Rows from before another history that the user accepted are left out, and so are data_as_of and
    first_received.
    """
    forecasts = of_present_history(
        connection,
        symbol,
        forecasts,
        at=at,
    )
    factor = split_factors(
        connection,
        symbol,
        forecasts,
        until=at,
    )
    found = forecasts.drop(columns=["data_as_of", "first_received"])
    for name in columns:
        found[name] = TARGETS[target].to_present(found[name], factor)
    return found
