"""Everything that is read from the ledger: bars as known at any instant, who speaks, what was said.

Frames hold sessions as naive midnights (datetime64[ns]) and instants as aware UTC; rows are plain dicts.
"""

from __future__ import annotations

from datetime import date, datetime

import pandas as pd
import sqlalchemy as sa

from forecasting.preprocess.targets import HORIZONS
from forecasting.store import tables
from forecasting.store.coming import spells, without_moved
from forecasting.store.frames import Row, first_row, frame, kind_rank
from forecasting.store.shares import split_factors


def bars(
    connection: sa.Connection, symbol: str, *, last: date | None = None, known_at: datetime | None = None
) -> pd.DataFrame:
    """One row per session, the newest version known: index session; open, high, low, close, volume, version, settled.

    Args:
        connection: An open connection.
        symbol: Whose bars.
        last: No session after it; None for all.
        known_at: An aware instant: what was stored then, bar for bar; None for now.
    """
    table = tables.bar_versions
    columns = [table.c[name] for name in ("session", "open", "high", "low", "close", "volume", "version")]
    is_settled = table.c.settled_at.is_not(None) if known_at is None else table.c.settled_at <= known_at
    settled = sa.case((is_settled, 1), else_=0).label(
        "settled"
    )  # an instant for every row would take longer than the rest
    statement = sa.select(*columns, settled).where(table.c.symbol == symbol)
    if last is not None:
        statement = statement.where(table.c.session <= last)
    if known_at is None:
        statement = statement.where(table.c.superseded_at.is_(None))
    else:
        statement = statement.where(table.c.first_seen_at <= known_at)
    found = frame(connection, statement.order_by(table.c.session, table.c.version))
    return found.drop_duplicates("session", keep="last").set_index("session")  # the highest version comes last


def actions(connection: sa.Connection, symbol: str, *, known_at: datetime | None = None) -> pd.DataFrame:
    """Dividends and splits, the newest value of each: columns session, kind, value."""
    table = tables.corporate_actions
    statement = sa.select(table.c.session, table.c.kind, table.c.value).where(table.c.symbol == symbol)
    if known_at is not None:
        statement = statement.where(table.c.first_seen_at <= known_at)
    found = frame(connection, statement.order_by(table.c.session, table.c.kind, table.c.first_seen_at))
    return found.drop_duplicates(["session", "kind"], keep="last", ignore_index=True)


def events(connection: sa.Connection, symbol: str, *, known_at: datetime | None = None) -> pd.DataFrame:
    """Earnings and the like, as last seen: columns session, kind, known_from, withdrawn_from (NaT while it stands).

    Origins from known_from on may use an event, those from withdrawn_from on no longer. An announcement that moved is
    stored under each session it was given; only its newest session counts, unless the source took the other back.
    """
    table = tables.events
    columns = [table.c[name] for name in ("session", "kind", "known_from", "announced", "known_rule")]
    statement = sa.select(*columns).where(table.c.symbol == symbol)
    if known_at is not None:
        statement = statement.where(table.c.first_seen_at <= known_at)
    found = frame(connection, statement.order_by(table.c.first_seen_at, table.c.session))
    told = without_moved(spells(found)).sort_values(["session", "kind", "known_from"], ignore_index=True)
    return told[["session", "kind", "known_from", "withdrawn_from"]]


def newest_fetch(connection: sa.Connection, symbol: str) -> Row | None:
    """The newest fetch of the symbol that brought bars, a row of table fetches; None before the first."""
    table = tables.fetches
    brought = (table.c.symbol == symbol, table.c.verdict.not_in(tables.NO_BARS))
    newest = sa.select(table).where(*brought).order_by(table.c.fetched_at.desc(), table.c.id.desc())
    return first_row(connection, newest)


def run(connection: sa.Connection, run_id: str) -> Row | None:
    """The run of that id; None when there is none."""
    return first_row(connection, sa.select(tables.runs).where(tables.runs.c.id == run_id))


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


def models(connection: sa.Connection, symbol: str, target: str) -> list[Row]:
    """Every model of the symbol and target, newest first, as rows of table models."""
    table = tables.models
    statement = (
        sa.select(table)
        .where(table.c.symbol == symbol, table.c.target == target)
        .order_by(table.c.created_at.desc(), table.c.id)
    )
    return [dict(row) for row in connection.execute(statement).mappings()]


def forecasts(connection: sa.Connection, symbol: str, target: str, *, origin: date | None = None) -> pd.DataFrame:
    """All columns of table forecasts and `model`, the model's name; of one origin session, or of all.

    Ascending by origin, horizon, role, model and kind.
    """
    table, model = tables.forecasts, tables.models
    statement = (
        sa.select(table, model.c.name.label("model"))
        .join(model, model.c.id == table.c.model_id)
        .where(table.c.symbol == symbol, table.c.target == target)
    )
    if origin is not None:
        statement = statement.where(table.c.origin_session == origin)
    order = (table.c.origin_session, table.c.horizon, table.c.role, model.c.name, table.c.model_id, table.c.kind)
    return frame(connection, statement.order_by(*order))


def newest_finished(connection: sa.Connection, symbol: str, target: str) -> date | None:
    """The newest session whose night was worked off to its end; None before the first."""
    table = tables.runs
    wanted = (table.c.symbol == symbol, table.c.target == target, table.c.status == "done")
    found: date | None = connection.scalar(sa.select(sa.func.max(table.c.as_of)).where(*wanted))
    return found


def has_spoken(connection: sa.Connection, symbol: str, target: str, *, origin: date) -> bool:
    """Whether anything was forecast from an origin session, of whatever kind."""
    said = tables.forecasts
    wanted = (said.c.symbol == symbol, said.c.target == target, said.c.origin_session == origin)
    return connection.scalar(sa.select(sa.literal(1)).where(*wanted).limit(1)) is not None


def past_forecasts(connection: sa.Connection, symbol: str, target: str, *, origin: date, limit: int) -> pd.DataFrame:
    """What the network's line had said for sessions up to `origin`: what calibration may learn from.

    Args:
        connection: An open connection.
        symbol: Whose forecasts.
        target: Of what.
        origin: No forecast whose target session is later.
        limit: Rows per horizon, the newest ones.

    Returns:
        One row per origin_session and horizon, ascending: origin_session, horizon, target_session, calibration (JSON
        text as issued), split_factor (shares today per share when issued). Where an origin was forecast more than once,
        the live one counts before the late one before the replay, and the last issued before the others.
    """
    table, model = tables.forecasts, tables.models
    names = ("origin_session", "horizon", "target_session", "calibration", "data_as_of")
    rank = sa.func.row_number().over(
        partition_by=(table.c.origin_session, table.c.horizon),
        order_by=(kind_rank(table.c.kind), table.c.issued_at.desc(), table.c.model_id),
    )
    wanted: list[sa.ColumnElement[bool]] = [table.c.symbol == symbol, table.c.target == target]
    wanted += [table.c.target_session <= origin, table.c.role.in_(("champion", "silenced")), model.c.name == "lstm"]
    # Of the longest horizon the fewest have closed, so its oldest origin is the oldest that any horizon needs.
    longest = sa.select(table.c.origin_session).join(model, model.c.id == table.c.model_id)
    longest = longest.where(*wanted, table.c.horizon == max(HORIZONS)).group_by(table.c.origin_session)
    oldest = longest.order_by(table.c.origin_session.desc()).limit(1).offset(limit - 1)
    spoken = (
        sa.select(*(table.c[name] for name in names), tables.fetches.c.first_received, rank.label("rank"))
        .join(model, model.c.id == table.c.model_id)
        .join(tables.fetches, tables.fetches.c.id == table.c.fetch_id)
        .where(*wanted, table.c.origin_session >= sa.func.coalesce(oldest.scalar_subquery(), date.min))
        .subquery()
    )
    statement = sa.select(spoken).where(spoken.c.rank == 1).order_by(spoken.c.origin_session, spoken.c.horizon)
    found = frame(connection, statement)
    found = found[found.groupby("horizon").cumcount(ascending=False) < limit].reset_index(drop=True)
    found["split_factor"] = split_factors(connection, symbol, found)
    return found[["origin_session", "horizon", "target_session", "calibration", "split_factor"]]


def view(connection: sa.Connection, name: str, symbol: str, target: str | None = None) -> pd.DataFrame:
    """The rows of one of the six views for a symbol, and for a target where the view has one."""
    table = sa.table(name, sa.column("symbol"), sa.column("target"))
    statement = sa.select(sa.text("*")).select_from(table).where(table.c.symbol == symbol)
    return frame(connection, statement if target is None else statement.where(table.c.target == target))
