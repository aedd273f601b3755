"""Forecasts to score: their target session has a bar that they were not yet scored against."""

from __future__ import annotations

from datetime import date, datetime

import pandas as pd
import sqlalchemy as sa

from forecasting.store import tables
from forecasting.store.frames import frame
from forecasting.store.read.splits import next_history, split_factors
from forecasting.vocabulary import Target

_BAR = ("open", "high", "low", "close", "volume")


def unscored_forecasts(
    connection: sa.Connection, symbol: str, target: Target, *, last: date, known_at: datetime | None = None
) -> pd.DataFrame:
    """Forecasts whose target session has a bar that they were not yet scored against.

    Stage first_print is the first version of the bar that has the target's columns; stage settled the current version
    once it is settled, so a settled bar that is restated, and settled again, is scored again. A bar of a history that
    the user accepted after the forecast is no bar to score it against.

    Args:
        connection: An open connection.
        symbol: Symbol of the forecasts.
        target: Target of the forecasts.
        last: The last target session.
        known_at: Bars as of this instant, so that a night run later scores what it would have scored on time; None for
            now.

    Returns:
        All columns of table forecasts, model (the model's name), stage, bar_version, and the bar's open, high, low,
        close, volume on the share basis of the day the forecast was issued: split_factor, new shares per share of that
        day, is divided out.
    """
    forecasts, scores = tables.forecasts, tables.scores
    actual = _actuals(symbol, target, _oldest(connection, symbol, target), last, known_at)
    key = [scores.c[column.name] == column for column in forecasts.primary_key]
    order = ("target_session", "horizon", "model_id", "kind")
    done = sa.exists().where(*key, scores.c.stage == actual.c.stage, scores.c.bar_version == actual.c.bar_version)
    statement = (
        sa.select(forecasts, *actual.c, tables.fetches.c.first_received, tables.models.c.name.label("model"))
        .join(actual, actual.c.session == forecasts.c.target_session)
        .join(tables.models, tables.models.c.id == forecasts.c.model_id)
        .join(tables.fetches, tables.fetches.c.id == forecasts.c.fetch_id)
        .where(forecasts.c.symbol == symbol, forecasts.c.target == target, ~done)
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


def _oldest(connection: sa.Connection, symbol: str, target: Target) -> date:
    """The oldest target session, from the index: of a first year of nights all other bars are older."""
    session = tables.forecasts.c.target_session
    of_symbol = (tables.forecasts.c.symbol == symbol, tables.forecasts.c.target == target)
    return connection.scalar(sa.select(sa.func.min(session)).where(*of_symbol)) or date.max


def _actuals(symbol: str, target: Target, first: date, last: date, known_at: datetime | None) -> sa.Subquery:
    bar, earlier = tables.bar_versions, tables.bar_versions.alias("earlier")
    needed = {"volume": ("volume",), "close": ("close",), "range": ("high", "low")}[target]
    columns = (bar.c.session, bar.c.version.label("bar_version"), bar.c.first_seen_at, *(bar.c[name] for name in _BAR))
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
    forecasts, scores = tables.forecasts, tables.scores
    issued = sa.select(forecasts.c.target_session.label("session"), sa.func.count().label("n"))
    issued = issued.where(forecasts.c.symbol == symbol, forecasts.c.target == target)
    issued = issued.group_by(forecasts.c.target_session)
    key = (scores.c.target_session.label("session"), scores.c.stage, scores.c.bar_version)
    done = sa.select(*key, sa.func.count().label("n")).where(scores.c.symbol == symbol, scores.c.target == target)
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
