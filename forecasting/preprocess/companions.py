"""Companions: other symbols that a fit learns from and nobody forecasts, cut to what was known of them at a session."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from forecasting.preprocess.features import MEANS, STEP_NAMES, trailing_mean
from forecasting.preprocess.windows import FEWEST_ROWS, Windows


def with_market(windows: Windows, companions: Sequence[Windows]) -> Windows:
    """The windows beside what their companions say of the market: how much wider than usual prices ranged.

    The mean, over the companions that had been trading for long enough, of log(high / low) less the mean of their own
    newest 120 sessions. A session's value rests on sessions up to it alone. The order of the companions counts in the
    last bits: alphabetical, wherever bits are compared.
    """
    days = windows.sessions[: len(windows.steps)]
    total, counted = np.zeros(len(days)), np.zeros(len(days))
    for one in companions:
        log_range = one.steps[:, STEP_NAMES.index("log_range")]
        wider = log_range - trailing_mean(log_range, max(MEANS))
        known = np.isin(one.sessions[: len(wider)], days) & np.isfinite(wider)
        at = np.searchsorted(days, one.sessions[: len(wider)][known])
        total[at] += wider[known]
        counted[at] += 1.0
    return replace(windows, companion_range=total / np.maximum(counted, 1.0))


def has_enough_targets(companion: Windows) -> bool:
    """Whether there are enough rows with a known target to learn from: an index without volumes has none."""
    return int(np.isfinite(companion.scaled).any(axis=1).sum()) >= FEWEST_ROWS // 2


def cut_to_session(companion: Windows, session: np.datetime64, *, train_sessions: int) -> Windows | None:
    """The newest `train_sessions` rows of a companion as they stood at the close of `session`.

    Returns:
        None where a night at `session` would have left the companion out: no row of that session, or too few by then.
    """
    row = int(np.searchsorted(companion.origins, session))
    if row == len(companion) or companion.origins[row] != session or row + 1 < FEWEST_ROWS:
        return None
    cut = companion.cut(max(0, row + 1 - train_sessions), row + 1, known_to=row)
    return cut if has_enough_targets(cut) else None
