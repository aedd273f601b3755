"""The share basis: how many of today's shares one share of an earlier day has become."""

import numpy as np
import pandas as pd
import sqlalchemy as sa
from numpy.typing import NDArray

from forecasting.store import tables
from forecasting.store.frames import frame


def split_factors(
    connection: sa.Connection, symbol: str, forecasts: pd.DataFrame, *, until: pd.Series | None = None
) -> pd.Series:
    """New shares per share of the day each forecast was issued, 1.0 where no split came between.

    A split counts when the bars that the forecast saw could not show it yet, and those at `until` do. The splits of
    years before the bars begin are in nobody's way: bars stored without them are on the new basis already.

    Args:
        connection: An open connection.
        symbol: Whose splits.
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
        then = _value_at(versions, forecasts["data_as_of"])
        now = _value_at(versions, until) if until is not None else np.full(len(factor), versions["value"].iloc[-1])
        factor = np.where(inside, factor * now / then, factor)
    return pd.Series(factor, index=forecasts.index)


def _value_at(versions: pd.DataFrame, instants: pd.Series) -> NDArray[np.float64]:
    """What a split was known to be at each instant: 1.0 before it was first seen, then its newest value."""
    position = versions["first_seen_at"].searchsorted(instants, side="right")
    return np.concatenate([[1.0], versions["value"].to_numpy()])[position]
