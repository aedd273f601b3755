"""Scores, the losses that decide, and the forecasts that are still to be scored."""

import math
from collections import defaultdict
from collections.abc import Collection
from datetime import date, datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import Any, get_args

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy import Connection, func, select

from forecasting.evaluate.standings import LOSSES
from forecasting.store.frames import (
    Row,
    frame,
    kind_rank,
    of_series,
    records_of,
    same_forecast,
    view_frame,
    view_result,
)
from forecasting.store.read.inputs import (
    LATEST,
    PRICES,
    has_changed_basis,
    next_history,
    on_basis_at,
    split_factors,
)
from forecasting.store.rows import ResultRow
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
    scores,
    total_forecasts,
)
from forecasting.store.score_views import counted, same
from forecasting.targets import TARGETS
from forecasting.vocabulary import HORIZONS, KINDS, PUBLISHED, QUANTILE_COLUMNS, RIVAL, Role, Target

LOSS_COLUMNS = ("origin_session", "horizon", "forecaster", "target_session", "pinball", "inside_80")
"""One row per origin, horizon and forecaster: `lstm`, the network whether published or not, or a
baseline's name.

Pinball loss in the target's unit; inside_80 is 1.0 or 0.0.
"""

# As every night saw them: no bar that was stored, and none that was settled, only later.
# A join would let SQLite read all bars of a symbol again for each score.
_KNOWN = """(
    SELECT s.* FROM scores s
    WHERE s.target_session <= :target_session AND EXISTS (
        SELECT 1 FROM bar_versions b
        WHERE b.symbol = s.symbol AND b.session = s.target_session AND b.version = s.bar_version
            AND b.first_seen_at <= :first_seen_at
            AND (s.stage = 'first_print' OR b.settled_at <= :first_seen_at)
    )
)"""
# With kinds and horizons named SQLite finds the scores by their key, and does not read every year.
_OF_SERIES = """symbol = :symbol AND target = :target AND kind IN ('live', 'late', 'replay')
    AND horizon IN (1, 2, 3, 4, 5)"""
_IN_ORDER = "ORDER BY origin_session, horizon, forecaster"


def counted_scores(connection: Connection, symbol: str, target: str) -> pd.DataFrame:
    """The scores of one symbol and target that count, with their forecasts' quantiles.

    Columns of view counted_scores, name (of the model), the quantiles, issued_at, data_as_of and
    first_received, by origin, horizon and forecaster.
    """
    of_series = {"symbol": symbol, "target": target}
    return view_frame(connection, _with_forecast("scores"), f"{_OF_SERIES} {_IN_ORDER}", of_series)


def _with_forecast(scores: str) -> str:
    """The scores that count of a table or query, with their forecasts' quantiles and fetches."""
    return f"""(
        SELECT c.*, m.name, {", ".join(f"f.{name}" for name in QUANTILE_COLUMNS)}, f.issued_at,
            f.data_as_of, b.first_received
        FROM ({counted(scores)}) c JOIN forecasts f ON {same("f", "c", FORECAST_KEY)}
            JOIN models m ON m.id = c.model_id JOIN fetches b ON b.id = f.fetch_id
        WHERE c.counts
    ) c"""  # noqa: S608 - of this package's own texts


_NEWEST_SCORE = f"""(
    SELECT c.symbol, c.target, c.kind, c.target_session, f.q10, f.q50, f.q90, c.actual, c.inside_80,
        row_number() OVER (PARTITION BY c.symbol, c.target ORDER BY c.origin_session DESC) AS place
    FROM counted_scores c JOIN forecasts f ON {same("f", "c", FORECAST_KEY)}
    WHERE c.symbol IN :symbols AND c.target IN :targets
        AND c.kind IN ('live', 'late', 'replay') AND c.horizon = 1
        AND c.forecaster = '{PUBLISHED}' AND c.counts AND c.origin_session >= :origin_session
        AND c.target_session <= :target_session
) c"""  # noqa: S608 - of this package


def last_results(
    connection: Connection,
    symbols: Collection[str],
    *,
    first: date,
    last: date = date.max,
) -> dict[tuple[str, str], ResultRow]:
    """The newest result by symbol and target, of origins from `first` and sessions up to `last`."""
    of_series = {"symbols": list(symbols), "targets": list(TARGETS)}
    wanted = {**of_series, "origin_session": first, "target_session": last}
    found = view_result(connection, _NEWEST_SCORE, "place = 1", wanted)
    return {(row.symbol, row.target): row for row in records_of(ResultRow, found)}


def scored(
    connection: Connection,
    symbol: str,
    target: str,
    *,
    first: date,
    last: date | None,
    known_at: datetime,
) -> pd.DataFrame:
    """The counted scores of what was published, on the share basis of `known_at`.

    Args:
        connection: An open one.
        symbol: Whose.
        target: Of what.
        first: Oldest origin.
        last: Newest target session, and with it the scores as they were known at `known_at`; None
            for all, as they are now.
        known_at: Instant of the bars that the night had.

    Returns:
        Columns of `counted_scores` but data_as_of and first_received.
    """
    wanted: dict[str, object] = {"symbol": symbol, "target": target, "origin_session": first}
    scores_then = "scores"
    if last is not None:
        scores_then = _KNOWN
        wanted |= {"target_session": last, "first_seen_at": known_at}
    published = f"(SELECT s.* FROM {scores_then} s WHERE s.role = '{PUBLISHED}')"  # noqa: S608 - of this file
    of_published = f"origin_session >= :origin_session AND forecaster = '{PUBLISHED}'"
    condition = f"{_OF_SERIES} AND {of_published} {_IN_ORDER}"
    rows = view_frame(connection, _with_forecast(published), condition, wanted)
    of_value = (*QUANTILE_COLUMNS, "actual", "error", "pinball")
    return on_basis_at(connection, symbol, target, rows, of_value, at=known_at)


def losses(
    connection: Connection,
    symbol: str,
    target: str,
    *,
    last: date,
    origins: int,
    known_at: datetime | None = None,
) -> pd.DataFrame:
    """One loss per forecaster (`lstm` or a baseline), origin and horizon, ascending.

    A baseline published in the network's place counts under its own name, and the network that it
    replaced as network: otherwise one that was once behind could never be published again.

    Args:
        connection: An open one.
        symbol: Whose.
        target: Of what.
        last: Newest target session.
        origins: Newest scored origins.
        known_at: Instant of the share basis, and at which bars were stored and settled; None for
            now.

    Returns:
        Columns LOSS_COLUMNS; inside_80 1.0 or 0.0.
    """
    wanted = _wanted(connection, symbol, target, origins=origins, last=last, known_at=known_at)
    line = (score.origin_session, score.horizon, score.model)
    newest_first = (score[name].desc() for name in ("stage", "bar_version", "issued_at"))
    statement = (
        select(*line, *score["target_session", "pinball", "inside_80"])
        .where(*wanted, score.role.in_(get_args(Role)), score.role != RIVAL)
        .order_by(*line, kind_rank(score.kind), *newest_first, score.model_id)
    )
    has_changed = has_changed_basis(connection, symbol)
    if has_changed:  # to find the forecast of each score takes longer than all the rest
        of_forecast = same_forecast(forecast, score)
        statement = statement.add_columns(forecast.data_as_of, fetch.first_received)
        statement = statement.join(forecasts, of_forecast).join(fetches)
    every = frame(connection, statement).rename(columns={"model": "forecaster"})
    every = every.drop_duplicates(["origin_session", "horizon", "forecaster"])
    if has_changed:
        every = on_basis_at(connection, symbol, target, every, ["pinball"], at=known_at)
    counted = _newest_origins(every, origins).reset_index(drop=True)
    return counted.assign(inside_80=counted["inside_80"].astype(float))


def _newest_origins(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """The rows of the newest `count` origins among them; column origin_session."""
    newest = np.sort(rows["origin_session"].unique())[-count:]
    return rows[rows["origin_session"].isin(newest)]


def _wanted(
    connection: Connection,
    symbol: str,
    target: str,
    *,
    origins: int,
    last: date | None,
    known_at: datetime | None,
) -> list[sa.ColumnElement[bool]]:
    """Conditions that a score is of a target session up to `last`, and was known at an instant.

    They keep the newest scored origins, and few others.
    """
    wanted = [*of_series(score, symbol, target)]
    if last is not None:
        wanted.append(score.target_session <= last)
    if known_at is not None:
        same = (bar[name] == score[other] for name, other in _BAR.items())
        settled = (score.stage == "first_print") | (bar.settled_at <= known_at)
        stored = sa.exists().where(*same, bar.first_seen_at <= known_at, settled)
        wanted.append(stored.correlate(scores))
    # The n-th newest origin of each kind one session ahead, which is scored first, by the order of
    # the key alone: the n-th newest of all is as new as any of these.
    nth_newest = [
        select(score.origin_session)
        .where(*wanted, score.kind == kind, score.horizon == min(HORIZONS))
        # SQLite drops a DISTINCT in a scalar subquery, and skips rows instead
        .group_by(score.origin_session)
        .order_by(score.origin_session.desc())
        .limit(1)
        .offset(origins - 1)
        .scalar_subquery()
        for kind in KINDS
    ]
    of_kinds = connection.execute(select(*nth_newest)).one()
    oldest = max(filter(None, of_kinds), default=date.min)
    # Kind and horizon precede the origin in the key: without them SQLite reads every year.
    return [
        *wanted,
        score.kind.in_(KINDS),
        score.horizon.in_(HORIZONS),
        score.origin_session >= oldest,
    ]


def standing_scores(
    connection: Connection, symbol: str, target: str, kind: str, *, nights: int
) -> pd.DataFrame:
    """The scores of the newest `nights` with one of what was published, at each horizon, or more.

    Columns origin_session, horizon, role, model and LOSSES, the newest forecast of a slot before
    older ones, and its settled score before the first.
    """
    of_kind = (*of_series(score, symbol, target), score.kind == kind)
    # Grouped, since SQLite reads a DISTINCT to its end
    nth_newest = [
        select(score.origin_session)
        .where(*of_kind, score.horizon == horizon, score.role == PUBLISHED)
        .group_by(score.origin_session)
        .order_by(score.origin_session.desc())
        .limit(1)
        .offset(nights - 1)
        .scalar_subquery()
        for horizon in HORIZONS
    ]
    oldest = min(day or date.min for day in connection.execute(select(*nth_newest)).one())
    newest_first = (score[name].desc() for name in ("stage", "bar_version"))
    statement = (
        select(*score["origin_session", "horizon", "role", "model"], *score[LOSSES])
        .where(*of_kind, score.horizon.in_(HORIZONS), score.origin_session >= oldest)
        .where(score.role.in_(get_args(Role)))
        .order_by(score.issued_at.desc(), score.model_id, *newest_first)
    )
    return frame(connection, statement)


_BAR = {"symbol": "symbol", "session": "target_session", "version": "bar_version"}
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


# With the horizons named SQLite finds a score by its key, and does not read every year. A bar that
# is settled as it was first stored has one score; before 0.4 it had two.
_OF_TOTALS = f"""(
    SELECT DISTINCT f.*, m.name AS model, s.horizon AS place, t.stage, s.bar_version, s.actual,
        (
            SELECT max(d.bar_version) FROM total_scores d
            WHERE {same("d", "f", FORECAST_KEY)} AND d.stage = t.stage
        ) AS scored_version
    FROM total_forecasts f JOIN models m ON m.id = f.model_id
    JOIN scores s ON s.symbol = f.symbol AND s.target = f.target AND s.kind = f.kind
        AND f.horizon <= 5 AND s.horizon IN (1, 2, 3, 4, 5) AND s.horizon <= f.horizon
        AND s.origin_session = f.origin_session AND s.model_id = f.model_id
    JOIN bar_versions b ON b.symbol = s.symbol AND b.session = s.target_session
        AND b.version = s.bar_version
    JOIN (SELECT 'first_print' AS stage UNION ALL SELECT 'settled') t
        ON CASE t.stage WHEN 'first_print' THEN s.stage = 'first_print' ELSE
            b.settled_at <= :first_seen_at
            AND (b.superseded_at IS NULL OR b.superseded_at > :first_seen_at)
        END
    WHERE b.first_seen_at <= :first_seen_at
) f"""  # noqa: S608 - of this package


_ENDING = """symbol = :symbol AND target = :target AND origin_session >= :origin_session
    AND target_session >= :target_session ORDER BY place, stage"""


def unscored_totals(
    connection: Connection,
    symbol: str,
    target: str,
    *,
    first: date,
    known_at: datetime | None = None,
) -> pd.DataFrame:
    """Totals that end with a session or later and are to be scored, once for each stage.

    At a stage all their sessions are scored, and the total is not by these bars. Stage settled is
    left out where all these bars are as they were first stored.

    Args:
        connection: An open one.
        symbol: Whose.
        target: Of what.
        first: The first session with which they end.
        known_at: Instant up to which bars count; None for now.

    Returns:
        Columns of table total_forecasts, model, stage, and the sums over the sessions of
        bar_version and actual, on the share basis of the day the forecast was issued.
    """
    values = {
        "symbol": symbol,
        "target": target,
        "target_session": first,
        "first_seen_at": known_at or LATEST,
        "origin_session": first - timedelta(days=30),  # by which the key finds them
    }
    found = view_result(connection, _OF_TOTALS, _ENDING, values)
    sessions = defaultdict[tuple[Any, ...], list[Row]](list)
    for row in found.mappings():
        sessions[*itemgetter(*FORECAST_KEY)(row), row["stage"]].append(dict(row))
    totals: dict[tuple[Any, ...], Row] = {}
    for (*key, _), rows in sessions.items():
        total = rows[-1]
        if len(rows) == total["horizon"]:
            total["bar_version"] = sum(row["bar_version"] for row in rows)
            total["actual"] = math.fsum(row["actual"] for row in rows)
            totals.setdefault((*key, total["bar_version"]), total)
    unscored = [row for row in totals.values() if row["bar_version"] != row["scored_version"]]
    return pd.DataFrame(unscored, columns=list(found.keys()))


def closed_long_totals(
    connection: Connection,
    symbol: str,
    target: Target,
    *,
    first: date,
    last: date = date.max,
    known_at: datetime | None = None,
) -> pd.DataFrame:
    """Totals of more sessions than are forecast that end from `first` to `last`.

    A row a stage at which all their sessions have a bar; bars, columns and stages are as of
    `unscored_totals`, whether they are scored or not.
    """
    since = first - _LONGEST  # by which the key finds them
    values = {"symbol": symbol, "target": target, "first": first, "last": last, "since": since}
    statement, actual = _long_totals(target)
    totals = frame(connection, statement, values)
    if totals.empty:
        return totals.assign(stage="", bar_version=0, actual=0.0)
    values |= {"first": since, "known_at": known_at or LATEST}
    bars = frame(connection, actual, values)
    about = ["origin_session", "target_session", "data_as_of", "first_received"]
    each = totals[about].merge(bars, how="cross")
    seen_at = each["first_seen_at"]
    each["volume"] /= split_factors(connection, symbol, each, until=seen_at)
    within = (each["session"] > each["origin_session"]) & (
        each["session"] <= each["target_session"]
    )
    is_other = seen_at >= next_history(connection, symbol, each["data_as_of"])
    is_known = within & ~is_other & (each["volume"] > 0.0)
    stages = {"first_print": each["stage"] == "first_print", "settled": each["is_settled"]}
    closed = []
    for stage, is_stage in stages.items():
        used = (is_known & is_stage).to_numpy().reshape(len(totals), len(bars))
        version, actual = (
            np.where(used, each[name].to_numpy().reshape(used.shape), 0).sum(axis=1)
            for name in ("bar_version", "volume")
        )
        of_stage = totals.assign(stage=stage, bar_version=version, actual=actual)
        closed.append(of_stage[used.sum(axis=1) == totals["horizon"]])
    return pd.concat(closed).drop_duplicates([*FORECAST_KEY, "bar_version"], ignore_index=True)


_LONGEST = timedelta(days=60)  # of the longest total, on any exchange


@lru_cache
def _long_totals(target: Target) -> tuple[sa.Select[Any], sa.Select[Any]]:
    """The statements of long totals that end in a span, and of all bars in one."""
    total = total_forecasts.c
    of_first = (total[name] == forecast[name] for name in FORECAST_KEY if name != "horizon")
    statement = (
        select(total_forecasts, forecast.data_as_of, fetch.first_received)
        .add_columns(model.name.label("model"))
        .join(forecasts, sa.and_(forecast.horizon == HORIZONS[0], *of_first))
        .join(models, model.id == total.model_id)
        .join(fetches, fetch.id == forecast.fetch_id)
        .where(*of_series(total, sa.bindparam("symbol"), sa.bindparam("target")))
        .where(total.horizon > len(HORIZONS), total.target_session.between(*_SPAN))
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
