"""Bars against the usual of the 63 sessions before: volumes out of all proportion, and moves that no trading explains.

Each limit carries its false alarms over 575,920 bars of 95 liquid US stocks, 2000 to 2024.
"""

from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.ingest.actions import dividends_on
from forecasting.sessions import early_closes

PARTIAL_VOLUME = 0.4
"""Share of the usual volume below which the newest full session counts as unfinished: 1 in 424 finished bars."""

INFLATED_QUIET, INFLATED = 5.0, 20.0
"""Multiples of the usual volume past which the newest bar is held: 5 where its range is below twice the usual (1 in
1,570; of true volumes times 10 it holds 94 %), 20 whatever the range (1 in 38,000). The hold ends with the next bar."""

OUTLIER_LOW, OUTLIER_HIGH = 0.05, 30.0
"""Multiples of the usual volume outside which any new bar is flagged: 12 bars, 1 in 47,993."""

QUIET_MOVE, QUIET_SIGMAS = 0.06, 4.0
"""Log move from the last close to both open and close, and in standard deviations of daily log returns, past which a
session of usual range and volume is doubtful: no market moves that far without trading."""

OTHER_UNIT = 300.0
"""Multiple of the usual volume past which, or under its inverse, two sessions in a row are in another unit, as
thousands of shares: of two sessions in a row the largest multiple in 577,915 bars was 36, the least 0.14."""

BEFORE, FEWEST_BEFORE = 63, 20
"""Sessions whose median is the usual, and the fewest that have one."""

_ORDINARY = 4
"""Sessions of the 63 past a limit of volume from which on passing it is ordinary: of simulated volumes whose logs vary
by 0.9, as small caps' do, 1 in 85 is held as unfinished, before it was 1 in 9. Of liquid stocks it spares 1 in 30."""

_QUIET_RANGE = 2.0  # times the usual log(high / low)
_QUIET_VOLUME, _BUSY_VOLUME, _BUSY_MOVE = 2.0, 3.0, 0.15  # a split multiplies volume too, by 1.2 to 1.5


def volume_multiple(bars: pd.DataFrame) -> NDArray[np.float64]:
    """(D,) volume over the median of the 63 sessions before; NaN with fewer than 20 known ones."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):  # infinite volumes are another rule's finding
        return np.asarray(bars["volume"].to_numpy() / _usual(bars["volume"]))


def is_other_unit(multiple: NDArray[np.float64] | pd.Series) -> NDArray[np.bool_]:
    """(D,) which multiples of the usual volume no trading explains, but another unit."""
    return np.asarray((multiple > OTHER_UNIT) | (multiple < 1.0 / OTHER_UNIT))


def in_newest_unit(bars: pd.DataFrame) -> pd.DataFrame:
    """The bars, from the first of their newest sessions whose volumes are in another unit, if there are several."""
    run = int(np.logical_and.accumulate(is_other_unit(volume_multiple(bars.iloc[-2 * BEFORE :]))[::-1]).sum())
    return bars.iloc[-run:] if run > 1 else bars


def is_partial(bars: pd.DataFrame, session: date, exchange: str = "XNYS") -> bool:
    """Whether the bar of `session` looks unfinished: a full session with less than 0.4 of the usual volume.

    The usual volume is the median of the 63 sessions before. Early closes are exempt: their median is 0.38 of it. So is
    a volume after a full session that was low too, and is finished: trading has become quiet, as in late December; and
    one that four of the 63 sessions had too, not the least of them: trading is lumpy. On SBUX it would have held 3
    finished bars in 14 years, each for one day. False with fewer than 20 earlier volumes.
    """
    stamp = pd.Timestamp(session)
    if stamp not in bars.index or session in early_closes(session, session, exchange):
        return False
    newest = bars.loc[:stamp].iloc[-BEFORE - 2 :]
    multiple = volume_multiple(newest)[-2:]
    low = multiple < PARTIAL_VOLUME
    before = newest.index[-2:][0].date()
    after_full = before not in early_closes(before, before, exchange)
    return bool(
        low[-1]
        and not (after_full and low.all() and _is_level(multiple))
        and not _is_ordinary(newest["volume"], PARTIAL_VOLUME)
    )


def is_inflated(bars: pd.DataFrame) -> bool:
    """Whether the newest volume is too high for its session: past 5 times the usual on a usual range, or past 20.

    Not after a session past 5 times, which is finished: the stock trades more than it did. Nor where four of the 63
    sessions were past 5 times, one of them higher still: trading is lumpy.
    """
    newest = bars.iloc[-BEFORE - 2 :]
    multiple, reach = volume_multiple(newest)[-2:], _range_multiple(newest)[-1]
    high = multiple[-1] > INFLATED or (multiple[-1] > INFLATED_QUIET and reach < _QUIET_RANGE)
    return bool(
        high
        and not ((multiple > INFLATED_QUIET).all() and _is_level(multiple))
        and not _is_ordinary(1.0 / newest["volume"], 1.0 / INFLATED_QUIET)
    )


def quiet_moves(bars: pd.DataFrame, before: float, actions: pd.DataFrame) -> NDArray[np.bool_]:
    """(D,) whether open and close left the close before by far on a session of usual range and volume.

    An unnamed 3:2, 4:3, 5:4 or 6:5 split, a bar in another currency and a bar of another series look like this. False
    alarms: 10 in 575,920. Found, on the same bars: 90 to 93 % of such splits, 85 % of prices times 1.16 or 0.86, 57 %
    of prices times 0.93. A dividend of the session is taken off the close before where that brings the two closes
    nearer: some are named in another currency, or a hundred times too large. A session of a named split is left out.

    Args:
        bars: Canonical bars, ascending.
        before: The close before the first of them; NaN if unknown.
        actions: Columns session, kind, value.
    """
    if bars.empty:
        return np.zeros(0, dtype=bool)
    close, opened = bars["close"].to_numpy(), bars["open"].to_numpy()
    last = np.append(before, close[:-1])
    ex_dividend = last - dividends_on(bars.index, actions)
    split = bars.index.isin(actions.loc[actions["kind"] == "split", "session"])
    with np.errstate(invalid="ignore", divide="ignore"):  # a dividend above the close is another rule's finding
        last = np.where(np.abs(np.log(close / ex_dividend)) < np.abs(np.log(close / last)), ex_dividend, last)
        to_open, to_close = np.log(opened / last), np.log(close / last)
    move = np.where(np.sign(to_open) == np.sign(to_close), np.minimum(np.abs(to_open), np.abs(to_close)), 0.0)
    spread = pd.Series(to_close).shift().rolling(BEFORE, min_periods=FEWEST_BEFORE).std().to_numpy()
    volume = volume_multiple(bars)
    usual_volume = (volume < _QUIET_VOLUME) | ((move > _BUSY_MOVE) & (volume < _BUSY_VOLUME))
    far = (move > QUIET_MOVE) & (move > QUIET_SIGMAS * spread)
    return np.asarray(far & usual_volume & (_range_multiple(bars) < _QUIET_RANGE) & ~split)


def _is_level(multiple: NDArray[np.float64]) -> bool:
    """Whether two multiples of the usual volume are both what any session may have: no other unit, no wrong row."""
    return bool(((multiple > OUTLIER_LOW) & (multiple < OUTLIER_HIGH)).all() and len(multiple) == 2)


def _is_ordinary(volumes: pd.Series, share: float) -> bool:
    """Whether the last is past `share` of the usual as several of the sessions before it were, one of them further."""
    before = volumes.iloc[-BEFORE - 1 : -1]
    past = before[before < share * before.median()]
    return len(past) >= _ORDINARY and bool(past.min() < volumes.iloc[-1])


def _range_multiple(bars: pd.DataFrame) -> NDArray[np.float64]:
    """(D,) log(high / low) over the median of the 63 sessions before; NaN with fewer than 20."""
    reach = pd.Series(np.log(bars["high"].to_numpy() / bars["low"].to_numpy()))
    with np.errstate(invalid="ignore", divide="ignore"):  # a series without any range
        return np.asarray(reach.to_numpy() / _usual(reach))


def _usual(values: pd.Series) -> NDArray[np.float64]:
    return np.asarray(values.shift().rolling(BEFORE, min_periods=FEWEST_BEFORE).median().to_numpy())
