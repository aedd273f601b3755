"""Where a forecast comes from: the run, the fetch, the model, its parents; and who was champion when."""

from __future__ import annotations

from datetime import date, datetime

import sqlalchemy as sa

from forecasting.errors import StoreError
from forecasting.store import tables
from forecasting.store.frames import Row, first_row

_OF_THE_BARS = ("source", "fetched_at", "row_count", "first_received", "last_received", "payload_hash")


def model(connection: sa.Connection, model_id: str) -> Row | None:
    """The row of table models; None when there is none."""
    return first_row(connection, sa.select(tables.models).where(tables.models.c.id == model_id))


def fetch(connection: sa.Connection, fetch_id: str) -> Row | None:
    """The row of table fetches; None when there is none."""
    return first_row(connection, sa.select(tables.fetches).where(tables.fetches.c.id == fetch_id))


def newest_request(connection: sa.Connection, symbol: str) -> Row | None:
    """The newest row of table fetches, whether it brought bars or not; None before the first."""
    table = tables.fetches
    newest = sa.select(table).where(table.c.symbol == symbol).order_by(table.c.fetched_at.desc(), table.c.id.desc())
    return first_row(connection, newest)


def knowing_fetch(connection: sa.Connection, symbol: str, session: date, *, cutoff: datetime) -> Row:
    """The fetch that a night at `session` rests on.

    The newest fetch that brought the session's bar before `cutoff`, the last moment for a live forecast; when none did,
    the first that brought it at all. So a night and its replay rest on the same bars, whenever the replay is made.

    Raises:
        StoreError: No fetch has brought the session.
    """
    table = tables.fetches
    brought = sa.select(table).where(table.c.symbol == symbol, table.c.last_received >= session)
    brought = brought.where(table.c.verdict.not_in(tables.NO_BARS))  # a bar that was held back was received too
    in_time = brought.where(table.c.fetched_at <= cutoff).order_by(table.c.fetched_at.desc(), table.c.id.desc())
    found = first_row(connection, in_time) or first_row(connection, brought.order_by(table.c.fetched_at, table.c.id))
    if found is None:
        raise StoreError(
            f"A fetch of {symbol} that reaches the session {session} was expected; none is stored. Run ingest first."
        )
    return found


def model_of_run(connection: sa.Connection, run_id: str) -> Row | None:
    """The network that a run fitted; None when it fitted none."""
    fitted, run = tables.models, tables.runs
    same = (fitted.c.symbol == run.c.symbol, fitted.c.target == run.c.target)  # as an index has models
    return first_row(connection, sa.select(fitted).where(run.c.id == run_id, *same, fitted.c.run_id == run_id))


def models_of_newest(connection: sa.Connection, symbol: str, target: str, *, origins: int) -> set[str]:
    """The models whose forecasts stand at the newest `origins` origin sessions."""
    said = tables.forecasts
    wanted = (said.c.symbol == symbol, said.c.target == target)
    newest = sa.select(said.c.origin_session).where(*wanted).distinct().order_by(said.c.origin_session.desc())
    oldest = sa.select(sa.func.min(newest.limit(origins).subquery().c.origin_session)).scalar_subquery()
    return set(connection.scalars(sa.select(said.c.model_id).where(*wanted, said.c.origin_session >= oldest)))


def newest_decision(connection: sa.Connection, symbol: str, target: str) -> date | None:
    """The newest session that a promotion was decided at; None before the first."""
    made = tables.promotions
    wanted = (made.c.symbol == symbol, made.c.target == target)
    found: date | None = connection.scalar(sa.select(sa.func.max(made.c.session)).where(*wanted))
    return found


def newest_scratch(connection: sa.Connection, symbol: str, target: str, *, session: date) -> date | None:
    """The last session, `session` at most, that the newest network fitted from scratch has seen; None before it."""
    table = tables.models
    wanted = (table.c.symbol == symbol, table.c.target == target, table.c.method == "scratch")
    then = table.c.trained_to <= session
    found: date | None = connection.scalar(sa.select(sa.func.max(table.c.trained_to)).where(*wanted, then))
    return found


def champion_before(connection: sa.Connection, symbol: str, target: str) -> Row | None:
    """The champion before the present one; None when there never was another."""
    made = tables.promotions
    winners = connection.scalars(
        sa.select(made.c.winner)
        .where(made.c.symbol == symbol, made.c.target == target)
        .order_by(made.c.session.desc(), made.c.decided_at.desc(), made.c.id.desc())
    ).all()
    before = next((winner for winner in winners if winner != winners[0]), None)
    return model(connection, before) if before is not None else None


def finished_runs(connection: sa.Connection, symbol: str, target: str, *, settings_hash: str) -> list[Row]:
    """The finished nights under some settings, oldest session first, rows of table runs."""
    table = tables.runs
    wanted = (table.c.symbol == symbol, table.c.target == target, table.c.settings_hash == settings_hash)
    done = sa.select(table).where(*wanted, table.c.status == "done").order_by(table.c.as_of, table.c.started_at)
    return [dict(row) for row in connection.execute(done).mappings()]


def nights_under(connection: sa.Connection, symbol: str, target: str, *, settings_hash: str) -> set[date]:
    """Sessions of the nights that were worked off under these settings, finished or not."""
    run = tables.runs
    wanted = (run.c.symbol == symbol, run.c.target == target, run.c.settings_hash == settings_hash)
    return set(connection.scalars(sa.select(run.c.as_of).where(*wanted)))


def decisions_by_hand(connection: sa.Connection, symbol: str, target: str) -> list[Row]:
    """The promotions and rollbacks that people asked for, oldest first, rows of table promotions."""
    made = tables.promotions
    wanted = (made.c.symbol == symbol, made.c.target == target, made.c.trigger != "night")
    asked = sa.select(made).where(*wanted).order_by(made.c.session, made.c.decided_at)
    return [dict(row) for row in connection.execute(asked).mappings()]


def decision_of_run(connection: sa.Connection, run_id: str) -> Row | None:
    """The promotion that a run decided; None when it decided nothing."""
    return first_row(connection, sa.select(tables.promotions).where(tables.promotions.c.run_id == run_id))


def lineage(connection: sa.Connection, model_id: str) -> Row:
    """A model's ancestors, the run that fitted it with its settings, the fetch that trained it, what it has said."""
    found = model(connection, model_id) or {}
    trained_on = fetch(connection, found["fetch_id"]) if found.get("fetch_id") else None
    fitted_by = first_row(connection, sa.select(tables.runs).where(tables.runs.c.id == found.get("run_id"))) or {}
    said = tables.forecasts
    of_model = (said.c.symbol == found.get("symbol"), said.c.target == found.get("target"), said.c.model_id == model_id)
    origins = (sa.func.min(said.c.origin_session), sa.func.max(said.c.origin_session))
    counted = connection.execute(sa.select(sa.func.count(), *origins).where(*of_model)).one()
    return {
        "parents": _parents(connection, found.get("parent_id")),
        "settings": fitted_by.get("settings"),
        "fitted_on_the_night_of": fitted_by.get("as_of"),
        "why_so": fitted_by.get("mode_reason"),
        **{f"bars_{name}": trained_on[name] if trained_on else None for name in _OF_THE_BARS},
        "forecasts": counted[0],
        "first_origin": counted[1],
        "last_origin": counted[2],
    }


def _parents(connection: sa.Connection, parent_id: str | None) -> list[str]:
    chain: list[str] = []
    while parent_id is not None and parent_id not in chain:
        chain.append(parent_id)
        parent = model(connection, parent_id)
        parent_id = parent["parent_id"] if parent else None
    return chain
