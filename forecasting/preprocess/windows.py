"""A forecaster's inputs and targets at each origin: features, flags, scaled targets.

Both targets are scaled alike. A model's inputs and outputs are `z = log(value) - level`, where the
level belongs to the row (the origin) and is known at its close: the mean log volume, or the mean
log of log(high / low), of the row's last 22 sessions.

A feature of session t is a function of the bars of sessions <= t only. Trailing means add shifted
copies instead of differencing a running sum: a row's bits depend only on the values in its window,
wherever the history starts or ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from forecasting.errors import HistoryError
from forecasting.losses import Floats
from forecasting.preprocess.expected import Expected, known_at
from forecasting.preprocess.future_covariates import (
    AFTER_EVENTS,
    EVENT_NAMES,
    EVENTS,
    RUN_UP,
    calendar_flags,
    calendar_part,
    event_flags,
)
from forecasting.sessions import calendar, next_sessions, sessions_index
from forecasting.settings import Settings
from forecasting.targets import TARGETS, TargetRules
from forecasting.vocabulary import HORIZONS, Target

Rows = NDArray[np.int64]
H = len(HORIZONS)
MIN_ROWS = 250  # minimum number of rows to fit: a year, so that every month and weekday occurs

STEP_NAMES = ("log_volume", "log_range", "abs_return", "return", "gap")
"""The network's inputs for each session of its look-back, beside the session's flags."""

LOG_VOLUME, LOG_RANGE, ABS_RETURN, RETURN, GAP = range(len(STEP_NAMES))  # their columns
LOOKBACK = 66  # T, sessions in the network's look-back
LEVEL_SESSIONS = 22
"""Sessions whose mean is a row's level, which is subtracted: volume changes fourfold in decades."""

LAGS = 10
MEANS = (5, 10, 44, 120)
LONGEST_MEAN = max(MEANS)
HALF_LIVES = (1, 5, 25, 60)
"""Of the exponential means, in sessions; Bollerslev, Hood, Huss and Pedersen (2018): up to 125."""

WARM_UP = LONGEST_MEAN + LOOKBACK
"""Sessions before the first row: the oldest session of its look-back needs the longest mean."""

TRAIN_SESSIONS = 2500
"""Rows of a night's window. 4,000 have 0.01 to 1.3% less error and take a third longer."""

NETWORK_SESSIONS = WARM_UP + MIN_ROWS
"""Least history of a network; a symbol with less is young."""
BASELINE_SESSIONS = LOOKBACK
"""Least history of a baseline, and so of a forecast: 45 rows, of whose errors its quantiles are."""

# A basis point, the floor of log ranges, so that a bar whose price did not move has a logarithm
SMALLEST_RANGE = 1e-4
# The last bit of a logarithm depends on how many are taken at once
_SMALLEST = float(np.log(SMALLEST_RANGE)) + 1e-9

FILLED_SESSIONS = 5
"""Sessions of its own exchange over which a close of the market series is filled forward."""

MARKET_NAMES = ("market", "market_long", "market_change", "market_gap")
"""The market's features: of the ridges, not of the network (see train/prepare.py)."""

# From the VIX, per cent a year, to a standard deviation a session
_DAILY = math.log(100.0 * math.sqrt(252.0))


def to_model(values: Floats, level: Floats) -> Floats:
    """(.., H) or (.., H, Q) in model scale, of values in the target's own unit.

    `level` is () or (N,), that of each row.
    """
    return np.log(values) - _of_rows(level, values)


def from_model(scaled: Floats, level: Floats) -> Floats:
    """The inverse of `to_model`."""
    return np.exp(_of_rows(level, scaled) + scaled)


def _of_rows(level: Floats, values: Floats) -> Floats:
    return np.reshape(level, np.shape(level) + (1,) * (values.ndim - np.ndim(level)))


def actual_of(target: Target, bars: pd.DataFrame) -> pd.Series[float]:
    """Actual values, one per bar: shares or log(high / low); NaN where unknown."""
    if target == "range":
        ratio = bars["high"].to_numpy(dtype=np.float64) / bars["low"].to_numpy(dtype=np.float64)
        return pd.Series(np.maximum(np.log(ratio), SMALLEST_RANGE), bars.index)
    return _positive(bars["volume"])


def _positive(values: pd.Series[float]) -> pd.Series[float]:
    numbers = values.astype(np.float64)
    return numbers.where(numbers > 0.0)


def step_features(bars: pd.DataFrame) -> Floats:
    """(D, F) columns `STEP_NAMES`; logs are natural, returns are against the session before.

    `bars` have a row per session of the exchange, ascending. What is unknown, or of a bar that is
    missing, is filled forward from the session before; a volume unknown since the start counts as
    1.
    """
    series = (actual_of("volume", bars), actual_of("range", bars), _positive(bars["close"]))
    volume, log_range, log_close = (np.log(fill_forward(values)) for values in series)
    moved = np.diff(log_close, prepend=np.nan)
    gap = np.log(bars["open"].to_numpy(dtype=np.float64)) - np.append(np.nan, log_close[:-1])
    # What is still NaN has no earlier session to fill from, or is the gap of a session without a
    # bar: 0.
    return np.nan_to_num(np.column_stack([volume, log_range, np.abs(moved), moved, gap]))


def with_usual_ranges(steps: Floats) -> Floats:
    """The steps (D, F) with a usual log range where high and low differ by SMALLEST_RANGE or less.

    The usual one is the absolute return, as in series of closes alone. Where that is no larger
    either, as of a halted stock, it is the mean over the LEVEL_SESSIONS newest sessions before that
    moved: without it, 30 such sessions gave a five-session 80% interval of 0.1%.
    """
    still = np.flatnonzero(steps[:, LOG_RANGE] <= _SMALLEST)
    steps = steps.copy()
    log_range = steps[:, LOG_RANGE]
    log_range[still] = np.log(np.maximum(steps[still, ABS_RETURN], SMALLEST_RANGE))
    moved = np.flatnonzero(log_range > _SMALLEST)
    for session in still[log_range[still] <= _SMALLEST]:
        before = moved[: np.searchsorted(moved, session)][-LEVEL_SESSIONS:]
        if len(before):  # a price that has never moved keeps the smallest range
            log_range[session] = log_range[before].mean()
    return steps


def fill_forward(values: ArrayLike) -> Floats:
    """Values (D,) with each NaN replaced by the value before it; leading NaN stay."""
    return np.asarray(pd.Series(values).ffill(), dtype=np.float64)


def past_column(target: Target) -> int:
    """Column of `STEP_NAMES` with the log series of a target."""
    return LOG_VOLUME if target == "volume" else LOG_RANGE


def trailing_means(values: Floats, *lengths: int) -> list[Floats]:
    """Return (D,) the mean over the last values, NaN before, for each of several lengths.

    One sum grows from the shortest length to the longest, so that a mean has the same bits
    whichever lengths are asked for with it.
    """
    newest_first = np.ascontiguousarray(values)
    total = np.zeros(len(values))
    means = {}
    for back in range(max(lengths)):
        total[back:] += newest_first[: max(len(values) - back, 0)]
        length = back + 1
        if length in lengths:
            means[length] = total / length
            means[length][:back] = np.nan
    return [means[length] for length in lengths]


def trailing_mean(values: Floats, sessions: int) -> Floats:
    """Return (D,) the mean over the last `sessions` values; NaN before."""
    return trailing_means(values, sessions)[0]


def exponential_mean(values: Floats, sessions: int, *, half_life: float) -> Floats:
    """Return (D,) the mean over the last `sessions` values, whose weights halve; NaN before."""
    weights = 0.5 ** (np.arange(sessions) / half_life)
    total = np.full(len(values), np.nan)
    first = sessions - 1
    if len(values) > first:
        total[first:] = 0.0
        for back, weight in enumerate(weights):
            total[first:] += weight * values[first - back : len(values) - back]
    return total / float(weights.sum())


def level_of(values: Floats) -> Floats:
    """(D,) the level at each session: the mean over the last LEVEL_SESSIONS values."""
    return trailing_mean(values, LEVEL_SESSIONS)


def lagged(values: Floats, sessions: int) -> Floats:
    """(D,) the value `sessions` before each session; NaN where there is none."""
    return np.append(np.full(sessions, np.nan), values[: len(values) - sessions])


def lag_features(steps: Floats, target: Target) -> Floats:
    """(D, P) lags and means of the target's own series, less its level, and of others."""
    series = steps[:, past_column(target)]
    other = steps[:, 1 - past_column(target)]
    moved = steps[:, ABS_RETURN]
    level, *means = trailing_means(series, LEVEL_SESSIONS, *MEANS)
    other_level, other_week, other_long = trailing_means(other, LEVEL_SESSIONS, 5, LONGEST_MEAN)
    columns = [lagged(series, k) - level for k in range(LAGS)]
    columns += [mean - level for mean in means]
    columns += [other - other_level, other_week - other_level, other_level - other_long]
    columns += [moved, trailing_mean(moved, 5), steps[:, RETURN], np.abs(steps[:, GAP])]
    return np.column_stack(columns)


def long_memory_features(steps: Floats, target: Target) -> Floats:
    """(D, M) long-memory features of a range; M = 0 for other targets.

    They are exponential means less the level, since volatility decays slowly on many time scales,
    and the levels themselves.
    """
    if target != "range":  # volume does not gain by them
        return np.empty((len(steps), 0))
    series = steps[:, LOG_RANGE]
    level = level_of(series)
    columns = [exponential_mean(series, LONGEST_MEAN, half_life=k) - level for k in HALF_LIVES]
    return np.column_stack([*columns, level, level_of(steps[:, LOG_VOLUME])])


@dataclass(frozen=True)
class MarketSeries:
    """The closes of a market series (the VIX): an index that is an input for every symbol.

    The value of session t is the newest close made public when t closed on the symbol's own
    exchange: London and Tokyo close before New York, so that of the session before.
    """

    # By session of its own exchange, ascending; what is no price is ignored
    closes: pd.Series[float]
    exchange: str = "XNYS"  # the exchange whose calendar says when each session closed


def log_closes(
    market: MarketSeries | None, sessions: pd.Index[pd.Timestamp], *, exchange: str
) -> Floats:
    """(D,) log of the series' close as known when each of a symbol's sessions closed, or NaN."""
    if market is None:
        return np.full(len(sessions), np.nan)
    closed_at = calendar(market.exchange).closes
    positive = market.closes.where(market.closes > 0.0)
    filled = positive.reindex(closed_at.index).ffill(limit=FILLED_SESSIONS)
    newest = closed_at.searchsorted(calendar(exchange).closes.loc[sessions], side="right") - 1
    # -1: before the first session of the series' calendar
    return np.log(np.append(filled.to_numpy(dtype=np.float64), np.nan)[newest])


@dataclass(frozen=True, eq=False)  # equal to themselves alone: what is made of them can be kept
class Windows:
    """N rows, one per origin, oldest first, over D sessions: the first D - N are the warm-up."""

    target: Target
    sessions: NDArray[np.datetime64]  # (D + H,) days; the last H come after the newest origin
    steps: Floats  # (D, F) per-session features; row t depends on sessions <= t
    flags: Floats  # (D, C) calendar and event flags of each session itself
    future_flags: Floats  # (N, H, C) flags of target sessions, events as known at the origin
    values: Floats  # (D,) the target in its own unit; NaN where unknown
    level: Floats  # (N,) of each row's scaling
    scaled: Floats  # (N, H) targets in model scale; NaN where in the future or unknown
    market: Floats  # (D,) log of the market series' close as known at each session's close, or NaN
    flag_names: tuple[str, ...]  # C names
    exchange: str  # the exchange whose sessions these are
    # The report that is expected and not announced, which no flag marks; None without one
    expected: Expected | None
    found_reports: tuple[date, ...]  # sessions of past reports that the volume shows

    def __len__(self) -> int:
        """N, the number of rows."""
        return len(self.level)

    @property
    def rules(self) -> TargetRules:
        """What is special about the target."""
        return TARGETS[self.target]

    @property
    def warm_up(self) -> int:
        """Sessions before the first row: row n is session warm_up + n."""
        return len(self.steps) - len(self)

    @property
    def is_young(self) -> bool:
        """Whether the history is too short for a network: each row has a level alone."""
        return self.warm_up < WARM_UP

    @property
    def origins(self) -> NDArray[np.datetime64]:
        """(N,) the rows' sessions."""
        return self.sessions[self.warm_up : self.warm_up + len(self)]

    @cached_property
    def learnable_sessions(self) -> int:
        """Number of sessions that training may use: those up to the newest known target."""
        rows, places = np.nonzero(np.isfinite(self.scaled))
        return self.warm_up + int((rows + places).max(initial=-2)) + 2

    @cached_property
    def has_events(self) -> bool:
        """Whether a learnable session with a known value is an event, or up to ten after one."""
        learnable = slice(self.learnable_sessions)
        known = np.isfinite(self.values[learnable])
        return bool(self.flags[learnable, AFTER_EVENTS][known].any())

    @cached_property
    def has_market(self) -> bool:
        """Whether the market series is known at the newest learnable session and at enough rows."""
        market = self.market[: self.learnable_sessions]
        whole = np.isfinite(trailing_mean(market, LONGEST_MEAN)[self.warm_up :])
        return bool(np.isfinite(market[-1])) and int(whole.sum()) >= MIN_ROWS // 2

    @cached_property
    def market_features(self) -> Floats:
        """(N, 4) columns `MARKET_NAMES`: the series less its level, its long mean, change and gap.

        The long mean is subtracted from the level. The gap is the volatility that options imply, as
        a log standard deviation of a session, less the level of the symbol's log range. NaN where
        the series or its means are unknown.
        """
        market = self.market
        level, long_mean = trailing_means(market, LEVEL_SESSIONS, LONGEST_MEAN)
        change = np.diff(market, prepend=np.nan)
        gap = market - _DAILY - level_of(self.steps[:, LOG_RANGE])
        columns = [market - level, level - long_mean, change, gap]
        return np.column_stack(columns)[self.warm_up :]

    @cached_property
    def market_inputs(self) -> Floats:
        """(N, 4) the same for a ridge, at their mean where unknown; (N, 0) without a series."""
        if not self.has_market:
            return np.empty((len(self), 0))
        features = self.market_features
        learnable = features[: self.learnable_sessions - self.warm_up]
        return np.where(np.isnan(features), np.nanmean(learnable, axis=0), features)

    def cases(self) -> Iterator[tuple[float, Windows]]:
        """Yield the cases of an expected report, each with its probability and its windows.

        The first case has no report near. Without an expected report it is the only one. The cases
        are made one at a time, because each has flags of its own for every row.
        """
        expected = self.expected
        if expected is None:
            yield 1.0, self
            return
        yield 1.0 - sum(expected.probabilities), self
        for session, probability in zip(expected.sessions, expected.probabilities, strict=True):
            yield probability, self._with_report(session)

    def _with_report(self, session: date) -> Windows:
        """Return the windows with the flags of one more report, known since the first session."""
        first = self.sessions[0].item()
        report = {"session": [session], "kind": ["earnings"], "known_from": [first]}
        event = pd.DataFrame(report).astype({"session": "M8[ns]", "known_from": "M8[ns]"})
        of_sessions, ahead = _report_flags(
            event, first, len(self.steps), self.exchange, self.target
        )
        flags = self.flags.copy()
        future_flags = self.future_flags.copy()
        flags[:, EVENTS] = np.maximum(flags[:, EVENTS], of_sessions)
        future_flags[..., EVENTS] = np.maximum(future_flags[..., EVENTS], ahead[self.warm_up :])
        return replace(self, flags=flags, future_flags=future_flags, expected=None)

    def known_to(self, row: int) -> Windows:
        """The windows with the targets known at the close of `row`; later ones are NaN."""
        ahead = np.arange(len(self))[:, None] + np.array(HORIZONS)
        return replace(self, scaled=np.where(ahead <= row, self.scaled, np.nan))


def make_windows(
    bars: pd.DataFrame,
    events: pd.DataFrame,
    *,
    origin: date,
    settings: Settings,
    rows: int,
    market: MarketSeries | None = None,
) -> Windows:
    """The newest `rows` up to that of `origin`; fewer where the history is shorter.

    The rows of a young symbol begin with the first session that has a level. What `bars`, `events`
    (as for `event_flags`) and `market` hold of later sessions is ignored. A missing session or an
    unknown volume is filled forward in the features and is never a target.

    Raises:
        HistoryError: The origin has no bar, or too few sessions before it.
    """
    size = rows + WARM_UP
    # One session more than the rows and their warm-up: the oldest return and filled volume come
    # from the one before. None of the others: rows are the same whatever was stored before them, as
    # after catching up from another day.
    bars = _on_sessions(bars, origin, settings, newest=size + 1)
    sessions = bars.index[-size:]
    values = np.asarray(actual_of(settings.target, bars), dtype=np.float64)[-size:]
    steps = step_features(bars)
    # A range's own series holds the ranges as they are, of standstills too.
    if settings.target != "range":
        steps = with_usual_ranges(steps)
    warm_up = WARM_UP
    if len(sessions) < NETWORK_SESSIONS:
        warm_up = LEVEL_SESSIONS - 1
        events = events[:0]  # the hours of a series' first reports are inferred from later volumes
    reports = known_at(events, origin, volume=bars["volume"], exchange=settings.exchange)
    events = reports.events
    ahead = next_sessions(origin, H, settings.exchange)
    flags, future_flags, names = _flags(events, sessions[0].date(), ahead, settings)
    if warm_up < WARM_UP:  # a month that came once or twice is no season: it follows the trend
        future_flags[..., [calendar_part(name) == "month" for name in names]] = 0.0
    return Windows(
        target=settings.target,
        sessions=np.append(sessions, pd.DatetimeIndex(ahead)).astype("datetime64[D]"),
        steps=steps[-size:],
        flags=flags,
        future_flags=future_flags[warm_up:],
        values=values,
        market=log_closes(market, sessions, exchange=settings.exchange),
        flag_names=names,
        exchange=settings.exchange,
        expected=reports.expected,
        found_reports=reports.found,
        **_scaled(settings.target, steps[-size:], values, warm_up),
    )


def _scaled(target: Target, steps: Floats, values: Floats, warm_up: int) -> dict[str, Floats]:
    """Level and scaled targets of each row, as defined above."""
    level = level_of(steps[:, past_column(target)])[warm_up:]
    padded = np.append(values[1:], np.full(H, np.nan))  # in the future
    following = sliding_window_view(padded, H).copy()  # (D, H) values of the sessions after each
    return {"level": level, "scaled": to_model(following[warm_up:], level)}


def _on_sessions(
    bars: pd.DataFrame, origin: date, settings: Settings, *, newest: int
) -> pd.DataFrame:
    """A row per session: the `newest` up to `origin`, from the first whose target is known."""
    target = settings.target
    exchange = settings.exchange
    bars = bars.loc[: pd.Timestamp(origin)]
    # Counted in sessions: some may lack a bar, and a bar may be of none once the exchange was
    # changed
    if len(bars):
        bars = bars.loc[sessions_index(bars.index[0].date(), origin, exchange)[-newest:][0] :]
    known = actual_of(target, bars).dropna()
    first = known.index[0].date() if len(known) else origin
    sessions = sessions_index(first, origin, exchange)
    if len(sessions) < BASELINE_SESSIONS or bars.index[-1] != pd.Timestamp(origin):
        raise HistoryError(
            f"Expected {settings.symbols[0]} to have a bar at the origin {origin} and at least "
            f"{BASELINE_SESSIONS} sessions with a {target} up to it; found {len(known)}, and "
            f"{len(bars)} bars. Load older bars, or wait until the symbol has traded longer. A "
            "currency or an index may have no volume: choose target range."
        )
    return bars.reindex(sessions)


def _flags(
    events: pd.DataFrame, first: date, ahead: list[date], settings: Settings
) -> tuple[Floats, Floats, tuple[str, ...]]:
    """Flags (D, C) of each session from `first` on, (D, H, C) of the H after each, and names."""
    calendar_only, names = calendar_flags(first, ahead[-1], settings.exchange)
    sessions = len(calendar_only) - H
    following = sliding_window_view(calendar_only[1:], H, axis=0).transpose(0, 2, 1)  # (D, H, C)
    reports, reports_ahead = _report_flags(
        events, first, sessions, settings.exchange, settings.target
    )
    flags = np.concatenate([calendar_only[:sessions], reports], axis=-1)
    future_flags = np.concatenate([following, reports_ahead], axis=-1)
    return flags, future_flags, names + EVENT_NAMES


def _report_flags(
    events: pd.DataFrame, first: date, sessions: int, exchange: str, target: Target
) -> tuple[Floats, Floats]:
    """Return the flags (D, E) and (D, H, E) of `event_flags` that a target uses."""
    reports, reports_ahead = event_flags(events, first, sessions, exchange)
    # What earlier run-ups say of the next one is worse than nothing (docs/experiments.md).
    if target == "range":
        reports_ahead[..., :RUN_UP] = 0.0
    return reports, reports_ahead
