"""Scores, and the losses that decide."""

from collections.abc import Collection
from datetime import date, datetime
from typing import get_args

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy import Connection, select

from forecasting.store.frames import (
    frame,
    kind_rank,
    of_series,
    records_of,
    same_forecast,
    view_frame,
    view_result,
)
from forecasting.store.read.inputs import has_changed_basis, on_basis_at
from forecasting.store.rows import ResultRow
from forecasting.store.schema import (
    FORECAST_KEY,
    bar,
    fetch,
    fetches,
    forecast,
    forecasts,
    score,
    scores,
)
from forecasting.store.score_views import counted, same
from forecasting.store.standings import LOSSES
from forecasting.targets import TARGETS
from forecasting.vocabulary import HORIZONS, KINDS, PUBLISHED, QUANTILE_COLUMNS, RIVAL, Role

_BAR = {"symbol": "symbol", "session": "target_session", "version": "bar_version"}
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
