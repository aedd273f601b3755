"""The refits of a backtest: each from scratch at its own origin, in parallel, and cached on disk."""

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from forecasting.backtest.workers import count_of, worker_pool
from forecasting.losses import Floats
from forecasting.predict.forecasts import network_quantiles
from forecasting.preprocess.companions import cut_to_session, with_companion_range
from forecasting.preprocess.windows import Windows, load_windows
from forecasting.settings import Settings
from forecasting.train import baselines, linear_model
from forecasting.train.baselines import baseline_names, baseline_quantiles
from forecasting.train.linear_model import linear_quantiles
from forecasting.vocabulary import Progress

NETWORK, LINEAR = "network", "linear"

Raw = dict[str, Floats]
"""Uncalibrated quantiles (n, H, Q) in the target's own unit: of the network, the linear model and every baseline."""

Block = NDArray[np.int64]
"""Rows of the windows that one fit forecasts; the first is the row that it is fitted at."""

Panel = Sequence[Windows]
"""The symbol's windows, followed by those of its companions."""


def fit_blocks(
    panel: Panel,
    blocks: list[Block],
    settings: Settings,
    *,
    workers: int,
    folder: Path | None,
    progress: Progress | None,
) -> Raw:
    """Every block's raw forecasts, joined in order.

    Args:
        panel: Every row of every block and the training rows before them; companions with all their rows.
        blocks: Ascending.
        settings: target, train_sessions, members and seed are used.
        workers: Processes; 0 means one per core, 1 this process alone.
        folder: Cache of finished blocks; a changed bar or setting changes their keys.
        progress: Called with rows done and rows in all, after each block.
    """
    cache = None if folder is None else _RefitCache(folder, _key(panel, settings))
    done = {} if cache is None else {at: raw for at, block in enumerate(blocks) if (raw := cache.read(block))}
    missing = {at: block for at, block in enumerate(blocks) if at not in done}
    rows_done, total = sum(len(blocks[at]) for at in done), sum(map(len, blocks))
    for at, raw in _fit_all(panel, missing, settings, workers):
        done[at] = raw
        if cache is not None:
            cache.write(blocks[at], raw)
        rows_done += len(blocks[at])
        if progress is not None:
            progress(rows_done, total)
    return {name: np.concatenate([done[at][name] for at in range(len(blocks))]) for name in done[0]}


def forecast_block(panel: Panel, block: Block, settings: Settings) -> Raw:
    """Every forecaster's quantiles at the rows of `block`, all fitted once, at the close of its first row."""
    from forecasting.train.starting_weights import fit_scratch

    known, companions = windows_at(panel, int(block[0]), settings, last=int(block[-1]))
    rows = rows_of(block, known)
    checkpoint = fit_scratch(known, companions, settings=settings)
    raw = {NETWORK: network_quantiles(checkpoint, known, rows), LINEAR: linear_quantiles(known, rows)}
    return raw | {name: baseline_quantiles(name, known, rows) for name in baseline_names(settings.target)}


def rows_of(block: Block, known: Windows) -> NDArray[np.int64]:
    """The rows of a block in windows whose newest row is the block's last."""
    rows: NDArray[np.int64] = block - block[-1] + len(known) - 1
    return rows


def windows_at(panel: Panel, row: int, settings: Settings, *, last: int | None = None) -> tuple[Windows, list[Windows]]:
    """The rolling window of a night at `row`, and those of its companions, with the targets known at its close.

    Args:
        panel: The symbol's windows and its companions' over all of their bars.
        row: The night's row.
        settings: `train_sessions` is used.
        last: The newest row of the window, to be forecast too; the night's own without it.
    """
    windows, *others = panel
    session, kept = windows.origins[row], settings.train_sessions
    cuts = [(whole, cut_to_session(whole, session, train_sessions=kept)) for whole in others]
    companions = [(whole, cut) for whole, cut in cuts if cut is not None]
    known = windows.cut(max(0, row + 1 - kept), (row if last is None else last) + 1, known_to=row)
    # The range of whole companions: the look-back of later rows includes sessions after the fit.
    return with_companion_range(known, [whole for whole, _ in companions]), [cut for _, cut in companions]


def _fit_all(panel: Panel, blocks: dict[int, Block], settings: Settings, workers: int) -> Iterator[tuple[int, Raw]]:
    """The number and raw forecasts of each block, in order of completion."""
    workers = min(count_of(workers), len(blocks))
    if workers <= 1:
        yield from ((at, forecast_block(panel, block, settings)) for at, block in blocks.items())
        return
    with TemporaryDirectory() as shared:
        paths = [Path(shared) / f"{at}.npz" for at in range(len(panel))]
        for windows, path in zip(panel, paths, strict=True):
            windows.save(path)
        with worker_pool(workers, prepare=_load_panel, given=(paths,)) as pool:
            tasks = {pool.submit(_forecast_shared, block, settings): at for at, block in blocks.items()}
            for task in as_completed(tasks):
                yield tasks[task], task.result()


_shared: list[Windows] = []  # the panel of a worker process, which runs one backtest and then ends


def _load_panel(paths: list[Path]) -> None:
    _shared.extend(load_windows(path) for path in paths)


def _forecast_shared(block: Block, settings: Settings) -> Raw:
    return forecast_block(_shared, block, settings)


@dataclass(frozen=True)
class _RefitCache:
    """Finished blocks on disk, one .npz each, named by the hash of their inputs, first and last row, number of rows."""

    folder: Path
    key: str

    def read(self, block: Block) -> Raw | None:
        path = self._path(block)
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)

    def write(self, block: Block, raw: Raw) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(block)
        # Its own name, as another backtest on the same folder may write the same block.
        draft = path.with_suffix(f".{secrets.token_hex(8)}.part.npz")
        try:
            np.savez(draft, allow_pickle=False, **raw)
            draft.replace(path)  # complete or not at all, whenever the process is killed
        finally:
            draft.unlink(missing_ok=True)

    def _path(self, block: Block) -> Path:
        return self.folder / f"{self.key}-{block[0]:05d}-{block[-1]:05d}-{len(block)}.npz"


def _key(panel: Panel, settings: Settings) -> str:
    """Sixteen hex digits over everything that a raw forecast depends on, except the block."""
    from forecasting.train.model import ARCHITECTURE
    from forecasting.train.pretrained import shipped_weights

    # By name too: a kept block does not have the forecasts of a baseline that was added later.
    names = baseline_names(settings.target)
    rules = (ARCHITECTURE, linear_model.VERSION, baselines.VERSION, *names, NETWORK, LINEAR)
    digest = hashlib.sha256(f"{settings.hash} {rules} {shipped_weights()}".encode())
    for windows in panel:
        for field in fields(windows):
            digest.update(np.asarray(getattr(windows, field.name)).tobytes())
    return digest.hexdigest()[:16]
