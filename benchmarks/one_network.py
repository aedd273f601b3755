"""One network for all symbols against a network of each symbol's own: their losses, and what their fits cost.

    python benchmarks/one_network.py PANEL.parquet VIX.csv --target volume

PANEL and VIX are as for base_weights.py. At every refit each symbol has a fit from scratch of its own, as on a night,
and one network for all symbols is made in five ways: "shipped", the newest shipped weights as they are; "all rows",
these trained on every row of every symbol; "chain", the same with one slower epoch, continued from the refit before;
"averaged", the mean of the newest five networks of that chain, shipped weights the first; "newest tenth", as chain, on
the newest tenth of the rows. Each symbol keeps its own effects and scaler. All forecast until the next refit, combined
with the linear model by the target's usual weight. Losses are pinball in model scale, without the decisions of nights.
CPU is that of fits, the preparation of a symbol's rows included, which every network needs. By default all symbols of
PANEL, and the years that confirm (split.py); those that choose settings:

    python benchmarks/one_network.py PANEL.parquet VIX.csv --symbols choosing --from 2019-01-02 --to 2022-03-08
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from base_weights import read_market
from skill import machine
from split import PARTS, name_of, split
from weight_age import whole_windows

from forecasting.backtest.refits import rows_of, windows_at
from forecasting.losses import Floats, row_losses
from forecasting.predict.calibration import Past, combine, learn_weight
from forecasting.preprocess.windows import Windows
from forecasting.settings import Settings
from forecasting.train.checkpoint import Checkpoint
from forecasting.train.ensemble import scaled_quantiles
from forecasting.train.linear_model import linear_quantiles
from forecasting.train.prepare import Prepared, prepare
from forecasting.train.pretrained import CONTINUED, pretrained_for
from forecasting.train.starting_weights import fit_scratch
from forecasting.train.threads import one_blas_thread
from forecasting.train.training_loop import (
    Hyperparameters,
    TrainingRows,
    generator,
    named_weights,
    starting_networks,
    train,
)
from forecasting.vocabulary import HORIZONS, QUANTILES, Target

CHAINED = Hyperparameters(1, 3e-4, batch_size=16)
MEMBERS = 2  # enough for a difference of networks
TENTH = 10
"""The part of the rows that "newest tenth" is trained on."""
AVERAGED = 5
"""Networks of the chain whose mean is "averaged"."""


@dataclass(frozen=True)
class Refit:
    """What all symbols know at a refit, and the rows until the next one.

    Attributes:
        known: Their windows; targets after the refit are unknown.
        rows: (n,) of each, to be forecast.
        truth: (n, H) of each, in model scale.
    """

    known: list[Windows]
    rows: list[np.ndarray]
    truth: list[Floats]


def main() -> None:
    """Walk all symbols from refit to refit, and print a table."""
    options = arguments()
    panel = dict(list(pd.read_parquet(options.panel).groupby("Symbol", observed=True)))
    symbols = symbols_of(options.symbols, list(panel))
    settings, market = Settings(target=options.target, members=MEMBERS), read_market(options.market)
    whole = [whole_windows(panel[symbol], panel[symbol]["Date"].max().date(), settings, market) for symbol in symbols]
    first, last = (date.fromisoformat(day) for day in (options.first, options.last))
    part = name_of(symbols, first, last)
    print(f"{datetime.now(UTC).date()}, {machine()}\n")
    print(f"{options.target}, {len(symbols)} symbols, {first} .. {last} ({part}), refit every {options.refit}\n")
    losses, seconds = walk(whole, settings, options.refit, first, last)
    print("\n".join(table(losses, seconds)))


def symbols_of(asked: str, found: list[str]) -> list[str]:
    """The symbols named, or those of a part of the panel."""
    return split(found, asked) if asked in PARTS else asked.split(",")


@one_blas_thread()
def walk(
    whole: list[Windows], settings: Settings, every: int, first: date, last: date
) -> tuple[dict[str, Floats], dict[str, float]]:
    """Of each network the (symbols,) mean losses over all origins, and the CPU seconds of its fits; own fits first."""
    origins, weight = whole[0].origins, usual_weight(settings.target)
    sessions = origins[(origins >= np.datetime64(first)) & (origins <= np.datetime64(last))]
    losses: dict[str, list[list[Floats]]] = {}
    seconds: dict[str, float] = {}
    shared: dict[str, Checkpoint] = {}
    chain: list[Checkpoint] = []
    for start in range(0, len(sessions), every):
        refit = at_refit(whole, sessions[start : start + every], settings)
        began = time.process_time()
        prepared = [prepare(windows, method="scratch", settings=settings) for windows in refit.known]
        preparing = time.process_time() - began
        shared, training = all_symbols(refit.known, prepared, shared, settings)
        chain = [*(chain or [shared["shipped"]]), shared["chain"]][-AVERAGED:]
        shared["averaged"], training["averaged"] = mean_of(chain), training["chain"]
        for name, spent in training.items():
            seconds[name] = seconds.get(name, 0.0) + preparing + spent
        seconds["preparation"] = seconds.get("preparation", 0.0) + preparing
        for symbol, windows in enumerate(refit.known):
            began = time.process_time()
            own = fit_scratch(windows, [], settings=settings)
            seconds["own"] = seconds.get("own", 0.0) + time.process_time() - began
            rows, card = refit.rows[symbol], prepared[symbol].card
            linear = windows.scale(rows).to_model(linear_quantiles(windows, rows))
            theirs = {name: replace(weights, card=card) for name, weights in shared.items()}
            for name, checkpoint in ({"own": own} | theirs).items():
                combined = combine(scaled_quantiles(checkpoint, windows, rows), linear, weight)
                of_symbols = losses.setdefault(name, [[] for _ in whole])
                of_symbols[symbol].append(row_losses(refit.truth[symbol], combined))
        print(f"<!-- refitted at {sessions[start]} -->", flush=True)
    means = {name: np.array([np.concatenate(parts).mean() for parts in found]) for name, found in losses.items()}
    return means, seconds


def at_refit(whole: Sequence[Windows], block: np.ndarray, settings: Settings) -> Refit:
    """What is known of every symbol at the first session of `block`, and its rows there."""
    refit = Refit([], [], [])
    for one in whole:
        found = np.flatnonzero(np.isin(one.origins, block))
        known, _ = windows_at([one], int(found[0]), settings, last=int(found[-1]))
        refit.known.append(known)
        refit.rows.append(rows_of(found, known))
        refit.truth.append(one.scaled[found])
    return refit


def all_symbols(
    known: list[Windows], prepared: list[Prepared], before: dict[str, Checkpoint], settings: Settings
) -> tuple[dict[str, Checkpoint], dict[str, float]]:
    """Weights for all symbols by the way that they were made, and the CPU seconds of their training."""
    shipped = pretrained_for(known[0])
    if shipped is None:
        raise SystemExit("Expected shipped weights that end before the first session; found none.")
    everything = [symbol.training for symbol in prepared]
    newest = [TrainingRows(one.tensors, one.rows[-(len(one.rows) // TENTH) :]) for one in everything]
    ways = {
        "all rows": (shipped, everything, CONTINUED),
        "chain": (before.get("chain", shipped), everything, CHAINED),
        "newest tenth": (before.get("newest tenth", shipped), newest, CHAINED),
    }
    made, spent = {"shipped": shipped}, {"shipped": 0.0}
    for name, (start, panel, hyperparameters) in ways.items():
        began = time.process_time()
        made[name] = trained(start, panel, hyperparameters, settings)
        spent[name] = time.process_time() - began
    return made, spent


def trained(
    start: Checkpoint, panel: list[TrainingRows], hyperparameters: Hyperparameters, settings: Settings
) -> Checkpoint:
    """The weights of `start`, trained on all of `panel` together; its card is not of them."""
    weights = {}
    for member, network in enumerate(starting_networks(start.weights, panel[0].tensors, settings.members)):
        train(network, panel, hyperparameters, rng=generator(settings.seed, member))
        weights |= named_weights(network, member)
    return replace(start, weights=weights)


def mean_of(chain: list[Checkpoint]) -> Checkpoint:
    """The mean of the networks' weights, member by member; the newest one has those that are wanted."""
    newest = chain[-1]
    means = {name: sum(one.weights[name] for one in chain) / len(chain) for name in newest.weights}
    return replace(newest, weights=means)


def usual_weight(target: Target) -> float:
    """The network's share of a combined forecast before anything has been learned."""
    none, quantiles = np.empty((0, len(HORIZONS))), np.empty((0, len(HORIZONS), len(QUANTILES)))
    return learn_weight(Past(none, quantiles, quantiles), target)


def table(losses: dict[str, Floats], seconds: dict[str, float]) -> list[str]:
    """A row per network: change of loss against own fits, mean and worst, on how many it is better, and its cost."""
    own, cost = losses["own"], seconds["own"]
    lines = ["| network | loss, mean | worst symbol | better on | CPU of fits |", "|---|---:|---:|---:|---:|"]
    for name in losses:
        change = losses[name] / own - 1.0
        better = "" if name == "own" else f"{(change < 0.0).mean():.0%}"
        lines.append(f"| {name} | {change.mean():+.2%} | {change.max():+.2%} | {better} | {seconds[name] / cost:.2f} |")
    return [*lines, f"\nCPU of own fits {cost:.0f} s, of preparation alone {seconds['preparation'] / cost:.2f} of it."]


def arguments() -> argparse.Namespace:
    """The options of this benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("panel", type=Path)
    parser.add_argument("market", type=Path)
    parser.add_argument("--symbols", default="all", help="A,B,C, all, choosing or confirming")
    parser.add_argument("--target", choices=("volume", "range", "close"), default="volume")
    parser.add_argument("--from", dest="first", default="2022-03-09", help="first session to forecast from")
    parser.add_argument("--to", dest="last", default="2024-02-29", help="last session to forecast from")
    parser.add_argument("--refit", type=int, default=126, help="sessions from one refit to the next")
    return parser.parse_args()


if __name__ == "__main__":
    main()
