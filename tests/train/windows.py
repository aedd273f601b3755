"""Windows and settings that the tests of this folder share: small, seeded, built once."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import torch

from forecasting.preprocess.future_covariates import EVENT_NAMES
from forecasting.preprocess.windows import MarketSeries, Windows, make_windows
from forecasting.settings import Settings
from forecasting.train.checkpoint import Checkpoint
from forecasting.train.fit import fit_scratch
from forecasting.train.linear import adjust, fit_effect
from forecasting.train.loop import Tensors
from forecasting.vocabulary import Target
from tests.builders import random_bars, scaled

WARM_UP_AND_SPARE = 260


@cache
def some_windows(
    target: Target = "volume",
    *,
    seed: int = 5,
    rows: int = 300,
    before: int = 0,
    market: bool = False,
) -> Windows:
    """The newest rows of random bars, of which there are `before` more."""
    bars = random_bars(days=before + rows + WARM_UP_AND_SPARE, seed=seed)
    series = some_market(bars) if market else None
    return newest_windows(bars, some_events(bars), target=target, rows=rows, market=series)


@cache
def windows_with_hole(target: Target = "volume") -> Windows:
    """With the market, and a session that has no bar."""
    bars = scaled(random_bars(days=600 + WARM_UP_AND_SPARE, seed=5), np.nan, -40)
    events = some_events(bars)
    return newest_windows(bars, events, target=target, rows=600, market=some_market(bars))


@cache
def young_windows(target: Target = "volume", *, sessions: int = 200) -> Windows:
    """Of a history that is too short for a network."""
    bars = random_bars(days=sessions, seed=5)
    return newest_windows(bars, some_events(bars), target=target)


def newest_windows(
    bars: pd.DataFrame,
    events: pd.DataFrame,
    *,
    target: Target,
    rows: int = 300,
    market: MarketSeries | None = None,
) -> Windows:
    """The windows up to the newest bar."""
    settings = Settings(targets=target)
    origin = bars.index[-1].date()
    return make_windows(bars, events, origin=origin, settings=settings, rows=rows, market=market)


@cache
def scratch_fit(target: Target = "volume") -> Checkpoint:
    """From random weights, on `some_windows`."""
    return fit_scratch(some_windows(target), pretrained=None)


def most_moved(left: Checkpoint, right: Checkpoint) -> float:
    """The largest difference of two weights of the same name."""
    return max(
        float((right.weights[name] - weight).abs().max()) for name, weight in left.weights.items()
    )


def same_weights(left: Checkpoint, right: Checkpoint) -> bool:
    return left.weights.keys() == right.weights.keys() and most_moved(left, right) == 0.0


def some_market(bars: pd.DataFrame) -> MarketSeries:
    """A series like the VIX on the sessions of `bars`: it returns to 18."""
    rng = np.random.default_rng(1)
    logs = np.zeros(len(bars))
    for t in range(1, len(bars)):
        logs[t] = 0.97 * logs[t - 1] + rng.normal(0.0, 0.07)
    return MarketSeries(pd.Series(18.0 * np.exp(logs), index=bars.index))


def market_unknown(windows: Windows, *rows: int) -> Windows:
    """The windows, without a value of the market series on the sessions of these rows."""
    market = windows.market.copy()
    market[[windows.warm_up + np.arange(len(windows))[row] for row in rows]] = np.nan
    return replace(windows, market=market)


def some_events(bars: pd.DataFrame) -> pd.DataFrame:
    """Earnings every 63 sessions, known 21 ahead."""
    at = np.arange(100, len(bars) - 1, 63)
    return pd.DataFrame(
        {"session": bars.index[at], "kind": "earnings", "known_from": bars.index[at - 21]}
    )


def moved_to(windows: Windows, newest: np.datetime64) -> Windows:
    """The windows moved in time, so that the newest session with a known value is `newest`."""
    return replace(windows, sessions=windows.sessions + (newest - windows.sessions[-6]))


def without_events(windows: Windows) -> Windows:
    """The windows of a symbol without earnings dates."""
    kept = np.arange(windows.flags.shape[1]) < windows.flags.shape[1] - len(EVENT_NAMES)
    return replace(windows, flags=windows.flags * kept, future_flags=windows.future_flags * kept)


def with_other_sessions_after(windows: Windows, row: int) -> Windows:
    """The windows, with other values and flags of all sessions after that of a row."""
    later = np.arange(len(windows.steps))[:, None] > windows.warm_up + row
    return replace(windows, steps=windows.steps + later, flags=np.abs(windows.flags - later))


def plain_tensors() -> Tensors:
    """The adjusted inputs of `some_windows`, not standardised."""
    windows = some_windows()
    adjusted = adjust(windows, fit_effect(windows))
    parts = (np.nan_to_num(adjusted.steps), adjusted.past, adjusted.future, adjusted.truth)
    steps, past, future, truth = (torch.as_tensor(part, dtype=torch.float32) for part in parts)
    rows = np.arange(len(adjusted.past))
    return Tensors(
        steps=steps,
        past=past,
        future=future,
        truth=truth,
        rows=rows,
        warm_up=windows.warm_up,
    )
