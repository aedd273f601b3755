"""This project compared with other libraries: the same rows, origins and information, in one run.

    pip install -e '.[bench]'
    python benchmarks/peers.py --source csv:SBUX.csv --symbol SBUX --events csv:SBUX_earnings.csv
        --to 2024-03-07

Every forecaster is fitted at the close of the first origin of each block, on the newest
TRAIN_SESSIONS rows up to it, and then reads each new session without another fit. Normal
intervals of the statistical models are those of log volume. Hyperparameters of a peer (steps,
trees, window scaling) are searched on the block before the first origin. Prints one Markdown table,
and a note for each peer whose library is missing.
"""

import argparse
import importlib.util
import itertools
import logging
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from statistics import NormalDist
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.interpolate import interp1d
from skill import all_windows, as_of, cut, machine, skill_and_p

from flows.clock import now
from forecasting.audit.backtest import BacktestSpec, backtest
from forecasting.audit.series import load_series
from forecasting.evaluate.scores import inside
from forecasting.losses import Floats, pinball
from forecasting.preprocess.future_covariates import EVENT_NAMES
from forecasting.preprocess.windows import LOOKBACK, STEP_NAMES, TRAIN_SESSIONS, Windows, from_model
from forecasting.settings import Settings
from forecasting.train.baselines import baseline_quantiles, linear_features
from forecasting.train.fit import fit_scratch
from forecasting.train.pretrained import pretrained_for
from forecasting.values import parse_date
from forecasting.vocabulary import HORIZONS, MEDIAN, QUANTILES

LIBRARIES = ("numpy", "pandas", "torch", "statsforecast", "lightgbm", "fracast", "neuralforecast")

H = len(HORIZONS)

STATISTICAL_SESSIONS = 500
"""Training sessions of AutoETS, AutoARIMA and Theta: their search time grows with them, their
accuracy hardly does."""

ARIMA_FLAGS = (
    *EVENT_NAMES,
    "half_day",
    "third_friday",
    "triple_witching",
    "month_end",
    "before_holiday",
)
"""AutoARIMA's regressors; over two years all flags together are collinear and end its search."""

LIGHTGBM: dict[str, Any] = {
    "num_leaves": 8,
    "learning_rate": 0.05,
    "min_data_in_leaf": 30,
    "feature_fraction": 0.5,
}
"""LightGBM's settings for a few thousand rows; the number of trees is searched."""

TREE_COUNTS = [120, 240, 480]
STEPS = [60, 150, 300]
"""What is searched for LightGBM and for the neural peers."""

Block = NDArray[np.int64]  # rows of the windows, ascending

Predict = Callable[[Block], Floats]
"""(n, H, Q) quantiles at rows of the windows that it was fitted on."""

Fit = Callable[[Windows], Predict]  # a forecaster fitted on the rows whose target is known


@dataclass(frozen=True)
class Walk:
    """A forecaster's forecasts at every row of its blocks, and their cost."""

    forecasts: Floats  # (n, ...) in order of the rows
    fit_cpu_s: float  # mean CPU seconds of one fit, of all cores
    # Mean wall seconds of one forecast of a single origin; of ours those of a whole night
    forecast_s: float
    setting: str = ""  # the setting found by the search; empty without one


@dataclass(frozen=True)
class Comparison:
    """The data of a comparison: windows over every bar, the scored blocks and the blocks before them."""

    windows: Windows
    bars: pd.DataFrame
    events: pd.DataFrame
    earlier: list[Block]
    blocks: list[Block]
    settings: Settings

    @property
    def actual(self) -> Floats:
        """(n, H) actuals of the scored rows."""
        rows = np.concatenate(self.blocks)
        return from_model(self.windows.scaled[rows], self.windows.level[rows])


def main() -> None:
    """Run every forecaster and print the table."""
    options = arguments()
    warnings.filterwarnings("ignore")  # of other libraries
    logging.disable(logging.INFO)
    asked = Settings(
        source=options.source, symbols=(options.symbol,), events=options.events, target="volume"
    )
    settings = asked.for_symbol(options.symbol)
    comparison = make_comparison(
        settings, last=options.last, origins=options.origins, every=options.refit_every
    )
    walks: dict[str, Walk] = {}
    for name, run, library in forecasters():
        if library and importlib.util.find_spec(library) is None:
            print(f"{library} is not installed, so {name} is left out: pip install -e '.[bench]'")
            continue
        started = time.perf_counter()
        walks |= run(comparison)
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    print(f"{datetime.now(UTC).date()}, {machine(LIBRARIES)}\n")
    print(describe(options, comparison) + "\n")
    print("\n".join(table(walks, comparison.actual)))


def arguments() -> argparse.Namespace:
    """The options of this benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--source", default="sample", help="csv:PATH, parquet:PATH, yahoo or sample"
    )
    parser.add_argument("--symbol", default="^GSPC")
    parser.add_argument("--events", help="earnings dates as csv:PATH; without it the shipped ones")
    parser.add_argument(
        "--to", dest="last", type=parse_date, default=date(2018, 12, 21), help="the last origin"
    )
    parser.add_argument("--origins", type=int, default=252)
    parser.add_argument("--refit-every", type=int, default=63)
    return parser.parse_args()


def forecasters() -> list[tuple[str, Callable[[Comparison], dict[str, Walk]], str]]:
    """Name, function and required library (empty: no other) of each forecaster."""
    return [
        ("ours", run_ours, ""),
        ("ridge", lambda c: {"ridge": walk(c, c.blocks, fit_ridge)}, ""),
        (
            "LightGBM",
            lambda c: tuned(c, "LightGBM", lambda n: partial(fit_lightgbm, trees=n), TREE_COUNTS),
            "lightgbm",
        ),
        ("statistical", run_statistical, "statsforecast"),
        ("Fracast", lambda c: {"Fracast (zero-shot)": walk(c, c.blocks, fit_fracast)}, "fracast"),
        ("LSTM", partial(run_neural, name="LSTM"), "neuralforecast"),
        ("NHITS", partial(run_neural, name="NHITS"), "neuralforecast"),
    ]


def run_ours(comparison: Comparison) -> dict[str, Walk]:
    """Ours as nights publish it, and without pretrained weights."""
    ours = nights_of(comparison)
    with patch("forecasting.night.steps.train.pretrained_for", lambda windows: None):
        scratch = nights_of(comparison)
    return {"**ours**": ours, "ours, no pretrained weights": scratch}


def nights_of(comparison: Comparison) -> Walk:
    """The nights of the scored origins and of those before, a fit for each block."""
    windows = comparison.windows
    settings = comparison.settings
    rows = np.concatenate(comparison.earlier + comparison.blocks)
    first, last = (windows.origins[row].item() for row in rows[[0, -1]])
    spec = BacktestSpec(settings, first, last, refit_every=len(comparison.blocks[0]))
    result = backtest(comparison.bars, comparison.events, spec=spec)
    known = as_of(windows, int(comparison.blocks[0][0]))
    started = time.process_time()
    fit_scratch(known, pretrained=pretrained_for(known))
    scored = sum(map(len, comparison.blocks))
    return Walk(
        result.issued[-scored:], time.process_time() - started, result.seconds / len(result.origins)
    )


def fit_ridge(known: Windows) -> Predict:
    """The project's own baseline; its closed form is solved at every call."""
    baseline_quantiles("ridge", known)
    return lambda rows: np.stack(
        [baseline_quantiles("ridge", cut(known, 0, row + 1, known_to=row)) for row in rows]
    )


def table(walks: dict[str, Walk], actual: Floats) -> list[str]:
    """A row per forecaster, ours first.

    Skill and p of ours against each (Diebold-Mariano, mean over horizons).
    """
    titles = ("MAE", "pinball", "cover 80", "cover 90", "skill MAE", "p", "skill pinball", "p")
    titles += ("CPU s a fit", "s a forecast")
    lines = [
        "| forecaster | " + " | ".join(titles) + " | chosen |",
        "|---|" + "---:|" * len(titles) + "---|",
    ]
    ours = losses_of(actual, next(iter(walks.values())).forecasts)
    known = np.isfinite(actual)
    for at, (name, peer) in enumerate(walks.items()):
        theirs = losses_of(actual, peer.forecasts)
        cells = [f"{np.nanmean(loss):.3f}" for loss in theirs]
        cells += [
            f"{100 * inside(actual, peer.forecasts, percent)[known].mean():.1f}%"
            for percent in (80, 90)
        ]
        for our_loss, their_loss in zip(ours, theirs, strict=True):
            cells += skill_and_p(our_loss, their_loss) if at else ("", "")
        cells += [f"{peer.fit_cpu_s:.2f}", f"{peer.forecast_s:.3f}", peer.setting]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def losses_of(actual: Floats, quantiles: Floats) -> tuple[Floats, Floats]:
    """Absolute error of the median and pinball loss, (n, H) each, in million shares."""
    return np.abs(actual - quantiles[..., MEDIAN]) * 1e-6, pinball(actual, quantiles) * 1e-6


def describe(options: argparse.Namespace, comparison: Comparison) -> str:
    """A sentence on the data, origins and fits."""
    rows = np.concatenate(comparison.blocks)
    first = comparison.windows.origins[rows[0]]
    last = comparison.windows.origins[rows[-1]]
    before = sum(map(len, comparison.earlier))
    return (
        f"{options.source} {options.symbol}, volume, million shares, mean of horizons 1-{H}; "
        f"{len(rows)} origins {first} .. {last}, {len(comparison.blocks)} fits each (every "
        f"{options.refit_every} sessions). Ours is combined and calibrated on its forecasts of the "
        f"{before} origins before; pretrained on other symbols."
    )


def make_comparison(settings: Settings, *, last: date, origins: int, every: int) -> Comparison:
    """The newest origins up to `last` in blocks of `every`, and as many blocks before them."""
    bars, events, _ = load_series(settings, last=None, now=now)
    windows = all_windows(bars, events, settings)
    usable = np.flatnonzero(
        (windows.origins <= np.datetime64(last)) & np.isfinite(windows.scaled).any(axis=1)
    )
    blocks = -(-origins // every)
    first = len(usable) - origins
    cuts = [first + every * k for k in range(-blocks, blocks + 1)]
    parts = [usable[start : min(start + every, len(usable))] for start in cuts[:-1]]
    return Comparison(windows, bars, events, parts[:blocks], parts[blocks:], settings)


def walk(comparison: Comparison, blocks: list[Block], fit_one: Fit, setting: str = "") -> Walk:
    """Forecasts of every block by a fit at its first row, with their cost."""
    forecasts: list[Floats] = []
    seconds = np.zeros((len(blocks), 2))
    for at, block in enumerate(blocks):
        start = max(0, int(block[0]) + 1 - TRAIN_SESSIONS)
        known = cut(comparison.windows, start, int(block[-1]) + 1, known_to=int(block[0]))
        started = time.process_time()
        predict = fit_one(known)
        seconds[at, 0] = time.process_time() - started
        forecasts.append(predict(block - start))
        started = time.perf_counter()
        predict(block[-1:] - start)
        seconds[at, 1] = time.perf_counter() - started
    return Walk(np.concatenate(forecasts), *seconds.mean(axis=0).tolist(), setting)


def tuned(
    comparison: Comparison, name: str, fit_with: Callable[[Any], Fit], choices: list[Any]
) -> dict[str, Walk]:
    """The walk with the choice of least pinball loss on the block before the first origin (closed targets only)."""
    block = comparison.earlier[-1][:-H]
    actual = from_model(comparison.windows.scaled[block], comparison.windows.level[block])
    losses = [
        np.nanmean(pinball(actual, walk(comparison, [block], fit_with(choice)).forecasts))
        for choice in choices
    ]
    chosen = choices[int(np.argmin(losses))]
    return {name: walk(comparison, comparison.blocks, fit_with(chosen), str(chosen))}


def fit_lightgbm(known: Windows, *, trees: int) -> Predict:
    """One LightGBM model per horizon and level, on the features of the ridge baseline."""
    from lightgbm import LGBMRegressor

    past, future = linear_features(known)
    columns = [np.column_stack([past, future[:, h]]) for h in range(H)]

    def fit_level(h: int, level: float) -> Any:  # noqa: ANN401 - ships no types
        rows = np.isfinite(known.scaled[:, h])
        model = LGBMRegressor(
            objective="quantile", alpha=level, n_estimators=trees, n_jobs=1, verbose=-1, **LIGHTGBM
        )
        return model.fit(columns[h][rows], known.scaled[rows, h])

    models = [[fit_level(h, level) for level in QUANTILES] for h in range(H)]

    def predict(rows: Block) -> Floats:
        scaled = [[model.predict(columns[h][rows]) for model in models[h]] for h in range(H)]
        return from_model(np.sort(np.transpose(scaled, (2, 0, 1)), axis=-1), known.level[rows])

    return predict


def run_statistical(comparison: Comparison) -> dict[str, Walk]:
    """AutoETS, AutoARIMA with the events and expiries, and the best of the Theta models, on log volume."""
    from statsforecast.models import AutoARIMA, AutoETS, AutoTheta

    models = {
        "AutoETS": (AutoETS(season_length=5), ()),
        "AutoARIMA": (AutoARIMA(season_length=5), ARIMA_FLAGS),
        "Theta": (AutoTheta(season_length=5, decomposition_type="additive"), ()),
    }
    return {
        name: walk(
            comparison, comparison.blocks, partial(fit_statistical, model=model, names=flags)
        )
        for name, (model, flags) in models.items()
    }


def fit_statistical(known: Windows, *, model: Any, names: tuple[str, ...]) -> Predict:  # noqa: ANN401 - ships no types
    """A statsforecast model of the newest sessions.

    At later rows it keeps its parameters and reads new sessions.
    """
    series = known.steps[:, 0]
    newest = known.learnable_sessions
    columns = [known.flag_names.index(name) for name in names]
    training = slice(newest - STATISTICAL_SESSIONS, newest)
    columns = [column for column in columns if known.flags[training, column].any()]
    model.fit(series[training], known.flags[training][:, columns] if columns else None)

    def predict(rows: Block) -> Floats:
        scaled = np.empty((len(rows), H, len(QUANTILES)))
        for at, row in enumerate(rows):
            stop = known.warm_up + int(row) + 1
            span = slice(stop - STATISTICAL_SESSIONS, stop)
            exogenous = (
                {
                    "X": known.flags[span][:, columns],
                    "X_future": known.future_flags[row][:, columns],
                }
                if columns
                else {}
            )
            forecast = model.forward(series[span], h=H, level=[50, 80, 90], **exogenous)
            bounds = (
                forecast[key]
                for key in ("lo-90", "lo-80", "lo-50", "mean", "hi-50", "hi-80", "hi-90")
            )
            scaled[at] = np.column_stack(list(bounds))
        return np.exp(scaled)

    return predict


def fit_fracast(known: Windows) -> Predict:
    """A small network whose weights are in its wheel, on log volume, without a fit.

    Normal tails beyond its levels.
    """
    from fracast import FracastModel

    model = FracastModel.from_pretrained()
    outer = (NormalDist().inv_cdf(QUANTILES[0]) / NormalDist().inv_cdf(model.quantiles[0])) - 1.0

    def predict(rows: Block) -> Floats:
        stops = known.warm_up + rows + 1
        length = min(int(stops[0]), model.context_length)
        context = np.stack([known.steps[stop - length : stop, 0] for stop in stops])
        theirs = np.sort(model.forecast_batch(context, horizon=H).astype(np.float64), axis=-1)
        median = theirs[..., [len(model.quantiles) // 2]]
        ends = [theirs[..., [0]], theirs[..., [-1]]]
        low, high = (end + outer * (end - median) for end in ends)
        levels = [QUANTILES[0], *model.quantiles, QUANTILES[-1]]
        return np.exp(interp1d(levels, np.concatenate([low, theirs, high], axis=-1))(QUANTILES))

    return predict


def run_neural(comparison: Comparison, *, name: str) -> dict[str, Walk]:
    """A neuralforecast model with the steps and window scaler of least loss before the first origin."""
    choices = list(itertools.product(STEPS, ("robust", "identity")))
    title = f"neuralforecast {name}"
    return tuned(
        comparison, title, lambda choice: partial(fit_neural, name=name, choice=choice), choices
    )


def fit_neural(known: Windows, *, name: str, choice: tuple[int, str]) -> Predict:
    """A neuralforecast model of log volume, with our step features as past and our flags as future covariates."""
    from neuralforecast import NeuralForecast, models
    from neuralforecast.losses.pytorch import MQLoss

    past = list(STEP_NAMES[1:])
    future = [f"flag_{name}" for name in known.flag_names]
    learnable = known.steps[: known.learnable_sessions]
    centre = learnable.mean(axis=0)
    spread = learnable.std(axis=0)
    steps = (known.steps - centre) / spread
    shape = {
        "LSTM": {"encoder_n_layers": 1, "encoder_hidden_size": 32, "decoder_hidden_size": 64},
        "NHITS": {},
    }[name]
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
    table = pd.DataFrame(
        np.column_stack([steps, known.flags]), columns=["y", *past, *future], dtype="float32"
    )
    # Consecutive days, so without gaps
    table.insert(0, "ds", pd.date_range("2000-01-01", periods=len(table)))
    forecaster = NeuralForecast(models=[model], freq="D")
    forecaster.fit(table.iloc[: known.learnable_sessions].assign(unique_id="0"))

    def predict(rows: Block) -> Floats:
        # Every origin is a separate series, so that one call forecasts them all.
        stops = [known.warm_up + int(row) + 1 for row in rows]
        history = [
            table.iloc[stop - LOOKBACK : stop].assign(unique_id=f"{stop:05d}") for stop in stops
        ]
        days = [
            table["ds"].iloc[stop - 1] + pd.to_timedelta(np.array(HORIZONS), unit="D")
            for stop in stops
        ]
        flags = [
            pd.DataFrame(known.future_flags[row], columns=future, dtype="float32") for row in rows
        ]
        ahead = [
            coming.assign(ds=day, unique_id=f"{stop:05d}")
            for coming, day, stop in zip(flags, days, stops, strict=True)
        ]
        forecasts = forecaster.predict(df=pd.concat(history), futr_df=pd.concat(ahead))
        values = forecasts.drop(columns=["unique_id", "ds"]).to_numpy(dtype=np.float64)
        scaled = values.reshape(len(rows), H, len(QUANTILES))
        return np.exp(centre[0] + spread[0] * np.sort(scaled, axis=-1))

    return predict


if __name__ == "__main__":
    main()
