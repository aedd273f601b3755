"""Ours beside other libraries: the same rows, the same origins, the same information, one run.

    pip install -e '.[bench]'
    python benchmarks/peers.py --source csv:SBUX.csv --symbol SBUX --events csv:SBUX_earnings.csv --to 2024-03-07

Every forecaster is fitted at the close of the first origin of each block, on the newest `train_sessions` rows up to it,
and then reads each new session without another fit. Normal intervals of the statistical models are those of log volume.
What a peer may choose (steps, trees, window scaling) is searched on the block before the first origin.
Prints one Markdown table. A peer whose library is missing is left out, and says so.
"""

import argparse
import importlib.util
import itertools
import logging
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd

from flows.backtest import everything
from forecasting.evaluate.scores import inside, pinball, skill
from forecasting.evaluate.significance import diebold_mariano
from forecasting.predict.calibration import NEWEST, Past
from forecasting.predict.forecasts import issue, network_quantiles
from forecasting.preprocess.features import LOOKBACK, STEP_NAMES
from forecasting.preprocess.known_ahead import EVENT_NAMES
from forecasting.preprocess.targets import HORIZONS, MEDIAN, QUANTILES, Floats
from forecasting.preprocess.windows import Windows, make_windows
from forecasting.refits import Block
from forecasting.settings import Settings, parse_date
from forecasting.train.base import base_for
from forecasting.train.baselines import baseline_quantiles, linear_features
from forecasting.train.fit import fit
from forecasting.train.partner import partner_quantiles

H = len(HORIZONS)

STATISTICAL_SESSIONS = 500
"""What AutoETS, AutoARIMA and Theta see: their searches grow with it, and older sessions teach them little."""

ARIMA_FLAGS = (*EVENT_NAMES, "half_day", "third_friday", "triple_witching", "month_end", "before_holiday")
"""AutoARIMA's regressors; all flags at once are collinear over two years and stop its search."""

TREES: dict[str, Any] = {"num_leaves": 8, "learning_rate": 0.05, "min_data_in_leaf": 30, "feature_fraction": 0.5}
"""LightGBM's settings for a few thousand rows; the number of trees is searched."""

LIBRARIES = ("numpy", "pandas", "torch", "statsforecast", "lightgbm", "neuralforecast")

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


def main() -> None:
    """Run every forecaster and print the table."""
    asked = arguments()
    quieten()
    ground = ground_of(asked)
    walks: dict[str, Walk] = {}
    for name, run, library in forecasters(asked):
        if library and importlib.util.find_spec(library) is None:
            print(f"{library} is not installed, so {name} is left out: pip install -e '.[bench]'")
            continue
        started = time.perf_counter()
        walks |= run(ground)
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    print(f"{datetime.now(UTC).date()}, {machine()}\n")
    print(about(asked, ground) + "\n")
    print("\n".join(table(walks, ground.actual)))


def arguments() -> argparse.Namespace:
    """The options of this benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="sample", help="csv:PATH, parquet:PATH, yahoo or sample")
    parser.add_argument("--symbol", default="^GSPC")
    parser.add_argument("--events", help="earnings dates as csv:PATH; without it the bundled ones")
    parser.add_argument("--to", dest="last", type=parse_date, default=date(2018, 12, 21), help="the last origin")
    parser.add_argument("--origins", type=int, default=252)
    parser.add_argument("--refit-every", type=int, default=63)
    parser.add_argument("--trees", type=int, nargs="+", default=[120, 240, 480], help="LightGBM's search")
    parser.add_argument("--steps", type=int, nargs="+", default=[60, 150, 300], help="the neural peers' search")
    return parser.parse_args()


def forecasters(asked: argparse.Namespace) -> list[tuple[str, Callable[[Ground], dict[str, Walk]], str]]:
    """Name, what runs it and the library it needs (empty: none but ours)."""
    return [
        ("ours", run_ours, ""),
        ("ridge", lambda ground: {"ridge": walk(ground, ground.blocks, fit_ridge)}, ""),
        ("LightGBM", partial(run_lightgbm, trees=asked.trees), "lightgbm"),
        ("AutoETS, AutoARIMA, Theta", run_statistical, "statsforecast"),
        ("LSTM", partial(run_neural, name="LSTM", steps=asked.steps), "neuralforecast"),
        ("NHITS", partial(run_neural, name="NHITS", steps=asked.steps), "neuralforecast"),
    ]


def ground_of(asked: argparse.Namespace) -> Ground:
    """The newest origins up to `--to` in blocks, and as many blocks before them."""
    settings = Settings(source=asked.source, symbols=(asked.symbol,), events=asked.events, target="volume")
    bars, events, _ = everything(settings, last=None)
    windows = make_windows(
        bars,
        events,
        origin=bars.index[-1].date(),
        target="volume",
        exchange=settings.exchange,
        train_sessions=len(bars),
    )
    usable = np.flatnonzero((windows.origins <= np.datetime64(asked.last)) & np.isfinite(windows.scaled).any(axis=1))
    every = asked.refit_every
    blocks = -(-asked.origins // every)
    first = len(usable) - asked.origins
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


def run_ours(ground: Ground) -> dict[str, Walk]:
    """Ours as a night issues it, without any earlier forecast to combine and calibrate by, and on the symbol alone."""
    rows = np.concatenate(ground.earlier + ground.blocks)
    count = sum(map(len, ground.blocks))

    def fit_ours(known: Windows, *, based: bool) -> Speak:
        base = base_for(known, ground.settings) if based else None
        checkpoint = fit(known, mode="scratch", parent=None, settings=ground.settings, base=base)
        return lambda asked: np.stack(
            [network_quantiles(checkpoint, known, asked), partner_quantiles(known, asked)], axis=1
        )

    whole = walk(ground, ground.earlier + ground.blocks, lambda known: fit_ours(known, based=True))
    alone = walk(ground, ground.earlier + ground.blocks, lambda known: fit_ours(known, based=False))
    return {
        "**ours**": replace(whole, said=issued(ground.windows, rows, whole.said)[-count:]),
        "ours, no forecast before": replace(whole, said=issued(ground.windows, rows[-count:], whole.said[-count:])),
        "ours, no base weights": replace(alone, said=issued(ground.windows, rows, alone.said)[-count:]),
    }


def issued(windows: Windows, rows: Block, raw: Floats) -> Floats:
    """Combined and calibrated in order, from the forecasts whose targets had closed; raw (n, 2, H, Q)."""
    scale, said = windows.scale(rows), np.empty_like(raw[:, 0])
    network, partner = scale.to_model(raw[:, 0]), scale.to_model(raw[:, 1])
    for at, row in enumerate(rows):
        earlier = slice(max(0, at - NEWEST), at)
        closed = rows[earlier, None] + np.array(HORIZONS) <= row
        past = Past(np.where(closed, windows.scaled[rows[earlier]], np.nan), network[earlier], partner[earlier])
        said[at] = issue(network[at], partner[at], past, scale=windows.scale(int(row))).quantiles
    return said


def fit_ridge(known: Windows) -> Speak:
    """The project's own baseline; its closed form is solved anew for every call."""
    baseline_quantiles("ridge", known)
    return lambda asked: baseline_quantiles("ridge", known, asked)


def run_lightgbm(ground: Ground, *, trees: list[int]) -> dict[str, Walk]:
    """LightGBM with the number of trees that did best before."""
    return {"LightGBM": searched(ground, lambda count: partial(fit_lightgbm, trees=count), trees)}


def fit_lightgbm(known: Windows, *, trees: int) -> Speak:
    """One LightGBM per horizon and level on the ridge's own columns."""
    from lightgbm import LGBMRegressor

    past, ahead = linear_features(known)
    columns = [np.column_stack([past, ahead[:, place]]) for place in range(H)]

    def learn(place: int, level: float) -> Any:  # noqa: ANN401 - ships no types
        rows = np.isfinite(known.scaled[:, place])
        model = LGBMRegressor(objective="quantile", alpha=level, n_estimators=trees, n_jobs=1, verbose=-1, **TREES)
        return model.fit(columns[place][rows], known.scaled[rows, place])

    models = [[learn(place, level) for level in QUANTILES] for place in range(H)]

    def speak(asked: Block) -> Floats:
        scaled = [[model.predict(columns[place][asked]) for model in models[place]] for place in range(H)]
        return known.scale(asked).from_model(np.sort(np.transpose(scaled, (2, 0, 1)), axis=-1))

    return speak


def run_statistical(ground: Ground) -> dict[str, Walk]:
    """AutoETS, AutoARIMA with the events and expiries, and the best of the Theta models, on log volume."""
    from statsforecast.models import AutoARIMA, AutoETS, AutoTheta

    models = {
        "AutoETS": (AutoETS(season_length=5), ()),
        "AutoARIMA": (AutoARIMA(season_length=5), ARIMA_FLAGS),
        "Theta": (AutoTheta(season_length=5, decomposition_type="additive"), ()),
    }
    return {
        name: walk(ground, ground.blocks, partial(fit_statistical, model=model, names=flags))
        for name, (model, flags) in models.items()
    }


def fit_statistical(known: Windows, *, model: Any, names: tuple[str, ...]) -> Speak:  # noqa: ANN401 - ships no types
    """A statsforecast model of the newest sessions; at later rows it keeps its parameters and reads on."""
    series, newest = known.steps[:, 0], known.learnable
    columns = [known.flag_names.index(name) for name in names]
    seen = slice(newest - STATISTICAL_SESSIONS, newest)
    columns = [column for column in columns if known.flags[seen, column].any()]
    model.fit(series[seen], known.flags[seen][:, columns] if columns else None)

    def speak(asked: Block) -> Floats:
        scaled = np.empty((len(asked), H, len(QUANTILES)))
        for at, row in enumerate(asked):
            stop = known.warm_up + int(row) + 1
            span = slice(stop - STATISTICAL_SESSIONS, stop)
            beside = {"X": known.flags[span][:, columns], "X_future": known.known[row][:, columns]} if columns else {}
            said = model.forward(series[span], h=H, level=[50, 80, 90], **beside)
            bounds = (said[key] for key in ("lo-90", "lo-80", "lo-50", "mean", "hi-50", "hi-80", "hi-90"))
            scaled[at] = np.column_stack(list(bounds))
        return np.exp(scaled)

    return speak


def run_neural(ground: Ground, *, name: str, steps: list[int]) -> dict[str, Walk]:
    """A neuralforecast model with the steps and the window scaler that did best before."""
    choices = list(itertools.product(steps, ("robust", "identity")))
    return {f"neuralforecast {name}": searched(ground, lambda one: partial(fit_neural, name=name, choice=one), choices)}


def fit_neural(known: Windows, *, name: str, choice: tuple[int, str]) -> Speak:
    """A neuralforecast model of the log volume, our step features as its past and our flags as its future."""
    from neuralforecast import NeuralForecast, models
    from neuralforecast.losses.pytorch import MQLoss

    past, future = list(STEP_NAMES[1:]), [f"flag_{name}" for name in known.flag_names]
    centre, spread = known.steps[: known.learnable].mean(axis=0), known.steps[: known.learnable].std(axis=0)
    steps = (known.steps - centre) / spread
    shape = {"LSTM": {"encoder_n_layers": 1, "encoder_hidden_size": 32, "decoder_hidden_size": 64}, "NHITS": {}}[name]
    model = getattr(models, name)(
        h=H,
        input_size=LOOKBACK,
        loss=MQLoss(quantiles=list(QUANTILES)),
        max_steps=choice[0],
        scaler_type=choice[1],
        windows_batch_size=128,
        futr_exog_list=future,
        hist_exog_list=past,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        **shape,
    )
    table = pd.DataFrame(np.column_stack([steps, known.flags]), columns=["y", *past, *future], dtype="float32")
    table.insert(0, "ds", pd.date_range("2000-01-01", periods=len(table)))  # sessions as days: no gap to explain
    forecaster = NeuralForecast(models=[model], freq="D")
    forecaster.fit(table.iloc[: known.learnable].assign(unique_id="0"))

    def speak(asked: Block) -> Floats:
        # Every origin is a series of its own, so that one call forecasts them all.
        stops = [known.warm_up + int(row) + 1 for row in asked]
        history = [table.iloc[stop - LOOKBACK : stop].assign(unique_id=f"{stop:05d}") for stop in stops]
        days = [table["ds"].iloc[stop - 1] + pd.to_timedelta(np.array(HORIZONS), unit="D") for stop in stops]
        ahead = [
            pd.DataFrame(known.known[row], columns=future, dtype="float32").assign(ds=day, unique_id=f"{stop:05d}")
            for row, day, stop in zip(asked, days, stops, strict=True)
        ]
        said = forecaster.predict(df=pd.concat(history), futr_df=pd.concat(ahead)).drop(columns=["unique_id", "ds"])
        scaled = said.to_numpy(dtype=np.float64).reshape(len(asked), H, len(QUANTILES))
        return np.exp(centre[0] + spread[0] * np.sort(scaled, axis=-1))

    return speak


def table(walks: dict[str, Walk], actual: Floats) -> list[str]:
    """A row per forecaster, ours first; skill and p are ours against it (Diebold-Mariano on the horizons' mean)."""
    costs = ("s a fit", "CPU s a fit", "s a forecast")
    titles = ("MAE", "pinball", "cover 80", "cover 90", "skill MAE", "p", "skill pinball", "p", *costs)
    lines = ["| forecaster | " + " | ".join(titles) + " | chosen |", "|---|" + "---:|" * len(titles) + "---|"]
    ours = losses_of(actual, next(iter(walks.values())).said)
    for at, (name, one) in enumerate(walks.items()):
        theirs = losses_of(actual, one.said)
        cells = [f"{np.nanmean(loss):.3f}" for loss in theirs]
        known = np.isfinite(actual)
        cells += [f"{100 * inside(actual, one.said, percent)[known].mean():.1f} %" for percent in (80, 90)]
        for mine, other in zip(ours, theirs, strict=True):
            cells += against(mine, other) if at else ("", "")
        cells += [f"{one.fit_s:.2f}", f"{one.fit_cpu_s:.2f}", f"{one.forecast_s:.3f}", one.setting]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def losses_of(actual: Floats, said: Floats) -> tuple[Floats, Floats]:
    """Absolute error of the median and pinball loss, (n, H) each, in million shares."""
    return np.abs(actual - said[..., MEDIAN]) * 1e-6, pinball(actual, said) * 1e-6


def against(ours: Floats, theirs: Floats) -> tuple[str, str]:
    """Skill of ours and its p value."""
    test = diebold_mariano(ours.mean(axis=1), theirs.mean(axis=1), horizon=H)
    return f"{skill(float(np.nanmean(ours)), float(np.nanmean(theirs))):+.1%}", f"{test.p_value:.4f}"


def about(asked: argparse.Namespace, ground: Ground) -> str:
    """What was compared, in words."""
    rows = np.concatenate(ground.blocks)
    first, last = ground.windows.origins[rows[0]], ground.windows.origins[rows[-1]]
    before = sum(map(len, ground.earlier))
    return (
        f"{asked.source} {asked.symbol}, volume, million shares, mean of horizons 1-{H}; {len(rows)} origins "
        f"{first} .. {last}, {len(ground.blocks)} fits each (every {asked.refit_every} sessions). Ours combines and "
        f"calibrates by its own forecasts of the {before} origins before; its base weights have seen other symbols."
    )


def quieten() -> None:
    """Silence what other libraries say of themselves on every fit."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.INFO)


def machine() -> str:
    """Platform, cores and versions."""
    versions = ", ".join(f"{name} {version_of(name)}" for name in LIBRARIES)
    return f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def version_of(library: str) -> str:
    """Its version, or that it is missing."""
    try:
        return version(library)
    except PackageNotFoundError:
        return "missing"


if __name__ == "__main__":
    main()
