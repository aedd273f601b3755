"""Where forecasters are compared, and how each walks through it: fitted at the first row of a block, then no more."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from flows.clock import now
from forecasting.backtest.refits import Block
from forecasting.losses import Floats, pinball
from forecasting.pipeline.backtest import load_series
from forecasting.preprocess.windows import Windows, make_windows
from forecasting.settings import Settings
from forecasting.vocabulary import HORIZONS

H = len(HORIZONS)

Speak = Callable[[Block], Floats]
"""(n, H, Q) quantiles, or their raw material, at rows of the windows that it was fitted on."""

Fit = Callable[[Windows], Speak]
"""A forecaster fitted on the rows whose target is known."""


@dataclass(frozen=True)
class Walk:
    """What a forecaster said at every row of its blocks, and what it cost.

    Attributes:
        said: (n, ...) in order of the rows.
        fit_s: Mean wall seconds of one fit; fit_cpu_s counts both cores and no waiting for other work.
        forecast_s: Mean wall seconds of one forecast, of a single origin.
        setting: What was chosen by search; empty where nothing was.
    """

    said: Floats
    fit_s: float
    fit_cpu_s: float
    forecast_s: float
    setting: str = ""


@dataclass(frozen=True)
class Ground:
    """Where all are compared: windows over every bar, the blocks that count and those before them."""

    windows: Windows
    earlier: list[Block]
    blocks: list[Block]
    settings: Settings

    @property
    def actual(self) -> Floats:
        """(n, H) what came to pass at the rows that count."""
        rows = np.concatenate(self.blocks)
        return self.windows.scale(rows).from_model(self.windows.scaled[rows])


def ground_of(settings: Settings, *, last: date, origins: int, every: int) -> Ground:
    """The newest origins up to `last` in blocks of `every`, and as many blocks before them."""
    bars, events, _ = load_series(settings, last=None, now=now)
    windows = make_windows(
        bars,
        events,
        origin=bars.index[-1].date(),
        target="volume",
        exchange=settings.exchange,
        train_sessions=len(bars),
    )
    usable = np.flatnonzero((windows.origins <= np.datetime64(last)) & np.isfinite(windows.scaled).any(axis=1))
    blocks = -(-origins // every)
    first = len(usable) - origins
    cuts = [first + every * k for k in range(-blocks, blocks + 1)]
    parts = [usable[start : min(start + every, len(usable))] for start in cuts[:-1]]
    return Ground(windows, parts[:blocks], parts[blocks:], settings)


def walk(ground: Ground, blocks: list[Block], fit_one: Fit, setting: str = "") -> Walk:
    """Fit at the first row of every block, speak for all of it."""
    said: list[Floats] = []
    seconds = np.zeros((len(blocks), 3))
    for at, block in enumerate(blocks):
        start = max(0, int(block[0]) + 1 - ground.settings.train_sessions)
        known = ground.windows.cut(start, int(block[-1]) + 1, known_to=int(block[0]))
        started, cpu = time.perf_counter(), time.process_time()
        speak = fit_one(known)
        seconds[at, :2] = time.perf_counter() - started, time.process_time() - cpu
        said.append(speak(block - start))
        started = time.perf_counter()
        speak(block[-1:] - start)
        seconds[at, 2] = time.perf_counter() - started
    fit_s, fit_cpu_s, forecast_s = seconds.mean(axis=0).tolist()
    return Walk(np.concatenate(said), fit_s, fit_cpu_s, forecast_s, setting)


def searched(ground: Ground, fit_with: Callable[[Any], Fit], choices: list[Any]) -> Walk:
    """The walk with the choice of least pinball loss on the block before the first origin, targets closed by then."""
    block = ground.earlier[-1][:-H]
    actual = ground.windows.scale(block).from_model(ground.windows.scaled[block])
    losses = [np.nanmean(pinball(actual, walk(ground, [block], fit_with(choice)).said)) for choice in choices]
    chosen = choices[int(np.argmin(losses))]
    return walk(ground, ground.blocks, fit_with(chosen), str(chosen))
