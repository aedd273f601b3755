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
import logging
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from peer_models import run_lightgbm, run_neural, run_statistical
from peer_walks import Ground, H, Speak, Walk, ground_of, walk

from forecasting.backtest.refits import Block
from forecasting.evaluate.scores import inside, skill
from forecasting.evaluate.significance import diebold_mariano
from forecasting.losses import Floats, pinball
from forecasting.predict.calibration import MAX_FORECASTS, Past
from forecasting.predict.forecasts import issue, network_quantiles
from forecasting.preprocess.windows import Windows
from forecasting.settings import Settings, parse_date
from forecasting.train.baselines import baseline_quantiles
from forecasting.train.fit import fit
from forecasting.train.linear_model import linear_quantiles
from forecasting.train.pretrained import pretrained_for
from forecasting.vocabulary import HORIZONS, MEDIAN

LIBRARIES = ("numpy", "pandas", "torch", "statsforecast", "lightgbm", "neuralforecast")


def main() -> None:
    """Run every forecaster and print the table."""
    asked = arguments()
    quieten()
    settings = Settings(source=asked.source, symbols=(asked.symbol,), events=asked.events, target="volume")
    ground = ground_of(settings, last=asked.last, origins=asked.origins, every=asked.refit_every)
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


def run_ours(ground: Ground) -> dict[str, Walk]:
    """Ours as a night issues it, without any earlier forecast to combine and calibrate by, and on the symbol alone."""
    rows = np.concatenate(ground.earlier + ground.blocks)
    count = sum(map(len, ground.blocks))

    def fit_ours(known: Windows, *, based: bool) -> Speak:
        base = pretrained_for(known, ground.settings) if based else None
        checkpoint = fit(known, mode="scratch", parent=None, settings=ground.settings, pretrained=base)
        return lambda asked: np.stack(
            [network_quantiles(checkpoint, known, asked), linear_quantiles(known, asked)], axis=1
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
        earlier = slice(max(0, at - MAX_FORECASTS), at)
        closed = rows[earlier, None] + np.array(HORIZONS) <= row
        past = Past(np.where(closed, windows.scaled[rows[earlier]], np.nan), network[earlier], partner[earlier])
        spoken = issue(network[at], partner[at], past, scale=windows.scale(int(row)), target=windows.target)
        said[at] = spoken.quantiles
    return said


def fit_ridge(known: Windows) -> Speak:
    """The project's own baseline; its closed form is solved anew for every call."""
    baseline_quantiles("ridge", known)
    return lambda asked: baseline_quantiles("ridge", known, asked)


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
