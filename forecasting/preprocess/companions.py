"""Companion series: symbols used as training data and not forecast, cut to the data available at a session."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from forecasting.preprocess.features import MEANS, STEP_NAMES, trailing_mean
from forecasting.preprocess.windows import MIN_ROWS, Windows


def with_companion_range(windows: Windows, companions: Sequence[Windows]) -> Windows:
    """The windows with `companion_range`: how much wider than usual the companions' prices ranged.

    The mean, over the companions with at least 120 sessions by then, of log(high / low) less the mean of their own
    newest 120 sessions. A session's value depends on sessions up to it only. The order of the companions changes the
    last bits; callers pass them in alphabetical order.
    """
    days = windows.sessions[: len(windows.steps)]
    total, counted = np.zeros(len(days)), np.zeros(len(days))
    for companion in companions:
        log_range = companion.steps[:, STEP_NAMES.index("log_range")]
        wider = log_range - trailing_mean(log_range, max(MEANS))
        known = np.isin(companion.sessions[: len(wider)], days) & np.isfinite(wider)
        at = np.searchsorted(days, companion.sessions[: len(wider)][known])
        total[at] += wider[known]
        counted[at] += 1.0
    return replace(windows, companion_range=total / np.maximum(counted, 1.0))


def has_enough_targets(companion: Windows) -> bool:
    """Whether enough rows have a known target to train on; an index without volumes has none."""
    return int(np.isfinite(companion.scaled).any(axis=1).sum()) >= MIN_ROWS // 2


def cut_to_session(companion: Windows, session: np.datetime64, *, train_sessions: int) -> Windows | None:
    """The newest `train_sessions` rows of a companion, with targets known at the close of `session` only.

    Returns:
        None where a night at `session` would not have used the companion: no row of that session, or too few rows.
    """
    row = int(np.searchsorted(companion.origins, session))
    if row == len(companion) or companion.origins[row] != session or row + 1 < MIN_ROWS:
        return None
    cut = companion.cut(max(0, row + 1 - train_sessions), row + 1, known_to=row)
    return cut if has_enough_targets(cut) else None
