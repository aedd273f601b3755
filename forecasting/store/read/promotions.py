"""Promotions: which model is champion, since when and why."""

from __future__ import annotations

from datetime import date

import sqlalchemy as sa

from forecasting.store import tables
from forecasting.store.frames import Row, first_row
from forecasting.store.read.models import model


def champion(connection: sa.Connection, symbol: str, target: str, *, session: date | None = None) -> Row | None:
    """The model that the newest promotion chose, a row of table models; None before the first promotion.

    Args:
        connection: An open connection.
        symbol: Whose champion.
        target: Of what.
        session: No decision of a later session, so that a night made up for later knows the champion of its own day;
            None for the present one. The newest session counts before the newest decision: a span replayed today
            decides nothing about tomorrow.
    """
    made, model = tables.promotions, tables.models
    wanted = [made.c.symbol == symbol, made.c.target == target]
    if session is not None:
        wanted.append(made.c.session <= session)
    order = (made.c.session.desc(), made.c.decided_at.desc(), made.c.id.desc())
    newest = sa.select(made.c.winner).where(*wanted).order_by(*order).limit(1)
    return first_row(connection, sa.select(model).where(model.c.id == newest.scalar_subquery()))


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


def newest_decision(connection: sa.Connection, symbol: str, target: str) -> date | None:
    """The newest session that a promotion was decided at; None before the first."""
    made = tables.promotions
    wanted = (made.c.symbol == symbol, made.c.target == target)
    found: date | None = connection.scalar(sa.select(sa.func.max(made.c.session)).where(*wanted))
    return found


def decision_of_run(connection: sa.Connection, run_id: str) -> Row | None:
    """The promotion that a run decided; None when it decided nothing."""
    return first_row(connection, sa.select(tables.promotions).where(tables.promotions.c.run_id == run_id))


def decisions_by_hand(connection: sa.Connection, symbol: str, target: str) -> list[Row]:
    """The promotions and rollbacks that people asked for, oldest first, rows of table promotions."""
    made = tables.promotions
    wanted = (made.c.symbol == symbol, made.c.target == target, made.c.trigger != "night")
    asked = sa.select(made).where(*wanted).order_by(made.c.session, made.c.decided_at)
    return [dict(row) for row in connection.execute(asked).mappings()]
