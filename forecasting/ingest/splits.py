"""Splits: the share basis of the fetched bars, and split-like jumps that are held back."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.ingest.actions import make_actions
from forecasting.ingest.bar_rules import PRICES, Finding
from forecasting.ingest.bars import changed_rows
from forecasting.ingest.usual import quiet_moves

HOLD_JUMP, HOLD_SPLIT = 3, 10
"""Newest sessions in which a split-like jump is held: without a named split, and with one that the history ignores."""

MOVED = 1e-2
"""Relative difference that a restated close moves less than, and a rebased one more."""

SAME_RATIO = 1e-3
"""Relative difference within which prices moved by a split's ratio: files write 0.3333, Yahoo rounds to 6 decimals."""

_SPLIT_RATIOS = np.array([2.0, 3.0, 4.0, 5.0, 10.0, 20.0])  # within 5 % of these: once in 42,000 liquid bars
_SMALL_SPLIT = np.log(1.2)  # a day's move may be as large
_QUARTER, _OFTEN = 63, 4  # a price of 0.0001 doubles by a tick: one that did so four times in a quarter was not split
_NO_MARKET_MOVE = 5.0  # a hundredfold close is a change of unit, not of price

_JUMPS = {
    "split_not_applied": "The source names a split on this session, but its history is not on the new share basis.",
    "split_like_jump": "Close moved like a split since the session before, and no named split explains it.",
    "quiet_move": "Prices moved by this factor since the session before on a usual range and volume: a split that the "
    "source does not name, another currency, or another series.",
}


def basis(known: pd.DataFrame, bars: pd.DataFrame, splits: pd.DataFrame) -> pd.Series | None:
    """New shares per old share for every known session; None where no split explains how the prices moved.

    A named split is accepted where most closes moved by its ratio. Without a name, one ratio over every bar up to some
    session, with volumes moved the other way, is a split too. A few bars in another unit are no split, but no
    restatement either.
    """
    ones = pd.Series(1.0, index=known.index)
    common = known.index.intersection(bars.index)
    ratio = known["close"].reindex(common).to_numpy() / bars["close"].reindex(common).to_numpy()
    named = _named_factor(known.index, splits)
    expected = named.reindex(common).to_numpy()
    if (expected != 1.0).any() and np.nanmedian(np.abs(ratio / expected - 1.0)[expected != 1.0]) < SAME_RATIO:
        return named
    moved = np.abs(ratio - 1.0) > MOVED
    if moved.sum() < max(3.0, 0.05 * len(common)):
        return None if _changes_unit(known.loc[common], bars.loc[common]) else ones
    return _measured_factor(known, bars, common[moved], ratio[moved]) if _is_prefix(moved) else None


def _named_factor(sessions: pd.Index, splits: pd.DataFrame) -> pd.Series:
    factor = pd.Series(1.0, index=sessions)
    for session, value in zip(splits["session"], splits["value"], strict=True):
        factor[sessions < session] *= value
    return factor


def _measured_factor(
    known: pd.DataFrame, bars: pd.DataFrame, moved: pd.DatetimeIndex, ratio: NDArray[np.float64]
) -> pd.Series | None:
    """One factor for every bar up to the last moved one, if prices agree on it and volumes moved inversely; or None."""
    factor = float(np.median(ratio))
    volumes = (bars["volume"].reindex(moved) / known["volume"].reindex(moved)).median()
    agreed = (np.abs(ratio / factor - 1.0) < SAME_RATIO).mean() > 0.98
    if not agreed or not abs(volumes / factor - 1.0) < MOVED:
        return None
    unmoved = bars.index[bars.index > moved[-1]].intersection(known.index)
    if len(unmoved) and _tears(known, bars, [moved[-1], unmoved[0]], factor):
        return None
    old = known.index < unmoved[0] if len(unmoved) else np.ones(len(known), dtype=bool)
    return pd.Series(np.where(old, factor, 1.0), index=known.index)


def _changes_unit(known: pd.DataFrame, bars: pd.DataFrame) -> bool:
    """Whether the fetch leaps to a settled bar past _NO_MARKET_MOVE where the store, of the same sessions, does not."""
    then, now = (np.log(frame["close"]).diff().abs() > np.log(_NO_MARKET_MOVE) for frame in (known, bars))
    return bool((now & ~then & known["settled"].astype(bool)).any())


def _tears(known: pd.DataFrame, bars: pd.DataFrame, days: list[pd.Timestamp], factor: float) -> bool:
    """Whether the fetch has a larger jump between the two stored days than the store: a late rebase closes one."""
    then, now = (abs(np.log(frame["close"].loc[days]).diff().iloc[-1]) for frame in (known, bars))
    return bool(now > then and abs(np.log(factor)) > _SMALL_SPLIT)


def _is_prefix(moved: NDArray[np.bool_]) -> bool:
    return bool(moved[: int(moved.sum())].all())


def shown_splits(factor: pd.Series, bars: pd.DataFrame, splits: pd.DataFrame, *, stored: pd.DataFrame) -> pd.DataFrame:
    """The new `splits` that the fetch shows: on the first fetch all of the past, later those that rebased the bars.

    The session of each is the one that the source names; without a name, that of the first bar on the new basis. The
    bars were on the basis of what is `stored` for that session: the value is of both together.

    Args:
        factor: New shares per old share of every known session, as of `basis`.
        bars: The fetched bars.
        splits: Those that the source names and that are not stored.
        stored: The stored actions, newest value of each.
    """
    if factor.empty and len(bars):
        past: pd.DataFrame = splits[splits["session"] <= bars.index[-1]]
        return past
    if (factor == 1.0).all():
        return splits.iloc[:0]
    after = np.append(factor.to_numpy()[1:], 1.0)
    rows: list[tuple[object, str, float]] = []
    earlier = stored[stored["kind"] == "split"].set_index("session")["value"]
    for i in np.flatnonzero(np.abs(factor.to_numpy() / after - 1.0) > SAME_RATIO).tolist():
        last, value = factor.index[i], float(factor.iloc[i] / after[i])
        named = splits[(splits["session"] > last) & (np.abs(splits["value"] / value - 1.0) < MOVED)].head(1)
        later = bars.index[bars.index > last]
        unnamed = later[0] if len(later) else last + pd.Timedelta(days=1)
        rows += [(day, "split", float(ratio)) for day, ratio in zip(named["session"], named["value"], strict=True)]
        rows += [] if len(named) else [(unnamed, "split", round(value, 6))]
    return make_actions((day, kind, value * float(earlier.get(day, 1.0))) for day, kind, value in rows)


def split_factor(factor: pd.Series) -> float | None:
    """The factor of the newest rebased session; None where none was rebased."""
    moved = factor[factor != 1.0]
    return None if moved.empty else float(moved.iloc[-1])


def rebase(known: pd.DataFrame, factor: pd.Series) -> pd.DataFrame:
    """`known` on the new share basis: prices divided by the factor, volumes multiplied and rounded to whole shares."""
    rebased = known.copy()
    if (factor != 1.0).any():
        rebased[PRICES] = known[PRICES].div(factor, axis=0)
        rebased["volume"] = (known["volume"] * factor).round()
    return rebased


def hold_jumps(expected: pd.DataFrame, bars: pd.DataFrame, actions: pd.DataFrame) -> tuple[pd.DataFrame, list[Finding]]:
    """`bars` before the first one held, and the findings on split-like jumps.

    A split-like close without a named split is held until three sessions confirm it, and so is a far move on a session
    of usual range and volume; a named split that the history does not show, for ten, because mixed share bases would
    corrupt every window.

    Args:
        expected: The stored bars on the share basis of the fetch.
        bars: The fetched bars.
        actions: Dividends and splits, without the splits for which this fetch rebases the stored bars.
    """
    ratio = _ratio_to_before(expected, bars)
    earlier = expected["close"][expected.index < bars.index[0]] if len(bars) else expected["close"]
    quiet = quiet_moves(bars, float(earlier.iloc[-1]) if len(earlier) else np.nan, actions)
    named = actions[actions["kind"] == "split"].set_index("session")["value"]
    value = named[~named.index.duplicated(keep="last")].reindex(bars.index).fillna(1.0).to_numpy()
    ignored = (np.abs(np.log(value)) > _SMALL_SPLIT) & (np.abs(np.log(ratio * value)) < np.abs(np.log(ratio)))
    apart = np.maximum(ratio, 1.0 / ratio)
    like_a_split = (np.abs(apart[:, None] / _SPLIT_RATIOS - 1.0) < 0.05).any(axis=1)
    often = pd.Series(like_a_split).shift().rolling(_QUARTER, min_periods=1).sum().to_numpy() >= _OFTEN
    near = (like_a_split & ~often) | (apart > _NO_MARKET_MOVE)
    age = np.arange(len(bars), 0, -1)
    near &= (value == 1.0) & (age <= HOLD_JUMP)
    doubtful = changed_rows(bars, expected) & (near | quiet | ignored)
    held = doubtful & (age <= np.where(ignored, HOLD_SPLIT, HOLD_JUMP))
    rule = np.where(ignored, "split_not_applied", np.where(near, "split_like_jump", "quiet_move"))
    findings = [_jump(bars, i, ratio[i], str(rule[i]), held=bool(held[i])) for i in np.flatnonzero(doubtful).tolist()]
    return (bars.iloc[: int(np.argmax(held))] if held.any() else bars), findings


def _jump(bars: pd.DataFrame, row: int, ratio: float, rule: str, *, held: bool) -> Finding:
    return Finding(bars.index[row].date(), rule, "reject" if held else "flag", float(ratio), _JUMPS[rule])


def _ratio_to_before(expected: pd.DataFrame, bars: pd.DataFrame) -> NDArray[np.float64]:
    close = bars["close"].to_numpy()
    if not len(close):
        return close
    earlier = expected["close"][expected.index < bars.index[0]]
    before = np.append(earlier.iloc[-1] if len(earlier) else close[0], close[:-1])
    return np.asarray(close / before)
