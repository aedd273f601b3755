"""Companions: other symbols that a fit learns from and nobody forecasts, cut to what was known of them at a session."""

import numpy as np

from forecasting.preprocess.windows import FEWEST_ROWS, Windows


def teaches(companion: Windows) -> bool:
    """Whether there are enough rows with a known target to learn from: an index without volumes has none."""
    return int(np.isfinite(companion.scaled).any(axis=1).sum()) >= FEWEST_ROWS // 2


def known_at(companion: Windows, session: np.datetime64, *, train_sessions: int) -> Windows | None:
    """The newest `train_sessions` rows of a companion as they stood at the close of `session`.

    Returns:
        None where a night at `session` would have left the companion out: no row of that session, or too few by then.
    """
    row = int(np.searchsorted(companion.origins, session))
    if row == len(companion) or companion.origins[row] != session or row + 1 < FEWEST_ROWS:
        return None
    cut = companion.cut(max(0, row + 1 - train_sessions), row + 1, known_to=row)
    return cut if teaches(cut) else None
