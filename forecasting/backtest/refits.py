"""The refits of a backtest: each from scratch at its own origin, in parallel, and cached on disk."""

import hashlib
import secrets
from dataclasses import fields
from pathlib import Path

import numpy as np
from joblib import Parallel, cpu_count, delayed
from numpy.typing import NDArray

from forecasting.losses import Floats
from forecasting.predict.combine import network_quantiles
from forecasting.preprocess.windows import Windows
from forecasting.settings import Settings
from forecasting.train import baselines, linear
from forecasting.train.baselines import baseline_names, baseline_quantiles
from forecasting.train.linear import linear_quantiles
from forecasting.train.trees import tree_medians
from forecasting.vocabulary import Progress

NETWORK, LINEAR, TREES = "network", "linear", "trees"

Raw = dict[str, Floats]
"""Uncalibrated quantiles (n, H, Q) in the target's own unit: of the network, the linear model and every baseline."""

Block = NDArray[np.int64]  # rows of the windows that one fit forecasts; the first is the row that it is fitted at


def fit_blocks(
    windows: Windows,
    blocks: list[Block],
    settings: Settings,
    *,
    workers: int,
    folder: Path | None,
    progress: Progress | None,
) -> Raw:
    """Every block's raw forecasts, joined in order; blocks ascend.

    `windows` have every row of every block and the training rows before them. `folder` is a cache of finished blocks,
    one .npz each; a changed bar or setting changes their names. `progress` counts rows.
    """
    key = _key(windows, settings) if folder else ""
    names = [f"{key}-{block[0]:05d}-{block[-1]:05d}-{len(block)}.npz" for block in blocks]
    done = {at: read_block(folder / name) for at, name in enumerate(names) if folder and (folder / name).exists()}
    missing = {at: block for at, block in enumerate(blocks) if at not in done}
    rows_done, total = sum(len(blocks[at]) for at in done), sum(map(len, blocks))
    tasks = (delayed(forecast_block)(windows, block, settings) for block in missing.values())
    processes = max(1, min(count_of(workers), len(missing)))
    for at, raw in zip(missing, Parallel(n_jobs=processes, return_as="generator")(tasks), strict=True):
        done[at] = raw
        if folder is not None:
            write_block(folder / names[at], raw)
        rows_done += len(blocks[at])
        if progress is not None:
            progress(rows_done, total)
    return {name: np.concatenate([done[at][name] for at in range(len(blocks))]) for name in done[0]}


def forecast_block(windows: Windows, block: Block, settings: Settings) -> Raw:
    """Every forecaster's quantiles at the rows of `block`, all fitted once, at the close of its first row."""
    from forecasting.train.fit import fit_scratch

    known = windows_at(windows, int(block[0]), settings, last=int(block[-1]))
    rows: Block = block - block[-1] + len(known) - 1  # the window's newest row is the block's last
    checkpoint = fit_scratch(known, settings=settings)
    raw = {NETWORK: network_quantiles(checkpoint, known, rows), LINEAR: linear_quantiles(known, rows)}
    raw[TREES] = tree_medians(known, rows)
    return raw | {name: baseline_quantiles(name, known, rows) for name in baseline_names(settings.target)}


def windows_at(windows: Windows, row: int, settings: Settings, *, last: int | None = None) -> Windows:
    """The rolling window of a night at `row`, with the targets known at its close, and the rows up to `last` too."""
    return windows.cut(max(0, row + 1 - settings.train_sessions), (row if last is None else last) + 1, known_to=row)


def count_of(workers: int | None) -> int:
    """How many processes an option means: 0 or None is one per core."""
    return workers or cpu_count()


def read_block(path: Path) -> Raw:
    """A finished block."""
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)


def write_block(path: Path, raw: Raw) -> None:
    """Write a finished block, complete or not at all, whenever the process is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Its own name, as another backtest on the same folder may write the same block.
    draft = path.with_suffix(f".{secrets.token_hex(8)}.part.npz")
    try:
        np.savez(draft, allow_pickle=False, **raw)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _key(windows: Windows, settings: Settings) -> str:
    """Sixteen hex digits over everything that a raw forecast depends on, except the block."""
    from forecasting.train.model import ARCHITECTURE
    from forecasting.train.pretrained import shipped_weights
    from forecasting.train.trees import shipped_trees

    # By name too: a kept block does not have the forecasts of a baseline that was added later.
    names = baseline_names(settings.target)
    rules = (ARCHITECTURE, linear.VERSION, baselines.VERSION, *names, NETWORK, LINEAR, TREES)
    digest = hashlib.sha256(f"{settings.hash} {rules} {shipped_weights()} {shipped_trees()}".encode())
    for field in fields(windows):
        digest.update(np.asarray(getattr(windows, field.name)).tobytes())
    return digest.hexdigest()[:16]
