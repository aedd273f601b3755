"""The walk-forward backtest and the article's model, as the command line starts them; neither needs a database."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from flows import clock
from flows.night import short_id
from flows.progress import progress_bar
from flows.steps.ingest import listed_events
from flows.steps.run_row import code_version
from forecasting.article import ROWS, TRAIN_ROWS, ArticleResult, run_article
from forecasting.article_page import render_article
from forecasting.backtest import BacktestResult, BacktestSpec, backtest
from forecasting.errors import HistoryError
from forecasting.ingest.bars import check_bars
from forecasting.ingest.sources.choose import newest_session, source_of
from forecasting.preprocess.targets import MEDIAN
from forecasting.sessions import last_completed
from forecasting.settings import Settings, read_settings
from forecasting.store import database, writes

OLDEST = date(1962, 1, 2)
"""Yahoo's oldest daily bar: a backtest asks for all there is."""

TEST_SESSIONS = ROWS - TRAIN_ROWS
"""The article's test days, on which ours is asked the same."""


def start_backtest(
    first: date, last: date, *, refit_every: int, workers: int, store: bool, out: Path | None
) -> dict[str, Any]:
    """The result document of a walk-forward backtest of the first symbol in the settings; written to `out` too.

    Finished refits are kept in the data folder: a backtest that was stopped goes on where it was.
    """
    document = walk_forward(read_settings(), first, last, refit_every=refit_every, workers=workers, store=store)
    if out is not None:
        out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return document


def walk_forward(
    settings: Settings, first: date, last: date, *, refit_every: int, workers: int, store: bool
) -> dict[str, Any]:
    """The result document of a walk-forward backtest of the settings' first symbol, kept in table metrics if asked."""
    settings = settings.for_symbol(settings.symbols[0])
    if store:
        database.check_ready(settings.url)
    bars, events, _ = everything(settings, last=None)
    spec = BacktestSpec(
        symbol=settings.symbols[0],
        first=first,
        last=last,
        refit_every=refit_every,
        settings=settings,
        workers=workers,
        folder=settings.data_dir.absolute() / "backtests",
    )
    with progress_bar(f"{spec.symbol} {settings.target}") as advance:
        result = backtest(bars, events, spec=spec, companions=companion_series(settings), progress=advance)
    if store:
        keep_metrics(result, settings)
    document: dict[str, Any] = result.document()
    return document


def start_article(out: Path, *, as_of: date | None, seed: int) -> ArticleResult:
    """The article's experiment on the newest rows of the source, its page written to `out`.

    Ours is beside it where the source holds the years before that ours learns from.
    """
    settings = read_settings()
    settings = settings.for_symbol(settings.symbols[0])
    bars, events, title = everything(settings, last=as_of)
    try:
        ours = our_medians(bars, events, settings)
    except HistoryError:
        ours = None
    with progress_bar("the article's networks") as advance:
        result = run_article(bars, title=title, ours=ours, seeds=tuple(range(seed, seed + 5)), progress=advance)
    out.write_text(render_article(result), encoding="utf-8")
    return result


def our_medians(bars: pd.DataFrame, events: pd.DataFrame, settings: Settings) -> "pd.Series[float]":
    """Our medians one session ahead for the newest TEST_SESSIONS of `bars`, each made at the session before."""
    origins = bars.index[-TEST_SESSIONS - 1 : -1]
    spec = BacktestSpec(
        symbol=settings.symbols[0],
        first=origins[0].date(),
        last=origins[-1].date(),
        refit_every=21,
        settings=settings,
        workers=1,
    )
    with progress_bar("ours") as advance:
        result = backtest(bars, events, spec=spec, progress=advance)
    return pd.Series(result.issued[:, 0, MEDIAN], index=bars.index[-len(result.issued) :])


def everything(settings: Settings, *, last: date | None) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """All checked bars of the first symbol up to `last`, its events and what the series is; nothing is stored."""
    symbol = settings.symbols[0]
    source = source_of(settings.source, cache_dir=settings.data_dir.absolute() / "yahoo-cache")
    newest = last or newest_session(source, symbol) or last_completed(clock.now(), settings.exchange)
    fetched = source.fetch(symbol, OLDEST, newest)
    bars, _ = check_bars(fetched, exchange=settings.exchange, known=None)
    return bars, listed_events(symbol, settings.events, exchange=settings.exchange), fetched.title


def companion_series(settings: Settings) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """All checked bars and the events of each companion in the settings, but for the first symbol itself.

    In alphabetical order, as a night has them.

    Raises:
        SourceError: One of them cannot be had; a backtest without it would answer another question.
    """
    others = sorted(symbol for symbol in settings.companions if symbol != settings.symbols[0])
    alone = [settings.model_copy(update={"symbols": (symbol,), "events": None}) for symbol in others]
    return [everything(one, last=None)[:2] for one in alone]


def keep_metrics(result: BacktestResult, settings: Settings) -> None:
    """Add the result's figures to the table metrics, under a model row that names the backtest; twice adds nothing."""
    spec = result.spec
    about = (spec.symbol, settings.target, str(spec.first), str(spec.last), str(spec.refit_every), settings.hash)
    model_id = short_id("backtest", *about)
    model = {
        "id": model_id,
        "name": "backtest",
        "version": f"every {spec.refit_every}",
        "method": "backtest",
        "symbol": spec.symbol,
        "target": settings.target,
        "scope": "symbol",
        "seed": settings.seed,
        "settings_hash": settings.hash,
        "code_version": code_version(),
        "seconds": result.seconds,
        "created_at": clock.now(),
    }
    with database.transaction(settings.url) as connection:
        writes.add_model(connection, model)
        writes.add_metrics(
            connection, [{**row, "model_id": model_id, "run_id": model_id} for row in result.metric_rows()]
        )
