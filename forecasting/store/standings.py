"""Table `standings`, updated incrementally in the transaction that adds scores."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple, cast

import sqlalchemy as sa

from forecasting.evaluate import standings
from forecasting.evaluate.standings import WINDOWS, Score, Slot, Tally, TallyKey, WindowStarts
from forecasting.store import tables
from forecasting.store.frames import Row
from forecasting.store.upsert import insert
from forecasting.vocabulary import BASELINE, CHAMPION, SILENCED, Target

_COUNTED = (CHAMPION, BASELINE, SILENCED)
"""Roles whose scores can count; a challenger has no row in standings."""


class Scope(NamedTuple):
    """Key within which standings are summed."""

    symbol: str
    target: str
    kind: str


def _within(table: sa.Table) -> list[sa.ColumnElement[bool]]:
    # Table runs has no kind: live, late and replay count the same nights.
    return [table.c[name] == sa.bindparam(name) for name in Scope._fields if name in table.c]


# Built once: building a statement takes longer than running it.
_STANDINGS = sa.select(
    *(tables.standings.c[name] for name in ("horizon", "window_sessions", "line", "first_origin", "last_origin")),
    *(tables.standings.c[name] for name in Tally._fields),
).where(*_within(tables.standings))

# A forecast's origin is the session of its run; an index of runs covers these queries in a few pages.
_NIGHT = tables.runs.c.as_of
_NIGHTS = sa.select(_NIGHT).distinct().where(*_within(tables.runs)).order_by(_NIGHT.desc())
# Typed: an untyped date goes to sqlite3's own adapter, which Python deprecates from 3.12 on.
_OLDEST, _NEWEST, _BEFORE = (sa.bindparam(name, type_=sa.Date) for name in ("oldest", "newest", "night"))
_NIGHTS_IN = _NIGHTS.where(_NIGHT.between(_OLDEST, _NEWEST))
_NIGHTS_BEFORE = _NIGHTS.where(_NIGHT < _BEFORE).limit(sa.bindparam("short"))


@lru_cache
def _counted_at(horizons: tuple[int, ...]) -> sa.CompoundSelect[Any]:
    # One key range a horizon. For pairs of horizon and origin Postgres plans one range a pair, and psycopg parses a
    # statement of more than 50 values each time; with OR between the horizons SQLite scans all rows of the symbol.
    table = tables.scores
    counting = sa.select(*(table.c[name] for name in Score._fields)).where(*_within(table), table.c.role.in_(_COUNTED))
    slots = (
        (table.c.horizon == horizon, table.c.origin_session.in_(sa.bindparam(f"origins_{horizon}", expanding=True)))
        for horizon in horizons
    )
    return sa.union_all(*(counting.where(*here) for here in slots))


class Stored(NamedTuple):
    """The stored tallies, first origin of every window and last origin of every horizon."""

    tallies: dict[TallyKey, Tally]
    starts: WindowStarts
    last: dict[int, date]


class BeforeScores(NamedTuple):
    """State of the standings before scores are added, from which `updated_rows` computes the state after.

    Attributes:
        scope: Symbol, target and kind.
        tallies: As stored.
        old: First origin of every window before.
        new: First origin of every window once the scores are added.
        last: Last origin of every horizon once the scores are added.
        stored: Stored scores in the slots that have new scores, or that enter or leave a window.
        added: The scores to add.
    """

    scope: Scope
    tallies: dict[TallyKey, Tally]
    old: WindowStarts
    new: WindowStarts
    last: Mapping[int, date]
    stored: list[Score]
    added: list[Score]


def before_scores(connection: sa.Connection, scope: Scope, scores: Iterable[Row]) -> BeforeScores:
    """The input of `updated_rows`, read before `scores` (rows of table scores, all of the scope) are added."""
    added = (Score(*(row[name] for name in Score._fields)) for row in scores)
    can_count = [score for score in added if score.role in _COUNTED]
    return _before_scores(connection, scope, _stored(connection, scope), can_count)


def updated_rows(state: BeforeScores) -> list[Row]:
    """The rows of table standings once the scores are added; a score whose key is stored already is ignored."""
    stored_keys = {_key(score) for score in state.stored}
    new = [score for score in state.added if _key(score) not in stored_keys]
    changed = {(score.horizon, score.origin_session) for score in new}
    recounted = [score for score in state.stored if (score.horizon, score.origin_session) in changed]
    target = cast(Target, state.scope.target)
    before = standings.counted_losses(state.stored, target)
    after = {**before, **standings.counted_losses(recounted + new, target)}
    standings.update_tallies(state.tallies, before, after, old=state.old, new=state.new)
    return list(_rows(state.scope, state.tallies, state.new, state.last))


def rebuild(connection: sa.Connection) -> None:
    """Write all standings from all scores: after a migration, or where scores were added without `add_scores`."""
    connection.execute(sa.delete(tables.standings))
    table = tables.scores
    key = (table.c.symbol, table.c.target, table.c.kind, table.c.horizon)
    newest = sa.select(*key, sa.func.max(table.c.origin_session)).where(table.c.role == CHAMPION).group_by(*key)
    for symbol, target, kind, horizon, origin in connection.execute(newest).all():
        empty = Stored({}, {}, {horizon: origin})
        state = _before_scores(connection, Scope(symbol, target, kind), empty, [])
        insert(connection, tables.standings, updated_rows(state))


def _before_scores(connection: sa.Connection, scope: Scope, stored: Stored, added: list[Score]) -> BeforeScores:
    tallies, old, last = stored
    for score in added:
        if score.role == CHAMPION:
            last[score.horizon] = max(score.origin_session, last.get(score.horizon, score.origin_session))
    origins = _origins(connection, scope, last.values(), old)
    new = _windows(origins, last)
    slots = {(score.horizon, score.origin_session) for score in added} | _moved(origins, old, new)
    return BeforeScores(scope, tallies, old, new, last, _counted(connection, scope, slots), added)


def _counted(connection: sa.Connection, scope: Scope, slots: Collection[Slot]) -> list[Score]:
    """The stored scores in these slots that can count."""
    if not slots:
        return []
    origins: dict[int, list[date]] = {}
    for horizon, origin in sorted(slots):
        origins.setdefault(horizon, []).append(origin)
    values = {f"origins_{horizon}": of_horizon for horizon, of_horizon in origins.items()}
    return [Score(*row) for row in connection.execute(_counted_at(tuple(origins)), {**scope._asdict(), **values})]


def _key(score: Score) -> tuple[object, ...]:
    """Primary key of a score within its scope."""
    return score[: Score._fields.index("role")]


def _stored(connection: sa.Connection, scope: Scope) -> Stored:
    tallies: dict[TallyKey, Tally] = {}
    starts: dict[tuple[int, int], date] = {}
    last: dict[int, date] = {}
    for horizon, window, line, first_origin, last_origin, *sums in connection.execute(_STANDINGS, scope._asdict()):
        tallies[horizon, window, line] = Tally(*sums)
        starts[horizon, window] = first_origin
        last[horizon] = last_origin
    return Stored(tallies, starts, last)


def _origins(connection: sa.Connection, scope: Scope, last: Collection[date], old: WindowStarts) -> list[date]:
    """Nights of the symbol and target, newest first: all that a window ends with, holds or held before."""
    if not last:
        return []
    span = {"oldest": min([*last, *old.values()]), "newest": max(last)}
    newest = list(connection.scalars(_NIGHTS_IN, {**scope._asdict(), **span}))
    short = max(WINDOWS) - sum(night <= min(last) for night in newest)
    if not newest or short <= 0:
        return newest
    return newest + list(connection.scalars(_NIGHTS_BEFORE, {**scope._asdict(), "night": newest[-1], "short": short}))


def _windows(origins: Sequence[date], last: Mapping[int, date]) -> WindowStarts:
    """First origin of each horizon's windows: as many origins back from its last as the window has, or all of them."""
    starts: dict[tuple[int, int], date] = {}
    for horizon, newest in last.items():
        held = [origin for origin in origins if origin <= newest]
        starts |= {(horizon, window): held[:window][-1] for window in WINDOWS if held}
    return starts


def _moved(origins: Sequence[date], old: WindowStarts, new: WindowStarts) -> set[Slot]:
    """Slots that leave or enter a window because its start has moved; a new window held none."""
    ends = {key: sorted((old.get(key, date.max), first)) for key, first in new.items()}
    return {
        (horizon, origin) for (horizon, _), (low, high) in ends.items() for origin in origins if low <= origin < high
    }


def _rows(
    scope: Scope, tallies: Mapping[TallyKey, Tally], starts: WindowStarts, last: Mapping[int, date]
) -> Iterable[dict[str, object]]:
    # A model that no longer forecasts keeps a row with n = 0: the writer role may not delete.
    for (horizon, window, line), tally in tallies.items():
        key = {"horizon": horizon, "window_sessions": window, "line": line}
        ends = {"first_origin": starts[horizon, window], "last_origin": last[horizon]}
        yield {**scope._asdict(), **key, **ends, **tally._asdict()}
