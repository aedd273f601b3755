"""The boosted trees: a second global forecaster of the median, trained on many symbols by benchmarks/base_weights.py.

The network has a symbol's own effects removed from its inputs and added back; the trees see raw
series and flags, and share every effect over all symbols. So their errors differ, and a weighted
mean of both medians errs less than either (docs/experiments.md). They move the median, the widths
stay the network's. Only symbols with earnings dates have them.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forecasting.losses import Floats
from forecasting.preprocess.future_covariates import EVENT_NAMES
from forecasting.preprocess.windows import LEVEL_SESSIONS, STEP_NAMES, Windows, trailing_mean
from forecasting.targets import TARGETS
from forecasting.train.checkpoint import read_unaltered
from forecasting.train.linear import unusual_quarters_before
from forecasting.vocabulary import HORIZONS

H = len(HORIZONS)
LAGS = 22
MEANS = (5, 10, 44, 120, 253)
REACTIONS = 8
"""Newest reports whose reactions are averaged."""

# sessions: eight quarters take 504; a row's inputs do not depend on where its windows begin
_WITHIN = 700
_PHASES = (-1, 0, 1, 2, 3, 4, 5)  # sessions from the one that reacts, each with a flag of its own
_FLAGS = tuple(EVENT_NAMES.index(f"earnings{phase:+d}") for phase in _PHASES)
_NEVER = 99  # sessions since a report that there is none of

_SHIPPED = Path(__file__).with_name("weights")


@dataclass(frozen=True, eq=False)
class Trees:
    """T regression trees of N nodes at most, whose values add up to a median in model scale."""

    feature: NDArray[np.int16]  # (T, N) the input that a node compares; -1 at a leaf
    threshold: NDArray[np.float32]  # (T, N) an input up to it goes left; at a leaf its value
    left: NDArray[np.int16]  # (T, N) the nodes below
    right: NDArray[np.int16]

    def forecast(self, inputs: NDArray[np.float32]) -> Floats:
        """(M,) of inputs (M, K): every tree is followed from its root, all at once."""
        trees = np.arange(len(self.feature))
        rows = np.arange(len(inputs))[:, None]
        node = np.zeros((len(inputs), len(self.feature)), dtype=np.int16)
        while ((feature := self.feature[trees, node]) >= 0).any():
            goes_left = inputs[rows, feature] <= self.threshold[trees, node]
            below = np.where(goes_left, self.left[trees, node], self.right[trees, node])
            node = np.where(feature < 0, node, below)
        return self.threshold[trees, node].astype(np.float64).sum(axis=1)


def tree_medians(windows: Windows, rows: NDArray[np.int64] | None = None) -> Floats:
    """(H,) medians in model scale of the newest row, or (len(rows), H), by trees trained before.

    NaN without any.
    """
    requested = np.array([len(windows) - 1]) if rows is None else rows
    medians = np.full((len(requested), H), np.nan)
    if TARGETS[windows.target].has_trees and windows.has_events:
        origins = windows.origins[requested]
        spans = sorted(
            (np.datetime64(str(entry["trained_to"])), entry) for entry in shipped_trees()
        )
        newest = np.searchsorted([day for day, _ in spans], origins, side="right") - 1
        for place in np.unique(newest[newest >= 0]):
            at = np.flatnonzero(newest == place)
            inputs = tree_inputs(windows, requested[at])
            trees = _load(str(spans[place][1]["file"]), str(spans[place][1]["sha256"]))
            medians[at] = trees.forecast(inputs.reshape(-1, inputs.shape[-1])).reshape(len(at), H)
    return medians[0] if rows is None else medians


def shipped_trees() -> list[dict[str, str | int]]:
    """Index of the shipped trees: trained_to, symbols, rows, file and hash of each."""
    return json.loads((_SHIPPED / "trees.json").read_text())


@lru_cache(maxsize=2)
def _load(name: str, sha256: str) -> Trees:
    from safetensors.numpy import load

    return Trees(**load(read_unaltered(_SHIPPED / name, sha256)))


def tree_inputs(windows: Windows, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """(len(rows), H, K) inputs of each row and target session.

    Each depends on sessions up to the row's own alone.
    """
    volume, log_range, absolute, signed, gap = (windows.steps[:, k] for k in range(len(STEP_NAMES)))
    level = trailing_mean(volume, LEVEL_SESSIONS)
    usual_range = trailing_mean(log_range, LEVEL_SESSIONS)
    columns = [
        np.append(np.full(k, np.nan), volume[: len(volume) - k]) - level for k in range(LAGS)
    ]
    columns += [trailing_mean(volume, k) - level for k in MEANS]
    columns += [log_range - usual_range, trailing_mean(log_range, 5) - usual_range]
    columns += [usual_range - trailing_mean(log_range, 120)]
    columns += [moved / np.exp(usual_range) for moved in (absolute, signed, np.abs(gap))]
    unusual = np.abs(volume - np.append(np.nan, level[:-1]))
    by_session = np.column_stack([*columns, trailing_mean(np.nan_to_num(unusual), 66)])[
        windows.warm_up + rows
    ]
    sizes, since = _reactions(windows, rows)  # (R, 7), (R,)
    flags = windows.future_flags[rows]
    near = flags[..., len(windows.flag_names) - len(EVENT_NAMES) :][..., _FLAGS]  # (R, H, 7)
    by_target = [
        np.broadcast_to(np.array(HORIZONS, dtype=np.float64)[:, None], (len(rows), H, 1)),
        flags,
        unusual_quarters_before(windows, volume)[rows],
        (near * sizes[:, None]).sum(axis=-1, keepdims=True),
    ]
    by_row = np.column_stack([by_session, sizes[:, :4], since])
    return np.concatenate([np.repeat(by_row[:, None], H, axis=1), *by_target], axis=-1).astype(
        np.float32
    )


def _reactions(windows: Windows, rows: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Mean unusual volume around the newest reports, (R, 7) by phase, and (R,) sessions since the newest report.

    Unusual: log volume less its level two sessions before the reaction. A report counts once its
    phases have closed.
    """
    volume = windows.steps[:, 0]
    level = trailing_mean(windows.steps[:, 0], LEVEL_SESSIONS)
    reports = np.flatnonzero(windows.flags[:, windows.flag_names.index("earnings+0")])
    whole = reports[(reports - 2 >= LEVEL_SESSIONS - 1) & (reports + _PHASES[-1] < len(volume))]
    sizes = volume[whole[:, None] + np.array(_PHASES)] - level[whole - 2][:, None]  # (reports, 7)
    means = np.zeros((len(rows), len(_PHASES)))
    since = np.full(len(rows), float(_NEVER))
    for place, session in enumerate(windows.warm_up + rows):
        newest = sizes[(whole + _PHASES[-1] <= session) & (whole > session - _WITHIN)][-REACTIONS:]
        if len(newest):
            means[place] = newest.mean(axis=0)
        before = reports[reports <= session]
        if len(before):
            since[place] = min(session - before[-1], _NEVER)
    return means, since
