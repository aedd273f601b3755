"""The model of the article this project comes from: as printed, without its leaks, and compared with this project's.

As printed: 253 daily rows; inputs open, high, low, close and adjusted close; target the volume of the *same* day;
StandardScaler and MinMaxScaler fitted on all rows; the first 200 rows train, the last 53 test; an LSTM of 2 units over
one step, 128 ReLU units, Adam at 1e-3, 1,000 epochs of squared error over all rows at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import count
from typing import TypeAlias

import numpy as np
import pandas as pd

from forecasting.article.network import EPOCHS, Losses, Scaled, fit_network
from forecasting.errors import HistoryError
from forecasting.evaluate.scores import mae, skill
from forecasting.vocabulary import Progress

ROWS, TRAIN_ROWS = 253, 200
"""The article's rows, and the number of training rows among them."""

SEEDS = (0, 1, 2, 3, 4)
"""The article fixes no seed; the error of two LSTM units varies with the random weights, so five seeds are run."""

INPUTS = ("open", "high", "low", "close", "adj_close")

Fit: TypeAlias = Callable[..., tuple[Scaled, Losses]]


@dataclass(frozen=True)
class Variant:
    """One variant of the experiment, and its result on the test sessions.

    Attributes:
        name: One or two words.
        question: What is forecast from what.
        scalers: The rows the scalers were fitted on; empty when nothing is scaled.
        change: The difference from the row above, and why it matters.
        maes: Mean absolute error over the test sessions, in shares, one for each seed; a single one without seeds.
        forecast: Shares by session, of the first seed: at least the test sessions.
    """

    name: str
    question: str
    scalers: str
    change: str
    maes: tuple[float, ...]
    forecast: pd.Series

    @property
    def mae(self) -> float:
        """Mean over the seeds, in shares."""
        return float(np.mean(self.maes))


@dataclass(frozen=True)
class ArticleResult:
    """The contents of the page.

    Attributes:
        title: Name of the series.
        volume: (D,) shares by session; the last D - TRAIN_ROWS are the test sessions.
        split: First test session, where the red line is.
        variants: As printed first, then each leak removed, then last value, then ours if given.
        losses: (epoch, mean squared error on the scaled training rows) of the first seed as printed.
        note: A remark about the rows; may be empty.
    """

    title: str
    volume: pd.Series
    split: date
    variants: tuple[Variant, ...]
    losses: tuple[tuple[int, float], ...]
    note: str

    def table(self) -> pd.DataFrame:
        """A row per variant: name, question, scalers, mae, mae_low, mae_high (shares), skill_vs_last_value, change."""
        naive = next(variant.mae for variant in self.variants if variant.name == "Last value")
        rows = [
            {
                "name": variant.name,
                "question": variant.question,
                "scalers": variant.scalers,
                "mae": variant.mae,
                "mae_low": min(variant.maes),
                "mae_high": max(variant.maes),
                "skill_vs_last_value": skill(variant.mae, naive),
                "change": variant.change,
            }
            for variant in self.variants
        ]
        return pd.DataFrame(rows)


def run_article(
    bars: pd.DataFrame,
    *,
    title: str,
    ours: pd.Series[float] | None = None,
    seeds: tuple[int, ...] = SEEDS,
    epochs: int = EPOCHS,
    progress: Progress | None = None,
) -> ArticleResult:
    """The article's experiment and its versions without leaks on the newest ROWS complete sessions of `bars`.

    Args:
        bars: Index session, ascending; columns open, high, low, close, volume and, if known, adj_close.
        title: Name of the series.
        ours: This project's one-session-ahead medians in shares, by target session.
        seeds: Seeds of the network's random weights; every error is a mean over them.
        epochs: Passes over the training rows.
        progress: Called with fits done and fits in all, after each.

    Raises:
        HistoryError: Fewer than ROWS sessions with prices and a volume.
        ValueError: `ours` has no forecast for a test session.
    """
    rows, note = _rows(bars)
    prices, volume = rows[list(INPUTS)], rows["volume"]
    fit = partial(fit_network, epochs=epochs, done=_counter(progress, total=3 * len(seeds)))
    leaky, losses = _forecast_rows(prices, volume, scaled_on=ROWS, seeds=seeds, fit=fit)
    scaled, _ = _forecast_rows(prices, volume, scaled_on=TRAIN_ROWS, seeds=seeds, fit=fit)
    # The previous session's prices: the first session has none, so one training row less.
    ahead, _ = _forecast_rows(prices.shift(1).iloc[1:], volume.iloc[1:], scaled_on=TRAIN_ROWS - 1, seeds=seeds, fit=fit)
    naive = volume.shift(1).iloc[1:]
    variants = [
        _variant(_AS_PRINTED, leaky, volume),
        _variant(_SCALED, scaled, volume),
        _variant(_AHEAD, ahead, volume),
        _variant(_LAST_VALUE, [naive], volume),
    ]
    if ours is not None:
        variants.append(_variant(_OURS, [_medians(ours, pd.DatetimeIndex(volume.index[TRAIN_ROWS:]))], volume))
    return ArticleResult(title, volume, rows.index[TRAIN_ROWS].date(), tuple(variants), losses, note)


def unseen_sessions(bars: pd.DataFrame) -> pd.DatetimeIndex:
    """The sessions that `run_article` forecasts: the newest complete ones of `bars` that never train.

    Raises:
        HistoryError: As of `run_article`.
    """
    return pd.DatetimeIndex(_rows(bars)[0].index[TRAIN_ROWS:])


_AS_PRINTED = (
    "As printed",
    "A session's volume from the same session's prices",
    f"all {ROWS} rows",
    "The high, low and close of a session are known only when its volume is; and the scalers have seen the test rows.",
)
_SCALED = (
    "Scalers apart",
    "A session's volume from the same session's prices",
    f"the {TRAIN_ROWS} training rows",
    "The range of the test rows no longer shapes what the network sees. Still nothing is forecast.",
)
_AHEAD = (
    "Next session",
    "The next session's volume from this session's prices",
    f"{TRAIN_ROWS - 1} training rows",
    "The same network with inputs known in advance: the first of these rows that is a forecast.",
)
_LAST_VALUE = (
    "Last value",
    "The next session's volume is this session's",
    "",
    "No model at all: what any forecast has to beat.",
)
_OURS = (
    "Ours",
    "The next session's volume from all that was known when this one closed",
    "rows before each forecast",
    "This project's median one session ahead, fitted only on sessions before the one it forecasts.",
)


def _rows(bars: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    known = bars.assign(adj_close=bars["close"]) if "adj_close" not in bars or bars["adj_close"].isna().all() else bars
    complete = known[[*INPUTS, "volume"]].astype(float).dropna()
    if len(complete) < ROWS:
        raise HistoryError(
            f"Expected {ROWS} sessions with prices, an adjusted close and a volume; found {len(complete)}. "
            "Give a file with more sessions."
        )
    note = "" if known is bars else "The source has no adjusted close; the close is used instead."
    return complete.iloc[-ROWS:], note


def _forecast_rows(
    prices: pd.DataFrame, volume: pd.Series, *, scaled_on: int, seeds: tuple[int, ...], fit: Fit
) -> tuple[list[pd.Series], Losses]:
    """Each seed's forecasts of all rows, in shares, and the first seed's losses; the last 53 never train."""
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    inputs, targets = prices.to_numpy(), volume.to_numpy()[:, None]
    price_scaler, volume_scaler = StandardScaler().fit(inputs[:scaled_on]), MinMaxScaler().fit(targets[:scaled_on])
    x, y = (part.astype(np.float32) for part in (price_scaler.transform(inputs), volume_scaler.transform(targets)))
    train_rows = len(x) - (ROWS - TRAIN_ROWS)
    runs = [fit(x, y, train_rows=train_rows, seed=seed) for seed in seeds]
    forecasts = [volume_scaler.inverse_transform(scaled)[:, 0] for scaled, _ in runs]
    return [pd.Series(values, index=volume.index) for values in forecasts], runs[0][1]


def _counter(progress: Progress | None, *, total: int) -> Callable[[], None]:
    """A function that reports one more of `total` to `progress` each time it is called."""
    done = count(1)
    return lambda: None if progress is None else progress(next(done), total)


def _variant(texts: tuple[str, str, str, str], forecasts: list[pd.Series], volume: pd.Series) -> Variant:
    actual = volume.iloc[TRAIN_ROWS:]
    maes = tuple(mae(actual, forecast.loc[actual.index]) for forecast in forecasts)
    return Variant(*texts, maes=maes, forecast=forecasts[0])


def _medians(ours: pd.Series[float], sessions: pd.DatetimeIndex) -> pd.Series:
    medians = ours.reindex(sessions).astype(float)
    if medians.isna().any():
        missing = [session.date().isoformat() for session in medians.index[medians.isna()]]
        raise ValueError(
            f"Expected a forecast of ours for all {len(sessions)} test sessions; {len(missing)} miss: {missing[:5]}."
        )
    return medians
