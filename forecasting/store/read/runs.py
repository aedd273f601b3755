"""Runs, one a night, the models that they fitted, and the newest night of every symbol and target."""

from collections.abc import Collection
from datetime import date
from typing import Any, get_args

import pandas as pd
import sqlalchemy as sa

from forecasting.evaluate.significance import PAIRS_A_SESSION
from forecasting.store import schema
from forecasting.store.frames import (
    Row,
    first_row,
    frame,
    kind_rank,
    newest,
    of_series,
    row,
    rows,
    same_forecast,
)
from forecasting.store.read.forecasts import oldest_of_newest
from forecasting.store.read.inputs import PRICES
from forecasting.vocabulary import CHAMPION, KINDS, Target


def market_of_run(connection: sa.Connection, run_id: str | None) -> str:
    """The symbol of the market series that a run used; empty without one, or without such a run."""
    night = schema.runs
    fetched = schema.fetches
    used = (
        sa.select(fetched.c.symbol)
        .join(night, night.c.market_fetch == fetched.c.id)
        .where(night.c.id == run_id)
    )
    return connection.scalar(used) or ""


def newest_finished(connection: sa.Connection, symbol: str, target: str) -> date | None:
    """The newest session whose night is done; None before the first."""
    return newest(
        connection,
        "runs",
        "as_of",
        {"symbol": symbol, "target": target, "status": "done"},
    )


def done_before(connection: sa.Connection, night: Row) -> Row | None:
    """The newest night before that of a row that is done, a row of table runs.

    None before the first.
    """
    table = schema.runs
    done = (*of_series(table, night["symbol"], night["target"]), table.c.status == "done")
    same_day = (table.c.as_of == night["as_of"]) & (table.c.started_at < night["started_at"])
    earlier = sa.select(table).where(*done, (table.c.as_of < night["as_of"]) | same_day)
    return first_row(
        connection, earlier.order_by(table.c.as_of.desc(), table.c.started_at.desc()).limit(1)
    )


def unfinished_run(
    connection: sa.Connection, symbol: str, target: str, *, after: date
) -> Row | None:
    """The run of the newest session after `after` if it is late or failed, a row of table runs.

    Else None.
    """
    found = newest_run(connection, symbol, target)
    return (
        found
        if found and found["as_of"] > after and found["status"] in ("late", "failed")
        else None
    )


def running(connection: sa.Connection) -> dict[str, date]:
    """The sessions of runs with status running, of any symbol and target, oldest first, by id."""
    query = (
        sa.select(schema.runs.c.id, schema.runs.c.as_of)
        .where(schema.RUNNING)
        .order_by(schema.runs.c.as_of)
    )
    return {run.id: run.as_of for run in connection.execute(query)}


def issued_by_run(connection: sa.Connection, symbol: str, target: str) -> list[Row]:
    """The run_id and origin_session of all forecasts, each pair once, with the first issued_at and a fetch_id."""
    made = schema.forecasts
    night = (made.c.run_id, made.c.origin_session)
    columns = (sa.func.min(made.c[name]).label(name) for name in ("issued_at", "fetch_id"))
    of_symbol = sa.select(*night, *columns).where(*of_series(made, symbol, target))
    return rows(connection, of_symbol.group_by(*night).order_by(made.c.origin_session))


def models_beginning(connection: sa.Connection, beginning: str, *, limit: int) -> list[Row]:
    """The first `limit` models by id whose ids begin so, rows of table models."""
    table = schema.models
    named = sa.select(table).where(table.c.id.startswith(beginning, autoescape=True))
    return rows(connection, named.order_by(table.c.id).limit(limit))


def network_ids(connection: sa.Connection, symbol: str, target: str, *, pruned: bool) -> list[str]:
    """The ids of the symbol's networks, newest first.

    Those whose weights were pruned, or the others.
    """
    table = schema.models
    emptied = table.c.artifact_path.is_(None) & table.c.artifact_hash.is_not(None)
    wanted = emptied if pruned else table.c.artifact_path.is_not(None)
    of_symbol = sa.select(table.c.id).where(*of_series(table, symbol, target), wanted)
    return list(connection.scalars(of_symbol.order_by(table.c.created_at.desc(), table.c.id)))


def models_of_newest(
    connection: sa.Connection, symbol: str, target: str, *, origins: int
) -> set[str]:
    """Ids of the models with a forecast at the newest `origins` origin sessions."""
    forecasts = schema.forecasts
    of_symbol = of_series(forecasts, symbol, target)
    newer = forecasts.c.origin_session >= oldest_of_newest(of_symbol, origins=origins)
    return set(connection.scalars(sa.select(forecasts.c.model_id).where(*of_symbol, newer)))


def newest_scratch(
    connection: sa.Connection, symbol: str, target: str, *, session: date
) -> date | None:
    """The last training session, up to `session`, of the newest network fitted from scratch that the gate passed."""
    table = schema.models
    passed = (table.c.method == "scratch", table.c.refused == "", table.c.trained_to <= session)
    trained_to = sa.select(sa.func.max(table.c.trained_to)).where(
        *of_series(table, symbol, target), *passed
    )
    return connection.scalar(trained_to)


_FETCH_COLUMNS = (
    "source",
    "fetched_at",
    "row_count",
    "first_received",
    "last_received",
    "payload_hash",
)


def lineage(connection: sa.Connection, model_id: str, *, last: date | None = None) -> Row:
    """A model's ancestors, the run that fitted it, the fetch of its training bars, its forecasts up to an origin."""
    found = row(connection, "models", {"id": model_id}) or {}
    trained_on = row(connection, "fetches", {"id": found.get("fetch_id") or ""})
    fitted_by = row(connection, "runs", {"id": found.get("run_id") or ""}) or {}
    symbol = found.get("symbol")
    target = found.get("target")
    made = schema.forecasts
    table = schema.models
    origins = (sa.func.min(made.c.origin_session), sa.func.max(made.c.origin_session))
    counted = sa.select(sa.func.count(), *origins).where(
        *of_series(made, symbol, target), made.c.model_id == model_id
    )
    counted = counted.where(made.c.origin_session <= (last or date.max))
    count, first_origin, last_origin = connection.execute(counted).one()
    of_symbol = sa.select(table.c.id, table.c.parent_id).where(*of_series(table, symbol, target))
    parent_of = {fitted.id: fitted.parent_id for fitted in connection.execute(of_symbol)}
    parents: list[str] = []
    parent = found.get("parent_id")
    while parent is not None and parent not in parents:
        parents.append(parent)
        parent = parent_of.get(parent)
    return {
        "parents": parents,
        "settings": fitted_by.get("settings"),
        "fitted_on_the_night_of": fitted_by.get("as_of"),
        "why_so": fitted_by.get("mode_reason"),
        **{f"bars_{name}": trained_on[name] if trained_on else None for name in _FETCH_COLUMNS},
        "forecasts": count,
        "first_origin": first_origin,
        "last_origin": last_origin,
    }


def champion(
    connection: sa.Connection, symbol: str, target: str, *, session: date | None = None
) -> Row | None:
    """The winner of the newest promotion, or of those up to a past night's session.

    None before the first.
    """
    up_to = schema.promotions.c.session <= (session or date.max)
    newest_winner = _winners(symbol, target).where(up_to).limit(1).scalar_subquery()
    return first_row(
        connection, sa.select(schema.models).where(schema.models.c.id == newest_winner)
    )


def champion_before(connection: sa.Connection, symbol: str, target: str) -> Row | None:
    """The champion before the present one; None without another."""
    winners = connection.scalars(_winners(symbol, target)).all()
    before = next((winner for winner in winners if winner != winners[0]), None)
    return row(connection, "models", {"id": before or ""})


def _winners(symbol: str, target: str) -> sa.Select[Any]:
    table = schema.promotions
    # The session before the decision: replaying a span today does not change tomorrow's champion.
    newest_first = (table.c.session.desc(), table.c.decided_at.desc(), table.c.id.desc())
    return (
        sa.select(table.c.winner).where(*of_series(table, symbol, target)).order_by(*newest_first)
    )


def newest_nights(connection: sa.Connection) -> list[Row]:
    """The published forecast one session ahead of each symbol and target, with title and currency of the fetch."""
    table = schema.forecasts
    fetched = schema.fetches
    latest = sa.table("latest_forecasts", *map(sa.column, schema.FORECAST_KEY))
    statement = (
        sa.select(table, fetched.c.title, fetched.c.currency)
        .join(latest, same_forecast(latest, table))
        .join(fetched)
        .where(latest.c.horizon == 1, latest.c.target.in_(get_args(Target)))
    )
    return rows(connection, statement.order_by(table.c.symbol, table.c.target))


def newest_night(connection: sa.Connection, symbol: str, target: str, *, last: date) -> Row | None:
    """As `newest_nights` of one symbol and target, but of origins up to `last`.

    None without a forecast.
    """
    table = schema.forecasts
    fetched = schema.fetches
    statement = (
        sa.select(table, fetched.c.title, fetched.c.currency)
        .join(fetched)
        .where(*of_series(table, symbol, target), table.c.origin_session <= last)
        .where(table.c.horizon == 1, table.c.role == CHAMPION)
        .order_by(
            table.c.origin_session.desc(),
            kind_rank(table.c.kind),
            table.c.issued_at.desc(),
            table.c.model_id,
        )
    )
    return first_row(connection, statement.limit(1))


def newest_run(
    connection: sa.Connection, symbol: str, target: str, *, last: date = date.max
) -> Row | None:
    """The run of the newest session up to `last`, a row of table runs.

    Of a session a done one comes first.

    A failed one is history, and left out, once bars that were fetched later have led to another
    night; so is one of a day that was no session.
    """
    table = schema.runs
    of_nights = sa.select(table).where(*of_series(table, symbol, target), table.c.as_of <= last)
    return first_row(connection, of_nights.where(~_is_history()).order_by(*_NEWEST_FIRST).limit(1))


_NEWEST_FIRST = (schema.runs.c.as_of.desc(), schema.runs.c.status, schema.runs.c.started_at.desc())


def _is_history() -> sa.ColumnElement[bool]:
    """The condition that a run is closed, or failed before another night's bars were fetched.

    By the fetch, not by the later start: a run whose source does not respond goes on with stored
    bars, and its failure still counts. The other night is running while it writes its own page.
    """
    failed = schema.runs
    fetched = schema.fetches
    later = failed.alias("later")
    night_after = (
        sa.select(later.c.id)
        .join(fetched, fetched.c.run_id == later.c.id)
        .where(
            later.c.target == failed.c.target,
            later.c.status.in_(("running", "done")),
            fetched.c.symbol == failed.c.symbol,
            fetched.c.fetched_at > failed.c.started_at,
        )
    )
    is_made_up_for = (failed.c.status == "failed") & night_after.correlate(failed).exists()
    return (failed.c.status == "closed") | is_made_up_for


def bars_of_symbols(
    connection: sa.Connection, symbols: Collection[str], *, first: date, last: date
) -> pd.DataFrame:
    """Every version of the bars of several symbols, whose nights may be of other fetches, ascending by session."""
    table = schema.bar_versions
    columns = [
        table.c[name] for name in ("symbol", "session", *PRICES, "first_seen_at", "superseded_at")
    ]
    wanted = sa.select(*columns).where(
        table.c.symbol.in_(symbols), table.c.session.between(first, last)
    )
    return frame(connection, wanted).sort_values(["symbol", "session"], ignore_index=True)


def last_results(
    connection: sa.Connection,
    symbols: Collection[str],
    *,
    first: date,
    last: date = date.max,
) -> dict[tuple[str, str], Row]:
    """The newest score one session ahead with its `q50`, by symbol and target, of a replay where all are; settled.

    Of origins from `first` on and sessions up to `last`.
    """
    table = schema.scores
    forecasts = schema.forecasts
    best = (
        kind_rank(table.c.kind),
        table.c.issued_at.desc(),
        table.c.stage.desc(),
        table.c.bar_version.desc(),
    )
    statement = (
        sa.select(table, forecasts.c.q50)
        .join(forecasts)
        .where(
            table.c.symbol.in_(symbols),
            table.c.target.in_(get_args(Target)),
            table.c.kind.in_(KINDS),
        )
        .where(table.c.horizon == 1, table.c.role == CHAMPION, table.c.origin_session >= first)
        .where(table.c.target_session <= last)
        .order_by(table.c.kind == "replay", table.c.origin_session.desc(), *best)
    )
    return _first_of_each(connection, statement)


def newest_runs(
    connection: sa.Connection, symbols: Collection[str], *, first: date
) -> dict[tuple[str, str], Row]:
    """The run of the newest session from `first` on, by symbol and target.

    As_of, status, note, error.
    """
    table = schema.runs
    columns = (table.c[name] for name in ("symbol", "target", "as_of", "status", "note", "error"))
    wanted = sa.select(*columns).where(
        table.c.as_of >= first, table.c.symbol.in_(symbols), ~_is_history()
    )
    return _first_of_each(connection, wanted.order_by(*_NEWEST_FIRST))


def newest_skills(connection: sa.Connection) -> dict[tuple[str, str], float | None]:
    """Skill one session ahead over the newest 20 nights, by symbol and target.

    That of live nights where there are.

    None below PAIRS_A_SESSION nights, of which it says nothing.
    """
    columns = ("symbol", "target", "kind", "horizon", "window_sessions", "n", "skill")
    skill = sa.table("live_skill", *map(sa.column, columns))
    wanted = sa.select(skill).where(skill.c.horizon == 1, skill.c.window_sessions == 20)
    found = _first_of_each(connection, wanted.order_by(kind_rank(skill.c.kind)))
    return {
        key: line["skill"] if line["n"] >= PAIRS_A_SESSION else None for key, line in found.items()
    }


def _first_of_each(
    connection: sa.Connection, statement: sa.Select[Any]
) -> dict[tuple[str, str], Row]:
    return {
        (line["symbol"], line["target"]): line for line in reversed(rows(connection, statement))
    }
