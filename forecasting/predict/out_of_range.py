"""Which inputs of a forecast lie beyond anything that its model was trained on: news for a reader, no alarm."""

from datetime import date

import numpy as np

from forecasting.preprocess.features import LEVEL_SESSIONS, LOOKBACK, STEP_NAMES, trailing_mean
from forecasting.preprocess.windows import Windows

_AGAINST_LEVEL = {"volume": "log_volume", "range": "log_range"}
_AS_THEY_ARE = {"return": "return", "gap": "gap"}


def inputs_out_of_range(windows: Windows, *, trained_from: date, trained_to: date) -> dict[str, date]:
    """The inputs beyond the least or the greatest of those trained on, each with the newest session that has it so.

    What is compared is what the network sees of a session: log volume and log range less their mean of LEVEL_SESSIONS,
    so that growth over the years is nothing new, and the return and the opening gap as they are. Held against the
    sessions in the look-backs of the training rows are those of the newest row's look-back that came after them.

    Args:
        windows: The newest row is the one that speaks. Sessions before their first are not known and not counted.
        trained_from: Origin of the oldest training row.
        trained_to: Newest session whose value was learned; as an input it was not seen.

    Returns:
        Of volume, range, return and gap those outside; empty when none is, or when no training session is in `windows`.
    """
    sessions = len(windows.steps)
    first = int(np.searchsorted(windows.sessions, np.datetime64(trained_from))) - LOOKBACK + 1
    first = max(first, LEVEL_SESSIONS - 1)  # before it there is no mean
    stop = int(np.searchsorted(windows.sessions[:sessions], np.datetime64(trained_to)))
    if stop <= first:
        return {}
    newest = max(stop, sessions - LOOKBACK)
    found = {}
    for name, values in _compared(windows).items():
        seen, now = values[first:stop], values[newest:]
        beyond = np.flatnonzero((now < seen.min()) | (now > seen.max()))
        if len(beyond):
            found[name] = windows.sessions[newest + beyond[-1]].astype(object)
    return found


def out_of_range_text(found: dict[str, date]) -> str:
    """What the ledger keeps: `volume 2024-05-01, gap 2024-05-01`; empty for none."""
    return ", ".join(f"{name} {session}" for name, session in found.items())


def _compared(windows: Windows) -> dict[str, np.ndarray]:
    steps = {name: windows.steps[:, place] for place, name in enumerate(STEP_NAMES)}
    unusual = {name: steps[step] - trailing_mean(steps[step], LEVEL_SESSIONS) for name, step in _AGAINST_LEVEL.items()}
    return unusual | {name: steps[step] for name, step in _AS_THEY_ARE.items()}
