"""The model of the article this project comes from: as printed, without its leaks, beside ours.

    python benchmarks/article.py csv:SBUX.csv --symbol SBUX --as-of 2020-12-10

Prints the mean absolute error of each variant over the article's 53 test sessions, the mean of five
seeds: the article fixes none, and two LSTM units err by their random weights.

"How to apply LSTM using PyTorch", as printed: 253 daily rows; inputs open, high, low, close and
adjusted close; target the volume of the *same* day; StandardScaler and MinMaxScaler fitted on all
rows; the first 200 rows train, the last 53 test; an LSTM of 2 units over one step, 128 ReLU units,
Adam at 1e-3, 1,000 epochs of squared error over all rows at once.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from flows import clock
from flows.progress import progress_bar
from forecasting.audit.backtest import BacktestSpec, Bar, backtest, unseen
from forecasting.audit.series import load_series, market_series
from forecasting.errors import HistoryError
from forecasting.preprocess.windows import MarketSeries
from forecasting.settings import Settings
from forecasting.vocabulary import HORIZONS, MEDIAN, Progress

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


def main() -> None:
    """Run the experiment on the newest rows of a source and print its table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", help="as --source of the command line")
    parser.add_argument("--symbol", default="SBUX")
    parser.add_argument("--as-of", type=date.fromisoformat, help="the newest session used")
    options = parser.parse_args()
    settings = Settings(source=options.source, symbols=(options.symbol,)).for_symbol(options.symbol)
    bars, events, title = load_series(settings, last=options.as_of, now=clock.now)
    market = market_series(settings, now=clock.now)
    try:
        ours = our_medians(bars, events, settings, market=market, bar=progress_bar)
    except HistoryError:
        ours = None
    seeds = tuple(range(5))
    with progress_bar("networks", 3 * len(seeds)) as advance:
        result = run_article(bars, title=title, ours=ours, seeds=seeds, progress=advance)
    print(f"{result.title}: mean absolute error over the test sessions, in million shares")
    for variant in result.variants:
        print(f"{variant.mae / 1e6:7.3f}  {variant.name}: {variant.question}. {variant.change}")
    print(result.note)


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
    progress: Progress = unseen,
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
            progress(f"seed {seed}", 1)
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
    with bar("nights", len(origins)) as advance:
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


if __name__ == "__main__":
    main()
