"""Forecasts and totals that are still to be scored, with the bars that they are scored against."""

from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy import Connection, func, select

from forecasting.store.frames import Row, frame, of_series, same_forecast
from forecasting.store.read.inputs import LATEST, PRICES, next_history, split_factors
from forecasting.store.schema import (
    FORECAST_KEY,
    UtcDateTime,
    bar,
    bar_versions,
    fetch,
    fetches,
    forecast,
    forecasts,
    model,
    models,
    score,
    total_forecasts,
    total_scores,
)
from forecasting.targets import TARGETS
from forecasting.vocabulary import HORIZONS, QUANTILE_COLUMNS, Target

_OF_FORECAST = (
    *FORECAST_KEY,
    "target_session",
    *QUANTILE_COLUMNS,
    "role",
    "issued_at",
    "data_as_of",
)


def unscored_forecasts(
    connection: Connection,
    symbol: str,
    target: Target,
    *,
    first: date = date.min,
    last: date,
    known_at: datetime | None = None,
) -> pd.DataFrame:
    """Forecasts of sessions from `first` to `last` not yet scored against a bar of that session.

    Stage first_print is the first version of the bar that has the target's columns; stage settled
    a later one that is current once it is settled. With `known_at`, by the bars as of that instant:
    a night run later scores what it would have scored on time.

    Returns:
        Columns _OF_FORECAST, model, stage, bar_version, and the bar on the share basis of the day
        the forecast was issued: split_factor, new shares per share of that day, is divided out.
    """
    oldest, not_all_scored, statement = _unscored(target)
    values: Row = {"symbol": symbol, "target": target, "last": last, "known_at": known_at or LATEST}
    values["first"] = max(first, connection.scalar(oldest, values) or date.max)
    sessions = connection.scalars(not_all_scored, values).all()
    if not sessions:  # as mostly: to read nothing takes as long
        return pd.DataFrame()
    # By their origins the key finds them; five sessions and the longest closure are shorter
    values |= {"sessions": sessions, "since": min(sessions) - timedelta(days=60)}
    unscored = frame(connection, statement, values)
    accepted = next_history(connection, symbol, unscored["data_as_of"])
    unscored = unscored[~(unscored["first_seen_at"] >= accepted)].reset_index(drop=True)
    factor = split_factors(connection, symbol, unscored, until=unscored["first_seen_at"])
    prices = ["open", "high", "low", "close"]
    unscored[prices] = unscored[prices].mul(factor, axis=0)
    unscored["volume"] /= factor
    unscored["split_factor"] = factor
    return unscored.drop(columns=["session", "first_seen_at", "first_received", "is_settled"])


_SPAN = (sa.bindparam("first", type_=sa.Date()), sa.bindparam("last", type_=sa.Date()))


@lru_cache  # to make them takes longer than to run them
def _unscored(target: Target) -> tuple[sa.Select[Any], sa.Select[Any], sa.Select[Any]]:
    """Three statements with the values of `unscored_forecasts`, and the sessions that are found.

    The oldest target session, the sessions of which not every forecast is scored, and the forecasts
    of these sessions that are not.
    """
    of_symbol = of_series(forecast, sa.bindparam("symbol"), sa.bindparam("target"))
    # From the index: of a first year of nights all other bars are older.
    oldest = select(func.min(forecast.target_session)).where(*of_symbol)
    actual = _actuals(target)
    # Counting first is several times as fast as looking up the scores of every forecast of five
    # years.
    n = func.count().label("n")
    session = forecast.target_session
    of_span = (*of_symbol, session.between(*_SPAN))
    issued = select(session, n).where(*of_span).group_by(session).subquery()
    scored_bar = score["target_session", "stage", "bar_version"]
    of_scores = of_series(score, sa.bindparam("symbol"), sa.bindparam("target"))
    scored_in_span = select(*scored_bar, n).where(*of_scores, score.target_session.between(*_SPAN))
    done = scored_in_span.group_by(*scored_bar).subquery()
    same_done = (done.c[name] == actual.c[name] for name in ("stage", "bar_version"))
    not_all_scored = (
        select(actual.c.session)
        .join(issued, issued.c.target_session == actual.c.session)
        .outerjoin(done, sa.and_(done.c.target_session == actual.c.session, *same_done))
        .where(func.coalesce(done.c.n, 0) != issued.c.n)
    )
    same_bar = (score[name] == actual.c[name] for name in ("stage", "bar_version"))
    statement = (
        select(*forecast[_OF_FORECAST], *actual.c)
        .add_columns(fetch.first_received, model.name.label("model"))
        .join(actual, actual.c.session == forecast.target_session)
        .join(models)
        .join(fetches)
        .where(*of_symbol, ~sa.exists().where(same_forecast(score, forecast), *same_bar))
        .where(session.in_(sa.bindparam("sessions", expanding=True)))
        .where(forecast.origin_session.between(sa.bindparam("since", type_=sa.Date()), _SPAN[1]))
        .order_by(*forecast["target_session", "horizon", "model_id", "kind"], actual.c.stage)
    )
    return oldest, not_all_scored.distinct(), statement


def unscored_totals(
    connection: Connection,
    symbol: str,
    target: Target,
    *,
    first: date,
    last: date = date.max,
    known_at: datetime | None = None,
) -> pd.DataFrame:
    """Totals that end from `first` to `last`, not yet scored against the bars of their sessions.

    A row a stage at which all their sessions have a bar; bars and stages are as of
    `unscored_forecasts`. Stage settled is left out where all bars are as they were first stored.

    Returns:
        Columns of table total_forecasts, model, stage, and the sums over the sessions of
        bar_version and actual, on the share basis of the day the forecast was issued.
    """
    since = first - _LONGEST  # by which the key finds them
    values = {"symbol": symbol, "target": target, "first": first, "last": last, "since": since}
    statement, every_bar = _totals(target)
    totals = frame(connection, statement, values)
    if totals.empty:
        return totals
    bars = frame(connection, every_bar, values | {"first": since, "known_at": known_at or LATEST})
    each = totals[["data_as_of", "first_received"]].merge(bars, how="cross")
    factor = split_factors(connection, symbol, each, until=each["first_seen_at"])
    is_other = each["first_seen_at"] >= next_history(connection, symbol, each["data_as_of"])
    shape = (len(totals), len(bars))
    volume = (each["volume"] / factor).to_numpy().reshape(shape)
    session = bars["session"].to_numpy()
    is_known = ~is_other.to_numpy().reshape(shape) & (volume > 0.0)
    is_known &= session > totals[["origin_session"]].to_numpy()
    is_known &= session <= totals[["target_session"]].to_numpy()
    unscored = []
    before = np.zeros(len(totals))
    stages = {"first_print": bars["stage"] == "first_print", "settled": bars["is_settled"]}
    for stage, is_stage in stages.items():
        used = is_known & is_stage.to_numpy()
        version = np.where(used, bars["bar_version"], 0).sum(axis=1)
        is_unscored = (used.sum(axis=1) == totals["horizon"]) & (version != totals[stage])
        actual = np.where(used, volume, 0.0).sum(axis=1)
        of_stage = totals.assign(stage=stage, bar_version=version, actual=actual)
        unscored.append(of_stage[is_unscored & (version != before)])
        before = version
    return pd.concat(unscored, ignore_index=True)


_LONGEST = timedelta(days=60)  # of the longest total, on any exchange


@lru_cache
def _totals(target: Target) -> tuple[sa.Select[Any], sa.Select[Any]]:
    """The statements of totals that end in a span, and of all bars in one.

    Of a total two columns, with the name of a stage, have the bar_version of its newest score.
    """
    total = total_forecasts.c
    done = total_scores.c
    of_first = (total[name] == forecast[name] for name in FORECAST_KEY if name != "horizon")
    scored = [
        select(func.max(done.bar_version))
        .where(same_forecast(done, total), done.stage == stage)
        .scalar_subquery()
        .label(stage)
        for stage in ("first_print", "settled")
    ]
    statement = (
        select(total_forecasts, forecast.data_as_of, fetch.first_received)
        .add_columns(model.name.label("model"), *scored)
        .join(forecasts, sa.and_(forecast.horizon == HORIZONS[0], *of_first))
        .join(models, model.id == total.model_id)
        .join(fetches, fetch.id == forecast.fetch_id)
        .where(*of_series(total, sa.bindparam("symbol"), sa.bindparam("target")))
        .where(total.target_session.between(*_SPAN))
        .where(total.origin_session >= sa.bindparam("since", type_=sa.Date()))
    )
    return statement, select(_actuals(target))


def _actuals(target: Target) -> sa.Subquery:
    """The bars that forecasts are scored against, each with its stage, for `_unscored`."""
    known_at = sa.bindparam("known_at", type_=UtcDateTime())
    earlier = bar_versions.alias("earlier")
    needed = TARGETS[target].columns
    usable = (
        bar.symbol == sa.bindparam("symbol"),
        bar.session.between(*_SPAN),
        bar.first_seen_at <= known_at,
        *(bar[name].is_not(None) for name in needed),
    )
    current = bar.superseded_at.is_(None) | (bar.superseded_at > known_at)
    filled = (earlier.c[name].is_not(None) for name in needed)
    same_session = (earlier.c.symbol == bar.symbol, earlier.c.session == bar.session)
    later = sa.exists().where(*same_session, earlier.c.version < bar.version, *filled)
    columns = (
        bar.session,
        sa.case((later, "settled"), else_="first_print").label("stage"),
        bar.version.label("bar_version"),
        *bar["first_seen_at", *PRICES],
    )
    confirmed = current & (bar.settled_at <= known_at)
    is_settled = sa.case((confirmed, True), else_=False).label("is_settled")
    return select(*columns, is_settled).where(*usable, ~later | confirmed).subquery("actual")
