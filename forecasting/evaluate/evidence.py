"""Past losses of the forecasters: the input of fallback and drift."""

from __future__ import annotations

import numpy as np
import pandas as pd

LOSS_COLUMNS = ("origin_session", "horizon", "forecaster", "target_session", "pinball", "inside_80")
"""One row per origin, horizon and forecaster: `champion`, the network whether published or not, or a baseline's name.

Pinball loss in the target's unit; inside_80 is 1.0 or 0.0.
"""


def newest_origins(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """The rows of the newest `count` origins among them; column origin_session."""
    newest = np.sort(rows["origin_session"].unique())[-count:]
    return rows[rows["origin_session"].isin(newest)]
