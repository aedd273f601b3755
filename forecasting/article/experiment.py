"""The model of the article this project comes from: asked as printed, asked honestly, and beside ours on the same days.

As printed: 253 daily rows; inputs open, high, low, close and adjusted close; answer the volume of the *same* day;
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

ROWS, TRAIN_ROWS = 253, 200
"""The article's rows, and how many of them train."""

SEEDS = (0, 1, 2, 3, 4)
"""The article fixes no seed; one draw of two LSTM units says little, so five are drawn."""

INPUTS = ("open", "high", "low", "close", "adj_close")

Fit: TypeAlias = Callable[..., tuple[Scaled, Losses]]
Ours: TypeAlias = "pd.Series[float] | Callable[[pd.DatetimeIndex], pd.Series[float]]"


@dataclass(frozen=True)
class Answer:
    """One way of asking, and how it did on the test sessions.

    Attributes:
        name: In a word or two.
        question: What is forecast from what.
        scalers: The rows the scalers were fitted on; empty when nothing is scaled.
        change: What differs from the row above, and why it matters.
        maes: Mean absolute error over the test sessions, in shares, one for each seed; a single one without seeds.
        forecast: Shares by session, of the first seed: every session it can speak about, the test sessions at least.
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
    """Everything the page shows.

    Attributes:
        title: What the series is, in words.
        volume: (D,) shares by session; the last D - TRAIN_ROWS are the test sessions.
        split: First test session, where the red line stands.
        answers: As printed first, then each honest step, then last value, then ours where given.
        losses: (epoch, mean squared error on the scaled training rows) of the first seed as printed.
        note: What a reader must know about these rows; may be empty.
    """

    title: str
    volume: pd.Series
    split: date
    answers: tuple[Answer, ...]
    losses: tuple[tuple[int, float], ...]
    note: str

    def table(self) -> pd.DataFrame:
        """One row per answer: name, question, scalers, mae, mae_low, mae_high (shares), skill_vs_last_value, change."""
        naive = next(answer.mae for answer in self.answers if answer.name == "Last value")
        rows = [
            {
                "name": answer.name,
                "question": answer.question,
                "scalers": answer.scalers,
                "mae": answer.mae,
                "mae_low": min(answer.maes),
                "mae_high": max(answer.maes),
                "skill_vs_last_value": skill(answer.mae, naive),
                "change": answer.change,
            }
            for answer in self.answers
        ]
        return pd.DataFrame(rows)


def run_article(
    bars: pd.DataFrame,
    *,
    title: str,
    ours: Ours | None = None,
    seeds: tuple[int, ...] = SEEDS,
    epochs: int = EPOCHS,
    progress: Callable[[int, int], None] | None = None,
) -> ArticleResult:
    """The article's experiment and its honest versions on the newest ROWS complete sessions of `bars`.

    Args:
        bars: Index session, ascending; columns open, high, low, close, volume and, where known, adj_close.
        title: What the series is, in words.
        ours: Our own one-session-ahead medians in shares, by target session; or what gives them for the test sessions.
        seeds: Draws of the network's first weights; every error is a mean over them.
        epochs: Passes over the training rows.
        progress: Called with fits done and fits in all, after each.

    Raises:
        HistoryError: Fewer than ROWS sessions with prices and a volume.
        ValueError: `ours` does not speak about every test session.
    """
    rows, note = _rows(bars)
    prices, volume = rows[list(INPUTS)], rows["volume"]
    fit = partial(fit_network, epochs=epochs, done=_counted(progress, total=3 * len(seeds)))
    leaky, losses = _ask(prices, volume, scaled_on=ROWS, seeds=seeds, fit=fit)
    scaled, _ = _ask(prices, volume, scaled_on=TRAIN_ROWS, seeds=seeds, fit=fit)
    # Yesterday's prices under today's date: the first session has none, so one training row less.
    ahead, _ = _ask(prices.shift(1).iloc[1:], volume.iloc[1:], scaled_on=TRAIN_ROWS - 1, seeds=seeds, fit=fit)
    naive = volume.shift(1).iloc[1:]
    answers = [
        _answer(_AS_PRINTED, leaky, volume),
        _answer(_SCALED, scaled, volume),
        _answer(_AHEAD, ahead, volume),
        _answer(_LAST_VALUE, [naive], volume),
    ]
    if ours is not None:
        answers.append(_answer(_OURS, [_ours(ours, pd.DatetimeIndex(volume.index[TRAIN_ROWS:]))], volume))
    return ArticleResult(title, volume, rows.index[TRAIN_ROWS].date(), tuple(answers), losses, note)


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
    "The same network, asked for what is not known yet: the first of these rows that is a forecast.",
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
    "This project's median one session ahead, fitted only on sessions before the one it speaks about.",
)


def _rows(bars: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    known = bars.assign(adj_close=bars["close"]) if "adj_close" not in bars or bars["adj_close"].isna().all() else bars
    complete = known[[*INPUTS, "volume"]].astype(float).dropna()
    if len(complete) < ROWS:
        raise HistoryError(
            f"The article needs {ROWS} sessions with prices, an adjusted close and a volume; found {len(complete)}. "
            "Give a file with more sessions."
        )
    note = "" if known is bars else "The source has no adjusted close; the close stands in for it."
    return complete.iloc[-ROWS:], note


def _ask(
    prices: pd.DataFrame, volume: pd.Series, *, scaled_on: int, seeds: tuple[int, ...], fit: Fit
) -> tuple[list[pd.Series], Losses]:
    """Each seed's forecasts for all rows, in shares, and the first seed's losses; the last 53 rows never train."""
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    inputs, answers = prices.to_numpy(), volume.to_numpy()[:, None]
    price_scaler, volume_scaler = StandardScaler().fit(inputs[:scaled_on]), MinMaxScaler().fit(answers[:scaled_on])
    x, y = (part.astype(np.float32) for part in (price_scaler.transform(inputs), volume_scaler.transform(answers)))
    trained = len(x) - (ROWS - TRAIN_ROWS)
    runs = [fit(x, y, trained=trained, seed=seed) for seed in seeds]
    said = [volume_scaler.inverse_transform(scaled)[:, 0] for scaled, _ in runs]
    return [pd.Series(values, index=volume.index) for values in said], runs[0][1]


def _counted(progress: Callable[[int, int], None] | None, *, total: int) -> Callable[[], None]:
    """What tells `progress`, each time it is called, that one more of `total` is done."""
    done = count(1)
    return lambda: None if progress is None else progress(next(done), total)


def _answer(words: tuple[str, str, str, str], forecasts: list[pd.Series], volume: pd.Series) -> Answer:
    actual = volume.iloc[TRAIN_ROWS:]
    maes = tuple(mae(actual, forecast.loc[actual.index]) for forecast in forecasts)
    return Answer(*words, maes=maes, forecast=forecasts[0])


def _ours(ours: Ours, sessions: pd.DatetimeIndex) -> pd.Series:
    medians = (ours if isinstance(ours, pd.Series) else ours(sessions)).reindex(sessions).astype(float)
    if medians.isna().any():
        missing = [session.date().isoformat() for session in medians.index[medians.isna()]]
        raise ValueError(
            f"ours must speak about all {len(sessions)} test sessions; {len(missing)} miss: {missing[:5]}."
        )
    return medians
