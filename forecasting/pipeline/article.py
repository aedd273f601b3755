"""The experiment of the article that this project comes from, with our medians of the same sessions beside it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from forecasting.article import ArticleResult, draw, run_article, unseen_sessions
from forecasting.backtest.walk_forward import BacktestSpec, backtest, forecast_frame
from forecasting.errors import HistoryError
from forecasting.pipeline.backtest import Bar, load_series, market_series, no_bar
from forecasting.pipeline.output_file import check_writable, write_whole
from forecasting.pipeline.symbols import only_symbol
from forecasting.preprocess.market import MarketSeries
from forecasting.settings import Settings
from forecasting.vocabulary import HORIZONS, LSTM, Clock


def article_experiment(
    settings: Settings, *, as_of: date | None, seed: int, now: Clock, bar: Bar = no_bar, out: Path
) -> ArticleResult:
    """The article's experiment on the newest rows of the source, its figure written to `out`.

    Our model is beside it where its history is there.

    Raises:
        UsageError: Several symbols, or `out` cannot be written; raised before the experiment begins.
    """
    settings = settings.for_symbol(only_symbol(settings, "article"))
    check_writable(out)
    bars, events, title = load_series(settings, last=as_of, now=now)
    try:
        ours = our_medians(bars, events, settings, market=market_series(settings, now=now), bar=bar)
    except HistoryError:
        ours = None
    with bar("the article's networks") as advance:
        result = run_article(bars, title=title, ours=ours, seeds=tuple(range(seed, seed + 5)), progress=advance)
    write_whole(out, lambda draft: draft.write_text(draw(result), encoding="utf-8"))
    return result


def our_medians(
    bars: pd.DataFrame,
    events: pd.DataFrame,
    settings: Settings,
    *,
    market: MarketSeries | None = None,
    bar: Bar = no_bar,
) -> pd.Series[float]:
    """Our medians of the volume of the article's test sessions, each made at the newest session before with a bar.

    Raises:
        HistoryError: Too little history before the first, or five or more sessions without a bar before one of them.
    """
    sessions = unseen_sessions(bars)
    origins = bars.index[bars.index.searchsorted(sessions) - 1]
    spec = BacktestSpec(
        symbol=settings.symbols[0],
        first=origins[0].date(),
        last=origins[-1].date(),
        refit_every=21,
        settings=settings.model_copy(update={"target": "volume"}),
        workers=1,
    )
    with bar("ours") as advance:
        made = forecast_frame(backtest(bars, events, spec=spec, market=market, progress=advance))
    ours = made[made["model"] == LSTM].set_index(["origin_session", "target_session"])["q50"]
    medians = ours.reindex(pd.MultiIndex.from_arrays([origins, sessions])).to_numpy()
    if np.isnan(medians).any():
        raise HistoryError(
            f"{len(HORIZONS)} or more sessions without a bar come before a test session, and no forecast reaches it."
        )
    return pd.Series(medians, index=sessions)
