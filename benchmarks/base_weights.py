"""Make the pretrained weights and the boosted trees that ship with the package, from a Parquet panel of daily bars.

    ends=$(printf -- '--to %d-12-31 ' 2014 2016 2018 2020 2022)
    python benchmarks/base_weights.py PANEL.parquet --leave-out SBUX $ends --to 2024-03-08
    python benchmarks/base_weights.py PANEL.parquet --leave-out SBUX $ends --to 2024-03-08 --market
        VIX.csv
    python benchmarks/base_weights.py PANEL.parquet --leave-out SBUX $ends --to 2024-03-08 --trees
        # with '.[bench]'

PANEL holds the columns Symbol, Date, Open, High, Low, Close, Adj Close, Volume. For every target
and span the newest 2,500 sessions of each symbol are the training rows, once without earnings dates
and once with those that earnings.py infers from the bars up to the end of the span. With --market,
a CSV file with the columns Date and Close, the weights are for symbols with a market series. With
--trees, for every span the rows of the ten years before its end, with the shipped earnings dates
and three in ten of them drawn by a seed, train one LightGBM of the absolute error over all symbols
and horizons; its trees are stored as arrays, so that a night needs no LightGBM. Everything is
written to forecasting/train/weights, next to other spans and kinds, with its hash in index.json or
trees.json.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import safetensors.numpy
from earnings import inferred_earnings

from flows.clock import now
from forecasting.audit.series import load_series
from forecasting.preprocess.future_covariates import EVENT_NAMES
from forecasting.preprocess.windows import TRAIN_SESSIONS, MarketSeries, Windows, make_windows
from forecasting.sessions import sessions_index
from forecasting.settings import Settings
from forecasting.train.checkpoint import (
    CARD_FILE,
    SEED,
    TENSORS_FILE,
    Checkpoint,
    pack,
    sha256_of,
)
from forecasting.train.fit import MEMBERS
from forecasting.train.loop import (
    Hyperparameters,
    generator,
    new_network,
    one_thread,
    train_members,
)
from forecasting.train.prepare import make_card, prepare
from forecasting.train.pretrained import SHIPPED, TREES, WEIGHTS, shipped
from forecasting.train.trees import Trees, tree_inputs
from forecasting.vocabulary import Target

if TYPE_CHECKING:
    import lightgbm

TARGETS: tuple[Target, ...] = ("volume", "range")

# Four epochs are no better (2.297 against 2.299)
HYPERPARAMETERS = Hyperparameters(2, 3e-3, batch_size=16)

SESSIONS = 2520
SHARE = 0.3
ROUNDS = 400
LEAVES = 63
PARAMETERS = {
    "objective": "l1",
    "num_leaves": LEAVES,
    "learning_rate": 0.06,
    "min_data_in_leaf": 200,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "max_bin": 127,
    "seed": 0,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}


def main() -> None:
    """Make and save what was requested of every span; print the cost of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("panel", type=Path)
    parser.add_argument("--leave-out", action="append", default=[], help="a symbol to exclude")
    parser.add_argument(
        "--to", action="append", required=True, type=date.fromisoformat, help="newest day of a span"
    )
    parser.add_argument("--market", type=Path, help="CSV file of the market series")
    parser.add_argument(
        "--trees", action="store_true", help="the boosted trees in place of the weights"
    )
    options = parser.parse_args()
    panel = pd.read_parquet(options.panel)
    panel = panel[~panel["Symbol"].isin(options.leave_out)]
    spans = [sessions_index(date(1990, 1, 2), last)[-1].date() for last in options.to]
    if options.trees:
        name = TREES
        made = "file"
        entries = shipped(name)
        symbols = sorted(set(panel["Symbol"]))
        entries += [make_trees(f"parquet:{options.panel}", symbols, newest) for newest in spans]
    else:
        name = WEIGHTS
        made = "folder"
        entries = shipped(name)
        market = None
        if options.market is not None:
            market = MarketSeries(
                pd.read_csv(options.market, parse_dates=["Date"], index_col="Date")["Close"]
            )
        entries += [
            make_weights(panel, target, newest, earnings=earnings, market=market)
            for newest, target, earnings in product(spans, TARGETS, (False, True))
        ]
    newest_made = {entry[made]: entry for entry in entries}.values()
    index = sorted(newest_made, key=lambda entry: (entry["trained_to"], *order(entry)))
    (SHIPPED / name).write_text(json.dumps(index, indent=1) + "\n")


def order(entry: dict[str, Any]) -> tuple[int, ...]:
    """The place of an entry among those of its span."""
    return (
        (TARGETS.index(entry["target"]), entry["earnings"], entry["market"])
        if "target" in entry
        else ()
    )


def make_weights(
    panel: pd.DataFrame,
    target: Target,
    newest: date,
    *,
    earnings: bool,
    market: MarketSeries | None,
) -> dict[str, Any]:
    """The index entry of the weights of one span, after writing them."""
    started = time.perf_counter()
    settings = Settings(targets=target)
    windows = [
        windows_of(bars, newest, settings, earnings=earnings, market=market)
        for _, bars in panel.groupby("Symbol", observed=True)
    ]
    checkpoint = pretrain(windows)
    parts = [target, str(newest)]
    if earnings:
        parts.append("earnings")
    if market is not None:
        parts.append("market")
    name = "-".join(parts)
    card, weights = pack(checkpoint)
    (SHIPPED / name).mkdir(exist_ok=True)
    (SHIPPED / name / CARD_FILE).write_text(card)
    (SHIPPED / name / TENSORS_FILE).write_bytes(weights)
    seconds = time.perf_counter() - started
    print(
        f"{name}: {len(windows)} symbols, {checkpoint.card.rows} rows, {seconds:.0f} s", flush=True
    )
    return {
        "target": target,
        "trained_to": str(checkpoint.card.trained_to),
        "earnings": earnings,
        "market": market is not None,
        "members": checkpoint.card.members,
        "symbols": len(windows),
        "folder": name,
        "sha256": sha256_of(card.encode()),
    }


@one_thread()
def pretrain(panel: Sequence[Windows]) -> Checkpoint:
    """An ensemble fitted on all of `panel` together.

    Its card's span is the widest, its scaler the first symbol's.

    `panel` has windows of one target, one per symbol, of any span.
    """
    cards = [make_card(windows, members=MEMBERS) for windows in panel]
    training = [prepare(card, windows).tensors for card, windows in zip(cards, panel, strict=True)]
    rngs = [generator(SEED, member) for member in range(MEMBERS)]
    networks = [new_network(training[0], rng) for rng in rngs]
    weights = train_members(networks, rngs, training, HYPERPARAMETERS)
    if not any(windows.has_events for windows in panel):
        # The weights of their columns are still random, noise to a symbol that has some.
        for name, weight in weights.items():
            if name.endswith(("from_past.weight", "from_flags.weight")):
                weight[:, -len(EVENT_NAMES) :] = 0.0
    card = replace(
        cards[0],
        method="base",
        trained_from=min(card.trained_from for card in cards),
        trained_to=max(card.trained_to for card in cards),
        rows=sum(card.rows for card in cards),
        epochs=HYPERPARAMETERS.epochs,
        chain_epochs=HYPERPARAMETERS.epochs,
    )
    return Checkpoint(card, weights)


def windows_of(
    bars: pd.DataFrame,
    newest: date,
    settings: Settings,
    *,
    earnings: bool,
    market: MarketSeries | None,
) -> Windows:
    """One symbol's windows up to `newest`, with earnings inferred from its bars up to then, or without."""
    bars = bars.set_index("Date").drop(columns="Symbol").astype("float64").rename(columns=str.lower)
    bars = bars[: pd.Timestamp(newest)]
    inferred = inferred_earnings(bars[-TRAIN_SESSIONS:])
    events = inferred if earnings else inferred[:0]
    return make_windows(
        bars, events, origin=newest, settings=settings, rows=TRAIN_SESSIONS, market=market
    )


def make_trees(source: str, symbols: Sequence[str], newest: date) -> dict[str, Any]:
    """The index entry of the trees of one span, after writing them."""
    import lightgbm  # of the extra [bench]; a test imports this module without it

    started = time.perf_counter()
    rng = np.random.default_rng(0)
    inputs = []
    truth = []
    for symbol in symbols:
        settings = Settings(source=source, symbols=(symbol,))
        bars, events, _ = load_series(settings, last=newest, now=now)
        windows = make_windows(bars, events, origin=newest, settings=settings, rows=SESSIONS)
        drawn = np.isfinite(windows.scaled) & (rng.random(windows.scaled.shape) < SHARE)
        inputs.append(tree_inputs(windows, np.arange(len(windows)))[drawn])
        truth.append(windows.scaled[drawn])
    training = lightgbm.Dataset(np.concatenate(inputs), np.concatenate(truth), params=PARAMETERS)
    booster = lightgbm.train(PARAMETERS, training, num_boost_round=ROUNDS)
    name = f"trees-volume-{newest}.safetensors"
    rows = sum(map(len, truth))
    content = safetensors.numpy.save(vars(as_arrays(booster)))
    (SHIPPED / name).write_bytes(content)
    print(
        f"{name}: {len(symbols)} symbols, {rows} rows, {time.perf_counter() - started:.0f} s",
        flush=True,
    )
    return {
        "trained_to": str(newest),
        "symbols": len(symbols),
        "rows": rows,
        "file": name,
        "sha256": sha256_of(content),
    }


def as_arrays(booster: "lightgbm.Booster") -> Trees:
    """The trees of a booster, nodes numbered from the root down."""
    trees = [nodes_of(tree["tree_structure"]) for tree in booster.dump_model()["tree_info"]]
    most = max(map(len, trees))
    # (T, N, 4)
    padded = np.array([nodes + [(-1, 0.0, 0, 0)] * (most - len(nodes)) for nodes in trees])
    feature, left, right = (padded[..., k].astype(np.int16) for k in (0, 2, 3))
    largest = np.finfo(np.float32).max  # LightGBM's threshold above every value is larger
    return Trees(
        feature, np.clip(padded[..., 1], -largest, largest).astype(np.float32), left, right
    )


def nodes_of(root: dict[str, Any]) -> list[tuple[int, float, int, int]]:
    """Feature, threshold, left and right of every node; -1, value, 0 and 0 of a leaf."""
    nodes: list[tuple[int, float, int, int]] = []

    def add(node: dict[str, Any]) -> int:
        place = len(nodes)
        if "leaf_value" in node:
            nodes.append((-1, node["leaf_value"], 0, 0))
        else:
            nodes.append((node["split_feature"], node["threshold"], 0, 0))
            left = add(node["left_child"])
            right = add(node["right_child"])
            nodes[place] = (node["split_feature"], node["threshold"], left, right)
        return place

    add(root)
    return nodes


if __name__ == "__main__":
    main()
