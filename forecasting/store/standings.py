"""The table `standings`, carried on from score to score in the transaction that adds them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple, cast

import sqlalchemy as sa

from forecasting.evaluate import standings
from forecasting.evaluate.standings import CHAMPION, WINDOWS, Counter, Judged, Loss, Since, Spot, Tally, rounded
from forecasting.settings import Target
from forecasting.store import tables
from forecasting.store.rows import insert_or_replace


class Scope(NamedTuple):
    """What standings never mix."""

    symbol: str
    target: str
    kind: str


def judged(connection: sa.Connection, scope: Scope, spots: Collection[Spot]) -> Judged:
    """What counts at each of the spots as the scores say now.

    A line counts once a spot: by its settled score where there is one, of several forecasts by the newest.
    """
    if not spots:
        return {}
    table = tables.scores
    spot = sa.tuple_(table.c.horizon, table.c.origin_session)
    names = ("horizon", "origin_session", "role", "model", "error", "pinball", "inside_80", "inside_90")
    statement = (
        sa.select(*(table.c[name] for name in names))
        .where(*_within(table, scope), spot.in_(sorted(spots)), table.c.role.in_(("champion", "baseline")))
        .order_by(table.c.issued_at.desc(), table.c.model_id, table.c.stage.desc(), table.c.bar_version.desc())
    )
    target = cast(Target, scope.target)
    found: dict[Spot, dict[str, Loss]] = {}
    for horizon, origin, role, model, error, pinball, *inside in connection.execute(statement):
        lines = found.setdefault((horizon, origin), {})
        line = CHAMPION if role == "champion" else model
        if line not in lines:
            lines[line] = Loss(rounded(abs(error), target), rounded(pinball, target), *map(int, inside))
    return found


def carry_on(connection: sa.Connection, scope: Scope, *, before: Judged, after: Judged) -> None:
    """Write the standings once scores have changed what counts.

    Args:
        connection: In the transaction that added the scores.
        scope: Whose standings they are.
        before: What counted at the spots that were touched.
        after: What counts at these spots now.
    """
    tallies, old, last = _stored(connection, scope)
    for (horizon, origin), lines in after.items():
        if CHAMPION in lines:
            last[horizon] = max(origin, last.get(horizon, origin))
    origins = _origins(connection, scope, last.values(), old)
    new = _windows(origins, last)
    passed = judged(connection, scope, _passed(origins, old, new) - after.keys())
    standings.carry_on(tallies, {**before, **passed}, {**after, **passed}, old=old, new=new)
    insert_or_replace(connection, tables.standings, list(_rows(scope, tallies, new, last)))


def make_anew(connection: sa.Connection) -> None:
    """Write all standings from all scores: after a migration, or where scores came past `add_scores`."""
    connection.execute(sa.delete(tables.standings))
    table = tables.scores
    line = (table.c.symbol, table.c.target, table.c.kind, table.c.horizon)
    newest = sa.select(*line, sa.func.max(table.c.origin_session)).where(table.c.role == "champion").group_by(*line)
    for symbol, target, kind, horizon, origin in connection.execute(newest).all():
        scope = Scope(symbol, target, kind)
        carry_on(connection, scope, before={}, after=judged(connection, scope, [(horizon, origin)]))


def _stored(connection: sa.Connection, scope: Scope) -> tuple[dict[Counter, Tally], Since, dict[int, date]]:
    """Tallies, first origin of every window and last origin of every horizon, as they were left."""
    table = tables.standings
    names = ("horizon", "window_sessions", "line", "first_origin", "last_origin", *Tally._fields)
    tallies: dict[Counter, Tally] = {}
    since: dict[tuple[int, int], date] = {}
    last: dict[int, date] = {}
    stored = connection.execute(sa.select(*(table.c[name] for name in names)).where(*_within(table, scope)))
    for horizon, window, line, first_origin, last_origin, *sums in stored:
        tallies[horizon, window, line] = Tally(*sums)
        since[horizon, window] = first_origin
        last[horizon] = last_origin
    return tallies, since, last


def _origins(connection: sa.Connection, scope: Scope, last: Collection[date], old: Since) -> list[date]:
    """Nights of the symbol and target, newest first: all that a window ends with, holds or has held till now."""
    if not last:
        return []
    # A forecast's origin is the session of its run; of the runs an index holds all that is asked, in a few pages.
    night = tables.runs.c.as_of
    asked = sa.select(night).distinct().where(*_within(tables.runs, scope)).order_by(night.desc())
    newest = list(connection.scalars(asked.where(night.between(min([*last, *old.values()]), max(last)))))
    short = max(WINDOWS) - sum(each <= min(last) for each in newest)
    return newest + list(connection.scalars(asked.where(night < newest[-1]).limit(short))) if short > 0 else newest


def _windows(origins: Sequence[date], last: Mapping[int, date]) -> Since:
    """Where each horizon's window begins: so many origins back from its last, or with the first that there is."""
    since: dict[tuple[int, int], date] = {}
    for horizon, newest in last.items():
        place = origins.index(newest)
        for window in WINDOWS:
            since[horizon, window] = origins[min(place + window, len(origins)) - 1]
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


def _within(table: sa.Table, scope: Scope) -> list[sa.ColumnElement[bool]]:
    # Of runs every kind is a night: the same for live, late and replay.
    return [table.c[name] == getattr(scope, name) for name in scope._fields if name in table.c]
