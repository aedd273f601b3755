"""Scores: of scored forecasts, the losses that decide, and the forecasts that are still to be scored."""

from __future__ import annotations

import operator
from datetime import date, datetime

import pandas as pd
import sqlalchemy as sa

from forecasting.evaluate.decisions import LOSS_COLUMNS, newest_origins
from forecasting.store import schema
from forecasting.store.frames import frame, kind_rank, of_series
from forecasting.store.read.inputs import PRICES, has_other_basis, next_history, on_basis_at, split_factors
from forecasting.vocabulary import CHALLENGER, CHAMPION, HORIZONS, KINDS, LSTM, QUANTILE_COLUMNS, Target

_FORECAST = (
    *("origin_session", "horizon", "model_id", "kind", "target_session"),
    *QUANTILE_COLUMNS,
    *("role", "issued_at"),
)


def scored(
    connection: sa.Connection,
    symbol: str,
    target: str,
    *,
    origins: int,
    last: date | None = None,
    known_at: datetime | None = None,
) -> pd.DataFrame:
    """Scores with their forecasts' quantiles, role and instant, and the model's name, of the newest scored origins.

    One a forecast of every kind: the settled one before the first print's, then that of the newest bar. Ascending by
    origin, horizon and model, on the share basis that was known at `known_at` (None: now). With `last`, of a past
    night: of target sessions up to it, and by the bars that were stored and settled at `known_at`.
    """
    forecasts, scores, model, fetch = schema.forecasts, schema.scores, schema.models, schema.fetches
    wanted = [*of_series(scores, symbol, target)]
    later = scores.alias("later")
    superseded = [_same_forecast(later, scores), operator.gt(_place(later), _place(scores))]
    if last is not None:
        wanted.append(scores.c.target_session <= last)
        if known_at is not None:
            wanted.append(_bar_known(scores, known_at))
            superseded.append(_bar_known(later, known_at))
    names = ("actual", "error", "pinball", "inside_80", "inside_90")
    order = [forecasts.c[name] for name in ("origin_session", "horizon", "model_id", "kind")]
    statement = (
        sa.select(
            *(forecasts.c[name] for name in (*_FORECAST, "data_as_of")),
            *(scores.c[name] for name in names),
            model.c.name,
            fetch.c.first_received,
        )
        .join(scores, _same_forecast(forecasts, scores))
        .join(model, model.c.id == forecasts.c.model_id)
        .join(fetch, fetch.c.id == forecasts.c.fetch_id)
        .where(*wanted, *_newer(connection, wanted, origins), ~sa.exists().where(*superseded).correlate(scores))
        .order_by(*order)
    )
    found = newest_origins(frame(connection, statement), origins).reset_index(drop=True)
    values = (*QUANTILE_COLUMNS, "actual", "error", "pinball")
    return on_basis_at(connection, symbol, target, found, values, at=known_at)


def _place(scores: sa.FromClause) -> sa.Tuple:
    """Where a score stands among those of its forecast, the last of which counts: "settled" sorts last."""
    return sa.tuple_(scores.c.stage, scores.c.bar_version)


def _same_forecast(one: sa.FromClause, other: sa.FromClause) -> sa.ColumnElement[bool]:
    return sa.and_(*(one.c[column.name] == other.c[column.name] for column in schema.forecasts.primary_key))


def _bar_known(scores: sa.FromClause, known_at: datetime) -> sa.ColumnElement[bool]:
    bar = schema.bar_versions
    same = (bar.c.symbol == scores.c.symbol, bar.c.session == scores.c.target_session)
    settled = (scores.c.stage == "first_print") | (bar.c.settled_at <= known_at)
    return (
        sa.exists()
        .where(*same, bar.c.version == scores.c.bar_version, bar.c.first_seen_at <= known_at, settled)
        .correlate(scores)
    )


def losses(
    connection: sa.Connection,
    symbol: str,
    target: str,
    *,
    last: date,
    origins: int,
    known_at: datetime | None = None,
) -> pd.DataFrame:
    """One loss per forecaster (`champion` or a baseline), origin and horizon of the newest scored origins, ascending.

    Live is preferred to late and late to replay, then settled to first print, the newest bar version, the newest
    forecast and the smallest model id. A baseline published in the champion's place counts under its own name, and the
    champion it replaced as champion: otherwise a champion that was once behind could never be published again.
    Challengers are left out. Of target sessions up to `last`, by bars stored and settled at `known_at`. Columns
    LOSS_COLUMNS: pinball in the target's unit, on the share basis known then; inside_80 1.0 or 0.0.
    """
    # SQL chooses: to hand every score to Python, half of them superseded, took three times as long (performance.md).
    table = schema.scores
    wanted = [*of_series(table, symbol, target), table.c.target_session <= last]
    if known_at is not None:
        wanted.append(_bar_known(table, known_at))
    forecaster = sa.case((table.c.model == LSTM, CHAMPION), else_=table.c.model).label("forecaster")
    best_first = (
        kind_rank(table.c.kind),
        *(table.c[name].desc() for name in ("stage", "bar_version", "issued_at")),
        table.c.model_id,
    )
    one = (table.c.origin_session, table.c.horizon, forecaster)
    place = sa.func.row_number().over(partition_by=one, order_by=best_first).label("place")
    of_forecasters = (*wanted, *_newer(connection, wanted, origins), table.c.role != CHALLENGER)
    key = [column.name for column in schema.forecasts.primary_key]
    values = (table.c[name] for name in sorted({*LOSS_COLUMNS, *key} - {"forecaster"}))
    ranked = sa.select(*values, forecaster, place).where(*of_forecasters).subquery()
    columns = [ranked.c[name] for name in LOSS_COLUMNS]
    chosen = sa.select(*columns).where(ranked.c.place == 1).order_by(*columns[:3])
    if has_other_basis(connection, symbol):
        made, fetch = schema.forecasts, schema.fetches
        chosen = chosen.add_columns(made.c.data_as_of, fetch.c.first_received)
        chosen = chosen.join(made, _same_forecast(made, ranked)).join(fetch, fetch.c.id == made.c.fetch_id)
        found = on_basis_at(connection, symbol, target, frame(connection, chosen), ["pinball"], at=known_at)
    else:
        found = frame(connection, chosen)
    counted = newest_origins(found, origins).reset_index(drop=True)
    return counted.assign(inside_80=counted["inside_80"].astype(float))


def _newer(
    connection: sa.Connection, wanted: list[sa.ColumnElement[bool]], origins: int
) -> list[sa.ColumnElement[bool]]:
    """Conditions that keep the newest `origins` scored origins, and few others, by the order of the key alone.

    They use the n-th newest origin of each kind one session ahead, which is scored first: the n-th newest of all is as
    new as any of these.
    """
    scores = schema.scores
    nth_newest = [
        sa.select(scores.c.origin_session)
        .where(*wanted, scores.c.kind == kind, scores.c.horizon == HORIZONS[0])
        .group_by(scores.c.origin_session)  # SQLite drops a DISTINCT in a scalar subquery, and skips rows instead
        .order_by(scores.c.origin_session.desc())
        .limit(1)
        .offset(origins - 1)
        .scalar_subquery()
        for kind in KINDS
    ]
    found = connection.execute(sa.select(*nth_newest)).one()
    oldest = max((origin for origin in found if origin is not None), default=date.min)
    # Kind and horizon precede the origin in the key: without them SQLite reads every year.
    return [scores.c.kind.in_(KINDS), scores.c.horizon.in_(HORIZONS), scores.c.origin_session >= oldest]


def unscored_forecasts(
    connection: sa.Connection, symbol: str, target: Target, *, last: date, known_at: datetime | None = None
) -> pd.DataFrame:
    """Forecasts of target sessions up to `last` that were not yet scored against a bar that their session has.

    Stage first_print is the first version of the bar that has the target's columns; stage settled the current version
    once it is settled, so a settled bar that is restated, and settled again, is scored again. A bar of a history that
    the user accepted after the forecast is none to score it against. With `known_at`, by the bars as of that instant,
    so that a night run later scores what it would have scored on time. Columns of table forecasts, model (its name),
    stage, bar_version, and the bar's prices and volume on the share basis of the day the forecast was issued:
    split_factor, new shares per share of that day, is divided out.
    """
    forecasts, scores = schema.forecasts, schema.scores
    of_symbol = of_series(forecasts, symbol, target)
    # The oldest target session, from the index: of a first year of nights all other bars are older.
    oldest = connection.scalar(sa.select(sa.func.min(forecasts.c.target_session)).where(*of_symbol))
    actual = _actuals(symbol, target, oldest or date.max, last, known_at)
    key = [scores.c[column.name] == column for column in forecasts.primary_key]
    order = ("target_session", "horizon", "model_id", "kind")
    done = sa.exists().where(*key, scores.c.stage == actual.c.stage, scores.c.bar_version == actual.c.bar_version)
    statement = (
        sa.select(forecasts, *actual.c, schema.fetches.c.first_received, schema.models.c.name.label("model"))
        .join(actual, actual.c.session == forecasts.c.target_session)
        .join(schema.models, schema.models.c.id == forecasts.c.model_id)
        .join(schema.fetches, schema.fetches.c.id == forecasts.c.fetch_id)
        .where(*of_symbol, ~done)
        .where(forecasts.c.target_session.in_(_sessions_not_all_scored(connection, symbol, target, actual)))
        .order_by(*(forecasts.c[name] for name in order), actual.c.stage)
    )
    found = frame(connection, statement)
    accepted = next_history(connection, symbol, found["data_as_of"])
    found = found[~(found["first_seen_at"] >= accepted)].reset_index(drop=True)
    factor = split_factors(connection, symbol, found, until=found["first_seen_at"])
    found[["open", "high", "low", "close"]] = found[["open", "high", "low", "close"]].mul(factor, axis=0)
    found["volume"] /= factor
    return found.drop(columns=["session", "first_seen_at", "first_received"]).assign(split_factor=factor)


def _actuals(symbol: str, target: Target, first: date, last: date, known_at: datetime | None) -> sa.Subquery:
    bar, earlier = schema.bar_versions, schema.bar_versions.alias("earlier")
    needed = {"volume": ("volume",), "close": ("close",), "range": ("high", "low")}[target]
    columns = (
        bar.c.session,
        bar.c.version.label("bar_version"),
        bar.c.first_seen_at,
        *(bar.c[name] for name in PRICES),
    )
    sessions = bar.c.session.between(first, last)
    usable = (bar.c.symbol == symbol, sessions, *(bar.c[name].is_not(None) for name in needed))
    before = sa.exists().where(
        earlier.c.symbol == bar.c.symbol,
        earlier.c.session == bar.c.session,
        earlier.c.version < bar.c.version,
        *(earlier.c[name].is_not(None) for name in needed),
    )
    current: sa.ColumnElement[bool] = bar.c.superseded_at.is_(None)
    confirmed: sa.ColumnElement[bool] = bar.c.settled_at.is_not(None)
    if known_at is not None:
        usable += (bar.c.first_seen_at <= known_at,)
        current, confirmed = current | (bar.c.superseded_at > known_at), bar.c.settled_at <= known_at
    first_print = sa.select(sa.literal("first_print").label("stage"), *columns).where(*usable, ~before)
    settled = sa.select(sa.literal("settled").label("stage"), *columns).where(*usable, current, confirmed)
    return sa.union_all(first_print, settled).subquery("actual")


def _sessions_not_all_scored(connection: sa.Connection, symbol: str, target: Target, actual: sa.Subquery) -> list[date]:
    # Counting first is several times as fast as looking up the scores of every forecast of five years.
    forecasts, scores = schema.forecasts, schema.scores
    issued = sa.select(forecasts.c.target_session.label("session"), sa.func.count().label("n"))
    issued = issued.where(*of_series(forecasts, symbol, target)).group_by(forecasts.c.target_session)
    key = (scores.c.target_session.label("session"), scores.c.stage, scores.c.bar_version)
    done = sa.select(*key, sa.func.count().label("n")).where(*of_series(scores, symbol, target))
    counts = frame(connection, sa.select(actual.c.session, actual.c.stage, actual.c.bar_version))
    counts = counts.merge(frame(connection, issued), on="session")
    counts = counts.merge(
        frame(connection, done.group_by(*key)),
        on=["session", "stage", "bar_version"],
        how="left",
        suffixes=("", "_done"),
    )
    missing = counts.loc[counts["n_done"].fillna(0) < counts["n"], "session"]
    return [day.date() for day in missing.unique()]
