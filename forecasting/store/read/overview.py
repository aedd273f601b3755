"""The newest night of every symbol and target: what the index of the pages lists.

Statements for all symbols at once, since an index of hundreds is written each night. Each names symbols and a span of
sessions, the beginning of a key; a window function over a whole table would read years of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import date
from typing import get_args

import pandas as pd
import sqlalchemy as sa

from forecasting.store import tables
from forecasting.store.frames import Row, frame, kind_rank
from forecasting.store.read.events import events_of_symbols
from forecasting.vocabulary import CHAMPION, KINDS, Target

_PARAMETERS = 500
"""Symbols named in one statement."""


def newest_nights(connection: sa.Connection) -> list[Row]:
    """The published forecast one session ahead of the newest origin, of every symbol and target in this order.

    Rows of table forecasts with the title and currency of the fetch.
    """
    table, fetch = tables.forecasts, tables.fetches
    best = (kind_rank(table.c.kind), table.c.issued_at.desc(), table.c.model_id)
    wanted = (
        sa.select(table, fetch.c.title, fetch.c.currency)
        .join(fetch, fetch.c.id == table.c.fetch_id)
        .where(table.c.target.in_(get_args(Target)), table.c.horizon == 1, table.c.role == CHAMPION)
        .order_by(table.c.symbol, table.c.target, *best)
    )
    found: dict[tuple[str, str], Row] = {}
    for origin, lines in _lines_by_origin(connection).items():
        for some in _in_parts({symbol for symbol, _ in lines}):
            of_origin = wanted.where(table.c.symbol.in_(some), table.c.origin_session == origin)
            for row in connection.execute(of_origin).mappings():
                if (key := (row["symbol"], row["target"])) in lines:
                    found.setdefault(key, dict(row))
    return [found[key] for key in sorted(found)]


def _lines_by_origin(connection: sa.Connection) -> dict[date, set[tuple[str, str]]]:
    """Every symbol and target with a published forecast, by its newest origin."""
    runs, table = tables.runs, tables.forecasts
    lines = sa.select(runs.c.symbol, runs.c.target).distinct().subquery()
    newest = (
        sa.select(table.c.origin_session)
        .where(table.c.symbol == lines.c.symbol, table.c.target == lines.c.target, table.c.role == CHAMPION)
        .order_by(table.c.origin_session.desc())
        .limit(1)
        .scalar_subquery()
    )
    found: dict[date, set[tuple[str, str]]] = {}
    for symbol, target, origin in connection.execute(sa.select(lines.c.symbol, lines.c.target, newest)):
        if origin is not None:
            found.setdefault(origin, set()).add((symbol, target))
    return found


def bars_of_symbols(connection: sa.Connection, symbols: Collection[str], *, first: date, last: date) -> pd.DataFrame:
    """Every version of the bars of several symbols, ascending by symbol and session.

    Columns symbol, session, open, high, low, close, volume, first_seen_at and superseded_at: nights of the same bars
    may be of different fetches.
    """
    table = tables.bar_versions
    names = ("symbol", "session", "open", "high", "low", "close", "volume", "first_seen_at", "superseded_at")
    wanted = sa.select(*(table.c[name] for name in names)).where(table.c.session.between(first, last))
    frames = [frame(connection, wanted.where(table.c.symbol.in_(some))) for some in _in_parts(symbols)]
    return pd.concat(frames).sort_values(["symbol", "session"], ignore_index=True)


def last_results(connection: sa.Connection, symbols: Collection[str], *, first: date) -> dict[tuple[str, str], Row]:
    """The newest scored forecast one session ahead, of origins from `first` on, by symbol and target.

    Rows of table scores and the median `q50`; live before late before replay, the settled score before the first print.
    """
    table, forecasts = tables.scores, tables.forecasts
    key = [forecasts.c[column.name] == table.c[column.name] for column in forecasts.primary_key]
    best = (kind_rank(table.c.kind), table.c.issued_at.desc(), table.c.stage.desc(), table.c.bar_version.desc())
    wanted = (
        sa.select(table, forecasts.c.q50)
        .join(forecasts, sa.and_(*key))
        .where(table.c.kind.in_(KINDS), table.c.horizon == 1, table.c.role == CHAMPION)
        .where(table.c.origin_session >= first, table.c.target.in_(get_args(Target)))
        .order_by(table.c.symbol, table.c.target, table.c.origin_session.desc(), *best)
    )
    found: dict[tuple[str, str], Row] = {}
    for some in _in_parts(symbols):
        for row in connection.execute(wanted.where(table.c.symbol.in_(some))).mappings():
            found.setdefault((row["symbol"], row["target"]), dict(row))
    return found


def newest_runs(connection: sa.Connection, symbols: Collection[str], *, first: date) -> dict[tuple[str, str], Row]:
    """The run of the newest session from `first` on, by symbol and target: as_of, status, note, error."""
    table = tables.runs
    names = ("symbol", "target", "as_of", "status", "note", "error")
    wanted = sa.select(*(table.c[name] for name in names)).where(table.c.as_of >= first)
    found: dict[tuple[str, str], Row] = {}
    for some in _in_parts(symbols):
        newest = wanted.where(table.c.symbol.in_(some)).order_by(table.c.as_of.desc(), table.c.started_at.desc())
        for row in connection.execute(newest).mappings():
            found.setdefault((row["symbol"], row["target"]), dict(row))
    return found


def events_on(connection: sa.Connection, sessions: Collection[date]) -> dict[tuple[str, date], list[str]]:
    """The kinds of the valid events on some sessions, by symbol and session."""
    table = tables.events
    named = sa.select(table.c.symbol).where(table.c.session.in_(sorted(sessions))).distinct()
    found: dict[tuple[str, date], list[str]] = {}
    for some in _in_parts(connection.scalars(named).all()):
        for symbol, valid in events_of_symbols(connection, some).items():
            for row in valid[valid["withdrawn_from"].isna()].to_dict("records"):
                if (session := row["session"].date()) in sessions:
                    found.setdefault((symbol, session), []).append(str(row["kind"]))
    return found


def _in_parts(symbols: Collection[str]) -> Iterator[Sequence[str]]:
    names = sorted(set(symbols))
    return (names[start : start + _PARAMETERS] for start in range(0, len(names), _PARAMETERS))
