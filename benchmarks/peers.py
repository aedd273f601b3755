"""This project compared with other libraries: the same rows, origins and information, in one run.

    pip install -e '.[bench]'
    python benchmarks/peers.py --source csv:SBUX.csv --symbol SBUX --events csv:SBUX_earnings.csv --to 2024-03-07

Every forecaster is fitted at the close of the first origin of each block, on the newest `train_sessions` rows up to it,
and then reads each new session without another fit. Normal intervals of the statistical models are those of log volume.
Hyperparameters of a peer (steps, trees, window scaling) are searched on the block before the first origin. "Skill of
the mean" says what a peer would add as a member: that of the mean of both, in logs, over ours alone, in pinball.
Prints one Markdown table, and a note for each peer whose library is missing.
"""

import argparse
import importlib.util
import logging
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial

import numpy as np
from peer_models import (
    Comparison,
    H,
    Predict,
    Walk,
    make_comparison,
    run_fracast,
    run_lightgbm,
    run_neural,
    run_statistical,
    walk,
)
from skill import machine, skill_and_p

from forecasting.backtest.walk_forward import LINEAR, NETWORK, TREES, issue_in_order
from forecasting.evaluate.scores import inside
from forecasting.losses import Floats, pinball
from forecasting.predict.combine import network_quantiles
from forecasting.preprocess.windows import Windows
from forecasting.settings import Settings
from forecasting.train.baselines import baseline_quantiles
from forecasting.train.fit import fit
from forecasting.train.linear import linear_quantiles
from forecasting.train.pretrained import pretrained_for
from forecasting.train.trees import tree_medians
from forecasting.values import parse_date
from forecasting.vocabulary import MEDIAN

PEERS = ("ridge", "LightGBM", "statistical", "Fracast", "LSTM", "NHITS")

LIBRARIES = ("numpy", "pandas", "torch", "statsforecast", "lightgbm", "fracast", "neuralforecast")


def main() -> None:
    """Run every forecaster and print the table."""
    options = arguments()
    silence_libraries()
    settings = Settings(source=options.source, symbols=(options.symbol,), events=options.events, target="volume")
    comparison = make_comparison(settings, last=options.last, origins=options.origins, every=options.refit_every)
    walks: dict[str, Walk] = {}
    for name, run, library in forecasters(options):
        if options.only and name not in ("ours", *options.only):
            continue
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="sample", help="csv:PATH, parquet:PATH, yahoo or sample")
    parser.add_argument("--symbol", default="^GSPC")
    parser.add_argument("--events", help="earnings dates as csv:PATH; without it the bundled ones")
    parser.add_argument("--to", dest="last", type=parse_date, default=date(2018, 12, 21), help="the last origin")
    parser.add_argument("--origins", type=int, default=252)
    parser.add_argument("--refit-every", type=int, default=63)
    parser.add_argument("--only", nargs="+", choices=PEERS, help="peers to compare with; all without it")
    parser.add_argument("--trees", type=int, nargs="+", default=[120, 240, 480], help="LightGBM's search")
    parser.add_argument("--steps", type=int, nargs="+", default=[60, 150, 300], help="the neural peers' search")
    return parser.parse_args()


def forecasters(options: argparse.Namespace) -> list[tuple[str, Callable[[Comparison], dict[str, Walk]], str]]:
    """Name, function and required library (empty: no other) of each forecaster."""
    return [
        ("ours", run_ours, ""),
        ("ridge", lambda comparison: {"ridge": walk(comparison, comparison.blocks, fit_ridge)}, ""),
        ("LightGBM", partial(run_lightgbm, trees=options.trees), "lightgbm"),
        ("statistical", run_statistical, "statsforecast"),
        ("Fracast", run_fracast, "fracast"),
        ("LSTM", partial(run_neural, name="LSTM", steps=options.steps), "neuralforecast"),
        ("NHITS", partial(run_neural, name="NHITS", steps=options.steps), "neuralforecast"),
    ]


def run_ours(comparison: Comparison) -> dict[str, Walk]:
    """Ours as a night issues it, and without pretrained weights."""
    rows = np.concatenate(comparison.earlier + comparison.blocks)
    count = sum(map(len, comparison.blocks))

    def fit_ours(known: Windows, *, is_pretrained: bool) -> Predict:
        start = pretrained_for(known) if is_pretrained else None
        checkpoint = fit(known, mode="scratch", parent=None, settings=comparison.settings, pretrained=start)
        return lambda rows: np.stack(
            [network_quantiles(checkpoint, known, rows), linear_quantiles(known, rows)], axis=1
        )

    def issued(raw: Floats) -> Floats:  # (n, 2, H, Q)
        members = {NETWORK: raw[:, 0], LINEAR: raw[:, 1], TREES: tree_medians(comparison.windows, rows)}
        return issue_in_order(comparison.windows, rows, members)

    blocks = comparison.earlier + comparison.blocks
    ours = walk(comparison, blocks, lambda known: fit_ours(known, is_pretrained=True))
    scratch = walk(comparison, blocks, lambda known: fit_ours(known, is_pretrained=False))
    return {
        name: replace(walked, forecasts=issued(walked.forecasts)[-count:])
        for name, walked in (("**ours**", ours), ("ours, no pretrained weights", scratch))
    }


def fit_ridge(known: Windows) -> Predict:
    """The project's own baseline; its closed form is solved at every call."""
    baseline_quantiles("ridge", known)
    return lambda rows: baseline_quantiles("ridge", known, rows)


def table(walks: dict[str, Walk], actual: Floats) -> list[str]:
    """A row per forecaster, ours first; skill and p of ours against each (Diebold-Mariano, mean over horizons)."""
    costs = ("s a fit", "CPU s a fit", "s a forecast")
    titles = ("MAE", "pinball", "cover 80", "cover 90", "skill MAE", "p", "skill pinball", "p", *costs)
    titles += ("skill of the mean", "p")
    lines = ["| forecaster | " + " | ".join(titles) + " | chosen |", "|---|" + "---:|" * len(titles) + "---|"]
    own = next(iter(walks.values())).forecasts
    ours = losses_of(actual, own)
    for at, (name, peer) in enumerate(walks.items()):
        theirs = losses_of(actual, peer.forecasts)
        cells = [f"{np.nanmean(loss):.3f}" for loss in theirs]
        known = np.isfinite(actual)
        cells += [f"{100 * inside(actual, peer.forecasts, percent)[known].mean():.1f}%" for percent in (80, 90)]
        for our_loss, their_loss in zip(ours, theirs, strict=True):
            cells += skill_and_p(our_loss, their_loss) if at else ("", "")
        cells += [f"{peer.fit_s:.2f}", f"{peer.fit_cpu_s:.2f}", f"{peer.forecast_s:.3f}"]
        mean = losses_of(actual, np.sqrt(own * peer.forecasts))[1]
        cells += [*(skill_and_p(mean, ours[1]) if at else ("", "")), peer.setting]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def losses_of(actual: Floats, quantiles: Floats) -> tuple[Floats, Floats]:
    """Absolute error of the median and pinball loss, (n, H) each, in million shares."""
    return np.abs(actual - quantiles[..., MEDIAN]) * 1e-6, pinball(actual, quantiles) * 1e-6


def describe(options: argparse.Namespace, comparison: Comparison) -> str:
    """A sentence on the data, origins and fits."""
    rows = np.concatenate(comparison.blocks)
    first, last = comparison.windows.origins[rows[0]], comparison.windows.origins[rows[-1]]
    before = sum(map(len, comparison.earlier))
    return (
        f"{options.source} {options.symbol}, volume, million shares, mean of horizons 1-{H}; {len(rows)} origins "
        f"{first} .. {last}, {len(comparison.blocks)} fits each (every {options.refit_every} sessions). Ours is "
        f"combined and calibrated on its forecasts of the {before} origins before; pretrained on other symbols."
    )


def silence_libraries() -> None:
    """Turn off the warnings and logs of other libraries."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.INFO)


if __name__ == "__main__":
    main()
