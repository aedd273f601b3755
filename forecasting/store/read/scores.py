"""Scored forecasts."""

from __future__ import annotations

from datetime import date, datetime

import pandas as pd
import sqlalchemy as sa

from forecasting.evaluate.evidence import SCORE_COLUMNS, newest_origins
from forecasting.store import tables
from forecasting.store.frames import frame
from forecasting.vocabulary import HORIZONS, KINDS, QUANTILE_COLUMNS

_FORECAST = (
    *("origin_session", "horizon", "model_id", "kind", "target_session"),
    *QUANTILE_COLUMNS,
    *("role", "issued_at"),
)


def scored(
    connection: sa.Connection, symbol: str, target: str, *, origins: int, last: date | None = None
) -> pd.DataFrame:
    """Scores with their forecasts' quantiles, role and instant, and the model's name, of the newest scored origins.

    Ascending by origin, horizon and model; every kind, stage and bar version. With `last`, of target sessions up to it.
    """
    forecasts, scores, model = tables.forecasts, tables.scores, tables.models
    wanted = [scores.c.symbol == symbol, scores.c.target == target]
    if last is not None:
        wanted.append(scores.c.target_session <= last)
    key = [forecasts.c[column.name] == scores.c[column.name] for column in forecasts.primary_key]
    names = ("stage", "bar_version", "actual", "error", "pinball", "inside_80", "inside_90")
    order = [forecasts.c[name] for name in ("origin_session", "horizon", "model_id", "kind")]
    statement = (
        sa.select(*(forecasts.c[name] for name in _FORECAST), *(scores.c[name] for name in names), model.c.name)
        .join(scores, sa.and_(*key))
        .join(model, model.c.id == forecasts.c.model_id)
        .where(*wanted, *_newer(connection, wanted, origins))
        .order_by(*order, scores.c.stage, scores.c.bar_version)
    )
    return newest_origins(frame(connection, statement), origins).reset_index(drop=True)


def _bar_known(scores: sa.Table, known_at: datetime) -> sa.ColumnElement[bool]:
    bar = tables.bar_versions
    same = (bar.c.symbol == scores.c.symbol, bar.c.session == scores.c.target_session)
    settled = (scores.c.stage == "first_print") | (bar.c.settled_at <= known_at)
    return (
        sa.exists()
        .where(*same, bar.c.version == scores.c.bar_version, bar.c.first_seen_at <= known_at, settled)
        .correlate(scores)
    )


def newest_scores(
    connection: sa.Connection,
    symbol: str,
    target: str,
    *,
    last: date,
    origins: int,
    known_at: datetime | None = None,
) -> pd.DataFrame:
    """The scores of the newest `origins` scored origins, every kind, stage, bar version and model of them.

    Columns `evidence.SCORE_COLUMNS`; `evidence.forecaster_losses` chooses those that count. No target session after
    `last`; with `known_at` only scores that could be computed at that instant, from bars then stored and settled.
    """
    table = tables.scores
    wanted = [table.c.symbol == symbol, table.c.target == target, table.c.target_session <= last]
    if known_at is not None:
        wanted.append(_bar_known(table, known_at))
    columns = (table.c[name] for name in SCORE_COLUMNS)
    statement = sa.select(*columns).where(*wanted, *_newer(connection, wanted, origins))
    return newest_origins(frame(connection, statement), origins).reset_index(drop=True)


def _newer(
    connection: sa.Connection, wanted: list[sa.ColumnElement[bool]], origins: int
) -> list[sa.ColumnElement[bool]]:
    """Conditions that keep the newest `origins` scored origins, and few others, by the order of the key alone.

    They use the n-th newest origin of each kind and horizon: the n-th newest of all is as new as any of these.
    """
    scores = tables.scores
    nth_newest = [
        sa.select(scores.c.origin_session)
        .where(*wanted, scores.c.kind == kind, scores.c.horizon == horizon)
        .group_by(scores.c.origin_session)  # SQLite drops a DISTINCT in a scalar subquery, and skips rows instead
        .order_by(scores.c.origin_session.desc())
        .limit(1)
        .offset(origins - 1)
        .scalar_subquery()
        for kind in KINDS
        for horizon in HORIZONS
    ]
    found = connection.execute(sa.select(*nth_newest)).one()
    oldest = max((origin for origin in found if origin is not None), default=date.min)
    # Kind and horizon precede the origin in the key: without them SQLite reads every year.
    return [scores.c.kind.in_(KINDS), scores.c.horizon.in_(HORIZONS), scores.c.origin_session >= oldest]
