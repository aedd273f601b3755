"""Writes to the ledger. A row whose key exists is left as it is; counts are of the rows added."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from forecasting.errors import RateLimitedError
from forecasting.evaluate.scores import ScoreRow
from forecasting.ingest.bar_rules import Finding
from forecasting.ingest.bars import payload_hash
from forecasting.ingest.revisions import Revision, adjustment
from forecasting.ingest.sources import Response
from forecasting.store import read, schema
from forecasting.store.frames import Row, of_series
from forecasting.store.read.inputs import PRICES
from forecasting.store.read.runs import passed_fits
from forecasting.store.rows import FindingRow
from forecasting.store.schema import (
    UtcDateTime,
    bar,
    bar_versions,
    fetch,
    metadata,
    model,
    run,
    runs,
    standing,
    standings,
    weight,
    weights,
)
from forecasting.store.standings import LOSSES, PUBLISHED_LOSSES, WINDOWS, standings_of
from forecasting.targets import TARGETS
from forecasting.vocabulary import KINDS, finding_id

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

WEIGHTS_KEPT = 3  # Of each series: after the newest is withdrawn, or refused, there is another
_SAME_VALUE = 1e-5  # relative; two responses of a source differ by less in the same price


class Seen(TypedDict):
    """The columns of what a fetch was the first to show."""

    symbol: str
    fetch_id: str
    first_seen_at: datetime


def add(connection: Connection, table: str, *rows: Mapping[str, object] | DataclassInstance) -> int:
    """The number of rows added to a table: those whose key did not exist.

    Of a dataclass each field is the column of its name.

    Raises:
        IntegrityError: A row violates a constraint.
    """
    into = metadata.tables[table]
    alike: dict[frozenset[str], list[Row]] = {}  # all rows of a statement have the same columns
    for row in rows:
        values = row if isinstance(row, Mapping) else vars(row)
        alike.setdefault(frozenset(values), []).append(plain(values, into))
    statement = _insert(into, connection.dialect.name)
    counted = {"preserve_rowcount": True}  # SQLAlchemy drops an insert's count unless asked
    return sum(
        connection.execute(statement, some, execution_options=counted).rowcount
        for some in alike.values()
    )


def add_frame(connection: Connection, table: str, rows: pd.DataFrame, **shared: object) -> int:
    """The number of rows of a frame added to a table, each with the shared columns."""
    return add(connection, table, *_rows(rows, shared))


def plain(row: Mapping[str, object], table: sa.Table) -> Row:
    """The row in the table's types: no NaN or NaT, no numpy types, sessions as dates."""
    makers = _makers(table)
    # NaN and NaT are not equal to themselves.
    return {
        name: None if value is None or value != value else makers[name](value)
        for name, value in row.items()
    }


@lru_cache
def _insert(table: sa.Table, dialect: str) -> sa.Insert:
    make = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return make(table).on_conflict_do_nothing(index_elements=list(table.primary_key.columns))


@lru_cache
def _makers(table: sa.Table) -> dict[str, Callable[[Any], Any]]:
    return {
        column.name: next(make for kind, make in _PLAIN if isinstance(column.type, kind))
        for column in table.columns
    }


_NOT_STORABLE = re.compile("[\0\ud800-\udfff]")
"""Characters that PostgreSQL, or both databases, refuse: NUL and halves of a surrogate pair."""

_PLAIN: list[tuple[type, Callable[[Any], Any]]] = [
    (sa.String, lambda value: _NOT_STORABLE.sub("\ufffd", str(value))),
    (UtcDateTime, lambda value: value.astimezone(UTC)),
    (sa.Date, lambda value: value.date() if isinstance(value, datetime) else value),
    (sa.Float, float),
    (sa.Boolean, bool),
    (sa.LargeBinary, bytes),
    (sa.Integer, round),
]


def add_fetch(
    connection: Connection,
    response: Response,
    revision: Revision,
    *,
    fetch_id: str,
    fetched_at: datetime,
    run_id: str,
) -> bool:
    """Whether the fetch was added, with the bars, actions and findings of its revision.

    A second write under the same id changes nothing.
    """
    request = response.request
    sessions = response.bars.index
    adjusted = adjustment(response.bars) or (None, None)
    row = {
        "id": fetch_id,
        "run_id": run_id or None,
        "source": request.source,
        "symbol": request.symbol,
        "title": response.title or request.symbol,
        "currency": response.currency,
        "first_asked": request.first,
        "last_asked": request.last,
        "library_version": response.library_version,
        "first_received": sessions.min(),
        "last_received": sessions.max(),
        "fetched_at": fetched_at,
        "row_count": len(sessions),
        "payload_hash": payload_hash(response),
        "adjustment_session": adjusted[0],
        "adjustment": adjusted[1],
        "verdict": revision.verdict,
        "detail": revision.detail,
    }
    if isinstance(revision.error, RateLimitedError):
        row["paused_until"] = fetched_at + revision.error.pause
    if not add(connection, "fetches", row):
        return False
    seen = Seen(symbol=request.symbol, fetch_id=fetch_id, first_seen_at=fetched_at)
    _add_versions(connection, revision, seen)
    actions = revision.new_actions[["session", "kind", "value"]]
    add_frame(connection, "corporate_actions", actions, **seen)
    _add_findings(connection, response, revision.findings, seen)
    return True


def _add_findings(
    connection: Connection, response: Response, findings: Sequence[Finding], seen: Seen
) -> None:
    """Add the new findings of a fetch; clear open ones on its sessions that it no longer shows.

    A persistent one keeps the fetch that first showed it, unless its value is another; others are
    cleared by their own.
    """
    of_symbol = {"symbol": seen["symbol"], "cleared_at": None}
    gone = {
        (_place(row), row.rule, row.severity): row
        for row in read.all_stored(connection, FindingRow, of_symbol)
    }
    new = []
    for finding in findings:
        key = (finding.place, finding.rule, finding.severity)
        if finding.is_persistent and key in gone and _is_same(finding.value, gone[key].value):
            del gone[key]
        else:
            new.append(finding)
    _clear(connection, response, gone.values(), at=seen["first_seen_at"])
    add(connection, "findings", *(_finding_row(one, seen) for one in new))


def _clear(
    connection: Connection, response: Response, gone: Iterable[FindingRow], *, at: datetime
) -> None:
    """Clear the findings among those gone that a fetch, made at `at`, has read the sessions of."""
    if not len(response.bars):
        return
    first = max(response.request.first, response.bars.index[0].date())
    last = response.request.last
    ids = [
        row.id
        for row in gone
        # A day unknown or still to come is of a row of a file, which is read whole
        if row.session is None or row.session > at.date() or first <= row.session <= last
    ]
    cleared = sa.update(schema.findings).where(schema.finding.id.in_(ids))
    connection.execute(cleared.values(cleared_at=at))


def _place(row: FindingRow) -> date | float | None:
    """The place of a stored finding, as `Finding.place`."""
    return row.value if row.session is None else row.session


def _finding_row(finding: Finding, seen: Seen) -> Row:
    return {
        "id": finding_id(seen["fetch_id"], finding.place, finding.rule),
        "symbol": seen["symbol"],
        "fetch_id": seen["fetch_id"],
        "cleared_at": None if finding.is_persistent else seen["first_seen_at"],
        **asdict(finding),
    }


def _is_same(value: float | None, stored: float | None) -> bool:
    before, now = np.array([stored, value], dtype=float)
    return bool(np.isclose(now, before, rtol=_SAME_VALUE, atol=0.0, equal_nan=True))


def update(connection: Connection, table: str, row_id: str, values: Mapping[str, object]) -> int:
    """The number of rows with an id whose columns were updated: 1, or 0 without such a row."""
    into = metadata.tables[table]
    of_id = sa.update(into).where(into.c.id == row_id)
    return connection.execute(of_id.values(plain(values, into))).rowcount


def keep_newest_weights(connection: Connection, symbol: str, target: str, *, session: date) -> None:
    """Delete weights but those of the newest fits that may be published.

    WEIGHTS_KEPT of all sessions, and as many up to `session`, which may be a past one.
    """
    newest = passed_fits(symbol, target).with_only_columns(model.id).limit(WEIGHTS_KEPT)
    kept = {*connection.scalars(newest), *connection.scalars(newest.where(run.as_of <= session))}
    of_symbol = select(model.id).where(*of_series(model, symbol, target))
    older = weight.model_id.in_(of_symbol), weight.model_id.not_in(kept)
    connection.execute(sa.delete(weights).where(*older))


def add_scores(connection: Connection, scores: Sequence[ScoreRow]) -> int:
    """The number of scores added; standings that they change are emptied until summed anew."""
    added = add(connection, "scores", *scores)
    if added:
        for scope in sorted({(one.symbol, one.target, one.kind) for one in scores}):
            _empty_standings(connection, *scope)
    return added


def sum_standings(connection: Connection, symbol: str, target: str) -> None:
    """Write the standings of a symbol and target that are empty."""
    filled = select(standing.kind).where(*of_series(standing, symbol, target), standing.n > 0)
    for kind in sorted({*KINDS}.difference(connection.scalars(filled.distinct()))):
        write_standings(connection, symbol, target, kind)


_SUMS = (*LOSSES, *PUBLISHED_LOSSES)
_SUMMED = ("first_origin", "last_origin", "n", *_SUMS, "squared_gap")


def write_standings(connection: Connection, symbol: str, target: str, kind: str) -> None:
    """Write the standings of one symbol, target and kind from its scores."""
    _empty_standings(connection, symbol, target, kind)
    scores = read.standing_scores(connection, symbol, target, kind, nights=max(WINDOWS))
    scope = {"symbol": symbol, "target": target, "kind": kind}
    rows = [plain(scope | row, standings) for row in standings_of(scores, TARGETS[target].grain)]
    if rows:
        connection.execute(_standings_insert(connection.dialect.name), rows)


def _empty_standings(connection: Connection, symbol: str, target: str, kind: str) -> None:
    of_scope = (*of_series(standing, symbol, target), standing.kind == kind)
    # A forecaster that no longer forecasts keeps a row with n = 0: the writer role may not delete.
    none = dict.fromkeys(("n", *_SUMS, "squared_gap"), 0)
    connection.execute(sa.update(standings).where(*of_scope).values(none))


@lru_cache
def _standings_insert(dialect: str) -> sa.Insert:
    make = postgresql.insert if dialect == "postgresql" else sqlite.insert
    adding = make(standings)
    updated = {name: adding.excluded[name] for name in _SUMMED}
    return adding.on_conflict_do_update(index_elements=[*standings.primary_key], set_=updated)


def copy_inputs(source: Connection, target: Connection, symbol: str, of_target: str) -> None:
    """Copy what was fetched of a symbol, and of the market series of its nights, to a ledger."""
    of_market = select(fetch.symbol).join(runs, run.market_fetch == fetch.id)
    markets = of_market.where(*of_series(run, symbol, of_target))
    symbols = {symbol, *source.scalars(markets)}
    for name in ("fetches", "bar_versions", "corporate_actions", "events", "findings"):
        table = metadata.tables[name]
        _copy(source, target, name, select(table).where(table.c.symbol.in_(symbols)))


def copy_nights(
    source: Connection, target: Connection, symbol: str, of_target: str, run_ids: Sequence[str]
) -> None:
    """Copy what runs have left to a ledger with a copy of their inputs."""
    for name, chosen in read.rows_of_runs(symbol, of_target, run_ids).items():
        _copy(source, target, name, chosen)


def _copy(source: Connection, target: Connection, table: str, chosen: sa.Select[Any]) -> None:
    for batch in source.execute(chosen).mappings().partitions(5000):
        add(target, table, *(dict(row) for row in batch))


def _add_versions(connection: Connection, revision: Revision, seen: Seen) -> None:
    at = seen["first_seen_at"]
    settled = set(revision.settled)
    rows = _rows(revision.versions[["session", "version", *PRICES]], seen)
    for row in rows:
        row["session"] = row["session"].date()
        row["settled_at"] = at if row["session"] in settled else None
    add(connection, "bar_versions", *rows)
    current = sa.update(bar_versions).where(
        bar.symbol == seen["symbol"], bar.superseded_at.is_(None)
    )
    restated = [row["session"] for row in rows if row["version"] > 1]
    if restated:
        later = bar_versions.alias("later").c
        same_session = (later.symbol == bar.symbol, later.session == bar.session)
        superseded = sa.exists().where(*same_session, later.version > bar.version)
        span = bar.session.between(min(restated), max(restated))
        connection.execute(current.where(span, superseded).values(superseded_at=at))
    confirmed = settled.difference(row["session"] for row in rows)
    if confirmed:
        provisional = current.where(bar.session.in_(confirmed), bar.settled_at.is_(None))
        connection.execute(provisional.values(settled_at=at))


def _rows(frame: pd.DataFrame, shared: Mapping[str, object]) -> list[dict[Any, Any]]:
    return [{**row, **shared} for row in frame.to_dict("records")]
