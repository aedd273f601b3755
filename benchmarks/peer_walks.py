"""The walk-forward comparison of forecasters: each is fitted at the first row of a block and forecasts all of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from flows.clock import now
from forecasting.backtest.refits import Block
from forecasting.backtest.walk_forward import all_windows
from forecasting.losses import Floats, pinball
from forecasting.pipeline.backtest import load_series
from forecasting.preprocess.windows import Windows
from forecasting.settings import Settings
from forecasting.vocabulary import HORIZONS

H = len(HORIZONS)

Predict = Callable[[Block], Floats]
"""(n, H, Q) quantiles, or (n, M, H, Q) of M models, at rows of the windows that it was fitted on."""

Fit = Callable[[Windows], Predict]
"""A forecaster fitted on the rows whose target is known."""


@dataclass(frozen=True)
class Walk:
    """A forecaster's forecasts at every row of its blocks, and their cost.

    Attributes:
        forecasts: (n, ...) in order of the rows.
        fit_s: Mean wall seconds of one fit; fit_cpu_s is CPU time of all cores, without waiting for other work.
        forecast_s: Mean wall seconds of one forecast of a single origin.
        setting: The setting found by the search; empty without one.
    """

    forecasts: Floats
    fit_s: float
    fit_cpu_s: float
    forecast_s: float
    setting: str = ""


@dataclass(frozen=True)
class Comparison:
    """The data of a comparison: windows over every bar, the scored blocks and the blocks before them."""

    windows: Windows
    earlier: list[Block]
    blocks: list[Block]
    settings: Settings

    @property
    def actual(self) -> Floats:
        """(n, H) actuals of the scored rows."""
        rows = np.concatenate(self.blocks)
        return self.windows.scale(rows).from_model(self.windows.scaled[rows])


def make_comparison(settings: Settings, *, last: date, origins: int, every: int) -> Comparison:
    """The newest origins up to `last` in blocks of `every`, and as many blocks before them."""
    bars, events, _ = load_series(settings, last=None, now=now)
    windows = all_windows(bars, events, settings)
    usable = np.flatnonzero((windows.origins <= np.datetime64(last)) & np.isfinite(windows.scaled).any(axis=1))
    blocks = -(-origins // every)
    first = len(usable) - origins
    cuts = [first + every * k for k in range(-blocks, blocks + 1)]
    parts = [usable[start : min(start + every, len(usable))] for start in cuts[:-1]]
    return Comparison(windows, parts[:blocks], parts[blocks:], settings)


def walk(comparison: Comparison, blocks: list[Block], fit_one: Fit, setting: str = "") -> Walk:
    """Forecasts of every block by a fit at its first row, with their cost."""
    forecasts: list[Floats] = []
    seconds = np.zeros((len(blocks), 3))
    for at, block in enumerate(blocks):
        start = max(0, int(block[0]) + 1 - comparison.settings.train_sessions)
        known = comparison.windows.cut(start, int(block[-1]) + 1, known_to=int(block[0]))
        started, cpu = time.perf_counter(), time.process_time()
        predict = fit_one(known)
        seconds[at, :2] = time.perf_counter() - started, time.process_time() - cpu
        forecasts.append(predict(block - start))
        started = time.perf_counter()
        predict(block[-1:] - start)
        seconds[at, 2] = time.perf_counter() - started
    fit_s, fit_cpu_s, forecast_s = seconds.mean(axis=0).tolist()
    return Walk(np.concatenate(forecasts), fit_s, fit_cpu_s, forecast_s, setting)


def tuned(comparison: Comparison, fit_with: Callable[[Any], Fit], choices: list[Any]) -> Walk:
    """The walk with the choice of least pinball loss on the block before the first origin (closed targets only)."""
    block = comparison.earlier[-1][:-H]
    actual = comparison.windows.scale(block).from_model(comparison.windows.scaled[block])
    losses = [np.nanmean(pinball(actual, walk(comparison, [block], fit_with(choice)).forecasts)) for choice in choices]
    chosen = choices[int(np.argmin(losses))]
    return walk(comparison, comparison.blocks, fit_with(chosen), str(chosen))
