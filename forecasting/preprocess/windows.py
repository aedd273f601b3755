"""A forecaster's inputs and targets at each origin.

Features of bars and a market series, flags, scaled targets.

All three targets are scaled alike. A model's inputs and outputs are `z = (log(value) - level) /
spread`, where level and spread belong to the row (the origin) and are known at its close:

    volume   level: mean log volume of the row's last 22 sessions; spread 1
    range    level: mean log of log(high/low) over the same sessions; spread 1
    close    level: log close of the row's session; spread: geometric mean range of those sessions
        times sqrt(h)

A feature of session t is a function of the bars of sessions <= t only. Trailing means add shifted
copies instead of
differencing a running sum: a row's bits depend only on the values in its window, wherever the
history starts or ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.errors import HistoryError, NoBarError
from forecasting.losses import Floats
from forecasting.preprocess.future_covariates import (
    EVENT_NAMES,
    RUN_UP,
    calendar_flags,
    event_flags,
)
from forecasting.sessions import calendar, next_sessions, sessions_index
from forecasting.settings import Settings
from forecasting.targets import TARGETS
from forecasting.vocabulary import HORIZONS, Target

H = len(HORIZONS)
MIN_ROWS = 250  # minimum number of rows to fit: a year, so that every month and weekday occurs

STEP_NAMES = ("log_volume", "log_range", "abs_return", "return", "gap")
"""The network's inputs for each session of its look-back, in addition to the session's calendar and
event flags."""

LOOKBACK = 66  # T, sessions in the network's look-back
LEVEL_SESSIONS = 22
"""Sessions whose mean is a row's level; it is subtracted, because volume changes fourfold over the
decades."""

LAGS = 10
MEANS = (5, 10, 44, 120)
HALF_LIVES = (1, 5, 25, 60)
"""Half-lives, in sessions, of the exponential means; Bollerslev, Hood, Huss and Pedersen (2018) go
up to 125."""

WARM_UP = max(MEANS) + LOOKBACK
"""Sessions before the first row: the oldest session of its look-back needs the longest mean."""

# A basis point, the floor of log ranges, so that a bar whose price did not move has a logarithm
SMALLEST_RANGE = 1e-4
# The last bit of a logarithm depends on how many are taken at once
_SMALLEST = float(np.log(SMALLEST_RANGE)) + 1e-9
_LOG_RANGE, _ABS_RETURN = (STEP_NAMES.index(name) for name in ("log_range", "abs_return"))

FILLED_SESSIONS = 5
"""Sessions of its own exchange over which a close of the series is filled forward where newer ones
are missing."""

# Value of a session without a known close. A logarithm: it would be that of a close of exactly 1.
UNKNOWN = 0.0
MARKET_NAMES = ("market", "market_long", "market_change", "market_gap")
"""The market's features: of the ridges, not of the network (see train/prepare.py)."""

# From the VIX, per cent a year, to a standard deviation a session
_DAILY = math.log(100.0 * math.sqrt(252.0))


@dataclass(frozen=True)
class Scale:
    """Scaling of one row's targets, or of N rows', to model scale and back."""

    level: Floats  # () or (N,) subtracted from the log of a value
    spread: Floats  # (H,) or (N, H) divisor of the difference; positive

    def to_model(self, values: Floats) -> Floats:
        """Values (.., H) or (.., H, Q), given in the target's own unit, in model scale.

        NaN stays NaN.
        """
        level, spread = self._broadcast(values)
        return (np.log(values) - level) / spread

    def from_model(self, scaled: Floats) -> Floats:
        """Values in the target's own unit, given in model scale.

        Quantiles keep their order and levels.
        """
        level, spread = self._broadcast(scaled)
        return np.exp(level + spread * scaled)

    def _broadcast(self, values: Floats) -> tuple[Floats, Floats]:
        # Quantiles have one axis more than horizons.
        level = self.level[..., None]
        spread = self.spread
        return (
            (level[..., None], spread[..., None]) if values.ndim > spread.ndim else (level, spread)
        )


def actual_of(target: Target, bars: pd.DataFrame) -> pd.Series[float]:
    """Actual values, one per bar: shares, the bar's currency, or log(high / low).

    NaN where the bar has none.
    """
    return pd.Series(values_of(target, bars), index=bars.index, name=target)


def values_of(target: Target, bars: pd.DataFrame) -> Floats:
    """The same as an array (D,)."""
    if target == "range":
        high, low = (bars[name].to_numpy(dtype=np.float64) for name in ("high", "low"))
        values = np.maximum(np.log(high / low), SMALLEST_RANGE)
    else:
        values = bars[target].to_numpy(dtype=np.float64)
    return np.where(values > 0.0, values, np.nan)


def step_features(bars: pd.DataFrame) -> Floats:
    """(D, F) columns `STEP_NAMES`; logs are natural, returns are against the session before.

    `bars` have a row per session of the exchange, ascending. What is unknown, or of a bar that is
    missing, is filled forward from the session before; a volume unknown since the start counts as
    1.
    """
    series: list[Floats] = [values_of(name, bars) for name in ("volume", "range", "close")]
    volume, log_range, log_close = (np.log(fill_forward(values)) for values in series)
    moved = np.diff(log_close, prepend=np.nan)
    opened = np.log(bars["open"].to_numpy(dtype=np.float64))
    gap = opened - np.append(np.nan, log_close[:-1])
    # What is still NaN has no earlier session to fill from, or is the gap of a session without a
    # bar: 0.
    return np.nan_to_num(np.column_stack([volume, log_range, np.abs(moved), moved, gap]))


def with_usual_ranges(steps: Floats) -> Floats:
    """The steps (D, F) with another log range where high and low differ by no more than SMALLEST_RANGE.

    The absolute return since the session before, as in series that have closes only; where that is
    no larger either, as
    of a halted stock, the mean over the LEVEL_SESSIONS newest sessions before that moved: without
    this, 30 such sessions gave a five-session 80% interval of 0.1%. All other sessions keep their
    bits.
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
    return np.asarray(pd.Series(values).ffill(), dtype=np.float64)


def own_column(target: Target) -> int:
    """Column of `STEP_NAMES` with the target's own log series; for close, log range."""
    # Past returns do not predict a return; past ranges predict its spread.
    return STEP_NAMES.index(TARGETS[target].own_series)


def trailing_mean(values: Floats, sessions: int, *, half_life: float = np.inf) -> Floats:
    """Mean over the last `sessions` values, weights halving every `half_life` back.

    NaN until there are that many.
    """
    weights = 0.5 ** (np.arange(sessions) / half_life)  # by default exactly 1
    total = np.full(len(values), np.nan)
    first = sessions - 1
    if len(values) > first:
        total[first:] = 0.0
        for back, weight in enumerate(weights):
            total[first:] += weight * values[first - back : len(values) - back]
    return total / float(weights.sum())


def lag_features(steps: Floats, target: Target) -> Floats:
    """(D, P) lags and means of the target's own log series (of a close: of the range) less its level, and of others."""
    own = steps[:, own_column(target)]
    other = steps[:, 1 - own_column(target)]
    level = trailing_mean(own, LEVEL_SESSIONS)
    other_level = trailing_mean(other, LEVEL_SESSIONS)
    columns = [np.append(np.full(k, np.nan), own[: len(own) - k]) - level for k in range(LAGS)]
    columns += [trailing_mean(own, k) - level for k in MEANS]
    columns += [other - other_level, trailing_mean(other, 5) - other_level]
    columns += [other_level - trailing_mean(other, max(MEANS))]
    columns += [steps[:, 2], trailing_mean(steps[:, 2], 5), steps[:, 3], np.abs(steps[:, 4])]
    return np.column_stack(columns)


def long_memory_features(steps: Floats, target: Target) -> Floats:
    """(D, M) long-memory features of a range; M = 0 for other targets.

    Exponential means less the level, as volatility decays slowly on many time scales; and the
    levels, its usual values.
    """
    if target != "range":
        return np.empty((len(steps), 0))
    own = steps[:, own_column(target)]
    other = steps[:, 1 - own_column(target)]
    level = trailing_mean(own, LEVEL_SESSIONS)
    columns = [trailing_mean(own, max(MEANS), half_life=k) - level for k in HALF_LIVES]
    return np.column_stack([*columns, level, trailing_mean(other, LEVEL_SESSIONS)])


@dataclass(frozen=True)
class MarketSeries:
    """The closes of a market series (the VIX): an index that is an input for every symbol.

    The value of session t is the newest close made public when t closed on the symbol's own
    exchange: London and Tokyo close before New York, so that of the session before.
    """

    # by session of its own exchange: naive midnights, ascending; those at or below 0, NaN or of a
    # day that is no session are ignored
    closes: pd.Series[float]
    exchange: str = "XNYS"  # the exchange whose calendar says when each session closed


def log_closes(
    market: MarketSeries | None, sessions: pd.Index[pd.Timestamp], *, exchange: str
) -> Floats:
    """(D,) log of the series' close as known at the close of each of a symbol's sessions.

    `UNKNOWN` where none is.
    """
    if market is None or len(market.closes) == 0:
        return np.full(len(sessions), UNKNOWN)
    closed_at = calendar(market.exchange).closes
    positive = market.closes.where(market.closes > 0.0)
    filled = positive.reindex(closed_at.index).ffill(limit=FILLED_SESSIONS)
    newest = closed_at.searchsorted(calendar(exchange).closes.loc[sessions], side="right") - 1
    # -1: before the first session of the series' calendar
    known = np.append(filled.to_numpy(), np.nan)[newest]
    return np.where(np.isnan(known), UNKNOWN, np.log(np.where(np.isnan(known), 1.0, known)))


@dataclass(frozen=True, eq=False)  # equal to themselves alone: what is made of them can be kept
class Windows:
    """N rows, one per origin, oldest first, over D sessions of which the first D - N are the warm-up."""

    target: Target
    sessions: NDArray[np.datetime64]  # (D + H,) days; the last H come after the newest origin
    steps: Floats  # (D, F) per-session features; row t depends on sessions <= t
    flags: Floats  # (D, C) calendar and event flags of each session itself
    # (N, H, C) flags of the H target sessions, events as known at the row's origin
    future_flags: Floats
    values: Floats  # (D,) the target in its own unit; NaN where unknown
    level: Floats  # (N,) of each row's scaling
    spread: Floats  # (N, H)
    # (N, H) targets in model scale; NaN where the session is in the future or its value unknown
    scaled: Floats
    # (D,) log of the market series' close as known at each session's close; exactly 0 where unknown
    market: Floats
    flag_names: tuple[str, ...]  # C names

    def __len__(self) -> int:
        """N, the number of rows."""
        return len(self.level)

    @property
    def warm_up(self) -> int:
        """Sessions before the first row: row n is session warm_up + n."""
        return len(self.steps) - len(self)

    @property
    def origins(self) -> NDArray[np.datetime64]:
        """(N,) the rows' sessions."""
        return self.sessions[self.warm_up : self.warm_up + len(self)]

    @property
    def target_sessions(self) -> NDArray[np.datetime64]:
        """(N, H) the sessions that each row forecasts."""
        return np.lib.stride_tricks.sliding_window_view(self.sessions[self.warm_up + 1 :], H)

    @property
    def learnable_sessions(self) -> int:
        """Number of sessions, from the first, that training may use.

        Those up to the newest known target.
        """
        rows, places = np.nonzero(np.isfinite(self.scaled))
        return self.warm_up + int((rows + places).max(initial=-2)) + 2

    @property
    def has_events(self) -> bool:
        """Whether any session with a known value that training may use is an event, or up to ten after one."""
        learnable = slice(self.learnable_sessions)
        known = np.isfinite(self.values[learnable])
        return bool(self.flags[learnable, RUN_UP - len(EVENT_NAMES) :][known].any())

    @property
    def has_market(self) -> bool:
        """Whether the market series may be used.

        Its newest learnable value and features of enough rows are known.
        """
        known = self.market[: self.learnable_sessions] != UNKNOWN
        whole = trailing_mean(known.astype(np.float64), max(MEANS))[self.warm_up :] == 1.0
        return bool(known[-1]) and int(whole.sum()) >= MIN_ROWS // 2

    def market_features(self) -> Floats:
        """(N, 4) columns `MARKET_NAMES`: the series less its level, that less its long mean, change and gap.

        The gap is the volatility that options imply, as a log standard deviation of a session, less
        the level of the symbol's log range. NaN where the series or its means are unknown.
        """
        known = np.where(self.market == UNKNOWN, np.nan, self.market)
        level = trailing_mean(known, LEVEL_SESSIONS)
        change = np.diff(known, prepend=np.nan)
        gap = known - _DAILY - trailing_mean(self.steps[:, _LOG_RANGE], LEVEL_SESSIONS)
        features = np.column_stack(
            [known - level, level - trailing_mean(known, max(MEANS)), change, gap]
        )
        return features[self.warm_up :]

    def market_inputs(self) -> Floats:
        """(N, 4) the same for a ridge: what is unknown is at its mean of the learnable rows.

        (N, 0) without one.
        """
        if not self.has_market:
            return np.empty((len(self), 0))
        features = self.market_features()
        learnable = features[: self.learnable_sessions - self.warm_up]
        return np.where(np.isnan(features), np.nanmean(learnable, axis=0), features)

    def scale(self, rows: NDArray[np.int64] | int = -1) -> Scale:
        """The scaling of one row (by default the newest) or of several."""
        return Scale(self.level[rows], self.spread[rows])

    def cut(self, start: int, stop: int, *, known_to: int) -> Windows:
        """Rows `start` .. `stop` - 1 with the targets known at the close of row `known_to`: later ones are NaN.

        The arrays are copies with the memory layout of windows made for those rows alone.
        """
        first = start
        last = stop + self.warm_up
        ahead = np.arange(start, stop)[:, None] + np.array(HORIZONS)
        of_sessions = {
            name: getattr(self, name)[first:last].copy()
            for name in ("steps", "flags", "values", "market")
        }
        of_rows = {
            name: getattr(self, name)[start:stop].copy()
            for name in ("future_flags", "level", "spread")
        }
        scaled = np.where(ahead <= known_to, self.scaled[start:stop], np.nan)
        return replace(
            self,
            **of_sessions,
            **of_rows,
            sessions=self.sessions[first : last + H].copy(),
            scaled=scaled,
        )

    def as_of(self, row: int, sessions: int, *, last: int | None = None) -> Windows:
        """The rolling window of a night at `row`, with the targets known at its close, and the rows up to `last`."""
        return self.cut(
            max(0, row + 1 - sessions), (row if last is None else last) + 1, known_to=row
        )

    def save(self, path: Path) -> None:
        """Write the windows to one .npz file, without pickle."""
        arrays = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        np.savez(path, allow_pickle=False, **arrays)


def load_windows(path: Path) -> Windows:
    """The windows that `Windows.save` wrote to `path`, equal bit for bit."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = {field.name: stored[field.name] for field in fields(Windows)}
    arrays["flag_names"] = tuple(str(name) for name in arrays["flag_names"])
    return Windows(**arrays | {"target": str(arrays["target"])})


def make_windows(
    bars: pd.DataFrame,
    events: pd.DataFrame,
    *,
    origin: date,
    settings: Settings,
    market: MarketSeries | None = None,
) -> Windows:
    """The newest `train_sessions` rows up to `origin`, fewer of a shorter history.

    The last is the origin's.

    Of the settings, target and exchange are used too, as those of the symbol. What `bars`, `events`
    (as for `event_flags`) and `market` say of later sessions is ignored. A missing session or an
    unknown volume is filled forward in the features and never a target. A NoBarError where the
    origin has no bar, a HistoryError for too few sessions before it.
    """
    target = settings.target
    exchange = settings.exchange
    train_sessions = settings.train_sessions
    # One session more than the rows and their warm-up: the oldest return and filled volume come
    # from the one before. None of the others: rows are the same whatever was stored before them, as
    # after catching up from another day.
    bars = _on_sessions(
        bars,
        origin,
        settings,
        newest=train_sessions + WARM_UP + 1,
    )
    kept = slice(-min(len(bars), train_sessions + WARM_UP), None)
    steps = step_features(bars)
    values = values_of(target, bars)[kept]
    # A range's own series holds the ranges as they are, of standstills too.
    steps = (steps if target == "range" else with_usual_ranges(steps))[kept]
    sessions = bars.index[kept]
    ahead = next_sessions(origin, H, exchange)
    flags, future_flags, names = _calendar_and_events(
        events,
        sessions[0].date(),
        ahead,
        exchange,
        target,
    )
    level = trailing_mean(steps[:, own_column(target)], LEVEL_SESSIONS)[WARM_UP:]
    scale = Scale(level, np.ones((len(level), H)))
    if TARGETS[target].moves_width:  # as defined above; variances of independent returns add up
        root_horizon = np.sqrt(np.array(HORIZONS, dtype=np.float64))
        scale = Scale(np.log(fill_forward(values)[WARM_UP:]), np.exp(level)[:, None] * root_horizon)
    padded = np.append(values[1:], np.full(H, np.nan))  # in the future
    # (D, H) values of the sessions after each
    following = np.lib.stride_tricks.sliding_window_view(padded, H).copy()
    return Windows(
        target=target,
        sessions=np.append(sessions.to_numpy(), np.array(ahead, dtype="datetime64[D]")).astype(
            "datetime64[D]"
        ),
        steps=steps,
        flags=flags,
        future_flags=future_flags[WARM_UP:],
        values=values,
        level=scale.level,
        spread=scale.spread,
        scaled=scale.to_model(following[WARM_UP:]),
        market=log_closes(market, sessions, exchange=exchange),
        flag_names=names,
    )


def _on_sessions(
    bars: pd.DataFrame, origin: date, settings: Settings, *, newest: int
) -> pd.DataFrame:
    """One row per session: the `newest` sessions up to `origin`, from the first whose target is known."""
    symbol = settings.symbols[0]
    target = settings.target
    exchange = settings.exchange
    bars = bars.loc[: pd.Timestamp(origin)]
    # Counted in sessions: some may lack a bar, and a bar may be of none once the exchange was
    # changed
    if len(bars):
        bars = bars.loc[sessions_index(bars.index[0].date(), origin, exchange)[-newest:][0] :]
    known = actual_of(target, bars).dropna()
    if known.empty and len(bars):
        raise HistoryError(
            f"Expected a {target} in the bars of {symbol} up to the origin {origin}; none of "
            f"{len(bars)} has one. "
            "A currency or an index may have no volume: choose target range or close."
        )
    if bars.empty or bars.index[-1] != pd.Timestamp(origin):
        found = f"none has a {target}" if bars.empty else f"the newest is {bars.index[-1].date()}"
        raise NoBarError(
            f"Expected a bar of the origin {origin} among {len(bars)} bars up to it; {found}. "
            "Fetch it, or choose an origin that has one: the symbol may not have traded in that "
            "session."
        )
    sessions = sessions_index(known.index[0].date(), origin, exchange)
    if len(sessions) < WARM_UP + MIN_ROWS:
        raise HistoryError(
            f"Expected at least {WARM_UP + MIN_ROWS} sessions of {symbol} with a {target} up to "
            f"{origin} to train on "
            f"({WARM_UP} warm-up, {MIN_ROWS} training rows), found {len(sessions)}, from "
            f"{sessions[0].date()}. "
            "Load older bars, or wait until the symbol has traded longer."
        )
    return bars.reindex(sessions)


def _calendar_and_events(
    events: pd.DataFrame, first: date, ahead: list[date], exchange: str, target: Target
) -> tuple[Floats, Floats, tuple[str, ...]]:
    """Flags (D, C) of each session, (D, H, C) of the H after each, and their names."""
    own, names = calendar_flags(first, ahead[-1], exchange)
    sessions = len(own) - H
    # (D, H, C)
    following = np.lib.stride_tricks.sliding_window_view(own[1:], H, axis=0).transpose(0, 2, 1)
    reports, reports_ahead = event_flags(
        events,
        first,
        sessions,
        exchange,
    )
    # What earlier run-ups say of the next one is worse than nothing (docs/experiments.md)
    if target == "range":
        reports_ahead[..., :RUN_UP] = 0.0
    of_each = np.concatenate([own[:sessions], reports], axis=-1)
    return of_each, np.concatenate([following, reports_ahead], axis=-1), names + EVENT_NAMES
