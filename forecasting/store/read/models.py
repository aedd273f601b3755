"""Fitted models and their lineage."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from forecasting.store import tables
from forecasting.store.frames import Row, first_row
from forecasting.store.read.fetches import fetch
from forecasting.store.read.forecasts import oldest_of_newest
from forecasting.vocabulary import OF_MANY

_FETCH_COLUMNS = ("source", "fetched_at", "row_count", "first_received", "last_received", "payload_hash")


def models(connection: sa.Connection, symbol: str, target: str) -> list[Row]:
    """Every model of the symbol and target, newest first, as rows of table models."""
    table = tables.models
    statement = (
        sa.select(table)
        .where(table.c.symbol == symbol, table.c.target == target)
        .order_by(table.c.created_at.desc(), table.c.id)
    )
    return [dict(row) for row in connection.execute(statement).mappings()]


def with_weights(connection: sa.Connection, symbol: str, target: str) -> list[str]:
    """The ids of the symbol's networks whose weights were not pruned, newest first."""
    table = tables.models
    return _ids(connection, symbol, target, table.c.artifact_path.is_not(None))


def pruned(connection: sa.Connection, symbol: str, target: str) -> list[str]:
    """The ids of the symbol's networks whose weights were pruned, newest first."""
    table = tables.models
    return _ids(connection, symbol, target, table.c.artifact_path.is_(None) & table.c.artifact_hash.is_not(None))


def _ids(connection: sa.Connection, symbol: str, target: str, wanted: sa.ColumnElement[bool]) -> list[str]:
    """Without the other columns, a document among them: each night asks, and a year has 250 models."""
    table = tables.models
    of_symbol = (table.c.symbol == symbol, table.c.target == target)
    statement = sa.select(table.c.id).where(*of_symbol, wanted).order_by(table.c.created_at.desc(), table.c.id)
    return list(connection.scalars(statement))


def pretrained(connection: sa.Connection, target: str) -> list[Row]:
    """The pretrained weights that `forecasting pretrain` made of many symbols, newest first: rows of table models."""
    return [dict(row) for row in connection.execute(_pretrained(target, *tables.models.c)).mappings()]


def pretrained_by(connection: sa.Connection, target: str, *, known_at: datetime) -> list[Row]:
    """What is needed to load those made by an aware instant: id, method, base, trained_to, artifact_path and _hash.

    Not the fetches, a column of up to thousands of symbols that each symbol's night would read.
    """
    table = tables.models
    needed = (
        table.c.id,
        table.c.method,
        table.c.base,
        table.c.trained_to,
        table.c.artifact_path,
        table.c.artifact_hash,
    )
    statement = _pretrained(target, *needed).where(table.c.created_at <= known_at)
    return [dict(row) for row in connection.execute(statement).mappings()]


def _pretrained(target: str, *columns: sa.Column[Any]) -> sa.Select[Any]:
    table = tables.models
    wanted = (table.c.symbol == OF_MANY, table.c.target == target, table.c.method == "base")
    return sa.select(*columns).where(*wanted).order_by(table.c.created_at.desc(), table.c.id)


def models_among(connection: sa.Connection, model_ids: Sequence[str]) -> list[str]:
    """Those of the ids that are of models."""
    return list(connection.scalars(sa.select(tables.models.c.id).where(tables.models.c.id.in_(model_ids))))


def model(connection: sa.Connection, model_id: str) -> Row | None:
    """The row of table models; None when there is none."""
    return first_row(connection, sa.select(tables.models).where(tables.models.c.id == model_id))


def models_beginning(connection: sa.Connection, beginning: str, *, limit: int) -> list[Row]:
    """The first `limit` models by id whose ids begin so, rows of table models."""
    table = tables.models
    wanted = sa.select(table).where(table.c.id.startswith(beginning, autoescape=True)).order_by(table.c.id).limit(limit)
    return [dict(row) for row in connection.execute(wanted).mappings()]


def model_of_run(connection: sa.Connection, run_id: str) -> Row | None:
    """The network that a run fitted, a row of table models; None without one."""
    table, run = tables.models, tables.runs
    same = (table.c.symbol == run.c.symbol, table.c.target == run.c.target)  # the columns of an index of models
    return first_row(connection, sa.select(table).where(run.c.id == run_id, *same, table.c.run_id == run_id))


def models_of_newest(connection: sa.Connection, symbol: str, target: str, *, origins: int) -> set[str]:
    """Ids of the models with a forecast at the newest `origins` origin sessions."""
    forecasts = tables.forecasts
    wanted = (forecasts.c.symbol == symbol, forecasts.c.target == target)
    oldest = oldest_of_newest(wanted, origins=origins)
    return set(connection.scalars(sa.select(forecasts.c.model_id).where(*wanted, forecasts.c.origin_session >= oldest)))


def newest_scratch(connection: sa.Connection, symbol: str, target: str, *, session: date) -> date | None:
    """The last training session, up to `session`, of the newest network fitted from scratch; None before the first.

    One that the gate refused does not count.
    """
    table = tables.models
    wanted = (table.c.symbol == symbol, table.c.target == target, table.c.method == "scratch", table.c.refused == "")
    until = table.c.trained_to <= session
    found: date | None = connection.scalar(sa.select(sa.func.max(table.c.trained_to)).where(*wanted, until))
    return found


def lineage(connection: sa.Connection, model_id: str, *, last: date | None = None) -> Row:
    """A model's ancestors, the run that fitted it with its settings, the fetch of its training bars, its forecasts.

    These are counted up to the origin `last`; None for all.
    """
    found = model(connection, model_id) or {}
    trained_on = fetch(connection, found["fetch_id"]) if found.get("fetch_id") else None
    fitted_by = first_row(connection, sa.select(tables.runs).where(tables.runs.c.id == found.get("run_id"))) or {}
    forecasts = tables.forecasts
    same = [forecasts.c.symbol == found.get("symbol"), forecasts.c.target == found.get("target")]
    if last is not None:
        same.append(forecasts.c.origin_session <= last)
    origins = (sa.func.min(forecasts.c.origin_session), sa.func.max(forecasts.c.origin_session))
    by_model = sa.select(sa.func.count(), *origins).where(*same, forecasts.c.model_id == model_id)
    counted = connection.execute(by_model).one()
    return {
        "parents": _parents(connection, found.get("parent_id")),
        "settings": fitted_by.get("settings"),
        "fitted_on_the_night_of": fitted_by.get("as_of"),
        "why_so": fitted_by.get("mode_reason"),
        **{f"bars_{name}": trained_on[name] if trained_on else None for name in _FETCH_COLUMNS},
        "forecasts": counted[0],
        "first_origin": counted[1],
        "last_origin": counted[2],
    }


def _parents(connection: sa.Connection, parent_id: str | None) -> list[str]:
    table = tables.models
    found = sa.select(table.c.id, table.c.parent_id).where(table.c.id == parent_id).cte(recursive=True)
    found = found.union(sa.select(table.c.id, table.c.parent_id).where(table.c.id == found.c.parent_id))
    parents = {row.id: row.parent_id for row in connection.execute(sa.select(found))} if parent_id else {}
    chain: list[str] = []
    while parent_id is not None and parent_id not in chain:
        chain.append(parent_id)
        parent_id = parents.get(parent_id)
    return chain
