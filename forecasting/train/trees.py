"""The boosted trees: a second global forecaster of the median.

They are trained on many symbols by benchmarks/base_weights.py. The network has a symbol's own
effects removed from its inputs and added back; the trees see raw series and flags, and share every
effect over all symbols. So their errors differ, and a weighted mean of both medians errs less than
either (docs/experiments.md). They move the median, the widths stay the network's. Only symbols with
earnings dates have them.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from forecasting.losses import Floats
from forecasting.preprocess.future_covariates import EVENT_NAMES, EVENTS
from forecasting.preprocess.windows import (
    LEVEL_SESSIONS,
    LOG_VOLUME,
    H,
    Rows,
    Windows,
    lagged,
    level_of,
    trailing_mean,
    trailing_means,
)
from forecasting.train.checkpoint import check_unaltered, read_file
from forecasting.train.linear import unusual_quarters_before
from forecasting.train.pretrained import SHIPPED, TREES, newest_shipped
from forecasting.vocabulary import HORIZONS

LAGS = 22
MEANS = (5, 10, 44, 120, 253)
REACTIONS = 8
"""Newest reports whose reactions are averaged."""

# Sessions: eight quarters take 504; a row's inputs do not depend on where its windows begin
_WITHIN = 700
_PHASES = (-1, 0, 1, 2, 3, 4, 5)  # sessions from the one that reacts, each with a flag of its own
_FLAGS = tuple(EVENT_NAMES.index(f"earnings{phase:+d}") for phase in _PHASES)
_NEVER = 99  # sessions since a report that there is none of


@dataclass(frozen=True, eq=False)
class Trees:
    """T regression trees of N nodes at most, whose values add up to a median in model scale."""

    feature: NDArray[np.int16]  # (T, N) the input that a node compares; -1 at a leaf
    threshold: NDArray[np.float32]  # (T, N) an input up to it goes left; at a leaf its value
    left: NDArray[np.int16]  # (T, N) the nodes below
    right: NDArray[np.int16]

    def forecast(self, inputs: NDArray[np.float32]) -> Floats:
        """(M,) medians of inputs (M, K); all trees are followed from their roots at once."""
        trees = np.arange(len(self.feature))
        rows = np.arange(len(inputs))[:, None]
        node = np.zeros((len(inputs), len(self.feature)), dtype=np.int16)
        while ((feature := self.feature[trees, node]) >= 0).any():
            goes_left = inputs[rows, feature] <= self.threshold[trees, node]
            below = np.where(goes_left, self.left[trees, node], self.right[trees, node])
            node = np.where(feature < 0, node, below)
        return self.threshold[trees, node].astype(np.float64).sum(axis=1)


def tree_medians(windows: Windows) -> Floats:
    """(H,) medians of the newest row in model scale, by the newest trees before it; NaN without."""
    newest = None
    if windows.rules.has_trees and windows.has_events:
        newest = newest_shipped(TREES, windows.origins[-1], {})
    if newest is None:
        return np.full(H, np.nan)
    trees = _load(newest["file"], newest["sha256"])
    return trees.forecast(tree_inputs(windows, np.array([len(windows) - 1]))[0])


@lru_cache(maxsize=2)
def _load(name: str, sha256: str) -> Trees:
    from safetensors.numpy import load

    content = read_file(SHIPPED / name)
    check_unaltered(content, sha256, place=name)
    return Trees(**load(content))


def tree_inputs(windows: Windows, rows: Rows) -> NDArray[np.float32]:
    """(len(rows), H, K) inputs of each row and target session; none is of a later session."""
    volume = windows.steps[:, LOG_VOLUME]
    sizes, since = _reactions(windows, rows)  # (R, 7), (R,)
    by_session = _session_inputs(windows)[windows.warm_up + rows]
    by_row = np.column_stack([by_session, sizes[:, :4], since])
    flags = windows.future_flags[rows]
    near = flags[..., EVENTS][..., _FLAGS]  # (R, H, 7)
    horizons = np.array(HORIZONS, dtype=np.float64)[:, None]
    inputs = [
        np.repeat(by_row[:, None], H, axis=1),
        np.broadcast_to(horizons, (len(rows), H, 1)),
        flags,
        unusual_quarters_before(windows, volume)[rows],
        (near * sizes[:, None]).sum(axis=-1, keepdims=True),
    ]
    return np.concatenate(inputs, axis=-1).astype(np.float32)


def _session_inputs(windows: Windows) -> Floats:
    """(D, K) lags and means of log volume and range, moves in units of the usual range."""
    volume, log_range, absolute, signed, gap = windows.steps.T
    level, *means = trailing_means(volume, LEVEL_SESSIONS, *MEANS)
    usual_range, range_week, range_long = trailing_means(log_range, LEVEL_SESSIONS, 5, 120)
    unusual = np.abs(volume - lagged(level, 1))
    columns = [lagged(volume, k) - level for k in range(LAGS)]
    columns += [mean - level for mean in means]
    columns += [log_range - usual_range, range_week - usual_range, usual_range - range_long]
    columns += [moved / np.exp(usual_range) for moved in (absolute, signed, np.abs(gap))]
    columns += [trailing_mean(np.nan_to_num(unusual), 66)]
    return np.column_stack(columns)


def _reactions(windows: Windows, rows: Rows) -> tuple[Floats, Floats]:
    """(R, 7) mean unusual volume by phase of the newest reports, (R,) sessions since the last.

    Unusual volume is log volume less its level two sessions before the reaction. A report counts
    once its phases have closed.
    """
    volume = windows.steps[:, LOG_VOLUME]
    level = level_of(volume)
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
