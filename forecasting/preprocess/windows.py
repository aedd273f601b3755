"""A forecaster's inputs and targets at each origin, from bars, the exchange's calendar and the events known by then."""

from dataclasses import dataclass, fields, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from forecasting.errors import HistoryError, NoBarError
from forecasting.losses import Floats
from forecasting.preprocess.features import (
    LEVEL_SESSIONS,
    MEANS,
    UNKNOWN,
    WARM_UP,
    MarketSeries,
    Scale,
    actual_of,
    fill_forward,
    log_closes,
    market_features,
    own_column,
    step_features,
    trailing_mean,
    values_of,
    with_usual_ranges,
)
from forecasting.preprocess.future_covariates import EVENT_NAMES, RUN_UP, calendar_flags, event_flags
from forecasting.sessions import next_sessions, sessions_index
from forecasting.vocabulary import HORIZONS, Target

if TYPE_CHECKING:
    import pandas as pd

H = len(HORIZONS)
MIN_ROWS = 250  # minimum number of rows to fit: a year, so that every month and weekday occurs


@dataclass(frozen=True, eq=False)  # equal to themselves alone: what is made of them can be kept
class Windows:
    """N rows, one per origin, oldest first, over D sessions of which the first D - N are the warm-up."""

    target: Target
    sessions: NDArray[np.datetime64]  # (D + H,) days; the last H come after the newest origin
    steps: Floats  # (D, F) per-session features; row t depends on sessions <= t
    flags: Floats  # (D, C) calendar and event flags of each session itself
    future_flags: Floats  # (N, H, C) flags of the H target sessions, events as known at the row's origin
    values: Floats  # (D,) the target in its own unit; NaN where unknown
    level: Floats  # (N,) of each row's scaling
    spread: Floats  # (N, H)
    scaled: Floats  # (N, H) targets in model scale; NaN where the session is in the future or its value unknown
    market: Floats  # (D,) log of the market series' close as known at each session's close; exactly 0 where unknown
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
        """Number of sessions, from the first, that training may use: those up to the newest known target."""
        rows, places = np.nonzero(np.isfinite(self.scaled))
        return self.warm_up + int((rows + places).max(initial=-2)) + 2

    @property
    def has_events(self) -> bool:
        """Whether any session with a known value that training may use has an event flag."""
        learnable = slice(self.learnable_sessions)
        known = np.isfinite(self.values[learnable])
        return bool(self.flags[learnable, -len(EVENT_NAMES) :][known].any())

    @property
    def has_market(self) -> bool:
        """Whether the market series may be used: its newest learnable value and features of enough rows are known."""
        known = self.market[: self.learnable_sessions] != UNKNOWN
        whole = trailing_mean(known.astype(np.float64), max(MEANS))[self.warm_up :] == 1.0
        return bool(known[-1]) and int(whole.sum()) >= MIN_ROWS // 2

    def market_features(self) -> Floats:
        """(N, 4) columns `market.MARKET_NAMES` of each row; NaN where unknown."""
        return market_features(self.market, self.steps)[self.warm_up :]

    def market_inputs(self) -> Floats:
        """(N, 4) the same for a ridge: what is unknown is at its mean of the learnable rows; (N, 0) without one."""
        if not self.has_market:
            return np.empty((len(self), 0))
        features = self.market_features()
        learnable = features[: self.learnable_sessions - self.warm_up]
        return np.where(np.isnan(features), np.nanmean(learnable, axis=0), features)

    def scale(self, rows: NDArray[np.int64] | int = -1) -> Scale:
        """The scaling of one row (by default the newest) or of several."""
        return Scale(self.level[rows], self.spread[rows])

    def cut(self, start: int, stop: int, *, known_to: int) -> "Windows":
        """Rows `start` .. `stop` - 1 with the targets known at the close of row `known_to`: later ones are NaN.

        The arrays are copies with the memory layout of windows made for those rows alone.
        """
        first, last = start, stop + self.warm_up
        ahead = np.arange(start, stop)[:, None] + np.array(HORIZONS)
        of_sessions = {name: getattr(self, name)[first:last].copy() for name in ("steps", "flags", "values", "market")}
        of_rows = {name: getattr(self, name)[start:stop].copy() for name in ("future_flags", "level", "spread")}
        scaled = np.where(ahead <= known_to, self.scaled[start:stop], np.nan)
        return replace(self, **of_sessions, **of_rows, sessions=self.sessions[first : last + H].copy(), scaled=scaled)

    def as_of(self, row: int, sessions: int, *, last: int | None = None) -> "Windows":
        """The rolling window of a night at `row`, with the targets known at its close, and the rows up to `last`."""
        return self.cut(max(0, row + 1 - sessions), (row if last is None else last) + 1, known_to=row)

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


def make_windows(  # noqa: PLR0913 - every input of a night, each by name
    bars: "pd.DataFrame",
    events: "pd.DataFrame",
    *,
    origin: date,
    target: Target,
    exchange: str,
    train_sessions: int,
    market: MarketSeries | None = None,
) -> Windows:
    """The newest `train_sessions` rows up to `origin`, fewer of a shorter history; the last is the origin's.

    What `bars`, `events` (as for `event_flags`) and `market` say of later sessions is ignored. A missing session or an
    unknown volume is filled forward in the features and never a target. A NoBarError where the origin has no bar, a
    HistoryError for too few sessions before it.
    """
    # One session more than the rows and their warm-up: the oldest return and filled volume come from the one before.
    # None of the others: rows are the same whatever was stored before them, as after catching up from another day.
    bars = _on_sessions(bars, origin, target, exchange, newest=train_sessions + WARM_UP + 1)
    kept = slice(-min(len(bars), train_sessions + WARM_UP), None)
    steps, values = step_features(bars), values_of(target, bars)[kept]
    # A range's own series holds the ranges as they are, of standstills too.
    steps = (steps if target == "range" else with_usual_ranges(steps))[kept]
    sessions = bars.index[kept]
    ahead = next_sessions(origin, H, exchange)
    flags, future_flags, names = _calendar_and_events(events, sessions[0].date(), ahead, exchange, target)
    level = trailing_mean(steps[:, own_column(target)], LEVEL_SESSIONS)[WARM_UP:]
    scale = Scale(level, np.ones((len(level), H)))
    if target == "close":  # as features.py defines it; variances of independent returns add up
        root_horizon = np.sqrt(np.array(HORIZONS, dtype=np.float64))
        scale = Scale(np.log(fill_forward(values)[WARM_UP:]), np.exp(level)[:, None] * root_horizon)
    padded = np.append(values[1:], np.full(H, np.nan))  # in the future
    following = np.lib.stride_tricks.sliding_window_view(padded, H).copy()  # (D, H) values of the sessions after each
    return Windows(
        target=target,
        sessions=np.append(sessions.to_numpy(), np.array(ahead, dtype="datetime64[D]")).astype("datetime64[D]"),
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


def _on_sessions(bars: "pd.DataFrame", origin: date, target: Target, exchange: str, *, newest: int) -> "pd.DataFrame":
    """One row per session: the `newest` sessions up to `origin`, from the first whose target is known."""
    import pandas as pd

    bars = bars.loc[: pd.Timestamp(origin)]
    if len(bars):  # counted in sessions: some may lack a bar, and a bar may be of none once the exchange was changed
        bars = bars.loc[sessions_index(bars.index[0].date(), origin, exchange)[-newest:][0] :]
    known = actual_of(target, bars).dropna()
    if known.empty and len(bars):
        raise HistoryError(
            f"Expected a {target} in the bars up to the origin {origin}; none of {len(bars)} has one. A currency or "
            "an index may have no volume: forecast its range or close (--target)."
        )
    if bars.empty or bars.index[-1] != pd.Timestamp(origin):
        found = f"none has a {target}" if bars.empty else f"the newest is {bars.index[-1].date()}"
        raise NoBarError(
            f"Expected a bar of the origin {origin} among {len(bars)} bars up to it; {found}. "
            "Fetch it, or choose an origin that has one: the symbol may not have traded in that session."
        )
    sessions = sessions_index(known.index[0].date(), origin, exchange)
    if len(sessions) < WARM_UP + MIN_ROWS:
        raise HistoryError(
            f"Expected at least {WARM_UP + MIN_ROWS} sessions with a {target} up to {origin} to train on "
            f"({WARM_UP} warm-up, {MIN_ROWS} training rows), found {len(sessions)}, from {sessions[0].date()}. "
            "Load older bars, or wait until the symbol has traded longer."
        )
    return bars.reindex(sessions)


def _calendar_and_events(
    events: "pd.DataFrame", first: date, ahead: list[date], exchange: str, target: Target
) -> tuple[Floats, Floats, tuple[str, ...]]:
    """Flags (D, C) of each session, (D, H, C) of the H after each, and their names."""
    calendar, names = calendar_flags(first, ahead[-1], exchange)
    sessions = len(calendar) - H
    following = np.lib.stride_tricks.sliding_window_view(calendar[1:], H, axis=0).transpose(0, 2, 1)  # (D, H, C)
    reports, reports_ahead = event_flags(events, first, sessions, exchange)
    if target == "range":  # what earlier run-ups say of the next one is worse than nothing (docs/experiments.md)
        reports_ahead[..., :RUN_UP] = 0.0
    own = np.concatenate([calendar[:sessions], reports], axis=-1)
    return own, np.concatenate([following, reports_ahead], axis=-1), names + EVENT_NAMES
