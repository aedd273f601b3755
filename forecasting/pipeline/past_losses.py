"""The losses that a night decides on: whether to fit from scratch for drift, and whether to publish a baseline."""

from __future__ import annotations

from datetime import date

import pandas as pd

from forecasting.pipeline.night import Night
from forecasting.store import read
from forecasting.store.database import Connection


def past_losses(connection: Connection, night: Night, *, origins: int) -> pd.DataFrame:
    """The losses of the newest `origins` scored origins that the night before this one could score.

    More may be stored: where the night before was made up for late, or is replayed, it has scored the sessions after it
    too. A night that saw these would not decide as one that ran on time.

    Args:
        connection: An open connection.
        night: The night.
        origins: Number of newest scored origins.

    Returns:
        As `read.losses`.
    """
    symbol, target = night.symbol, night.target
    before = read.issued_before(connection, symbol, target, session=night.session)
    last, known_at = before or (date.min, None)
    return read.losses(connection, symbol, target, last=last, origins=origins, known_at=known_at)
