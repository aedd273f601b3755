"""Targets and their scaling, features of sessions, and the market series: all that windows hold but the calendar.

All three targets are scaled alike. A model's inputs and outputs are `z = (log(value) - level) / spread`, where level
and spread belong to the row (the origin) and are known at its close:

    volume   level: mean log volume of the row's last 22 sessions; spread 1
    range    level: mean log of log(high/low) over the same sessions; spread 1
    close    level: log close of the row's session; spread: geometric mean range of those sessions times sqrt(h)

A feature of session t is a function of the bars of sessions <= t only. Trailing means add shifted copies instead of
differencing a running sum: a row's bits depend only on the values in its window, wherever the history starts or ends.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forecasting.losses import Floats
from forecasting.sessions import calendar
from forecasting.vocabulary import Target

if TYPE_CHECKING:
    import pandas as pd

STEP_NAMES = ("log_volume", "log_range", "abs_return", "return", "gap")
"""The network's inputs for each session of its look-back, in addition to the session's calendar and event flags."""

LOOKBACK = 66  # T, sessions in the network's look-back
LEVEL_SESSIONS = 22
"""Sessions whose mean is a row's level; it is subtracted, because volume changes fourfold over the decades."""

LAGS = 10
MEANS = (5, 10, 44, 120)
HALF_LIVES = (1, 5, 25, 60)
"""Half-lives, in sessions, of the exponential means; Bollerslev, Hood, Huss and Pedersen (2018) go up to 125."""

WARM_UP = max(MEANS) + LOOKBACK
"""Sessions before the first row: the oldest session of its look-back needs the longest mean."""

SMALLEST_RANGE = 1e-4  # a basis point, the floor of log ranges, so that a bar whose price did not move has a logarithm
_SMALLEST = float(np.log(SMALLEST_RANGE)) + 1e-9  # the last bit of a logarithm depends on how many are taken at once
_LOG_RANGE, _ABS_RETURN = (STEP_NAMES.index(name) for name in ("log_range", "abs_return"))

FILLED_SESSIONS = 5
"""Sessions of its own exchange over which a close of the series is filled forward where newer ones are missing."""

UNKNOWN = 0.0  # value of a session without a known close. A logarithm: it would be that of a close of exactly 1.
MARKET_NAMES = ("market", "market_long", "market_change", "market_gap")
"""The market's features: of the ridges, not of the network (see train/prepare.py)."""

_DAILY = math.log(100.0 * math.sqrt(252.0))  # from the VIX, per cent a year, to a standard deviation a session


@dataclass(frozen=True)
class Scale:
    """Scaling of one row's targets, or of N rows', to model scale and back."""

    level: Floats  # () or (N,) subtracted from the log of a value
    spread: Floats  # (H,) or (N, H) divisor of the difference; positive

    def to_model(self, values: Floats) -> Floats:
        """Values (.., H) or (.., H, Q), given in the target's own unit, in model scale; NaN stays NaN."""
        level, spread = self._broadcast(values)
        return (np.log(values) - level) / spread

    def from_model(self, scaled: Floats) -> Floats:
        """Values in the target's own unit, given in model scale; quantiles keep their order and levels."""
        level, spread = self._broadcast(scaled)
        return np.exp(level + spread * scaled)

    def _broadcast(self, values: Floats) -> tuple[Floats, Floats]:
        # Quantiles have one axis more than horizons.
        level, spread = self.level[..., None], self.spread
        return (level[..., None], spread[..., None]) if values.ndim > spread.ndim else (level, spread)


def actual_of(target: Target, bars: "pd.DataFrame") -> "pd.Series[float]":
    """Actual values, one per bar: shares, the bar's currency, or log(high / low); NaN where the bar has none."""
    import pandas as pd

    return pd.Series(values_of(target, bars), index=bars.index, name=target)


def values_of(target: Target, bars: "pd.DataFrame") -> Floats:
    """The same as an array (D,)."""
    if target == "range":
        high, low = (bars[name].to_numpy(dtype=np.float64) for name in ("high", "low"))
        values = np.maximum(np.log(high / low), SMALLEST_RANGE)
    else:
        values = bars[target].to_numpy(dtype=np.float64)
    return np.where(values > 0.0, values, np.nan)


def step_features(bars: "pd.DataFrame") -> Floats:
    """(D, F) columns `STEP_NAMES`; logs are natural, returns are against the session before.

    `bars` have a row per session of the exchange, ascending. What is unknown, or of a bar that is missing, is filled
    forward from the session before; a volume unknown since the start counts as 1.
    """
    volume, log_range, log_close = (
        np.log(fill_forward(values_of(name, bars))) for name in ("volume", "range", "close")
    )
    moved = np.diff(log_close, prepend=np.nan)
    opened = np.log(bars["open"].to_numpy(dtype=np.float64))
    gap = opened - np.append(np.nan, log_close[:-1])
    # What is still NaN has no earlier session to fill from, or is the gap of a session without a bar: 0.
    return np.nan_to_num(np.column_stack([volume, log_range, np.abs(moved), moved, gap]))


def with_usual_ranges(steps: Floats) -> Floats:
    """The steps (D, F) with another log range where high and low differ by no more than SMALLEST_RANGE.

    The absolute return since the session before, as in series that have closes only; where that is no larger either, as
    of a halted stock, the mean over the LEVEL_SESSIONS newest sessions before that moved: without this, 30 such
    sessions gave a five-session 80% interval of 0.1%. All other sessions keep their bits.
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


def fill_forward(values: Floats) -> Floats:
    """Values (D,) with each NaN replaced by the value before it; leading NaN stay."""
    newest = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), 0))
    return values[newest]


def own_column(target: Target) -> int:
    """Column of `STEP_NAMES` with the target's own log series; for close, log range."""
    # Past returns do not predict a return; past ranges predict its spread.
    return STEP_NAMES.index("log_volume" if target == "volume" else "log_range")


def trailing_mean(values: Floats, sessions: int) -> Floats:
    """Mean over the last `sessions` values, the row's own included; NaN until there are that many."""
    return _trailing(values, np.ones(sessions))


def exponential_mean(values: Floats, half_life: float, sessions: int) -> Floats:
    """Mean over the last `sessions` values, weights halving every `half_life` back; NaN until there are that many."""
    return _trailing(values, 0.5 ** (np.arange(sessions) / half_life))


def _trailing(values: Floats, weights: Floats) -> Floats:
    total, first = np.full(len(values), np.nan), len(weights) - 1
    if len(values) > first:
        total[first:] = 0.0
        for back, weight in enumerate(weights):
            total[first:] += weight * values[first - back : len(values) - back]
    return total / float(weights.sum())


def lag_features(steps: Floats, target: Target) -> Floats:
    """(D, P) lags and means of the target's own log series (of a close: of the range) less its level, and of others."""
    own, other = steps[:, own_column(target)], steps[:, 1 - own_column(target)]
    level, other_level = trailing_mean(own, LEVEL_SESSIONS), trailing_mean(other, LEVEL_SESSIONS)
    columns = [np.append(np.full(k, np.nan), own[: len(own) - k]) - level for k in range(LAGS)]
    columns += [trailing_mean(own, k) - level for k in MEANS]
    columns += [other - other_level, trailing_mean(other, 5) - other_level]
    columns += [other_level - trailing_mean(other, max(MEANS))]
    columns += [steps[:, 2], trailing_mean(steps[:, 2], 5), steps[:, 3], np.abs(steps[:, 4])]
    return np.column_stack(columns)


def long_memory_features(steps: Floats, target: Target) -> Floats:
    """(D, M) long-memory features of a range; M = 0 for other targets.

    Exponential means less the level, as volatility decays slowly on many time scales; and the levels, its usual values.
    """
    if target != "range":
        return np.empty((len(steps), 0))
    own, other = steps[:, own_column(target)], steps[:, 1 - own_column(target)]
    level = trailing_mean(own, LEVEL_SESSIONS)
    columns = [exponential_mean(own, k, max(MEANS)) - level for k in HALF_LIVES]
    return np.column_stack([*columns, level, trailing_mean(other, LEVEL_SESSIONS)])


@dataclass(frozen=True)
class MarketSeries:
    """The closes of a market series (the VIX): an index that is an input for every symbol.

    The value of session t is the newest close made public when t closed on the symbol's own exchange: London and Tokyo
    close before New York, so that of the session before.
    """

    # by session of its own exchange: naive midnights, ascending; those at or below 0, NaN or of a day that is no
    # session are ignored
    closes: "pd.Series[float]"
    exchange: str = "XNYS"  # the exchange whose calendar says when each session closed


def log_closes(market: MarketSeries | None, sessions: "pd.Index[pd.Timestamp]", *, exchange: str) -> Floats:
    """(D,) log of the series' close as known at the close of each of a symbol's sessions; `UNKNOWN` where none is."""
    if market is None or len(market.closes) == 0:
        return np.full(len(sessions), UNKNOWN)
    closed_at = calendar(market.exchange).closes
    positive = market.closes.where(market.closes > 0.0)
    filled = positive.reindex(closed_at.index).ffill(limit=FILLED_SESSIONS)
    newest = closed_at.searchsorted(calendar(exchange).closes.loc[sessions], side="right") - 1
    known = np.append(filled.to_numpy(), np.nan)[newest]  # -1: before the first session of the series' calendar
    return np.where(np.isnan(known), UNKNOWN, np.log(np.where(np.isnan(known), 1.0, known)))


def market_features(market: Floats, steps: Floats) -> Floats:
    """(D, 4) columns `MARKET_NAMES`: the market series less its level, the level less its long mean, change and gap.

    The gap is the volatility that options imply, as a log standard deviation of a session, less the level of the
    symbol's log range. NaN where the series (D,) or its means are unknown; steps (D, F) as from `step_features`.
    """
    known = np.where(market == UNKNOWN, np.nan, market)
    level = trailing_mean(known, LEVEL_SESSIONS)
    usual_range = trailing_mean(steps[:, STEP_NAMES.index("log_range")], LEVEL_SESSIONS)
    columns = (
        known - level,
        level - trailing_mean(known, max(MEANS)),
        np.diff(known, prepend=np.nan),
        known - _DAILY - usual_range,
    )
    return np.column_stack(columns)
