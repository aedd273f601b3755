"""The share basis: today's shares per share of an earlier day."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pandas as pd
import sqlalchemy as sa
from numpy.typing import NDArray

from forecasting.ingest.restatements import ACCEPTED
from forecasting.store import tables
from forecasting.store.frames import frame


def has_other_basis(connection: sa.Connection, symbol: str) -> bool:
    """Whether past forecasts of the symbol may be on another basis: a split is stored, or another history accepted."""
    table = tables.corporate_actions
    split = sa.exists().where(table.c.symbol == symbol, table.c.kind == "split")
    return bool(connection.scalar(sa.select(split))) or len(_accepted(connection, symbol)) > 0


def split_factors(
    connection: sa.Connection, symbol: str, forecasts: pd.DataFrame, *, until: pd.Series | None = None
) -> pd.Series:
    """New shares per share of the day each forecast was issued, 1.0 without a split in between.

    A split counts when the bars of the forecast could not show it yet, and those at `until` do. Splits of years before
    the bars begin do not count: bars stored without them are on the new basis already.

    Args:
        connection: An open connection.
        symbol: Symbol of the splits.
        forecasts: Columns data_as_of, the instant its bars were fetched, and first_received, their oldest session.
        until: The instant that the bars to compare with were first seen, one per row; None for now.
    """
    table = tables.corporate_actions
    splits = frame(
        connection,
        sa.select(table.c.session, table.c.first_seen_at, table.c.value)
        .where(table.c.symbol == symbol, table.c.kind == "split")
        .order_by(table.c.session, table.c.first_seen_at),
    )
    factor = np.ones(len(forecasts))
    for _, versions in splits.groupby("session"):
        inside = (forecasts["first_received"] < versions["session"].iloc[0]).to_numpy()
        before = _value_at(versions, forecasts["data_as_of"])
        after = _value_at(versions, until) if until is not None else np.full(len(factor), versions["value"].iloc[-1])
        factor = np.where(inside, factor * after / before, factor)
    return pd.Series(factor, index=forecasts.index)


def next_history(connection: sa.Connection, symbol: str, instants: pd.Series) -> pd.Series:
    """The next instant after each at which the user accepted another history of a symbol's bars; NaT where none.

    That history is in another unit or another vendor's, by a ratio that nothing states: no forecast made before it may
    be compared with its bars.

    Args:
        connection: An open connection.
        symbol: Symbol of the bars.
        instants: Aware.
    """
    accepted = _accepted(connection, symbol)
    following = pd.Series([*accepted, None], dtype="datetime64[us, UTC]")
    return following.iloc[accepted.searchsorted(instants, side="right")].set_axis(instants.index)


def of_present_history(
    connection: sa.Connection, symbol: str, rows: pd.DataFrame, *, at: datetime | None
) -> pd.DataFrame:
    """Rows of past forecasts without those made before the user accepted another history of the symbol's bars.

    Args:
        connection: An open connection.
        symbol: Symbol of the forecasts.
        rows: With data_as_of, the instant at which the bars of each were fetched.
        at: An aware instant: what was accepted by then counts; None for now.
    """
    accepted = next_history(connection, symbol, rows["data_as_of"])
    present: pd.DataFrame = rows[(accepted.isna() if at is None else ~(accepted <= at)).to_numpy()]
    return present.reset_index(drop=True)


def _accepted(connection: sa.Connection, symbol: str) -> "pd.Series[pd.Timestamp]":
    """The instants at which the user accepted another history of the symbol's bars, ascending."""
    found, fetch = tables.findings, tables.fetches
    statement = sa.select(fetch.c.fetched_at).distinct().join(found, found.c.fetch_id == fetch.c.id)
    statement = statement.where(found.c.symbol == symbol, found.c.rule == ACCEPTED).order_by(fetch.c.fetched_at)
    return pd.Series([*connection.scalars(statement)], dtype="datetime64[us, UTC]")


def all_at(at: datetime | None, rows: pd.DataFrame) -> pd.Series | None:
    """One instant for every row, as `split_factors` takes them; None for now."""
    return None if at is None else pd.Series(pd.Timestamp(at), index=rows.index)


def on_basis_at(
    connection: sa.Connection,
    symbol: str,
    target: str,
    rows: pd.DataFrame,
    columns: Sequence[str],
    *,
    at: datetime | None,
) -> pd.DataFrame:
    """Rows of past forecasts with the columns, in the target's unit, on the share basis that was known at an instant.

    A split changes how many shares trade and what one costs; a forecast, its score and its losses stay on the basis of
    the day it was made. What is averaged or compared over a split must be on one. Rows from before another history that
    the user accepted are left out: nothing states what would bring them to its unit.

    Args:
        connection: An open connection.
        symbol: Symbol of the forecasts.
        target: Their target.
        rows: With data_as_of and first_received, as for `split_factors`, which the result lacks.
        columns: What is brought to that basis.
        at: An aware instant; None for now.
    """
    rows = of_present_history(connection, symbol, rows, at=at)
    factor = split_factors(connection, symbol, rows, until=all_at(at, rows))
    found = rows.drop(columns=["data_as_of", "first_received"])
    if (factor != 1.0).any() and target != "range":
        found[list(columns)] = found[list(columns)].mul(factor if target == "volume" else 1.0 / factor, axis=0)
    return found


def _value_at(versions: pd.DataFrame, instants: pd.Series) -> NDArray[np.float64]:
    """The newest value of a split at each instant; 1.0 before it was first seen."""
    position = versions["first_seen_at"].searchsorted(instants, side="right")
    return np.concatenate([[1.0], versions["value"].to_numpy()])[position]
