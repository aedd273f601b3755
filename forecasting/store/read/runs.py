"""Runs, one a night, and the newest night of every symbol and target, which the index of the pages lists.

The index has statements for all symbols at once. Each names symbols and a span of sessions, the beginning of a key.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from typing import Any, get_args

import pandas as pd
import sqlalchemy as sa

from forecasting.store import schema
from forecasting.store.frames import Row, first_row, frame, kind_rank, newest, of_series, rows, view_frame
from forecasting.store.read.inputs import PRICES, events_of_symbols
from forecasting.vocabulary import CHAMPION, KINDS, Target


def run(connection: sa.Connection, run_id: str) -> Row | None:
    """The row of table runs; None when there is none."""
    return first_row(connection, sa.select(schema.runs).where(schema.runs.c.id == run_id))


def market_of_run(connection: sa.Connection, run_id: str | None) -> str:
    """The symbol of the market series that a run used; empty without one, or without such a run."""
    run, fetch = schema.runs, schema.fetches
    found = sa.select(fetch.c.symbol).join(run, run.c.market_fetch == fetch.c.id).where(run.c.id == run_id)
    return connection.scalar(found) or ""


def newest_finished(connection: sa.Connection, symbol: str, target: str) -> date | None:
    """The newest session whose night is done; None before the first."""
    done: date | None = newest(connection, "runs", "as_of", {"symbol": symbol, "target": target, "status": "done"})
    return done


def done_before(connection: sa.Connection, run: Row) -> Row | None:
    """The newest night before that of a row that is done, a row of table runs; None before the first."""
    table = schema.runs
    earlier = sa.tuple_(table.c.as_of, table.c.started_at) < sa.tuple_(
        sa.literal(run["as_of"], table.c.as_of.type), sa.literal(run["started_at"], table.c.started_at.type)
    )
    done = _newest_first(run["symbol"], run["target"]).where(table.c.status == "done", earlier)
    return first_row(connection, done.limit(1))


def _newest_first(symbol: str, target: str) -> sa.Select[Any]:
    table = schema.runs
    of_symbol = sa.select(table).where(*of_series(table, symbol, target))
    return of_symbol.order_by(table.c.as_of.desc(), table.c.started_at.desc())


def running(connection: sa.Connection) -> list[str]:
    """The ids of runs with status running, of any symbol and target, oldest session first."""
    return list(connection.scalars(sa.select(schema.runs.c.id).where(schema.RUNNING).order_by(schema.runs.c.as_of)))


def finished_runs(connection: sa.Connection, symbol: str, target: str, *, settings_hash: str) -> list[Row]:
    """The finished nights under some settings, oldest session first, rows of table runs.

    Each with `issued_at` and `fetch_id` of its forecasts, and `fetched_at`, the instant of the newest fetch that it
    made itself; None for a night of a span, whose newest night makes the fetch of all.
    """
    table, made, fetches = schema.runs, schema.forecasts, schema.fetches
    columns = (sa.func.min(made.c[name]).label(name) for name in ("issued_at", "fetch_id"))
    of_symbol = sa.select(made.c.run_id, *columns).where(*of_series(made, symbol, target))
    issued = of_symbol.group_by(made.c.run_id).subquery()
    of_fetches = sa.select(fetches.c.run_id, sa.func.max(fetches.c.fetched_at).label("fetched_at"))
    fetched = of_fetches.where(fetches.c.symbol == symbol).group_by(fetches.c.run_id).subquery()
    done = (
        sa.select(table, issued.c.issued_at, issued.c.fetch_id, fetched.c.fetched_at)
        .join(issued, issued.c.run_id == table.c.id)
        .outerjoin(fetched, fetched.c.run_id == table.c.id)
        .where(*of_series(table, symbol, target), table.c.settings_hash == settings_hash, table.c.status == "done")
    )
    return rows(connection, done.order_by(table.c.as_of, table.c.started_at))


def unfinished_run(connection: sa.Connection, symbol: str, target: str, *, after: date) -> Row | None:
    """The run of the newest session after `after` if it is late or failed, a row of table runs; else None."""
    found = first_row(connection, _newest_first(symbol, target).where(schema.runs.c.as_of > after).limit(1))
    return found if found is not None and found["status"] in ("late", "failed") else None


def durations(connection: sa.Connection, symbols: Sequence[str], target: str) -> pd.DataFrame:
    """The rows of view night_durations for a target and any of the symbols, a row a symbol and step."""
    names = {f"symbol_{place}": symbol for place, symbol in enumerate(symbols)}
    of_symbols = f"symbol IN ({', '.join(f':{name}' for name in names) or 'NULL'}) AND target = :target"
    return view_frame(connection, "night_durations", of_symbols, target=target, **names)


def newest_nights(connection: sa.Connection) -> list[Row]:
    """The published forecast one session ahead of the newest origin, of every symbol and target in this order.

    Rows of table forecasts with the title and currency of the fetch.
    """
    table, fetch = schema.forecasts, schema.fetches
    key = [column.name for column in table.primary_key]
    latest = sa.table("latest_forecasts", *(sa.column(name) for name in key))
    statement = (
        sa.select(table, fetch.c.title, fetch.c.currency)
        .join(latest, sa.and_(*(latest.c[name] == table.c[name] for name in key)))
        .join(fetch, fetch.c.id == table.c.fetch_id)
        .where(latest.c.horizon == 1, latest.c.target.in_(get_args(Target)))
    )
    return rows(connection, statement.order_by(table.c.symbol, table.c.target))


def bars_of_symbols(connection: sa.Connection, symbols: Collection[str], *, first: date, last: date) -> pd.DataFrame:
    """Every version of the bars of several symbols, ascending by symbol and session.

    Columns symbol, session, open, high, low, close, volume, first_seen_at and superseded_at: nights of the same bars
    may be of different fetches.
    """
    table = schema.bar_versions
    columns = [table.c[name] for name in ("symbol", "session", *PRICES, "first_seen_at", "superseded_at")]
    wanted = sa.select(*columns).where(table.c.symbol.in_(symbols), table.c.session.between(first, last))
    return frame(connection, wanted).sort_values(["symbol", "session"], ignore_index=True)


def last_results(connection: sa.Connection, symbols: Collection[str], *, first: date) -> dict[tuple[str, str], Row]:
    """The newest scored forecast one session ahead, of origins from `first` on, by symbol and target.

    Rows of table scores and the median `q50`; live before late before replay, the settled score before the first print.
    """
    table, forecasts = schema.scores, schema.forecasts
    best = (kind_rank(table.c.kind), table.c.issued_at.desc(), table.c.stage.desc(), table.c.bar_version.desc())
    statement = (
        sa.select(table, forecasts.c.q50)
        .join(forecasts, sa.and_(*(column == table.c[column.name] for column in forecasts.primary_key)))
        .where(table.c.symbol.in_(symbols), table.c.target.in_(get_args(Target)), table.c.kind.in_(KINDS))
        .where(table.c.horizon == 1, table.c.role == CHAMPION, table.c.origin_session >= first)
        .order_by(table.c.origin_session.desc(), *best)
    )
    return _first_of_each(rows(connection, statement))


def newest_runs(connection: sa.Connection, symbols: Collection[str], *, first: date) -> dict[tuple[str, str], Row]:
    """The run of the newest session from `first` on, by symbol and target: as_of, status, note, error."""
    table = schema.runs
    names = ("symbol", "target", "as_of", "status", "note", "error")
    wanted = sa.select(*(table.c[name] for name in names)).where(table.c.as_of >= first, table.c.symbol.in_(symbols))
    return _first_of_each(rows(connection, wanted.order_by(table.c.as_of.desc(), table.c.started_at.desc())))


def newest_skills(connection: sa.Connection) -> dict[tuple[str, str], float | None]:
    """Skill one session ahead over the newest 20 nights, by symbol and target: that of live nights where there are."""
    skill = sa.table("live_skill", *map(sa.column, ("symbol", "target", "kind", "horizon", "window_sessions", "skill")))
    wanted = sa.select(skill).where(skill.c.horizon == 1, skill.c.window_sessions == 20)
    found = _first_of_each(rows(connection, wanted.order_by(kind_rank(skill.c.kind))))
    return {key: row["skill"] for key, row in found.items()}


def _first_of_each(found: Sequence[Row]) -> dict[tuple[str, str], Row]:
    return {(row["symbol"], row["target"]): row for row in reversed(found)}


def events_on(connection: sa.Connection, sessions: Collection[date]) -> dict[tuple[str, date], list[str]]:
    """The kinds of the valid events on some sessions, by symbol and session."""
    table = schema.events
    named = sa.select(table.c.symbol).where(table.c.session.in_(sorted(sessions))).distinct()
    found: dict[tuple[str, date], list[str]] = {}
    for symbol, valid in events_of_symbols(connection, connection.scalars(named).all()).items():
        for row in valid[valid["withdrawn_from"].isna()].to_dict("records"):
            if (session := row["session"].date()) in sessions:
                found.setdefault((symbol, session), []).append(str(row["kind"]))
    return found
