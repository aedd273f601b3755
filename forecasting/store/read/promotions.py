"""Promotions: the champion, the one before, and the decisions."""

from __future__ import annotations

from datetime import date

import sqlalchemy as sa

from forecasting.store import tables
from forecasting.store.frames import Row, first_row
from forecasting.store.read.models import model


def champion(connection: sa.Connection, symbol: str, target: str, *, session: date | None = None) -> Row | None:
    """The winner of the newest promotion, a row of table models; None before the first promotion.

    Args:
        connection: An open connection.
        symbol: Symbol of the champion.
        target: Target of the champion.
        session: The last session whose decision counts, so that a night run later gets the champion of its own day;
            None for the present one. The newest session counts before the newest decision: replaying a span today does
            not change tomorrow's champion.
    """
    promotions, model = tables.promotions, tables.models
    wanted = [promotions.c.symbol == symbol, promotions.c.target == target]
    if session is not None:
        wanted.append(promotions.c.session <= session)
    order = (promotions.c.session.desc(), promotions.c.decided_at.desc(), promotions.c.id.desc())
    newest = sa.select(promotions.c.winner).where(*wanted).order_by(*order).limit(1)
    return first_row(connection, sa.select(model).where(model.c.id == newest.scalar_subquery()))


def champion_before(connection: sa.Connection, symbol: str, target: str) -> Row | None:
    """The champion before the present one; None without another."""
    promotions = tables.promotions
    winners = connection.scalars(
        sa.select(promotions.c.winner)
        .where(promotions.c.symbol == symbol, promotions.c.target == target)
        .order_by(promotions.c.session.desc(), promotions.c.decided_at.desc(), promotions.c.id.desc())
    ).all()
    before = next((winner for winner in winners if winner != winners[0]), None)
    return model(connection, before) if before is not None else None


def newest_decision(connection: sa.Connection, symbol: str, target: str) -> date | None:
    """The newest session of a promotion; None before the first."""
    promotions = tables.promotions
    wanted = (promotions.c.symbol == symbol, promotions.c.target == target)
    found: date | None = connection.scalar(sa.select(sa.func.max(promotions.c.session)).where(*wanted))
    return found


def decision_of_run(connection: sa.Connection, run_id: str) -> Row | None:
    """The promotion that a run decided, a row of table promotions; None without one."""
    return first_row(connection, sa.select(tables.promotions).where(tables.promotions.c.run_id == run_id))


def decisions_by_hand(connection: sa.Connection, symbol: str, target: str) -> list[Row]:
    """The promotions and rollbacks by command, oldest first, rows of table promotions."""
    promotions = tables.promotions
    wanted = (promotions.c.symbol == symbol, promotions.c.target == target, promotions.c.trigger != "night")
    statement = sa.select(promotions).where(*wanted).order_by(promotions.c.session, promotions.c.decided_at)
    return [dict(row) for row in connection.execute(statement).mappings()]
