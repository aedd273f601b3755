"""Scores: of scored forecasts, the losses that decide, and the forecasts that are still to be scored."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa

from forecasting.evaluate.decisions import LOSS_COLUMNS, newest_origins
from forecasting.store import schema
from forecasting.store.frames import frame, kind_rank, of_series, same_forecast, values
from forecasting.store.read.inputs import (
    PRICES,
    accepted_at,
    next_history,
    on_basis_at,
    split_factors,
)
from forecasting.targets import TARGETS
from forecasting.vocabulary import (
    CHALLENGER,
    CHAMPION,
    HORIZONS,
    KINDS,
    LSTM,
    QUANTILE_COLUMNS,
    Target,
)


def scored(
    connection: sa.Connection,
    symbol: str,
    target: str,
    *,
    origins: int,
    last: date | None,
    known_at: datetime | None,
) -> pd.DataFrame:
    """Scores with their forecasts' quantiles, role and instant, and the model's name, of the newest scored origins.

    One a forecast: settled before first print, then of the newest bar; on the share basis known at
    `known_at`. With `last`, of target sessions up to it, by the bars that were stored and settled
    at `known_at`.
    """
    table = schema.scores
    made = schema.forecasts
    model = schema.models
    fetch = schema.fetches
    wanted = _wanted(
        connection,
        symbol,
        target,
        origins=origins,
        last=last,
        known_at=known_at if last else None,
    )
    one = [table.c[name] for name in schema.FORECAST_KEY]
    place = sa.func.row_number().over(
        partition_by=one, order_by=(table.c.stage.desc(), table.c.bar_version.desc())
    )
    ranked = sa.select(table, place.label("place")).where(*wanted).subquery()
    names = (
        "origin_session",
        "horizon",
        "model_id",
        "kind",
        "target_session",
        *QUANTILE_COLUMNS,
        "role",
        "issued_at",
    )
    columns = (
        *(made.c[name] for name in (*names, "data_as_of")),
        *(ranked.c[name] for name in _SCORE),
    )
    statement = (
        sa.select(*columns, model.c.name, fetch.c.first_received)
        .join(ranked, same_forecast(made, ranked))
        .join(model)
        .join(fetch)
        .where(ranked.c.place == 1)
        .order_by(*(made.c[name] for name in names[:4]))
    )
    found = newest_origins(frame(connection, statement), origins).reset_index(drop=True)
    return on_basis_at(
        connection,
        symbol,
        target,
        found,
        (*QUANTILE_COLUMNS, *_SCORE[:3]),
        at=known_at,
    )


_SCORE = ("actual", "error", "pinball", "inside_80", "inside_90")


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

    A baseline published in the champion's place counts under its own name, and the champion it
    replaced as champion: otherwise a champion that was once behind could never be published again.
    Of target sessions up to `last`, by bars stored and settled at `known_at`. Columns LOSS_COLUMNS,
    on the share basis known then; inside_80 1.0 or 0.0.
    """
    # SQL chooses: to hand every score to Python, half of them superseded, took three times as long
    # (performance.md).
    table = schema.scores
    wanted = _wanted(
        connection,
        symbol,
        target,
        origins=origins,
        last=last,
        known_at=known_at,
    )
    forecaster = sa.case((table.c.model == LSTM, CHAMPION), else_=table.c.model).label("forecaster")
    newest_first = (table.c[name].desc() for name in ("stage", "bar_version", "issued_at"))
    best_first = (kind_rank(table.c.kind), *newest_first, table.c.model_id)
    one = (table.c.origin_session, table.c.horizon, forecaster)
    place = sa.func.row_number().over(partition_by=one, order_by=best_first).label("place")
    needed = (
        table.c[name] for name in sorted({*LOSS_COLUMNS, *schema.FORECAST_KEY} - {"forecaster"})
    )
    ranked = (
        sa.select(*needed, forecaster, place).where(*wanted, table.c.role != CHALLENGER).subquery()
    )
    columns = [ranked.c[name] for name in LOSS_COLUMNS]
    chosen = sa.select(*columns).where(ranked.c.place == 1).order_by(*columns[:3])
    splits = values(
        connection,
        "corporate_actions",
        "session",
        {"symbol": symbol, "kind": "split"},
    )
    if splits or len(accepted_at(connection, symbol)):  # else every loss is on the present basis
        made = schema.forecasts
        fetch = schema.fetches
        chosen = chosen.add_columns(made.c.data_as_of, fetch.c.first_received)
        chosen = chosen.join(made, same_forecast(made, ranked)).join(fetch)
        found = on_basis_at(
            connection,
            symbol,
            target,
            frame(connection, chosen),
            ["pinball"],
            at=known_at,
        )
    else:
        found = frame(connection, chosen)
    counted = newest_origins(found, origins).reset_index(drop=True)
    return counted.assign(inside_80=counted["inside_80"].astype(float))


def _wanted(
    connection: sa.Connection,
    symbol: str,
    target: str,
    *,
    origins: int,
    last: date | None,
    known_at: datetime | None,
) -> list[sa.ColumnElement[bool]]:
    """Conditions on scores: of target sessions up to `last`, of the newest scored origins, few others, known then."""
    scores = schema.scores
    bar = schema.bar_versions
    wanted = [*of_series(scores, symbol, target)]
    if last is not None:
        wanted.append(scores.c.target_session <= last)
    if known_at is not None:
        same = (bar.c[name] == scores.c[other] for name, other in _BAR.items())
        settled = (scores.c.stage == "first_print") | (bar.c.settled_at <= known_at)
        wanted.append(
            sa.exists().where(*same, bar.c.first_seen_at <= known_at, settled).correlate(scores)
        )
    # The n-th newest origin of each kind one session ahead, which is scored first, by the order of
    # the key alone: the n-th newest of all is as new as any of these.
    nth_newest = [
        sa.select(scores.c.origin_session)
        .where(*wanted, scores.c.kind == kind, scores.c.horizon == HORIZONS[0])
        # SQLite drops a DISTINCT in a scalar subquery, and skips rows instead
        .group_by(scores.c.origin_session)
        .order_by(scores.c.origin_session.desc())
        .limit(1)
        .offset(origins - 1)
        .scalar_subquery()
        for kind in KINDS
    ]
    found = connection.execute(sa.select(*nth_newest)).one()
    oldest = max((origin for origin in found if origin is not None), default=date.min)
    # Kind and horizon precede the origin in the key: without them SQLite reads every year.
    return [
        *wanted,
        scores.c.kind.in_(KINDS),
        scores.c.horizon.in_(HORIZONS),
        scores.c.origin_session >= oldest,
    ]


_BAR = {"symbol": "symbol", "session": "target_session", "version": "bar_version"}


def unscored_forecasts(
    connection: sa.Connection,
    symbol: str,
    target: Target,
    *,
    last: date,
    known_at: datetime | None = None,
) -> pd.DataFrame:
    """Forecasts of target sessions up to `last` that were not yet scored against a bar that their session has.

    Stage first_print is the first version of the bar that has the target's columns; stage settled
    the current version once it is settled, again after a restatement. With `known_at`, by the bars
    as of that instant: a night run later scores what it would have scored on time. Columns of table
    forecasts, model, stage, bar_version, and the bar on the
    share basis of the day the forecast was issued: split_factor, new shares per share of that day,
    is divided out.
    """
    forecasts = schema.forecasts
    scores = schema.scores
    of_symbol = of_series(forecasts, symbol, target)
    # The oldest target session, from the index: of a first year of nights all other bars are older.
    oldest = connection.scalar(sa.select(sa.func.min(forecasts.c.target_session)).where(*of_symbol))
    actual = _actuals(
        symbol,
        target,
        oldest or date.max,
        last,
        known_at,
    )
    same_bar = (scores.c.stage == actual.c.stage, scores.c.bar_version == actual.c.bar_version)
    # Counting first is several times as fast as looking up the scores of every forecast of five
    # years.
    issued = _counted(forecasts, of_symbol, ("target_session",))
    done = _counted(
        scores, of_series(scores, symbol, target), ("target_session", "stage", "bar_version")
    )
    same_done = (done.c[name] == actual.c[name] for name in ("stage", "bar_version"))
    not_all_scored = (
        sa.select(actual.c.session)
        .join(issued, issued.c.target_session == actual.c.session)
        .outerjoin(done, sa.and_(done.c.target_session == actual.c.session, *same_done))
        .where(sa.func.coalesce(done.c.n, 0) < issued.c.n)
    )
    sessions = connection.scalars(not_all_scored.distinct()).all()
    statement = (
        sa.select(
            forecasts,
            *actual.c,
            schema.fetches.c.first_received,
            schema.models.c.name.label("model"),
        )
        .join(actual, actual.c.session == forecasts.c.target_session)
        .join(schema.models)
        .join(schema.fetches)
        .where(*of_symbol, ~sa.exists().where(same_forecast(scores, forecasts), *same_bar))
        .where(forecasts.c.target_session.in_(sessions))
        .order_by(
            *(forecasts.c[name] for name in ("target_session", "horizon", "model_id", "kind")),
            actual.c.stage,
        )
    )
    found = frame(connection, statement)
    accepted = next_history(connection, symbol, found["data_as_of"])
    found = found[~(found["first_seen_at"] >= accepted)].reset_index(drop=True)
    factor = split_factors(
        connection,
        symbol,
        found,
        until=found["first_seen_at"],
    )
    found[["open", "high", "low", "close"]] = found[["open", "high", "low", "close"]].mul(
        factor, axis=0
    )
    found["volume"] /= factor
    return found.drop(columns=["session", "first_seen_at", "first_received"]).assign(
        split_factor=factor
    )


def _counted(
    table: sa.Table, wanted: Sequence[sa.ColumnElement[bool]], names: Sequence[str]
) -> sa.Subquery:
    columns = [table.c[name] for name in names]
    return (
        sa.select(*columns, sa.func.count().label("n")).where(*wanted).group_by(*columns).subquery()
    )


def _actuals(
    symbol: str, target: Target, first: date, last: date, known_at: datetime | None
) -> sa.Subquery:
    bar = schema.bar_versions
    earlier = schema.bar_versions.alias("earlier")
    prices = (bar.c[name] for name in PRICES)
    columns = (bar.c.session, bar.c.version.label("bar_version"), bar.c.first_seen_at, *prices)
    usable = [bar.c.symbol == symbol, bar.c.session.between(first, last)]
    usable += [bar.c[name].is_not(None) for name in TARGETS[target].columns]
    same = earlier.c.symbol == bar.c.symbol
    filled = (earlier.c[name].is_not(None) for name in TARGETS[target].columns)
    older = (earlier.c.session == bar.c.session, earlier.c.version < bar.c.version)
    before = sa.exists().where(same, *older, *filled)
    current: sa.ColumnElement[bool] = bar.c.superseded_at.is_(None)
    confirmed: sa.ColumnElement[bool] = bar.c.settled_at.is_not(None)
    if known_at is not None:
        usable.append(bar.c.first_seen_at <= known_at)
        current = current | (bar.c.superseded_at > known_at)
        confirmed = bar.c.settled_at <= known_at

    def staged(stage: str, *conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
        return sa.select(sa.literal(stage).label("stage"), *columns).where(*usable, *conditions)

    return sa.union_all(
        staged("first_print", ~before), staged("settled", current, confirmed)
    ).subquery("actual")
