"""Forecasts as issued."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy import Connection, func, select

from forecasting.errors import StoreError
from forecasting.store.frames import (
    Row,
    best_first,
    first_row,
    frame,
    of_series,
    same_forecast,
    view_result,
)
from forecasting.store.read.inputs import LATEST, next_history, split_factors
from forecasting.store.schema import (
    FORECAST_KEY,
    fetch,
    fetches,
    forecast,
    forecast_parts,
    model,
    models,
    part,
)
from forecasting.vocabulary import HORIZONS, LSTM, NETWORK, PUBLISHED, QUANTILE_COLUMNS


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
    closed = (*of_series(forecast, symbol, target), forecast.target_session <= origin)
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
    issued = frame(connection, statement).drop_duplicates(["origin_session", "horizon"])
    is_newest = issued.groupby("horizon").cumcount(ascending=False) < limit
    issued = issued[is_newest].reset_index(drop=True)
    last = pd.Timestamp(known_at or LATEST)
    # Before pandas 3 a Timedelta is of nanoseconds, and so would be the difference; these end in
    # 2262, before `last`.
    moment = pd.Timedelta(microseconds=1).as_unit("us")
    before = next_history(connection, symbol, issued["data_as_of"]) - moment
    issued["bars_at"] = before.where(before < last, last)
    issued["split_factor"] = split_factors(
        connection,
        symbol,
        issued,
        until=issued["bars_at"],
    )
    return issued[[*names, "bars_at", "split_factor"]]


_SINCE_NEWEST = """symbol = :symbol AND target = :target AND role = 'published'
    AND origin_session < :session AND target_session > (
        SELECT max(n.origin_session) FROM total_forecasts n
        WHERE n.symbol = :symbol AND n.target = :target AND n.role = 'published'
            AND n.origin_session < :session
    )
    ORDER BY origin_session, horizon,
        CASE kind WHEN 'live' THEN 0 WHEN 'late' THEN 1 ELSE 2 END, issued_at DESC"""


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


def published(
    connection: Connection, symbol: str, target: str, *, origin: date | None = None
) -> pd.DataFrame:
    """The published forecasts of an origin (None: the newest), one a horizon, all columns.

    Raises:
        StoreError: There is none.
    """
    wanted = (*of_series(forecast, symbol, target), forecast.role == PUBLISHED)
    newest_origin = select(func.max(forecast.origin_session)).where(*wanted).scalar_subquery()
    of_origin = forecast.origin_session == (newest_origin if origin is None else origin)
    statement = select(*forecast).where(*wanted, of_origin)
    every = frame(connection, statement.order_by(forecast.horizon, *best_first(forecast)))
    if every.empty:
        origins = (func.min(forecast.origin_session), func.max(forecast.origin_session))
        oldest, latest = connection.execute(select(*origins).where(*wanted)).one()
        there = f"origins from {oldest} to {latest}" if oldest else "none"
        at = f" at {origin}" if origin else ""
        command = f"catch-up --from {origin} --to {origin}" if origin else "run"
        raise StoreError(
            f"Expected a forecast of {symbol} {target}{at} in the database; found {there}. Make "
            f"one, with the options --source and --market of earlier nights: forecasting {command} "
            f"--symbol {symbol} --target {target}"
        )
    return every.drop_duplicates("horizon", ignore_index=True)


def issued_before(
    connection: Connection, symbol: str, target: str, *, session: date
) -> tuple[date, datetime] | None:
    """The newest origin before a session, and the instant of the bars of its forecasts.

    None before the first.
    """
    newest = first_row(connection, _before(symbol, target, session))
    return None if newest is None else (newest["origin_session"], newest["data_as_of"])


def in_fallback(connection: Connection, symbol: str, target: str, *, before: date) -> bool:
    """Whether the network's forecast of the newest origin before a session was not published."""
    of_network = (forecast.calibration != "", forecast.role.in_((PUBLISHED, NETWORK)))
    newest = first_row(connection, _before(symbol, target, before).where(*of_network))
    return newest is not None and newest["role"] == NETWORK


def _before(symbol: str, target: str, session: date) -> sa.Select[Any]:
    """The forecasts of origins before a session, newest first, then live, then last issued."""
    wanted = (*of_series(forecast, symbol, target), forecast.origin_session < session)
    newest_first = (forecast.origin_session.desc(), *best_first(forecast))
    return select(*forecast).where(*wanted).order_by(*newest_first)


def newest_published(
    connection: Connection, symbols: Sequence[str], target: str, *, last: date
) -> pd.DataFrame:
    """Each symbol's newest published forecast one session ahead, made on `last` or before it.

    Returns:
        Columns symbol, target_session, last_value, the quantiles, and usual, its part of the
        median, NaN in forecasts of before 0.3.
    """
    wanted = (
        forecast.target == target,
        forecast.symbol.in_(symbols),
        forecast.horizon == 1,
        forecast.role == PUBLISHED,
        forecast.origin_session <= last,
    )
    newest = (
        select(forecast.symbol, func.max(forecast.origin_session).label("origin_session"))
        .where(*wanted)
        .group_by(forecast.symbol)
        .subquery()
    )
    of_newest = (newest.c.symbol == forecast.symbol) & (
        newest.c.origin_session == forecast.origin_session
    )
    names = ("symbol", "target_session", "last_value", *QUANTILE_COLUMNS)
    statement = (
        select(*forecast[names], part.factor.label("usual"))
        .join(newest, of_newest)
        .outerjoin(forecast_parts, same_forecast(part, forecast) & (part.part == "usual"))
        .where(*wanted)
        .order_by(forecast.symbol, *best_first(forecast), forecast.model_id)
    )
    return frame(connection, statement).drop_duplicates("symbol", ignore_index=True)


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
    answers = view_result(
        connection,
        name,
        ordered,
        {**equal, "limit": limit},
    )
    return [dict(row) for row in answers.mappings()]
