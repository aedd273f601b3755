"""How the champion stands against the best baseline over its newest scored sessions: the rows behind live_skill."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WINDOWS = (20, 60, 250)
"""Scored target sessions that are looked back over."""


def standings(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per window, under the columns of table standings from window_sessions on; none without a champion.

    A session is judged once per line, by its first row. Champion and baseline are compared on the sessions that both
    have; a baseline that has under nine tenths of the champion's is not compared. The best baseline is the one that
    leaves the champion the lowest skill by absolute error.

    Args:
        scores: Of one symbol, target, kind and horizon, the row that counts first: target_session, role (champion or
            baseline), model (the model's name), error, pinball, inside_80 and inside_90.
    """
    lines = np.where(scores["role"] == "champion", "", scores["model"]).astype(str)  # "": whichever model spoke
    once = (~scores[["target_session"]].assign(line=lines).duplicated()).to_numpy()
    sessions, at = np.unique(scores["target_session"].to_numpy()[once], return_inverse=True)
    names, line = np.unique(lines[once], return_inverse=True)  # "" sorts first
    if not len(names) or names[0]:
        return []
    columns = [scores[name].to_numpy(dtype=float)[once] for name in ("error", "pinball", "inside_80", "inside_90")]
    table = np.full((4, len(sessions), len(names)), np.nan)
    table[:, at, line] = columns
    table[0] = np.abs(table[0])
    rows = []
    for window in WINDOWS:
        judged = np.isfinite(table[0, -window:, 0])
        if judged.any():
            row = _stand(table[:, -window:][:, judged], names[1:].tolist())
            days = pd.DatetimeIndex(sessions[-window:][judged])
            rows.append({"window_sessions": window, "first_session": days[0], "last_session": days[-1], **row})
    return rows


def _stand(table: Floats, baselines: list[str]) -> dict[str, Any]:
    """One row from (4, D, 1 + baselines) absolute error, pinball, inside_80, inside_90; the champion's come first."""
    error, pinball, inside_80, inside_90 = table
    days = len(error)
    known = np.isfinite(error)
    compared = np.flatnonzero(10 * known[:, 1:].sum(axis=0) >= 9 * days)
    skill, rival_mae = _skill(error, known)
    pinball_skill, _ = _skill(pinball, known)
    # A baseline without an error leaves no skill that could be told: nothing is closer to the champion, or past it.
    closest = min(compared, key=lambda k: (np.nan_to_num(skill[k], nan=-np.inf), baselines[k]), default=None)
    return {
        "n": days,
        "mae": error[:, 0].mean(),
        "pinball": pinball[:, 0].mean(),
        "coverage_80": inside_80[:, 0].mean(),
        "coverage_90": inside_90[:, 0].mean(),
        "best_baseline": None if closest is None else baselines[closest],
        "baseline_mae": None if closest is None else rival_mae[closest],
        "skill": min(skill[compared], default=None),
        "pinball_skill": min(pinball_skill[compared], default=None),
    }


def _skill(loss: Floats, known: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """(baselines,) 1 - ours / theirs on the days that both have, NaN where theirs is 0; and theirs, the mean loss."""
    shared = known[:, 1:].sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):  # a baseline that shares no day is never compared
        theirs = np.where(known, loss, 0.0)[:, 1:].sum(axis=0) / shared
        ours = np.where(known, loss[:, :1], 0.0)[:, 1:].sum(axis=0) / shared
        skills: Floats = np.where(theirs > 0.0, 1.0 - ours / theirs, np.nan)
    return skills, theirs
