"""Which score counts of each forecaster at each origin and horizon: the evidence of promotion, fallback and drift."""

from __future__ import annotations

import numpy as np
import pandas as pd

from forecasting.vocabulary import CHAMPION, KINDS, SILENCED

SCORE_COLUMNS = (
    *("origin_session", "horizon", "target_session", "kind", "stage", "bar_version", "issued_at", "model_id"),
    *("role", "model", "pinball", "inside_80"),
)
"""What is needed of table scores."""


def forecaster_losses(scores: pd.DataFrame, *, origins: int) -> pd.DataFrame:
    """One loss per origin, horizon and forecaster, ascending.

    A forecaster is `champion`, `challenger` or a baseline's name. Live counts before late before replay, settled before
    first print, the newest bar version and model before others. A baseline published in the champion's place counts as
    itself, and the champion that it replaced still as champion: else, once behind, it could never catch up.

    Args:
        scores: SCORE_COLUMNS, in any order.
        origins: Only the newest of so many scored origins.

    Returns:
        Columns origin_session, horizon, target_session, forecaster, pinball, inside_80 (1.0 or 0.0).
    """
    newest = np.sort(scores["origin_session"].unique())[-origins:]
    rows = scores[scores["origin_session"].isin(newest)]
    rank = rows["kind"].map({kind: place for place, kind in enumerate(KINDS)})
    best_first = rows.assign(rank=rank).sort_values(
        ["rank", "stage", "bar_version", "issued_at", "model_id"], ascending=[True, False, False, False, True]
    )
    roles = best_first["role"].replace({SILENCED: CHAMPION})
    named = best_first.assign(forecaster=roles.where(best_first["model"] == "lstm", best_first["model"]))
    once = named.drop_duplicates(["origin_session", "horizon", "forecaster"])
    kept = once.assign(inside_80=once["inside_80"].astype(float))
    in_order = kept.sort_values(["origin_session", "horizon", "forecaster"], ignore_index=True)
    return in_order[["origin_session", "horizon", "target_session", "forecaster", "pinball", "inside_80"]]
