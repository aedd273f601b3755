"""The table `standings`, carried on from score to score in the transaction that adds them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple, cast

import sqlalchemy as sa

from forecasting.evaluate import standings
from forecasting.evaluate.standings import WINDOWS, Counter, Scored, Since, Spot, Tally
from forecasting.store import tables
from forecasting.store.frames import Row
from forecasting.store.upsert import insert
from forecasting.vocabulary import Target

_COUNTED = ("champion", "baseline")
"""Roles of those whose scores can count; a challenger is nobody's standing."""


class Scope(NamedTuple):
    """What standings never mix."""

    symbol: str
    target: str
    kind: str


def _within(table: sa.Table) -> list[sa.ColumnElement[bool]]:
    # Of runs every kind is a night: the same for live, late and replay.
    return [table.c[name] == sa.bindparam(name) for name in Scope._fields if name in table.c]


# Built once: to build a statement takes longer than the database takes to answer it.
_STANDINGS = sa.select(
    *(tables.standings.c[name] for name in ("horizon", "window_sessions", "line", "first_origin", "last_origin")),
    *(tables.standings.c[name] for name in Tally._fields),
).where(*_within(tables.standings))

# A forecast's origin is the session of its run; of the runs an index holds all that is asked, in a few pages.
_NIGHT = tables.runs.c.as_of
_NIGHTS = sa.select(_NIGHT).distinct().where(*_within(tables.runs)).order_by(_NIGHT.desc())
# Typed: an untyped date goes to sqlite3's own adapter, which Python deprecates from 3.12 on.
_OLDEST, _NEWEST, _BEFORE = (sa.bindparam(name, type_=sa.Date) for name in ("oldest", "newest", "night"))
_NIGHTS_IN = _NIGHTS.where(_NIGHT.between(_OLDEST, _NEWEST))
_NIGHTS_BEFORE = _NIGHTS.where(_NIGHT < _BEFORE).limit(sa.bindparam("short"))


@lru_cache
def _counted_at(horizons: tuple[int, ...]) -> sa.CompoundSelect[Any]:
    # A range of the key a horizon. Of pairs of horizon and origin Postgres plans one range each, and psycopg reads a
    # statement of more than 50 values anew each time; with OR between the horizons SQLite reads all of the symbol.
    table = tables.scores
    counting = sa.select(*(table.c[name] for name in Scored._fields)).where(*_within(table), table.c.role.in_(_COUNTED))
    spots = (
        (table.c.horizon == horizon, table.c.origin_session.in_(sa.bindparam(f"origins_{horizon}", expanding=True)))
        for horizon in horizons
    )
    return sa.union_all(*(counting.where(*here) for here in spots))


class Stored(NamedTuple):
    """Tallies, first origin of every window and last origin of every horizon, as they were left."""

    tallies: dict[Counter, Tally]
    since: Since
    last: dict[int, date]


class Opened(NamedTuple):
    """What standings are carried on from, as it was before the scores.

    Attributes:
        scope: Whose standings.
        tallies: As they were left.
        old: First origin of every window then.
        new: First origin of every window once the scores are there.
        last: Last origin of every horizon once the scores are there.
        counted: Scores at the spots that are touched, or that a window passes.
        given: The scores to come.
    """

    scope: Scope
    tallies: dict[Counter, Tally]
    old: Since
    new: Since
    last: Mapping[int, date]
    counted: list[Scored]
    given: list[Scored]


def opened(connection: sa.Connection, scope: Scope, scores: Iterable[Row]) -> Opened:
    """All that `carried_on` needs, read before scores (rows of table scores, all of the scope) are added."""
    given = (Scored(*(row[name] for name in Scored._fields)) for row in scores)
    return _opened(connection, scope, _stored(connection, scope), [each for each in given if each.role in _COUNTED])


def carried_on(was: Opened) -> list[Row]:
    """The rows of table standings once the scores are added; a score whose key was there already stayed as it was."""
    there = {_key(score) for score in was.counted}
    fresh = [score for score in was.given if _key(score) not in there]
    touched = {(score.horizon, score.origin_session) for score in fresh}
    again = [score for score in was.counted if (score.horizon, score.origin_session) in touched]
    target = cast(Target, was.scope.target)
    before = standings.judged(was.counted, target)
    after = {**before, **standings.judged(again + fresh, target)}
    standings.carry_on(was.tallies, before, after, old=was.old, new=was.new)
    return list(_rows(was.scope, was.tallies, was.new, was.last))


def make_anew(connection: sa.Connection) -> None:
    """Write all standings from all scores: after a migration, or where scores came past `add_scores`."""
    connection.execute(sa.delete(tables.standings))
    table = tables.scores
    line = (table.c.symbol, table.c.target, table.c.kind, table.c.horizon)
    newest = sa.select(*line, sa.func.max(table.c.origin_session)).where(table.c.role == "champion").group_by(*line)
    for symbol, target, kind, horizon, origin in connection.execute(newest).all():
        whole = _opened(connection, Scope(symbol, target, kind), Stored({}, {}, {horizon: origin}), [])
        insert(connection, tables.standings, carried_on(whole))


def _opened(connection: sa.Connection, scope: Scope, stored: Stored, given: list[Scored]) -> Opened:
    tallies, old, last = stored
    for score in given:
        if score.role == "champion":
            last[score.horizon] = max(score.origin_session, last.get(score.horizon, score.origin_session))
    origins = _origins(connection, scope, last.values(), old)
    new = _windows(origins, last)
    spots = {(score.horizon, score.origin_session) for score in given} | _passed(origins, old, new)
    return Opened(scope, tallies, old, new, last, _counted(connection, scope, spots), given)


def _counted(connection: sa.Connection, scope: Scope, spots: Collection[Spot]) -> list[Scored]:
    """The scores at these spots that can count."""
    if not spots:
        return []
    origins: dict[int, list[date]] = {}
    for horizon, origin in sorted(spots):
        origins.setdefault(horizon, []).append(origin)
    asked = {f"origins_{horizon}": some for horizon, some in origins.items()}
    return [Scored(*row) for row in connection.execute(_counted_at(tuple(origins)), {**scope._asdict(), **asked})]


def _key(score: Scored) -> tuple[object, ...]:
    """What tells scores of one scope apart."""
    return score[: Scored._fields.index("role")]


def _stored(connection: sa.Connection, scope: Scope) -> Stored:
    tallies: dict[Counter, Tally] = {}
    since: dict[tuple[int, int], date] = {}
    last: dict[int, date] = {}
    for horizon, window, line, first_origin, last_origin, *sums in connection.execute(_STANDINGS, scope._asdict()):
        tallies[horizon, window, line] = Tally(*sums)
        since[horizon, window] = first_origin
        last[horizon] = last_origin
    return Stored(tallies, since, last)


def _origins(connection: sa.Connection, scope: Scope, last: Collection[date], old: Since) -> list[date]:
    """Nights of the symbol and target, newest first: all that a window ends with, holds or has held till now."""
    if not last:
        return []
    span = {"oldest": min([*last, *old.values()]), "newest": max(last)}
    newest = list(connection.scalars(_NIGHTS_IN, {**scope._asdict(), **span}))
    short = max(WINDOWS) - sum(each <= min(last) for each in newest)
    if not newest or short <= 0:
        return newest
    return newest + list(connection.scalars(_NIGHTS_BEFORE, {**scope._asdict(), "night": newest[-1], "short": short}))


def _windows(origins: Sequence[date], last: Mapping[int, date]) -> Since:
    """Where each horizon's window begins: so many origins back from its last, or with the first that there is."""
    since: dict[tuple[int, int], date] = {}
    for horizon, newest in last.items():
        held = [origin for origin in origins if origin <= newest]
        since |= {(horizon, window): held[:window][-1] for window in WINDOWS if held}
    return since


def _passed(origins: Sequence[date], old: Since, new: Since) -> set[Spot]:
    """Spots that a window held and holds no more, or the other way round; a window that is new held none."""
    ends = {key: sorted((old.get(key, date.max), first)) for key, first in new.items()}
    return {
        (horizon, origin) for (horizon, _), (low, high) in ends.items() for origin in origins if low <= origin < high
    }


def _rows(
    scope: Scope, tallies: Mapping[Counter, Tally], since: Since, last: Mapping[int, date]
) -> Iterable[dict[str, object]]:
    # A line that fell silent long ago keeps a row with n = 0: a writer has no right to delete anything.
    for (horizon, window, line), tally in tallies.items():
        key = {"horizon": horizon, "window_sessions": window, "line": line}
        ends = {"first_origin": since[horizon, window], "last_origin": last[horizon]}
        yield {**scope._asdict(), **key, **ends, **tally._asdict()}
