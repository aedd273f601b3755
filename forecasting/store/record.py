"""What was published and how it did: the rows behind the report, the promotion test and `check`."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pandas as pd
import sqlalchemy as sa

from forecasting.errors import StoreError
from forecasting.preprocess.targets import HORIZONS
from forecasting.store import tables
from forecasting.store.frames import Row, first_row, frame, kind_rank

_KINDS = ("live", "late", "replay")


def published(connection: sa.Connection, symbol: str, target: str, *, origin: date | None = None) -> pd.DataFrame:
    """The rows that spoke at an origin (the newest unless told), one per horizon, all columns of table forecasts.

    Raises:
        StoreError: Nothing was forecast then.
    """
    said = tables.forecasts
    wanted = [said.c.symbol == symbol, said.c.target == target, said.c.role == "champion"]
    newest = sa.select(sa.func.max(said.c.origin_session)).where(*wanted).scalar_subquery()
    wanted.append(said.c.origin_session == (newest if origin is None else origin))
    found = frame(
        connection,
        sa.select(said).where(*wanted).order_by(said.c.horizon, kind_rank(said.c.kind), said.c.issued_at.desc()),
    )
    if found.empty:
        at = f" at the origin {origin}" if origin else ""
        raise StoreError(
            f"A {target} forecast of {symbol}{at} was expected in the database; found none. "
            f"Make one: forecasting run --symbol {symbol} --target {target}"
        )
    return found.drop_duplicates("horizon", ignore_index=True)


def has_forecasts(connection: sa.Connection, run_id: str) -> bool:
    """Whether a run has written its forecasts."""
    said, run = tables.forecasts, tables.runs
    # Forecasts lie by symbol, target and origin, which are the run's; by the run's id alone all of them would be read.
    same = (said.c.symbol == run.c.symbol, said.c.target == run.c.target, said.c.origin_session == run.c.as_of)
    own = sa.select(sa.literal(1)).where(run.c.id == run_id, *same, said.c.run_id == run_id).limit(1)
    return connection.scalar(own) is not None


def unfinished_run(connection: sa.Connection, symbol: str, target: str, *, after: date) -> Row | None:
    """The run of the newest session after `after` where it waits, went on without its bar, or failed; else None."""
    table = tables.runs
    wanted = (table.c.symbol == symbol, table.c.target == target, table.c.as_of > after)
    newest = sa.select(table).where(*wanted).order_by(table.c.as_of.desc(), table.c.started_at.desc()).limit(1)
    found = first_row(connection, newest)
    return found if found is not None and found["status"] in ("late", "failed") else None


def newest_live_origin(connection: sa.Connection, symbol: str, target: str) -> date | None:
    """The newest origin with a live forecast; None when there is none."""
    said = tables.forecasts
    wanted = (said.c.symbol == symbol, said.c.target == target, said.c.kind == "live", said.c.role == "champion")
    found: date | None = connection.scalar(sa.select(sa.func.max(said.c.origin_session)).where(*wanted))
    return found


def scored(connection: sa.Connection, symbol: str, target: str, *, origins: int) -> pd.DataFrame:
    """Scores joined to their forecasts and the model's name, of the newest `origins` scored origins.

    Ascending by origin, horizon and model; every kind, stage and bar version.
    """
    said, judged, model = tables.forecasts, tables.scores, tables.models
    wanted = [judged.c.symbol == symbol, judged.c.target == target]
    key = [said.c[column.name] == judged.c[column.name] for column in said.primary_key]
    judgement = [
        judged.c[name] for name in ("stage", "bar_version", "actual", "error", "pinball", "inside_80", "inside_90")
    ]
    statement = (
        sa.select(said, *judgement, model.c.name)
        .join(judged, sa.and_(*key))
        .join(model, model.c.id == said.c.model_id)
        .where(*wanted, *_newer(connection, wanted, origins))
        .order_by(
            said.c.origin_session, said.c.horizon, said.c.model_id, said.c.kind, judged.c.stage, judged.c.bar_version
        )
    )
    return _newest_origins(frame(connection, statement), origins)


def _bar_known(judged: sa.Table, known_at: datetime) -> sa.ColumnElement[bool]:
    bar = tables.bar_versions
    same = (bar.c.symbol == judged.c.symbol, bar.c.session == judged.c.target_session)
    settled = (judged.c.stage == "first_print") | (bar.c.settled_at <= known_at)
    return (
        sa.exists()
        .where(*same, bar.c.version == judged.c.bar_version, bar.c.first_seen_at <= known_at, settled)
        .correlate(judged)
    )


def scored_lines(
    connection: sa.Connection,
    symbol: str,
    target: str,
    *,
    last: date,
    origins: int,
    known_at: datetime | None = None,
) -> pd.DataFrame:
    """Losses for the tests of promotion, fallback and drift.

    Columns origin_session, horizon, target_session, line, pinball, inside_80 (1 or 0).

    A line is `champion`, `challenger` or a baseline's name. One loss per origin, horizon and line: live before late
    before replay, settled before first print, the newest bar version and model before others. A baseline that spoke in
    the champion's place counts as itself, and the champion that had to be silent still as champion: else, once behind,
    it could never be seen to have caught up.

    No session after `last`; with `known_at` only scores that could be made at that instant, of bars then stored and
    settled.
    """
    judged = tables.scores
    wanted = [judged.c.symbol == symbol, judged.c.target == target, judged.c.target_session <= last]
    if known_at is not None:
        wanted.append(_bar_known(judged, known_at))
    names = ("origin_session", "horizon", "target_session", "role", "model", "pinball", "inside_80")
    newest_first = (judged.c.bar_version.desc(), judged.c.issued_at.desc(), judged.c.model_id)
    statement = (
        sa.select(*(judged.c[name] for name in names))
        .where(*wanted, *_newer(connection, wanted, origins))
        .order_by(kind_rank(judged.c.kind), judged.c.stage.desc(), *newest_first)
    )
    found = _newest_origins(frame(connection, statement), origins)
    roles = found["role"].replace({"silenced": "champion"})
    lines = found.assign(line=roles.where(found["model"] == "lstm", found["model"]))
    once = lines.drop_duplicates(["origin_session", "horizon", "line"])
    kept = once.assign(inside_80=once["inside_80"].astype(float))
    in_order = kept.sort_values(["origin_session", "horizon", "line"], ignore_index=True)
    return in_order[["origin_session", "horizon", "target_session", "line", "pinball", "inside_80"]]


def _newer(
    connection: sa.Connection, wanted: list[sa.ColumnElement[bool]], origins: int
) -> list[sa.ColumnElement[bool]]:
    """What keeps the newest `origins` scored origins, and few others, by the order of the key alone.

    Each kind and horizon is asked for its own n-th newest origin: the n-th newest of all is as new as any of these.
    """
    judged = tables.scores
    asked = [
        sa.select(judged.c.origin_session)
        .where(*wanted, judged.c.kind == kind, judged.c.horizon == horizon)
        .group_by(judged.c.origin_session)  # SQLite forgets a DISTINCT in a scalar subquery, and skips rows instead
        .order_by(judged.c.origin_session.desc())
        .limit(1)
        .offset(origins - 1)
        .scalar_subquery()
        for kind in _KINDS
        for horizon in HORIZONS
    ]
    found = connection.execute(sa.select(*asked)).one()
    oldest = max((origin for origin in found if origin is not None), default=date.min)
    # Kind and horizon stand before the origin in the key: without them SQLite reads every year.
    return [judged.c.kind.in_(_KINDS), judged.c.horizon.in_(HORIZONS), judged.c.origin_session >= oldest]


def _newest_origins(found: pd.DataFrame, origins: int) -> pd.DataFrame:
    newest = np.sort(found["origin_session"].unique())[-origins:]
    return found[found["origin_session"].isin(newest)].reset_index(drop=True)


def findings(connection: sa.Connection, fetch_id: str) -> pd.DataFrame:
    """What stood when a fetch had been written, and what it newly found, ascending by session.

    Columns session, rule, severity, value, detail and since, the instant of the fetch that first showed it: its own for
    what is new.
    """
    table, fetch, first = tables.findings, tables.fetches.alias("fetch"), tables.fetches.alias("first")
    columns = [table.c[name] for name in ("session", "rule", "severity", "value", "detail")]
    stood = (first.c.fetched_at <= fetch.c.fetched_at) & (
        table.c.cleared_at.is_(None) | (table.c.cleared_at > fetch.c.fetched_at)
    )
    statement = (
        sa.select(*columns, first.c.fetched_at.label("since"))
        .join(first, first.c.id == table.c.fetch_id)
        .join(fetch, fetch.c.symbol == table.c.symbol)
        .where(fetch.c.id == fetch_id, stood | (table.c.fetch_id == fetch_id))
        .order_by(table.c.session, table.c.rule, first.c.fetched_at)
    )
    return frame(connection, statement)
