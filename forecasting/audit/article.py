"""The model of the article this project comes from: as printed, without its leaks, beside ours.

"How to apply LSTM using PyTorch", as printed: 253 daily rows; inputs open, high, low, close and
adjusted close; target the volume of the *same* day; StandardScaler and MinMaxScaler fitted on all
rows; the first 200 rows train, the last 53 test; an LSTM of 2 units over one step, 128 ReLU units,
Adam at 1e-3, 1,000 epochs of squared error over all rows at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from forecasting.audit.backtest import BacktestSpec, Bar, backtest, no_bar
from forecasting.audit.series import load_series, market_series
from forecasting.errors import HistoryError
from forecasting.night.folders import check_writable, write_whole
from forecasting.night.symbols import only_symbol
from forecasting.preprocess.windows import MarketSeries
from forecasting.report.page import environment
from forecasting.settings import Settings
from forecasting.vocabulary import HORIZONS, MEDIAN, Clock, Progress

if TYPE_CHECKING:
    from torch import Tensor, nn

# the article's rows, and the number of training rows among them
ROWS = 253
TRAIN_ROWS = 200
EPOCHS = 1_000
INPUTS = ("open", "high", "low", "close", "adj_close")
_HIDDEN = 2
_DENSE = 128
_LEARNING_RATE = 1e-3
_SAME = "A session's volume from the same session's prices"
_NEXT = "The next session's volume"
_TEXTS = (
    (
        "As printed",
        _SAME,
        "High, low and close are known only when the volume is; the scalers have seen the test "
        "rows.",
    ),
    (
        "Scalers apart",
        _SAME,
        "The test rows' range no longer shapes what the network sees; nothing is forecast yet.",
    ),
    (
        "Next session",
        f"{_NEXT} from this session's prices",
        "Inputs known in advance: the first that is a forecast.",
    ),
    ("Last value", f"{_NEXT} is this session's", "No model at all: what any forecast has to beat."),
    (
        "Ours",
        f"{_NEXT} from all known when this one closed",
        "Our median, fitted on the sessions before this one.",
    ),
)


@dataclass(frozen=True)
class Variant:
    """One variant of the experiment, and its result on the test sessions."""

    name: str
    question: str  # what is forecast from what
    change: str  # the difference from the variant before, and why it matters
    # Mean absolute error over the test sessions, in shares; one for each seed
    maes: tuple[float, ...]
    forecast: pd.Series  # shares by session, of the first seed: at least the test sessions

    @property
    def mae(self) -> float:
        """Mean over the seeds, in shares."""
        return float(np.mean(self.maes))


@dataclass(frozen=True)
class ArticleResult:
    """The experiment of one series."""

    title: str
    volume: pd.Series  # (D,) shares by session; the last D - TRAIN_ROWS are the test sessions
    # As printed first, then each leak removed, then last value, then ours if given
    variants: tuple[Variant, ...]
    note: str  # a remark about the rows; may be empty


def run_article(
    bars: pd.DataFrame,
    *,
    title: str,
    ours: pd.Series[float] | None = None,
    seeds: tuple[int, ...],
    epochs: int = EPOCHS,
    progress: Progress = lambda done, total: None,
) -> ArticleResult:
    """The article's experiment and its versions without leaks.

    Args:
        bars: Of them the newest ROWS complete sessions are used.
        title: Of the series.
        ours: This project's medians one session ahead, in shares, by target session: one for each
            test session.
        seeds: One network of each variant for each.
        epochs: Of each network.
        progress: Counts networks.

    Raises:
        HistoryError: Fewer than ROWS sessions with prices and a volume.
    """
    rows, note = _rows(bars)
    prices = rows[list(INPUTS)]
    volume = rows["volume"]
    actual = volume.iloc[TRAIN_ROWS:]
    # The next session's volume from the prices before it: the first session has none, so one
    # training row less.
    networks = [
        (prices, volume, ROWS),
        (prices, volume, TRAIN_ROWS),
        (prices.shift(1).iloc[1:], volume.iloc[1:], TRAIN_ROWS - 1),
    ]
    forecasts: list[list[pd.Series]] = []
    for inputs, targets, scaled_on in networks:
        forecasts.append([])
        for seed in seeds:
            made = _forecast(
                inputs,
                targets,
                scaled_on=scaled_on,
                seed=seed,
                epochs=epochs,
            )
            forecasts[-1].append(made)
            progress(sum(map(len, forecasts)), len(networks) * len(seeds))
    forecasts.append([volume.shift(1).iloc[1:]])
    if ours is not None:
        forecasts.append([ours.loc[actual.index].astype(float)])
    variants = []
    for texts, of_seeds in zip(_TEXTS, forecasts, strict=False):
        maes = [float((made.loc[actual.index] - actual).abs().mean()) for made in of_seeds]
        variants.append(Variant(*texts, tuple(maes), of_seeds[0]))
    return ArticleResult(
        title,
        volume,
        tuple(variants),
        note,
    )


def unseen_sessions(bars: pd.DataFrame) -> pd.DatetimeIndex:
    """The sessions that `run_article` forecasts, the newest complete ones; it raises as that."""
    rows, _ = _rows(bars)
    return pd.DatetimeIndex(rows.index[TRAIN_ROWS:])


def _rows(bars: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    note = ""
    if "adj_close" not in bars or bars["adj_close"].isna().all():
        bars = bars.assign(adj_close=bars["close"])
        note = "The source has no adjusted close; the close is used instead."
    complete = bars[[*INPUTS, "volume"]].astype(float).dropna()
    if len(complete) < ROWS:
        raise HistoryError(
            f"Expected {ROWS} sessions with prices, an adjusted close and a volume; found "
            f"{len(complete)}. Give a file with more sessions."
        )
    return complete.iloc[-ROWS:], note


def _forecast(
    prices: pd.DataFrame, volume: pd.Series, *, scaled_on: int, seed: int, epochs: int
) -> pd.Series:
    """Shares of every row, the last 53 of which never train; scaled on the first `scaled_on`."""
    import torch
    from sklearn.preprocessing import MinMaxScaler, StandardScaler
    from torch import nn

    from forecasting.train.loop import one_thread

    inputs = prices.to_numpy()
    targets = volume.to_numpy()[:, None]
    price_scaler = StandardScaler().fit(inputs[:scaled_on])
    volume_scaler = MinMaxScaler().fit(targets[:scaled_on])
    x = torch.from_numpy(price_scaler.transform(inputs).astype(np.float32))[:, None, :]  # (N, 1, F)
    y = torch.from_numpy(volume_scaler.transform(targets).astype(np.float32))  # (N, 1)
    train_rows = len(x) - (ROWS - TRAIN_ROWS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        lstm = nn.LSTM(x.shape[-1], _HIDDEN, batch_first=True)
        head = nn.Sequential(
            nn.ReLU(),
            nn.Linear(_HIDDEN, _DENSE),
            nn.ReLU(),
            nn.Linear(_DENSE, 1),
        )
    optimiser = torch.optim.Adam([*lstm.parameters(), *head.parameters()], lr=_LEARNING_RATE)
    with one_thread():
        for _ in range(epochs):
            optimiser.zero_grad()
            loss = nn.functional.mse_loss(_forward(lstm, head, x[:train_rows]), y[:train_rows])
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
            optimiser.step()
        with torch.no_grad():
            scaled = _forward(lstm, head, x).numpy()
    return pd.Series(volume_scaler.inverse_transform(scaled)[:, 0], index=volume.index)


def _forward(lstm: nn.Module, head: nn.Module, steps: Tensor) -> Tensor:
    _, (last, _) = lstm(steps)  # (1, N, 2)
    return head(last[0])  # (N, 1)


def article_experiment(
    settings: Settings, *, as_of: date | None, seed: int, now: Clock, bar: Bar = no_bar, out: Path
) -> ArticleResult:
    """The article's experiment on the newest rows of the source; `out` gets its figure."""
    settings = settings.for_target("volume")
    settings = settings.for_symbol(only_symbol(settings, "article"))
    check_writable(out)
    bars, events, title = load_series(settings, last=as_of, now=now)
    market = market_series(settings, now=now)
    try:
        ours = our_medians(
            bars,
            events,
            settings,
            market=market,
            bar=bar,
        )
    except HistoryError:
        ours = None
    # The article fixes none, and two LSTM units err by their random weights
    seeds = tuple(range(seed, seed + 5))
    with bar("the article's networks") as advance:
        result = run_article(
            bars,
            title=title,
            ours=ours,
            seeds=seeds,
            progress=advance,
        )
    write_whole(out, lambda draft: draft.write_text(draw(result), encoding="utf-8"))
    return result


def our_medians(
    bars: pd.DataFrame,
    events: pd.DataFrame,
    settings: Settings,
    *,
    market: MarketSeries | None = None,
    bar: Bar,
) -> pd.Series[float]:
    """Our medians of the article's test sessions, each from the newest bar before it."""
    sessions = unseen_sessions(bars)
    origins = bars.index[bars.index.searchsorted(sessions) - 1]
    first = origins[0].date()
    last = origins[-1].date()
    spec = BacktestSpec(settings, first, last)
    with bar("ours") as advance:
        result = backtest(
            bars,
            events,
            spec=spec,
            market=market,
            progress=advance,
        )
    at = result.origins.searchsorted(origins.to_numpy())
    is_ahead = result.target_sessions[at] == sessions.to_numpy()[:, None]  # (53, H)
    if not is_ahead.any(axis=1).all():
        raise HistoryError(
            f"{len(HORIZONS)} or more sessions without a bar come before a test session."
        )
    return pd.Series(result.issued[at, :, MEDIAN][is_ahead], index=sessions)


def draw(result: ArticleResult) -> str:
    """The experiment as one SVG: all rows, the forecasts, and the line after which none trained."""
    volume = result.volume
    shown = {variant.name: variant.forecast for variant in result.variants}
    lines = {"Actual": volume, "As printed": shown["As printed"]}
    for name in ("Next session", "Ours"):
        if name in shown:
            lines[name] = shown[name].iloc[TRAIN_ROWS - ROWS :]
    top = max(float(values.max()) for values in lines.values())
    x = np.linspace(10.0, 990.0, len(volume))
    drawn = []
    colours = ("#777", "#1668a7", "#c4871b", "#111")
    for (name, values), colour in zip(lines.items(), colours, strict=False):
        y = 340.0 - 290.0 * values.reindex(volume.index).clip(lower=0.0).to_numpy(dtype=float) / top
        points = " ".join(f"{x[at]:.1f},{y[at]:.1f}" for at in np.flatnonzero(np.isfinite(y)))
        drawn.append((name, colour, points))
    anchors = {0: "start", TRAIN_ROWS: "middle", -1: "end"}
    days = [(x[at], anchor, f"{volume.index[at]:%Y-%m-%d}") for at, anchor in anchors.items()]
    split = (x[TRAIN_ROWS - 1] + x[TRAIN_ROWS]) / 2.0
    template = environment().get_template("article.svg")
    return template.render(
        title=result.title,
        lines=drawn,
        split=split,
        days=days,
        top=top,
    )
