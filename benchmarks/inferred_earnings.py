"""Earnings dates read off the bars themselves, for stocks whose dates nobody told.

They teach base weights and nothing else: what follows on an announcement, and what the days between look like once its
effect is taken out, is much the same for every stock. Which sessions reacted is read with hindsight, so no forecast of
these stocks may be judged by them; a base has seen nothing of the span that it is used in.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

KNOWN_AHEAD = 21
"""Sessions before a reaction from which its date counts as known, as for dates without a first-seen day."""

_QUARTER = 63.2  # sessions
_INTERVALS = np.arange(50, 80)
_PENALTY = 0.06  # per session that an interval is off; of SBUX's 57 dates 88 % are found to the day, 95 % within one
_STANDS_OUT = 1.4  # median score of a row: SBUX has 2.1, a calm utility 1.0; 53 to 60 of 94 stocks have it
_MONTH, _TWO_MONTHS = 22, 44


def inferred_earnings(bars: pd.DataFrame) -> pd.DataFrame:
    """Columns session, kind and known_from of the sessions that look most like a quarterly row of reactions.

    No rows for a stock whose reactions hardly stand out: which sessions they were would be a guess, and a base that
    learns from guesses is worse (see docs/experiments.md).

    Args:
        bars: One row per session, ascending; open, close and volume. Unknown volumes are carried.
    """
    scores = unusual(bars)
    at = quarterly_row(scores)
    at = at[:0] if np.median(scores[at]) < _STANDS_OUT else at
    days = bars.index
    return pd.DataFrame({"session": days[at], "kind": "earnings", "known_from": days[np.maximum(at - KNOWN_AHEAD, 0)]})


def unusual(bars: pd.DataFrame) -> Floats:
    """(D,) how much each session looks like a reaction: busy, gapped, moved, and the next one still busy."""
    log_volume = np.log(bars["volume"].where(bars["volume"] > 0)).ffill().bfill()
    log_close, log_open = np.log(bars["close"]), np.log(bars["open"])
    busy = log_volume - log_volume.rolling(_MONTH).mean().shift(1)
    moved, gap = log_close.diff().abs(), (log_open - log_close.shift(1)).abs()
    usual = moved.rolling(_TWO_MONTHS).mean().shift(1)
    score = (
        busy.clip(-1.0, 2.0) + 0.25 * (gap / usual - 0.5).clip(0.0, 6.0) + 0.1 * (moved / usual - 1.0).clip(0.0, 6.0)
    )
    scores: Floats = (score.fillna(0.0) + 0.3 * busy.shift(-1).fillna(0.0).clip(-0.5, 1.0)).to_numpy(dtype=np.float64)
    return scores


def quarterly_row(scores: Floats) -> NDArray[np.int64]:
    """Positions, ascending, about a quarter apart, whose scores (D,) add up to most, less a penalty for irregularity.

    By dynamic programming: the best row that ends at a session goes on from the best one that ends a quarter before.
    """
    total, before = scores.copy(), np.full(len(scores), -1)
    penalties = _PENALTY * np.abs(_INTERVALS - _QUARTER)
    for at in range(_INTERVALS[0], len(scores)):
        intervals = _INTERVALS[: at - _INTERVALS[0] + 1]
        candidates = total[at - intervals] - penalties[: len(intervals)]
        best = int(np.argmax(candidates))
        if candidates[best] > 0.0 or at >= _INTERVALS[-1]:
            total[at], before[at] = scores[at] + candidates[best], at - intervals[best]
    last = max(0, len(scores) - _INTERVALS[-1])
    row = [last + int(np.argmax(total[last:]))]
    while before[row[-1]] >= 0:
        row.append(int(before[row[-1]]))
    return np.array(row[::-1], dtype=np.int64)
