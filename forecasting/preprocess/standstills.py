"""Sessions whose price stood still: their range says nothing about how far the price moves once it trades again."""

import numpy as np

from forecasting.losses import Floats
from forecasting.preprocess.features import LEVEL_SESSIONS, STEP_NAMES
from forecasting.preprocess.targets import SMALLEST_RANGE

_SMALLEST = float(np.log(SMALLEST_RANGE)) + 1e-9  # the last bit of a logarithm depends on how many are taken at once
_LOG_RANGE, _ABS_RETURN = (STEP_NAMES.index(name) for name in ("log_range", "abs_return"))


def with_usual_ranges(steps: Floats) -> Floats:
    """The steps (D, F) with another log range where high and low differ by no more than SMALLEST_RANGE.

    The absolute return since the session before, as in series that have closes only; where that is no larger either, as
    of a halted stock, the mean over the LEVEL_SESSIONS newest sessions before that moved. So the width of a close after
    a standstill comes from the time before it; without this, 30 such sessions gave a five-session 80 % interval of
    0.1 %.

    Of 577,915 sessions of 95 large stocks two have high = low; all others keep their bits.
    """
    still = np.flatnonzero(steps[:, _LOG_RANGE] <= _SMALLEST)
    if len(still) == 0:
        return steps
    steps = steps.copy()
    log_range = steps[:, _LOG_RANGE]
    log_range[still] = np.log(np.maximum(steps[still, _ABS_RETURN], SMALLEST_RANGE))
    moved = np.flatnonzero(log_range > _SMALLEST)
    for session in still[log_range[still] <= _SMALLEST]:
        before = moved[: np.searchsorted(moved, session)][-LEVEL_SESSIONS:]
        if len(before):  # a price that has never moved keeps the smallest range
            log_range[session] = log_range[before].mean()
    return steps
