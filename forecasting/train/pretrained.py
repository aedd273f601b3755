"""The models that ship with the package: pretrained weights, and boosted trees.

They were trained on many symbols by benchmarks/base_weights.py; a fit on any symbol may start from
the weights. Those of several spans ship, and are never used for an origin inside their own span: a
replay of 2016 starts from weights trained up to 2014. Each span has four sets of weights, with and
without earnings dates and a market series.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from forecasting.preprocess.windows import Windows
from forecasting.train.checkpoint import Checkpoint, load

SHIPPED = Path(__file__).with_name("weights")
WEIGHTS = "index.json"
TREES = "trees.json"


def pretrained_for(windows: Windows) -> Checkpoint | None:
    """The newest shipped weights for `windows`; None for an origin before every span.

    They are trained on no session after the newest learnable one. A symbol with earnings dates
    gets those trained with dates: others have an error 0.9% larger (SBUX, volume, 2015-2019). For a
    symbol without dates the error of these is 1.1% larger. A file that is missing, altered or of
    other code raises ArtifactError.
    """
    kind = {"target": windows.target, "earnings": windows.has_events, "market": windows.has_market}
    entry = newest_shipped(WEIGHTS, windows.sessions[windows.learnable_sessions - 1], kind)
    if entry is None:
        return None
    checkpoint = load(SHIPPED / entry["folder"], entry["sha256"])
    return replace(checkpoint, card=replace(checkpoint.card, base=entry["folder"]))


def newest_shipped(index: str, last: np.datetime64, kind: dict[str, Any]) -> dict[str, Any] | None:
    """The entry of an index with the newest training data up to `last`; None without one.

    `kind` has the values that some of its keys must have.
    """
    usable = [
        entry
        for entry in shipped(index)
        if entry.items() >= kind.items() and entry["trained_to"] <= str(last)
    ]
    return max(usable, key=lambda entry: str(entry["trained_to"]), default=None)


def shipped(index: str) -> list[dict[str, Any]]:
    """The entries of an index, each with trained_to, symbols and sha256.

    One of weights has target, earnings, market, members and folder too, one of trees rows and file.
    """
    return json.loads((SHIPPED / index).read_text())
