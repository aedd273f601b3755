"""One loss per forecaster, origin and horizon, from all scores: the input of fallback and drift."""

from __future__ import annotations

import numpy as np
import pandas as pd

from forecasting.vocabulary import CHAMPION, KINDS, LSTM, SILENCED

SCORE_COLUMNS = (
    *("origin_session", "horizon", "target_session", "kind", "stage", "bar_version", "issued_at", "model_id"),
    *("role", "model", "pinball", "inside_80"),
)
"""Columns of table scores that `forecaster_losses` needs."""


def forecaster_losses(scores: pd.DataFrame, *, origins: int) -> pd.DataFrame:
    """One loss per origin, horizon and forecaster, ascending.

    A forecaster is `champion`, `challenger` or a baseline's name. Live is preferred to late and late to replay, then
    settled to first print, the newest bar version, the newest forecast and the smallest model id. A baseline published
    in the champion's place counts under its own name, and the champion it replaced (role `silenced`) as champion:
    otherwise a champion that was once behind could never be published again.

    Args:
        scores: SCORE_COLUMNS, in any order.
        origins: Number of newest scored origins to use.

    Returns:
        Columns origin_session, horizon, target_session, forecaster, pinball, inside_80 (1.0 or 0.0).
    """
    rows = newest_origins(scores, origins)
    rank = rows["kind"].map({kind: place for place, kind in enumerate(KINDS)})
    best_first = rows.assign(rank=rank).sort_values(
        ["rank", "stage", "bar_version", "issued_at", "model_id"], ascending=[True, False, False, False, True]
    )
    roles = best_first["role"].replace({SILENCED: CHAMPION})
    named = best_first.assign(forecaster=roles.where(best_first["model"] == LSTM, best_first["model"]))
    once = named.drop_duplicates(["origin_session", "horizon", "forecaster"])
    kept = once.assign(inside_80=once["inside_80"].astype(float))
    in_order = kept.sort_values(["origin_session", "horizon", "forecaster"], ignore_index=True)
    return in_order[["origin_session", "horizon", "target_session", "forecaster", "pinball", "inside_80"]]


def newest_origins(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """The rows of the newest `count` origins among them; column origin_session."""
    newest = np.sort(rows["origin_session"].unique())[-count:]
    return rows[rows["origin_session"].isin(newest)]
