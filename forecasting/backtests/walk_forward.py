"""The walk-forward backtest: the nightly path replayed at past origins, with a refit every `refit_every` sessions.

Between refits all models keep their parameters and forecast from the features of each new session;
a night refits the closed forms every time, so `refit_every=1` equals nights that are fitted from
scratch, bit for bit. Combination weights and calibration factors are learned at every origin, from
the backtest's own earlier forecasts.

Fits are from scratch and independent, so the refits run in parallel processes; their forecasts are
then combined and calibrated in order. The figures are those of the forecasts, of every baseline,
and the significance of the difference.
"""

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray

from forecasting.backtests.nights import Block, Nights, past_at, replay_nights
from forecasting.errors import HistoryError, UsageError
from forecasting.evaluate.scores import (
    DollarVolumes,
    dollar_volume_r2,
    dollar_volumes,
    inside,
    skill,
)
from forecasting.evaluate.significance import SIZE, confidence_set, p_value_of_enough
from forecasting.losses import Floats, absolute_error, pinball
from forecasting.predict.combine import issue, network_quantiles
from forecasting.preprocess.windows import MIN_ROWS, MarketSeries, Windows, make_windows
from forecasting.sessions import next_sessions
from forecasting.settings import Settings
from forecasting.train import baselines, linear
from forecasting.train.baselines import baseline_names, baseline_quantiles
from forecasting.train.fit import fit_scratch
from forecasting.train.linear import linear_quantiles
from forecasting.train.model import ARCHITECTURE
from forecasting.train.pretrained import shipped_weights
from forecasting.train.trees import shipped_trees, tree_medians
from forecasting.values import source_name
from forecasting.vocabulary import HORIZONS, LSTM, MEDIAN, QUANTILE_COLUMNS, Progress, Target

H = len(HORIZONS)
NETWORK = "network"
LINEAR = "linear"
TREES = "trees"

Raw = dict[str, Floats]
"""Uncalibrated quantiles (n, H, Q) in the target's own unit: of the network, the linear model and
every baseline."""

MIN_PAIRS = H + 1
"""Origins whose values are known at a horizon: fewer have no Diebold-Mariano test with the lag of
the last one."""

Loss = Callable[[Floats, Floats], Floats]
"""(n, H) losses of quantiles (n, H, Q) against actuals (n, H); NaN where unknown."""


@dataclass(frozen=True)
class BacktestSpec:
    """What to replay."""

    symbol: str
    first: date  # first and last origin, both included
    last: date
    refit_every: int  # sessions between fits
    settings: Settings  # target, exchange, train_sessions, members and seed are used
    workers: int = 1  # processes that fit in parallel
    # Cache of finished refits, from which a stopped backtest resumes; no cache without it
    folder: Path | None = None
    # Least number of origins with a known value at every horizon; figures need `MIN_PAIRS`
    min_origins: int = 0
    as_published: bool = False  # whether to replay the nights too: a fit each, and their decisions


def ranking_loss(target: Target) -> Loss:
    """The loss that ranks and tests baselines: absolute error.

    For close, whose median is not predictable, pinball.
    """
    return pinball if target == "close" else absolute_error


@dataclass(frozen=True)
class Figures:
    """The figures of one horizon, or their means over all.

    The fields are keys of the backtest's document.
    """

    mae: float  # of the median, in the target's own unit; naive is the first baseline
    mae_naive: float
    baselines: dict[str, float]
    best_baseline: str  # the one of least ranking loss: absolute error, for close pinball
    skill_vs_naive: float  # 1 - mae / mae_naive; positive is better than naive
    skill_vs_best: float  # the same against the best baseline, in the ranking loss
    # two-sided, of equal loss with the best baseline; None for too few origins
    dm_p_value: float | None
    pinball: float  # mean over the seven levels
    # The baseline of least pinball loss, the skill against it in that loss, and the test's p
    best_in_pinball: str
    pinball_vs_best: float
    pinball_p_value: float | None
    coverage_80: float  # share of actuals inside the central intervals
    coverage_90: float
    # Of log dollar volume over its mean of five sessions; None but for volume
    r2_dollar_volume: float | None
    r2_baselines: dict[str, float]  # the baselines'; empty for other targets


@dataclass(frozen=True)
class BacktestResult:
    """Forecasts and actuals of n origins, in the target's own unit."""

    spec: BacktestSpec
    origins: NDArray[np.datetime64]  # (n,) days
    refits: int  # fits from scratch
    seconds: float
    actual: Floats  # (n, H) NaN where unknown
    issued: Floats  # (n, H, Q) combined and calibrated, as a night would have issued them
    raw: Raw  # the raw forecasts of the network, the linear model and every baseline
    # Closes and dollar volumes, for R² of target volume; None for other targets
    dollars: DollarVolumes | None
    # What nights would have published; None where that was not asked for
    nights: Nights | None = None
    # Up to the newest bar, by their list
    earnings_dates: dict[str, int] = field(default_factory=dict)

    @property
    def baselines(self) -> Raw:
        """The baselines' quantiles alone."""
        return {
            name: made for name, made in self.raw.items() if name not in (NETWORK, LINEAR, TREES)
        }

    def document(self) -> dict[str, object]:
        """The result as the JSON document of `forecasting backtest`.

        Nights that were replayed are as_published.
        """
        target = self.spec.settings.target
        each = {"ours": self.issued, **self.baselines}
        loss = ranking_loss(target)
        losses = pd.DataFrame(
            {name: loss(self.actual, issued).mean(axis=1) for name, issued in each.items()}
        )
        # Of origins known throughout
        included, p_values = confidence_set(losses, block=HORIZONS[-1])
        document: dict[str, object] = {
            "symbol": self.spec.symbol,
            "target": target,
            "from": str(self.origins[0]),
            "to": str(self.origins[-1]),
            "earnings_dates": self.earnings_dates,
            "origins": len(self.origins),
            "refits": self.refits,
            "seconds": round(self.seconds, 3),
            "overall": asdict(self.figures()),
            "horizons": {str(horizon): asdict(self.figures(horizon)) for horizon in HORIZONS},
            "confidence_set": {
                "loss": "pinball" if target == "close" else "mae",
                "level": 1.0 - SIZE,
                "included": included,
                "p_values": p_values,
            },
        }
        if self.nights is not None:
            published = self.figures(of=self.nights)
            document["as_published"] = {
                "overall": asdict(published),
                "horizons": {
                    str(horizon): asdict(self.figures(horizon, of=self.nights))
                    for horizon in HORIZONS
                },
                "skill_vs_alone": skill(published.pinball, self.figures().pinball),
                "nights": self.nights.counts(),
            }
        return document

    def figures(self, horizon: int | None = None, *, of: Nights | None = None) -> Figures:
        """The figures of one horizon, or their means over all.

        Of the model alone, or of what nights published.
        """

        # Over the horizons of the mean over origins, of the known values
        def mean(values: Floats) -> float:
            return float(np.nanmean(values, axis=0).mean())

        at = slice(None) if horizon is None else slice(horizon - 1, horizon)
        each, made = (self.issued, self.baselines) if of is None else (of.issued, of.baselines)
        actual = self.actual[:, at]
        issued = each[:, at]
        # The naive one first
        baselines = {name: quantiles[:, at] for name, quantiles in made.items()}

        def against_best(loss: Loss) -> tuple[str, float, float | None]:
            losses = {name: loss(actual, quantiles) for name, quantiles in baselines.items()}
            best = min(losses, key=lambda name: mean(losses[name]))
            ours = loss(actual, issued)
            p = p_value_of_enough(
                ours.mean(axis=1), losses[best].mean(axis=1), horizon=horizon or HORIZONS[-1]
            )
            return best, skill(mean(ours), mean(losses[best])), p

        best_baseline, skill_vs_best, dm_p_value = against_best(
            ranking_loss(self.spec.settings.target)
        )
        best_in_pinball, pinball_vs_best, pinball_p_value = against_best(pinball)
        errors = {
            name: mean(absolute_error(actual, quantiles)) for name, quantiles in baselines.items()
        }
        mae = mean(absolute_error(actual, issued))
        naive = next(iter(errors.values()))
        r2: dict[str, float] = {}
        if self.dollars is not None:
            dollars = replace(self.dollars, actual=self.dollars.actual[:, at])
            medians = {
                name: quantiles[..., MEDIAN]
                for name, quantiles in {"": issued, **baselines}.items()
            }
            r2 = {name: dollar_volume_r2(dollars, shares) for name, shares in medians.items()}
        return Figures(
            mae=mae,
            mae_naive=naive,
            baselines=errors,
            best_baseline=best_baseline,
            skill_vs_naive=skill(mae, naive),
            skill_vs_best=skill_vs_best,
            dm_p_value=dm_p_value,
            pinball=mean(pinball(actual, issued)),
            best_in_pinball=best_in_pinball,
            pinball_vs_best=pinball_vs_best,
            pinball_p_value=pinball_p_value,
            coverage_80=mean(np.where(np.isfinite(actual), inside(actual, issued, 80), np.nan)),
            coverage_90=mean(np.where(np.isfinite(actual), inside(actual, issued, 90), np.nan)),
            r2_dollar_volume=r2.pop("", None),
            r2_baselines=r2,
        )

    def metric_rows(self) -> list[dict[str, object]]:
        """The same figures as rows of the table metrics, without model_id and run_id, which the caller adds."""
        about = {"symbol": self.spec.symbol, "target": self.spec.settings.target}
        span = {"window_from": self.origins[0].item(), "window_to": self.origins[-1].item()}
        known = np.isfinite(self.actual)
        rows: list[dict[str, object]] = []
        for scope, of in (
            ("backtest", None),
            *([("published", self.nights)] if self.nights else []),
        ):
            for horizon in (0, *HORIZONS):  # 0 is the mean over all
                n = int(known[:, horizon - 1].sum() if horizon else known.any(axis=1).sum())
                for metric, value, baseline, p_value in _metrics(
                    self.figures(horizon or None, of=of)
                ):
                    row = {
                        **about,
                        "scope": scope,
                        **span,
                        "horizon": horizon,
                        "metric": metric,
                        "value": value,
                    }
                    rows.append(row | {"n": n, "baseline": baseline, "p_value": p_value})
        return rows


def _metrics(part: Figures) -> list[tuple[str, float, str, float | None]]:
    """Name and value of each figure, the baseline that it is against or of, and its p-value."""
    values = {
        name: value
        for name, value in asdict(part).items()
        if isinstance(value, float) and "p_value" not in name
    }
    tests = {"skill_vs_best": (part.best_baseline, part.dm_p_value)}
    tests["pinball_vs_best"] = part.best_in_pinball, part.pinball_p_value
    rows = [(metric, value, *tests.get(metric, ("", None))) for metric, value in values.items()]
    for prefix, of_baselines in (("mae", part.baselines), ("r2", part.r2_baselines)):
        rows += [(f"{prefix}_{name}", value, name, None) for name, value in of_baselines.items()]
    return rows


def backtest(
    bars: pd.DataFrame,
    events: pd.DataFrame,
    *,
    spec: BacktestSpec,
    market: MarketSeries | None = None,
    progress: Progress = lambda done, total: None,
) -> BacktestResult:
    """Replay the nightly path at every origin from `spec.first` to `spec.last` that has a bar, and a value after it.

    A session without a bar is no origin: a night waits for its bar, and one that never comes leaves
    no forecast. Bars after the last origin are used as actuals alone. `progress` counts origins,
    after each refit, then after each night.
    """
    started = time.perf_counter()
    settings = spec.settings
    windows = all_windows(
        bars,
        events,
        settings,
        market,
    )
    blocks = _blocks(
        windows, spec, has_bar=np.isin(windows.origins, bars.index.to_numpy(dtype="datetime64[D]"))
    )
    raw = fit_blocks(
        windows,
        blocks,
        settings,
        workers=spec.workers,
        folder=spec.folder,
        progress=progress,
    )
    rows = np.concatenate(blocks)
    issued = issue_in_order(windows, rows, raw)
    nights = (
        replay_nights(
            windows,
            rows,
            settings,
            progress,
        )
        if spec.as_published
        else None
    )
    origins = windows.origins[rows]
    dollars = None
    earnings_dates = {}
    if windows.target == "volume":
        dollars = dollar_volumes(bars, origins, windows.target_sessions[rows])
    if "source" in events:  # the most first
        sources = events.loc[events["session"] <= bars.index[-1], "source"].value_counts()
        earnings_dates = {source_name(str(source)): int(count) for source, count in sources.items()}
    return BacktestResult(
        spec=spec,
        origins=origins,
        refits=len(blocks),
        seconds=time.perf_counter() - started,
        actual=windows.scale(rows).from_model(windows.scaled[rows]),
        issued=issued,
        raw=raw,
        dollars=dollars,
        nights=nights,
        earnings_dates=earnings_dates,
    )


def all_windows(
    bars: pd.DataFrame, events: pd.DataFrame, settings: Settings, market: MarketSeries | None = None
) -> Windows:
    """Windows over all of a symbol's bars, whatever number the settings train on."""
    whole = settings.model_copy(update={"train_sessions": len(bars)})
    return make_windows(
        bars,
        events,
        origin=bars.index[-1].date(),
        settings=whole,
        market=market,
    )


def _blocks(
    windows: Windows, spec: BacktestSpec, *, has_bar: NDArray[np.bool_]
) -> list[NDArray[np.int64]]:
    """The rows of the span with a bar of their own, `refit_every` at a time; `has_bar` is (N,)."""
    if spec.first > spec.last:
        raise UsageError(
            f"Expected a span that begins before it ends; found {spec.first} to {spec.last}."
        )
    origins = windows.origins
    inside = (origins >= np.datetime64(spec.first)) & (origins <= np.datetime64(spec.last))
    rows = np.flatnonzero(inside & has_bar & np.isfinite(windows.scaled).any(axis=1))
    if len(rows) == 0 or rows[0] < MIN_ROWS - 1:
        raise HistoryError(
            f"Expected origins of {spec.symbol} from {origins[MIN_ROWS - 1]}, before which are "
            "sessions enough, to "
            f"{origins[-2]}; found {spec.first} to {spec.last}. Choose another span, or ingest "
            "more bars."
        )
    pairs = np.isfinite(windows.scaled[rows]).sum(axis=0)
    if pairs.min() < spec.min_origins:
        raise HistoryError(
            f"Expected {spec.min_origins} or more origins of {spec.symbol} from {spec.first} to "
            f"{spec.last}, each "
            f"before {H} closed sessions, for the test against baselines; found {pairs.min()}. "
            "Choose a longer span."
        )
    return [
        rows[start : start + spec.refit_every] for start in range(0, len(rows), spec.refit_every)
    ]


def fit_blocks(
    windows: Windows,
    blocks: list[Block],
    settings: Settings,
    *,
    workers: int,
    folder: Path | None,
    progress: Progress,
) -> Raw:
    """Every block's raw forecasts, joined in order.

    `folder` is a cache, whose names change with bars and settings.
    """
    key = _key(windows, settings) if folder else ""
    names = [f"{key}-{block[0]:05d}-{block[-1]:05d}-{len(block)}.npz" for block in blocks]
    done = dict[int, Raw]()
    for at, name in enumerate(names):
        if folder is not None and (folder / name).exists():
            with np.load(folder / name, allow_pickle=False) as stored:
                done[at] = dict(stored)
    missing = {at: block for at, block in enumerate(blocks) if at not in done}
    rows_done = sum(len(blocks[at]) for at in done)
    total = sum(map(len, blocks))
    tasks = (delayed(forecast_block)(windows, block, settings) for block in missing.values())
    processes = max(1, min(workers, len(missing)))
    for at, raw in zip(
        missing, Parallel(n_jobs=processes, return_as="generator")(tasks), strict=True
    ):
        done[at] = raw
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            # Its own name, as another backtest on the same folder may write the same block; whole,
            # whatever is killed.
            draft = folder / f"{names[at]}.{secrets.token_hex(8)}.part.npz"
            np.savez(draft, allow_pickle=False, **raw)
            draft.replace(folder / names[at])
        rows_done += len(blocks[at])
        progress(rows_done, total)
    return {name: np.concatenate([done[at][name] for at in range(len(blocks))]) for name in done[0]}


def forecast_block(windows: Windows, block: Block, settings: Settings) -> Raw:
    """Every forecaster's quantiles at the rows of `block`, all fitted once, at the close of its first row."""
    known = windows.as_of(int(block[0]), settings.train_sessions, last=int(block[-1]))
    rows: Block = block - block[-1] + len(known) - 1  # the window's newest row is the block's last
    checkpoint = fit_scratch(known, settings=settings)
    raw = {
        NETWORK: network_quantiles(checkpoint, known, rows),
        LINEAR: linear_quantiles(known, rows),
    }
    raw[TREES] = tree_medians(known, rows)
    return raw | {
        name: baseline_quantiles(name, known, rows) for name in baseline_names(settings.target)
    }


def _key(windows: Windows, settings: Settings) -> str:
    """Sixteen hex digits over everything that a raw forecast depends on, except the block."""
    # By name too: a kept block does not have the forecasts of a baseline that was added later.
    names = baseline_names(settings.target)
    rules = (ARCHITECTURE, linear.VERSION, baselines.VERSION, *names, NETWORK, LINEAR, TREES)
    digest = hashlib.sha256(
        f"{settings.hash} {rules} {shipped_weights()} {shipped_trees()}".encode()
    )
    for part in fields(windows):
        digest.update(np.asarray(getattr(windows, part.name)).tobytes())
    return digest.hexdigest()[:16]


def issue_in_order(windows: Windows, rows: NDArray[np.int64], raw: Raw) -> Floats:
    """Issued quantiles (n, H, Q), each calibrated on the earlier forecasts whose targets had closed."""
    scale = windows.scale(rows)
    network = scale.to_model(raw[NETWORK])
    linear = scale.to_model(raw[LINEAR])
    trees = raw[TREES]
    issued = np.empty_like(network)
    for at, row in enumerate(rows):
        past = past_at(
            at,
            rows,
            windows.scaled[rows],
            network,
            linear,
            trees,
        )
        own = windows.scale(int(row))
        issued[at] = issue(
            network[at],
            linear[at],
            trees[at],
            past,
            scale=own,
            target=windows.target,
        ).quantiles
    return issued


def forecast_frame(result: BacktestResult) -> pd.DataFrame:
    """A row a forecaster, origin and horizon, ascending by origin and horizon, the model (`lstm`) before the baselines.

    Columns symbol, target, model (text), origin_session, target_session (naive midnights), horizon
    (int64), q05 to q95, actual (NaN where unknown), error (q50 - actual) and pinball (float64, in
    the target's unit).
    """
    settings = result.spec.settings
    n = len(result.origins)
    origins = [day.item() for day in result.origins.astype("datetime64[D]")]
    targets = [next_sessions(origin, H, settings.exchange) for origin in origins]
    shared = {
        "origin_session": np.repeat(np.array(origins, dtype="datetime64[ns]"), H),
        "target_session": np.array(targets, dtype="datetime64[ns]").ravel(),
        "horizon": np.tile(np.array(HORIZONS, dtype=np.int64), n),
    }
    frames = []
    for name, issued in {LSTM: result.issued, **result.baselines}.items():
        flat = {"symbol": result.spec.symbol, "target": settings.target, "model": name, **shared}
        flat |= dict(zip(QUANTILE_COLUMNS, issued.reshape(n * H, -1).T, strict=True))
        flat |= {
            "actual": result.actual.ravel(),
            "error": (issued[..., MEDIAN] - result.actual).ravel(),
        }
        frames.append(pd.DataFrame(flat | {"pinball": pinball(result.actual, issued).ravel()}))
    frame = pd.concat(frames).astype(dict.fromkeys(("symbol", "target", "model"), "string"))
    return frame.sort_values(["origin_session", "horizon"], kind="stable", ignore_index=True)


def figure_frame(result: BacktestResult) -> pd.DataFrame:
    """A row a figure: the columns of table metrics but for the ids.

    Those without a test have p_value NaN.
    """
    texts = dict.fromkeys(("symbol", "target", "scope", "metric", "baseline"), "string")
    types = {
        "window_from": "datetime64[ns]",
        "window_to": "datetime64[ns]",
        **texts,
        "p_value": "float64",
    }
    return pd.DataFrame(result.metric_rows()).astype(types)
