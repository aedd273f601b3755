"""Per-session features: row t is a function of the bars of sessions <= t, and of nothing else.

Trailing means add shifted copies instead of differencing a running sum: a row's bits depend on the values under its
window alone, wherever the history starts or ends.
"""

from typing import TYPE_CHECKING

import numpy as np

from forecasting.losses import Floats
from forecasting.preprocess.targets import values_of
from forecasting.vocabulary import Target

if TYPE_CHECKING:
    import pandas as pd

STEP_NAMES = ("log_volume", "log_range", "abs_return", "return", "gap")
"""What the network sees of each session in its look-back, beside the session's own flags."""

LOOKBACK = 66
"""T, sessions in the network's window."""

LEVEL_SESSIONS = 22
"""Sessions whose mean is a row's own level; it is subtracted, for volume changes fourfold over the decades."""

LAGS = 10
MEANS = (5, 10, 44, 120)
HALF_LIVES = (1, 5, 25, 60)
"""Half-lives, in sessions, of fading means; Bollerslev, Hood, Huss and Pedersen (2018) reach to 125."""

WARM_UP = max(MEANS) + LOOKBACK
"""Sessions before the first row: its window's oldest session needs the longest mean."""


def step_features(bars: "pd.DataFrame") -> Floats:
    """(D, F) columns `STEP_NAMES`; logs are natural, returns are against the session before.

    Args:
        bars: One row per session of the exchange, ascending; open, high, low, close, volume. NaN where a value is
            unknown or the bar is missing: it is carried from the session before.
            A volume unknown since the start counts as 1.
    """
    volume, log_range, log_close = (np.log(carry(values_of(name, bars))) for name in ("volume", "range", "close"))
    moved = np.diff(log_close, prepend=np.nan)
    opened = np.log(bars["open"].to_numpy(dtype=np.float64))
    gap = opened - np.append(np.nan, log_close[:-1])
    # What is still NaN has no session before it to carry from, or is the gap of a session without a bar: none.
    steps: Floats = np.nan_to_num(np.column_stack([volume, log_range, np.abs(moved), moved, gap]))
    return steps


def carry(values: Floats) -> Floats:
    """Values (D,) with each NaN replaced by the value before it; leading NaN stay."""
    newest = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), 0))
    return values[newest]


def own_column(target: Target) -> int:
    """Which step is the target's own log series."""
    # A return's own past says nothing of it; past ranges say how wide it may be.
    return STEP_NAMES.index("log_volume" if target == "volume" else "log_range")


def trailing_mean(values: Floats, sessions: int) -> Floats:
    """Mean over the last `sessions` values, the row's own included; NaN until there are so many."""
    total = np.full(len(values), np.nan)
    if len(values) >= sessions:
        total[sessions - 1 :] = 0.0
        for back in range(sessions):
            total[sessions - 1 :] += values[sessions - 1 - back : len(values) - back]
    return total / sessions


def exponential_mean(values: Floats, half_life: float, sessions: int) -> Floats:
    """Mean over the last `sessions` values, each counting half of one `half_life` later; NaN until there are enough."""
    weights = 0.5 ** (np.arange(sessions) / half_life)
    total = np.full(len(values), np.nan)
    if len(values) >= sessions:
        total[sessions - 1 :] = 0.0
        for back in range(sessions):
            total[sessions - 1 :] += weights[back] * values[sessions - 1 - back : len(values) - back]
    return total / float(weights.sum())


def lag_features(steps: Floats, target: Target) -> tuple[Floats, tuple[str, ...]]:
    """(D, P) what the linear path sees of the past, and the P names; NaN until the longest mean has its sessions.

    Lags and means of the target's own log series (for close: of the range) less its level, a short account of the
    other series, and how far the price has moved.
    """
    own, other = steps[:, own_column(target)], steps[:, 1 - own_column(target)]
    level, other_level = trailing_mean(own, LEVEL_SESSIONS), trailing_mean(other, LEVEL_SESSIONS)
    moved, signed, gap = steps[:, 2], steps[:, 3], steps[:, 4]
    columns = {f"lag{k}": _lag(own, k) - level for k in range(LAGS)}
    columns |= {f"mean{k}": trailing_mean(own, k) - level for k in MEANS}
    columns |= {
        "other": other - other_level,
        "other_mean5": trailing_mean(other, 5) - other_level,
        "other_mean120": other_level - trailing_mean(other, max(MEANS)),
        "abs_return": moved,
        "abs_return_mean5": trailing_mean(moved, 5),
        "return": signed,
        "abs_gap": np.abs(gap),
    }
    return np.column_stack(list(columns.values())), tuple(columns)


def long_memory_features(steps: Floats, target: Target) -> tuple[Floats, tuple[str, ...]]:
    """(D, M) the long memory of a range, and the M names; of the other targets none, M = 0. NaN as in `lag_features`.

    Fading means less the level, as volatility forgets slowly and on many scales at once; and the levels themselves, to
    which it returns. The rival ridge goes without: Corsi's HAR, its kin, is one of three means.
    """
    if target != "range":
        return np.empty((len(steps), 0)), ()
    own, other = steps[:, own_column(target)], steps[:, 1 - own_column(target)]
    level = trailing_mean(own, LEVEL_SESSIONS)
    columns = {f"fading{k}": exponential_mean(own, k, max(MEANS)) - level for k in HALF_LIVES}
    columns |= {"level": level, "other_level": trailing_mean(other, LEVEL_SESSIONS)}
    return np.column_stack(list(columns.values())), tuple(columns)


def _lag(values: Floats, by: int) -> Floats:
    return np.concatenate([np.full(by, np.nan), values[: len(values) - by]])
