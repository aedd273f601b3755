"""Fitted models, their lineage, and the decisions which of them is champion."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from forecasting.store import schema
from forecasting.store.frames import Row, first_row, of_series, rows
from forecasting.store.read.forecasts import oldest_of_newest
from forecasting.store.read.inputs import fetch
from forecasting.vocabulary import OF_MANY

_FETCH_COLUMNS = ("source", "fetched_at", "row_count", "first_received", "last_received", "payload_hash")


def network_ids(connection: sa.Connection, symbol: str, target: str, *, pruned: bool) -> list[str]:
    """The ids of the symbol's networks, newest first: those whose weights were pruned, or the others."""
    table = schema.models
    emptied = table.c.artifact_path.is_(None) & table.c.artifact_hash.is_not(None)
    wanted = emptied if pruned else table.c.artifact_path.is_not(None)
    of_symbol = sa.select(table.c.id).where(*of_series(table, symbol, target), wanted)
    return list(connection.scalars(of_symbol.order_by(table.c.created_at.desc(), table.c.id)))


def pretrained(connection: sa.Connection, target: str, *, known_at: datetime | None = None) -> list[Row]:
    """The pretrained weights that `forecasting pretrain` made of many symbols by an instant (None: now), newest first.

    Rows of table models; with `known_at` without companion_fetches, a column of up to thousands of symbols that each
    symbol's night would read.
    """
    table = schema.models
    columns = [column for column in table.c if known_at is None or column.name != "companion_fetches"]
    made = sa.select(*columns).where(*of_series(table, OF_MANY, target), table.c.method == "base")
    made = made if known_at is None else made.where(table.c.created_at <= known_at)
    return rows(connection, made.order_by(table.c.created_at.desc(), table.c.id))


def model(connection: sa.Connection, model_id: str) -> Row | None:
    """The row of table models; None when there is none."""
    return first_row(connection, sa.select(schema.models).where(schema.models.c.id == model_id))


def models_beginning(connection: sa.Connection, beginning: str, *, limit: int) -> list[Row]:
    """The first `limit` models by id whose ids begin so, rows of table models."""
    table = schema.models
    named = sa.select(table).where(table.c.id.startswith(beginning, autoescape=True))
    return rows(connection, named.order_by(table.c.id).limit(limit))


def model_of_run(connection: sa.Connection, run_id: str) -> Row | None:
    """The network that a run fitted, a row of table models; None without one."""
    table, run = schema.models, schema.runs
    same = (table.c.symbol == run.c.symbol, table.c.target == run.c.target)  # the columns of an index of models
    return first_row(connection, sa.select(table).where(run.c.id == run_id, *same, table.c.run_id == run_id))


def models_of_newest(connection: sa.Connection, symbol: str, target: str, *, origins: int) -> set[str]:
    """Ids of the models with a forecast at the newest `origins` origin sessions."""
    forecasts = schema.forecasts
    of_symbol = of_series(forecasts, symbol, target)
    newer = forecasts.c.origin_session >= oldest_of_newest(of_symbol, origins=origins)
    return set(connection.scalars(sa.select(forecasts.c.model_id).where(*of_symbol, newer)))


def newest_scratch(connection: sa.Connection, symbol: str, target: str, *, session: date) -> date | None:
    """The last training session, up to `session`, of the newest network fitted from scratch; None before the first.

    One that the gate refused does not count.
    """
    table = schema.models
    passed = (table.c.method == "scratch", table.c.refused == "", table.c.trained_to <= session)
    trained_to = sa.select(sa.func.max(table.c.trained_to)).where(*of_series(table, symbol, target), *passed)
    found: date | None = connection.scalar(trained_to)
    return found


def lineage(connection: sa.Connection, model_id: str, *, last: date | None = None) -> Row:
    """A model's ancestors, the run that fitted it with its settings, the fetch of its training bars, its forecasts.

    These are counted up to the origin `last`; None for all.
    """
    found = model(connection, model_id) or {}
    trained_on = fetch(connection, found["fetch_id"]) if found.get("fetch_id") else None
    fitted_by = first_row(connection, sa.select(schema.runs).where(schema.runs.c.id == found.get("run_id"))) or {}
    forecasts = schema.forecasts
    made = [*of_series(forecasts, found.get("symbol"), found.get("target")), forecasts.c.model_id == model_id]
    if last is not None:
        made.append(forecasts.c.origin_session <= last)
    origins = (sa.func.min(forecasts.c.origin_session), sa.func.max(forecasts.c.origin_session))
    count, first_origin, last_origin = connection.execute(sa.select(sa.func.count(), *origins).where(*made)).one()
    return {
        "parents": _parents(connection, found.get("parent_id")),
        "settings": fitted_by.get("settings"),
        "fitted_on_the_night_of": fitted_by.get("as_of"),
        "why_so": fitted_by.get("mode_reason"),
        **{f"bars_{name}": trained_on[name] if trained_on else None for name in _FETCH_COLUMNS},
        "forecasts": count,
        "first_origin": first_origin,
        "last_origin": last_origin,
    }


def _parents(connection: sa.Connection, parent_id: str | None) -> list[str]:
    table = schema.models
    found = sa.select(table.c.id, table.c.parent_id).where(table.c.id == parent_id).cte(recursive=True)
    found = found.union(sa.select(table.c.id, table.c.parent_id).where(table.c.id == found.c.parent_id))
    parents = {row.id: row.parent_id for row in connection.execute(sa.select(found))} if parent_id else {}
    chain: list[str] = []
    while parent_id is not None and parent_id not in chain:
        chain.append(parent_id)
        parent_id = parents.get(parent_id)
    return chain


def champion(connection: sa.Connection, symbol: str, target: str, *, session: date | None = None) -> Row | None:
    """The winner of the newest promotion, a row of table models; None before the first promotion.

    With `session`, of those up to it, so that a night run later gets the champion of its own day. The newest session
    counts before the newest decision: replaying a span today does not change tomorrow's champion.
    """
    winners = _winners(symbol, target)
    if session is not None:
        winners = winners.where(schema.promotions.c.session <= session)
    newest_winner = winners.limit(1).scalar_subquery()
    return first_row(connection, sa.select(schema.models).where(schema.models.c.id == newest_winner))


def champion_before(connection: sa.Connection, symbol: str, target: str) -> Row | None:
    """The champion before the present one; None without another."""
    winners = connection.scalars(_winners(symbol, target)).all()
    before = next((winner for winner in winners if winner != winners[0]), None)
    return model(connection, before) if before is not None else None


def _winners(symbol: str, target: str) -> sa.Select[Any]:
    table = schema.promotions
    newest_first = (table.c.session.desc(), table.c.decided_at.desc(), table.c.id.desc())
    return sa.select(table.c.winner).where(*of_series(table, symbol, target)).order_by(*newest_first)
