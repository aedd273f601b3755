"""Inputs of a forecast outside the range of the model's training data: a note for the reader, not an alarm."""

from datetime import date

import numpy as np

from forecasting.preprocess.features import LEVEL_SESSIONS, LOOKBACK, STEP_NAMES, trailing_mean
from forecasting.preprocess.windows import Windows

_LESS_LEVEL = {"volume": "log_volume", "range": "log_range"}
_UNCHANGED = {"return": "return", "gap": "gap"}


def inputs_out_of_range(windows: Windows, *, trained_from: date, trained_to: date) -> dict[str, date]:
    """The inputs below the minimum or above the maximum of the training data, with the newest such session of each.

    Compared are log volume and log range less their mean over LEVEL_SESSIONS, so that growth over the years does not
    count, and the return and the opening gap unchanged: the sessions of the newest row's look-back that came after the
    training data against the sessions in the look-backs of the training rows.

    Args:
        windows: The newest row is the forecast one. Sessions before the first are unknown and not counted.
        trained_from: Origin of the oldest training row.
        trained_to: Newest session used as a target in training; it was not an input.

    Returns:
        Those of volume, range, return and gap out of range; empty without any, or without a training session in
        `windows`.
    """
    sessions = len(windows.steps)
    first = int(np.searchsorted(windows.sessions, np.datetime64(trained_from))) - LOOKBACK + 1
    first = max(first, LEVEL_SESSIONS - 1)  # earlier sessions have no mean
    stop = int(np.searchsorted(windows.sessions[:sessions], np.datetime64(trained_to)))
    if stop <= first:
        return {}
    newest = max(stop, sessions - LOOKBACK)
    found = {}
    for name, values in _compared(windows).items():
        trained, now = values[first:stop], values[newest:]
        outside = np.flatnonzero((now < trained.min()) | (now > trained.max()))
        if len(outside):
            found[name] = windows.sessions[newest + outside[-1]].astype(object)
    return found


def out_of_range_text(found: dict[str, date]) -> str:
    """Text for column `outside`: `volume 2024-05-01, gap 2024-05-01`; empty for none."""
    return ", ".join(f"{name} {session}" for name, session in found.items())


def _compared(windows: Windows) -> dict[str, np.ndarray]:
    steps = {name: windows.steps[:, place] for place, name in enumerate(STEP_NAMES)}
    less_level = {name: steps[step] - trailing_mean(steps[step], LEVEL_SESSIONS) for name, step in _LESS_LEVEL.items()}
    return less_level | {name: steps[step] for name, step in _UNCHANGED.items()}
