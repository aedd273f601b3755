"""Pretrained weights, from which a fit on any symbol may start.

They are of an ensemble that was trained on many symbols (a global model). Those of several spans
ship with the package, made by benchmarks/base_weights.py. They are never used for an origin inside
their own span: a replay of 2016 starts from weights trained up to 2014. Each span has four, with
and without earnings dates and a market series.
"""

import json
from dataclasses import replace
from pathlib import Path

from forecasting.preprocess.windows import Windows
from forecasting.train.checkpoint import Checkpoint, load

_SHIPPED = Path(__file__).with_name("weights")


def pretrained_for(windows: Windows) -> Checkpoint | None:
    """The newest shipped weights for `windows`; None for an origin before every span.

    They are trained on no session after the newest learnable one. With earnings dates, those
    trained with dates: others have an error 0.9% larger (SBUX, volume, 2015-2019), and the other
    way round 1.1%. A file that is missing, altered or of other code raises ArtifactError.
    """
    kind = {"target": windows.target, "earnings": windows.has_events, "market": windows.has_market}
    newest = str(windows.sessions[windows.learnable_sessions - 1])
    usable = {
        str(entry["trained_to"]): entry
        for entry in shipped_weights()
        if entry.items() >= kind.items() and str(entry["trained_to"]) <= newest
    }
    if not usable:
        return None
    entry = usable[max(usable)]
    folder = str(entry["folder"])
    checkpoint = load(_SHIPPED / folder, str(entry["sha256"]))
    return replace(checkpoint, card=replace(checkpoint.card, base=folder))


def shipped_weights() -> list[dict[str, str | int | bool]]:
    """The index of the shipped weights, an entry each.

    Its keys are target, trained_to, earnings, market, members, symbols, folder and sha256.
    """
    return json.loads((_SHIPPED / "index.json").read_text())
