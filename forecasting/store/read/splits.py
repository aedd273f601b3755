"""The share basis: today's shares per share of an earlier day."""

import numpy as np
import pandas as pd
import sqlalchemy as sa
from numpy.typing import NDArray

from forecasting.store import tables
from forecasting.store.frames import frame


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


def _value_at(versions: pd.DataFrame, instants: pd.Series) -> NDArray[np.float64]:
    """The newest value of a split at each instant; 1.0 before it was first seen."""
    position = versions["first_seen_at"].searchsorted(instants, side="right")
    return np.concatenate([[1.0], versions["value"].to_numpy()])[position]
