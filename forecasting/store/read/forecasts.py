"""Forecasts as issued."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from operator import attrgetter
from typing import Any, get_args

import pandas as pd
import sqlalchemy as sa
from sqlalchemy import Connection, func, select

from forecasting.predict.totals import LONG
from forecasting.store.frames import (
    Row,
    best_first,
    frame,
    of_series,
    records,
    records_of,
    view_result,
)
from forecasting.store.read.inputs import LATEST, PRICES, next_history, split_factors
from forecasting.store.rows import ForecastRow, TotalRow
from forecasting.store.schema import (
    FORECAST_KEY,
    bar,
    fetch,
    fetches,
    forecast,
    forecasts,
    model,
    models,
    part,
    total_forecasts,
)
from forecasting.targets import TARGETS
from forecasting.vocabulary import (
    HORIZONS,
    KINDS,
    LSTM,
    NETWORK,
    PUBLISHED,
    QUANTILE_COLUMNS,
    Target,
)


def parts(
    connection: Connection,
    symbols: Collection[str],
    targets: Collection[str],
    *,
    first: date,
    last: date,
    horizons: Sequence[int] = HORIZONS,
) -> dict[tuple[Any, ...], list[tuple[str, float]]]:
    """The parts of published medians of origins `first` to `last`, by the forecast's key.

    Of each its name and factor, the usual level first.
    """
    statement = (
        select(*part[*FORECAST_KEY, "part", "factor"])
        .where(part.symbol.in_(symbols), part.target.in_(targets))
        .where(part.horizon.in_(horizons), part.origin_session.between(first, last))
        .order_by(part.place)
    )
    of_key: dict[tuple[Any, ...], list[tuple[str, float]]] = {}
    for *key, name, factor in connection.execute(statement):
        of_key.setdefault(tuple(key), []).append((name, factor))
    return of_key


def newest_of_model(
    connection: Connection, symbol: str, target: str, *, model_id: str, session: date
) -> pd.DataFrame:
    """Return the forecasts of a model's newest origin up to `session`.

    Columns: origin_session, horizon and the quantiles.
    """
    of_model = (*of_series(forecast, symbol, target), forecast.model_id == model_id)
    newest = (
        select(func.max(forecast.origin_session))
        .where(*of_model, forecast.origin_session <= session)
        .scalar_subquery()
    )
    columns = forecast["origin_session", "horizon", *QUANTILE_COLUMNS]
    statement = select(*columns).where(*of_model, forecast.origin_session == newest)
    return frame(connection, statement)


def past_forecasts(
    connection: Connection,
    symbol: str,
    target: str,
    *,
    origin: date,
    limit: int,
    known_at: datetime | None = None,
) -> pd.DataFrame:
    """The network's forecasts from which calibration may be estimated, `limit` a horizon.

    They are of sessions up to `origin`; of several of an origin, live counts before late before
    replay, then the last issued.

    Returns:
        Columns origin_session, horizon, target_session, calibration, bars_at, the instant of the
        bars to compare with, up to `known_at`, and split_factor, shares then per share when issued.
    """
    # By its origin too: the key finds the newest first
    of_series_before = (*of_series(forecast, symbol, target), forecast.origin_session < origin)
    closed = (*of_series_before, forecast.target_session <= origin)
    wanted = (*closed, forecast.role.in_((PUBLISHED, NETWORK)), model.name == LSTM)
    # The longest horizon has the fewest closed forecasts, so its oldest origin is the oldest that
    # any horizon needs.
    oldest = (
        select(forecast.origin_session)
        .join(models)
        .where(*wanted, forecast.horizon == max(HORIZONS))
        .group_by(forecast.origin_session)
        .order_by(forecast.origin_session.desc())
        .limit(1)
        .offset(limit - 1)
        .scalar_subquery()
    )
    names = ("origin_session", "horizon", "target_session", "calibration")
    statement = (
        select(*forecast[*names, "data_as_of"], fetch.first_received)
        .join(models)
        .join(fetches)
        .where(*wanted, forecast.origin_session >= func.coalesce(oldest, date.min))
        .order_by(*forecast["origin_session", "horizon"], *best_first(forecast), forecast.model_id)
    )
    every = frame(connection, statement).drop_duplicates(["origin_session", "horizon"])
    issued = every.groupby("horizon").tail(limit).reset_index(drop=True)
    last = pd.Timestamp(known_at or LATEST)
    # Before pandas 3 a Timedelta is of nanoseconds, and so would be the difference; these end in
    # 2262, before `last`.
    moment = pd.Timedelta(microseconds=1).as_unit("us")
    before = next_history(connection, symbol, issued["data_as_of"]) - moment
    issued["bars_at"] = before.where(before < last, last)
    issued["split_factor"] = split_factors(connection, symbol, issued, until=issued["bars_at"])
    return issued[[*names, "bars_at", "split_factor"]]


# Of as many origins as the longest total has sessions: those of older ones have closed.
_SINCE_NEWEST = f"""symbol = :symbol AND target = :target AND role = 'published'
    AND origin_session IN (
        SELECT n.origin_session FROM total_forecasts n
        WHERE n.symbol = :symbol AND n.target = :target AND n.role = 'published'
            AND n.origin_session < :session
        GROUP BY n.origin_session ORDER BY n.origin_session DESC LIMIT {max(LONG)}
    )
    AND target_session > (
        SELECT max(n.origin_session) FROM total_forecasts n
        WHERE n.symbol = :symbol AND n.target = :target AND n.role = 'published'
            AND n.origin_session < :session
    )
    ORDER BY origin_session, horizon,
        CASE kind WHEN 'live' THEN 0 WHEN 'late' THEN 1 ELSE 2 END, issued_at DESC"""  # noqa: S608


def totals_since_newest(
    connection: Connection, symbol: str, target: str, *, session: date
) -> pd.DataFrame:
    """The published totals before a session that had not closed at the newest origin before it.

    They are rows of table total_forecasts, ascending, those of that origin among them.
    """
    values = {"symbol": symbol, "target": target, "session": session}
    found = view_result(connection, "total_forecasts", _SINCE_NEWEST, values)
    rows = pd.DataFrame(found, columns=list(found.keys()))
    return rows.drop_duplicates(["origin_session", "horizon"])


# With the horizons named SQLite finds the forecasts by their key.
_OF_ORIGIN = """symbol = :symbol AND target = :target AND kind IN ('live', 'late', 'replay')
    AND horizon IN (1, 2, 3, 4, 5) AND origin_session = :origin_session ORDER BY horizon"""


def published(
    connection: Connection,
    symbol: str,
    target: str,
    *,
    origin: date | None = None,
    last: date = date.max,
) -> list[ForecastRow]:
    """The published forecasts of an origin, the nearest session first; empty without any.

    Args:
        connection: An open one.
        symbol: Whose.
        target: Of what.
        origin: Their origin; None for the newest.
        last: The newest session that this may be.
    """
    if origin is None:
        wanted = (*of_series(forecast, symbol, target), forecast.role == PUBLISHED)
        newest_origin = select(func.max(forecast.origin_session))
        origin = connection.scalar(newest_origin.where(*wanted, forecast.origin_session <= last))
    of_origin = {"symbol": symbol, "target": target, "origin_session": origin}
    return _with_fetch(connection, "published_forecasts", _OF_ORIGIN, of_origin)


def newest_published(connection: Connection) -> list[ForecastRow]:
    """What is published one session ahead at the newest origin of each symbol and target."""
    ahead = "horizon = 1 ORDER BY symbol, target"
    return _with_fetch(connection, "latest_forecasts", ahead, {})


def _with_fetch(
    connection: Connection, view: str, condition: str, values: Mapping[str, object]
) -> list[ForecastRow]:
    chosen = f"(SELECT v.*, b.title, b.source FROM {view} v JOIN fetches b ON b.id = v.fetch_id) v"  # noqa: S608 - of this package
    return records_of(ForecastRow, view_result(connection, chosen, condition, values))


def totals_of(
    connection: Connection, symbols: Collection[str], origin: date
) -> dict[tuple[Any, ...], list[TotalRow]]:
    """The totals of an origin, the shortest first, by the key of the forecast one session ahead."""
    totals = total_forecasts.c
    of_origin = (totals.target.in_(TARGETS), totals.origin_session == origin)
    statement = (
        select(total_forecasts)
        .where(totals.symbol.in_(symbols), *of_origin)
        .order_by(totals.horizon)
    )
    by_key: dict[tuple[Any, ...], list[TotalRow]] = {}
    for total in records(connection, TotalRow, statement):
        first = replace(total, horizon=HORIZONS[0])
        by_key.setdefault(attrgetter(*FORECAST_KEY)(first), []).append(total)
    return by_key


def bars_of_nights(
    connection: Connection, symbols: Collection[str], origin: date, *, first: date
) -> pd.DataFrame:
    """The bars from `first` to an origin as its nights had them, by session.

    Columns symbol, target, kind and model_id of what was published, session, the values, and
    settled, whether a fetch up to the night's own has confirmed it.
    """
    of = forecast["symbol", "target", "kind", "model_id"]
    at = forecast.data_as_of
    is_settled = func.coalesce(bar.settled_at <= at, sa.false()).label("settled")
    was_current = bar.superseded_at.is_(None) | (bar.superseded_at > at)
    statement = (
        select(*of, *bar["session", *PRICES], is_settled)
        .join(forecasts, forecast.symbol == bar.symbol)
        .where(forecast.symbol.in_(symbols), forecast.target.in_(get_args(Target)))
        .where(forecast.kind.in_(KINDS), forecast.horizon == HORIZONS[0])
        .where(forecast.origin_session == origin, forecast.role == PUBLISHED)
        .where(bar.session.between(first, origin), bar.first_seen_at <= at, was_current)
        .order_by(bar.session)
    )
    return frame(connection, statement)


def issued_before(
    connection: Connection, symbol: str, target: str, *, session: date
) -> tuple[date, datetime] | None:
    """The newest origin before a session, and the instant of the bars of its forecasts.

    None before the first.
    """
    newest = connection.execute(_before(symbol, target, session).limit(1)).first()
    return None if newest is None else (newest.origin_session, newest.data_as_of)


def in_fallback(connection: Connection, symbol: str, target: str, *, before: date) -> bool:
    """Whether the network's forecast of the newest origin before a session was not published."""
    of_network = (forecast.calibration != "", forecast.role.in_((PUBLISHED, NETWORK)))
    issued = _before(symbol, target, before).where(*of_network)
    newest = connection.execute(issued.limit(1)).first()
    return newest is not None and newest.role == NETWORK


def _before(symbol: str, target: str, session: date) -> sa.Select[Any]:
    """The forecasts of origins before a session, newest first, then live, then last issued."""
    wanted = (*of_series(forecast, symbol, target), forecast.origin_session < session)
    newest_first = (forecast.origin_session.desc(), *best_first(forecast))
    return select(*forecast).where(*wanted).order_by(*newest_first)


_NAMES = ", ".join(FORECAST_KEY)
_SCORED = f"role = '{PUBLISHED}' AND actual IS NOT NULL"
_ANSWERS = {  # table or view, condition, order
    "latest": ("latest_forecasts", "1 = 1", "symbol, horizon"),
    "totals": ("latest_totals", "1 = 1", "symbol, horizon"),
    "history": ("forecast_vs_actual", _SCORED, "origin_session DESC, symbol, horizon"),
    "skill": ("live_skill", "1 = 1", "symbol, kind, horizon, window_sessions"),
    "why": (
        "forecast_parts",
        f"({_NAMES}) IN (SELECT {_NAMES} FROM latest_forecasts)",  # noqa: S608 - of this file
        "symbol, horizon, place",
    ),
}


def answer(
    connection: Connection, question: str, equal: Mapping[str, object], *, limit: int
) -> list[Row]:
    """The rows of one of _ANSWERS in which columns are `equal` to these values, at most `limit`."""
    name, condition, order = _ANSWERS[question]
    wanted = " AND ".join([condition, *(f"{column} = :{column}" for column in equal)])
    ordered = f"{wanted} ORDER BY {order} LIMIT :limit"
    answers = view_result(connection, name, ordered, {**equal, "limit": limit})
    return [dict(row) for row in answers.mappings()]
