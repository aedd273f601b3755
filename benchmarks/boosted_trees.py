"""Make the boosted trees that ship with the package, from a Parquet panel of daily bars and the shipped earnings dates.

    pip install -e '.[bench]'
    ends=$(printf -- '--to %d-12-31 ' 2014 2016 2018 2020 2022)
    python benchmarks/boosted_trees.py PANEL.parquet --leave-out SBUX $ends --to 2024-03-08

PANEL is that of base_weights.py. For every span the rows of the ten years before its end, three in ten of them drawn by
a seed, train one LightGBM of the absolute error over all symbols and horizons. Its trees are written as arrays to
forecasting/train/weights, with their hash in trees.json: a night needs no LightGBM.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors.numpy import save

from flows.clock import now
from forecasting.losses import Floats
from forecasting.pipeline.backtest import load_series
from forecasting.preprocess.windows import Windows, make_windows
from forecasting.sessions import sessions_index
from forecasting.settings import Settings
from forecasting.train.trees import Trees, shipped_trees, tree_inputs

if TYPE_CHECKING:
    import lightgbm

WEIGHTS = Path(__file__).parents[1] / "forecasting" / "train" / "weights"
SESSIONS = 2520
SHARE = 0.3
ROUNDS, LEAVES = 400, 63
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
    """Train and save the trees of every requested span; print the cost of each."""
    parser = argparse.ArgumentParser(description="Make the boosted trees that ship with the package.")
    parser.add_argument("panel", type=Path)
    parser.add_argument("--leave-out", action="append", default=[], help="a symbol to exclude")
    parser.add_argument("--to", action="append", required=True, type=date.fromisoformat, help="newest day of a span")
    options = parser.parse_args()
    symbols = sorted(set(pd.read_parquet(options.panel, columns=["Symbol"])["Symbol"]) - set(options.leave_out))
    entries = {str(entry["trained_to"]): entry for entry in shipped_trees()}
    for last in options.to:
        entry = make_trees(f"parquet:{options.panel}", symbols, last)
        entries[str(entry["trained_to"])] = entry
    (WEIGHTS / "trees.json").write_text(json.dumps([entries[day] for day in sorted(entries)], indent=1) + "\n")


def make_trees(source: str, symbols: Sequence[str], last: date) -> dict[str, str | int]:
    """The index entry of the trees of one span, after writing them."""
    import lightgbm  # of the extra [bench]; a test imports this module without it

    started = time.perf_counter()
    newest = sessions_index(date(1990, 1, 2), last)[-1].date()
    rng = np.random.default_rng(0)
    parts = [rows_of(windows_of(source, symbol, newest), rng) for symbol in symbols]
    inputs, truth = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    booster = lightgbm.train(PARAMETERS, lightgbm.Dataset(inputs, truth, params=PARAMETERS), num_boost_round=ROUNDS)
    name = f"trees-volume-{newest}.safetensors"
    content = save(vars(as_arrays(booster)))
    (WEIGHTS / name).write_bytes(content)
    print(f"{name}: {len(parts)} symbols, {len(truth)} rows, {time.perf_counter() - started:.0f} s", flush=True)
    return {
        "trained_to": str(newest),
        "symbols": len(parts),
        "rows": len(truth),
        "file": name,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def windows_of(source: str, symbol: str, newest: date) -> Windows:
    """One symbol's windows up to `newest`, with its shipped earnings dates."""
    settings = Settings(source=source, symbols=(symbol,))
    bars, events, _ = load_series(settings, last=newest, now=now)
    return make_windows(
        bars, events, origin=newest, target="volume", exchange=settings.exchange, train_sessions=SESSIONS
    )


def rows_of(windows: Windows, rng: np.random.Generator) -> tuple[NDArray[np.float32], Floats]:
    """Inputs (M, K) and targets (M,) in model scale of a share of the pairs of row and target session."""
    rows = np.arange(len(windows))
    inputs = tree_inputs(windows, rows)
    drawn = np.isfinite(windows.scaled) & (rng.random(windows.scaled.shape) < SHARE)
    return inputs[drawn], windows.scaled[drawn]


def as_arrays(booster: "lightgbm.Booster") -> Trees:
    """The trees of a booster, nodes numbered from the root down."""
    trees = [nodes_of(tree["tree_structure"]) for tree in booster.dump_model()["tree_info"]]
    most = max(map(len, trees))
    padded = np.array([nodes + [(-1, 0.0, 0, 0)] * (most - len(nodes)) for nodes in trees])  # (T, N, 4)
    feature, left, right = (padded[..., k].astype(np.int16) for k in (0, 2, 3))
    largest = np.finfo(np.float32).max  # LightGBM's threshold above every value is larger
    return Trees(feature, np.clip(padded[..., 1], -largest, largest).astype(np.float32), left, right)


def nodes_of(root: dict[str, Any]) -> list[tuple[int, float, int, int]]:
    """Feature, threshold, left and right of every node; -1, value, 0 and 0 of a leaf."""
    nodes: list[tuple[int, float, int, int]] = []

    def add(node: dict[str, Any]) -> int:
        place = len(nodes)
        if "leaf_value" in node:
            nodes.append((-1, node["leaf_value"], 0, 0))
        else:
            nodes.append((node["split_feature"], node["threshold"], 0, 0))
            left, right = add(node["left_child"]), add(node["right_child"])
            nodes[place] = (node["split_feature"], node["threshold"], left, right)
        return place

    add(root)
    return nodes


if __name__ == "__main__":
    main()
