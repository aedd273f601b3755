"""The walk-forward backtest: the nightly path replayed at past origins, with a refit every so many sessions.

Between refits the network, its linear and the linear baselines keep what they learned at the last refit and read each
new session's features; a night refits the closed forms every time, so `refit_every=1` is the nightly path to the bit.
Weights and offsets are learned at every origin, from the replay's own earlier forecasts.

Each fit starts from scratch at its own origin and knows nothing of the others: the refits run in parallel processes.
What they said is then combined and calibrated in order.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from forecasting.backtest.figures import Figures, best_set, figures, metric_rows, ranking_loss
from forecasting.backtest.refits import LINEAR, NETWORK, Raw, fit_blocks
from forecasting.errors import HistoryError, UsageError
from forecasting.losses import Floats
from forecasting.predict.calibration import MAX_FORECASTS, Past
from forecasting.predict.forecasts import issue
from forecasting.preprocess.windows import MIN_ROWS, Windows, make_windows
from forecasting.settings import Settings
from forecasting.train.baselines import baseline_names
from forecasting.vocabulary import HORIZONS

if TYPE_CHECKING:
    import pandas as pd

H = len(HORIZONS)

Series: TypeAlias = "tuple[pd.DataFrame, pd.DataFrame]"
"""A symbol's bars and its events."""


@dataclass(frozen=True)
class BacktestSpec:
    """What to replay.

    Attributes:
        symbol: Whose bars they are.
        first, last: Origins from and to, both included.
        refit_every: Sessions between fits.
        settings: target, exchange, train_sessions, members and seed are used.
        workers: Processes that fit in parallel; 0 means one a core, 1 none beside this one.
        folder: Where finished refits are kept, so that a backtest that was stopped goes on; without it nothing is kept.
    """

    symbol: str
    first: date
    last: date
    refit_every: int
    settings: Settings
    workers: int = 1
    folder: Path | None = None


@dataclass(frozen=True)
class BacktestResult:
    """What was forecast and what came to pass; n origins, in the target's own unit.

    Attributes:
        spec: What was replayed.
        origins: (n,) days.
        refits: Fits from scratch.
        seconds: Wall time.
        actual: (n, H) NaN where not known.
        issued: (n, H, Q) combined and calibrated, as a night would have issued them.
        raw: The forecasts it was made of, and every baseline's.
        past_forecasts: (n, H) how many earlier forecasts calibrated each.
    """

    spec: BacktestSpec
    origins: NDArray[np.datetime64]
    refits: int
    seconds: float
    actual: Floats
    issued: Floats
    raw: Raw
    past_forecasts: NDArray[np.int64]

    @property
    def baselines(self) -> Raw:
        """The baselines' quantiles alone."""
        return {name: self.raw[name] for name in baseline_names(self.spec.settings.target)}

    def document(self) -> dict[str, object]:
        """The result as the JSON document of `forecasting backtest`.

        Its last key, confidence_set, names the forecasters that cannot be told from the best.
        """
        target = self.spec.settings.target
        best = best_set(self.actual, self.issued, self.baselines, loss=ranking_loss(target))
        return {
            "symbol": self.spec.symbol,
            "target": target,
            "from": str(self.origins[0]),
            "to": str(self.origins[-1]),
            "origins": len(self.origins),
            "refits": self.refits,
            "seconds": round(self.seconds, 3),
            "overall": asdict(self.figures()),
            "horizons": {str(horizon): asdict(self.figures(horizon)) for horizon in HORIZONS},
            "confidence_set": {
                "loss": "pinball" if target == "close" else "mae",
                "level": 1.0 - best.size,
                "included": list(best.included),
                "p_values": best.p_values,
            },
        }

    def figures(self, horizon: int | None = None) -> Figures:
        """The figures of one horizon, or their means over all."""
        return figures(self.spec.settings.target, self.actual, self.issued, self.baselines, horizon=horizon)

    def metric_rows(self) -> list[dict[str, object]]:
        """The same figures as rows of the table metrics, but for model_id and run_id, which the caller knows."""
        window: dict[str, object] = {
            "symbol": self.spec.symbol,
            "target": self.spec.settings.target,
            "scope": "backtest",
            "window_from": self.origins[0].item(),
            "window_to": self.origins[-1].item(),
        }
        known = np.isfinite(self.actual)
        rows = metric_rows(self.figures(), horizon=0, n=int(known.any(axis=1).sum()))
        for horizon in HORIZONS:
            rows += metric_rows(self.figures(horizon), horizon=horizon, n=int(known[:, horizon - 1].sum()))
        return [window | row for row in rows]


def backtest(
    bars: "pd.DataFrame",
    events: "pd.DataFrame",
    *,
    spec: BacktestSpec,
    companions: Sequence[Series] = (),
    progress: Callable[[int, int], None] | None = None,
) -> BacktestResult:
    """Replay the nightly path at every origin from `spec.first` to `spec.last` that has a bar after it.

    Args:
        bars: Canonical bars; those after the last origin are its actuals and nothing else.
        events: Columns session, kind, known_from.
        spec: What to replay.
        companions: Bars and events of each symbol that the fits learn from beside; see train/starting_weights.py.
        progress: Called with origins done and origins in all, after each refit.

    Raises:
        HistoryError: No origin in the span, or too little history before the first.
        UsageError: `refit_every` below 1.
    """
    started = time.perf_counter()
    settings = spec.settings
    panel = [_whole(*series, settings) for series in ((bars, events), *companions)]
    windows = panel[0]
    blocks = _blocks(windows, spec)
    raw = fit_blocks(panel, blocks, settings, workers=spec.workers, folder=spec.folder, progress=progress)
    rows = np.concatenate(blocks)
    issued, used = _issue_in_order(windows, rows, raw)
    return BacktestResult(
        spec=spec,
        origins=windows.origins[rows],
        refits=len(blocks),
        seconds=time.perf_counter() - started,
        actual=windows.scale(rows).from_model(windows.scaled[rows]),
        issued=issued,
        raw=raw,
        past_forecasts=used,
    )


def _whole(bars: "pd.DataFrame", events: "pd.DataFrame", settings: Settings) -> Windows:
    """Windows over all of a symbol's bars."""
    return make_windows(
        bars,
        events,
        origin=bars.index[-1].date(),
        target=settings.target,
        exchange=settings.exchange,
        train_sessions=len(bars),
    )


def _blocks(windows: Windows, spec: BacktestSpec) -> list[NDArray[np.int64]]:
    """The rows of the span, `refit_every` at a time."""
    if spec.refit_every < 1:
        raise UsageError(f"A backtest refits every 1 or more sessions; found {spec.refit_every}.")
    origins = windows.origins
    inside = (origins >= np.datetime64(spec.first)) & (origins <= np.datetime64(spec.last))
    rows = np.flatnonzero(inside & np.isfinite(windows.scaled).any(axis=1))
    earliest = MIN_ROWS - 1
    if len(rows) == 0 or rows[0] < earliest:
        raise HistoryError(
            f"Origins from {spec.first} to {spec.last} were expected between {origins[earliest]} and {origins[-2]}, "
            f"where {MIN_ROWS} rows come before and a bar after; found {origins[rows[0]] if len(rows) else 'none'}. "
            "Choose another span, or bring more bars."
        )
    return [rows[start : start + spec.refit_every] for start in range(0, len(rows), spec.refit_every)]


def _issue_in_order(windows: Windows, rows: NDArray[np.int64], raw: Raw) -> tuple[Floats, NDArray[np.int64]]:
    """Combine and calibrate, oldest origin first, each from the forecasts whose targets had closed by then."""
    scale = windows.scale(rows)
    network, linear = scale.to_model(raw[NETWORK]), scale.to_model(raw[LINEAR])
    issued, used = np.empty_like(network), np.empty((len(rows), H), dtype=np.int64)
    for at, row in enumerate(rows):
        earlier = slice(max(0, at - MAX_FORECASTS), at)
        closed = rows[earlier, None] + np.array(HORIZONS) <= row
        actual = np.where(closed, windows.scaled[rows[earlier]], np.nan)
        past = Past(actual, network[earlier], linear[earlier])
        spoken = issue(network[at], linear[at], past, scale=windows.scale(int(row)), target=windows.target)
        issued[at], used[at] = spoken.quantiles, spoken.past_forecasts
    return issued, used
