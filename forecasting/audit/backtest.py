"""Load a symbol's whole series, walk forward over it, keep the figures.

The article's experiment beside our medians.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, cpu_count, delayed

from forecasting.audit.article import ROWS, TRAIN_ROWS, ArticleResult, run_article, unseen_sessions
from forecasting.backtests.walk_forward import (
    MIN_PAIRS,
    BacktestResult,
    BacktestSpec,
    backtest,
    forecast_frame,
)
from forecasting.errors import HistoryError
from forecasting.ingest.bars import check_bars
from forecasting.ingest.earnings import check_events, events_of_backtest, nothing_stored
from forecasting.ingest.revisions import NOTHING_STORED, prices_alone
from forecasting.ingest.sources.plugins import fetched_from, newest_session, source_of
from forecasting.ingest.splits import on_one_basis
from forecasting.night.folders import BACKTESTS, check_writable, write_whole
from forecasting.night.run_log import code_version
from forecasting.night.steps.ingest import asking_of
from forecasting.night.symbols import Outcomes, each_symbol, only_symbol
from forecasting.preprocess.windows import MarketSeries
from forecasting.report.documents import json_text
from forecasting.report.page import environment
from forecasting.sessions import OLDEST_DAY, last_completed
from forecasting.settings import Settings
from forecasting.store import connect, migrate, write
from forecasting.store.frames import Row
from forecasting.vocabulary import HORIZONS, LSTM, Clock, Progress, short_id

SpecOf = Callable[[Settings], BacktestSpec]  # What is replayed of a symbol, by its settings
Bar = Callable[[str], AbstractContextManager[Progress]]
"""Shows the progress of the work that a text names."""


def no_bar(what: str) -> AbstractContextManager[Progress]:
    """Shows nothing."""
    return nullcontext(lambda done, total: None)


def walk_forward(
    spec: BacktestSpec, *, store: bool, now: Clock, bar: Bar = no_bar
) -> dict[str, Any]:
    """The result document of a walk-forward backtest, its figures kept in table metrics where `store` asks for it."""
    if store:
        migrate.check_ready(spec.settings.url)
    result = replayed(spec, now=now, bar=bar)
    if store:
        add_metrics(result, spec.settings, now=now)
    return result.document()


def replayed(spec: BacktestSpec, *, now: Clock, bar: Bar = no_bar) -> BacktestResult:
    """A walk-forward backtest on the whole series of its symbol and the market.

    Nothing is stored.
    """
    replay = _loaded(spec, now=now)
    with bar(f"{spec.symbol} {spec.settings.target}") as advance:
        return replay(progress=advance)


def _loaded(spec: BacktestSpec, *, now: Clock) -> Callable[..., BacktestResult]:
    bars, events, _ = load_series(spec.settings, last=None, now=now)
    return partial(
        backtest,
        bars,
        events,
        spec=spec,
        market=market_series(spec.settings, now=now),
    )


def walk_each(
    settings: Settings,
    spec_of: SpecOf,
    *,
    store: bool,
    now: Clock,
    bar: Bar = no_bar,
    out: Path | None = None,
) -> Outcomes[dict[str, Any]]:
    """What came of `walk_forward` for each symbol; their documents are written to `out` as JSON.

    Workers replay whole symbols where there is one for each; else they share the refits of one
    symbol after the other.
    """
    check_events(settings.events, settings.symbols)
    if out is not None:
        check_writable(out)
    workers = spec_of(settings).workers
    if 1 < workers <= len(settings.symbols):
        outcomes = _each_in_a_worker(
            settings,
            spec_of,
            workers=workers,
            store=store,
            now=now,
            bar=bar,
        )
    else:
        outcomes = each_symbol(
            settings,
            lambda own: walk_forward(
                spec_of(own),
                store=store,
                now=now,
                bar=bar,
            ),
            now=now,
        )
    documents = list(outcomes.values.values())
    if out is not None and documents:
        whole = documents[0] if len(settings.symbols) == 1 else documents
        write_whole(out, lambda draft: draft.write_text(json_text(whole) + "\n", encoding="utf-8"))
    return outcomes


def _each_in_a_worker(
    settings: Settings, spec_of: SpecOf, *, workers: int, store: bool, now: Clock, bar: Bar
) -> Outcomes[dict[str, Any]]:
    if store:
        migrate.check_ready(settings.url)
    # The series are fetched here, one after the other: a source is asked at the pace of one
    # process.
    loaded = each_symbol(
        settings, lambda own: _loaded(replace(spec_of(own), workers=1), now=now), now=now
    )
    outcomes = Outcomes[dict[str, Any]](errors=loaded.errors)
    works = (
        (settings.for_symbol(symbol), partial(_result, replay))
        for symbol, replay in loaded.values.items()
    )
    tasks = (delayed(each_symbol)(own, work, now=now) for own, work in works)
    with bar(f"{len(settings.symbols)} symbols {settings.target}") as advance:
        for done, ended in enumerate(
            Parallel(n_jobs=workers, return_as="generator")(tasks), start=1
        ):
            outcomes.errors.update(ended.errors)
            for symbol, (result, document) in ended.values.items():
                outcomes.values[symbol] = document
                if store:
                    add_metrics(result, result.spec.settings, now=now)
            advance(done, len(loaded.values))
    return outcomes


def _result(
    replay: Callable[[], BacktestResult], own: Settings
) -> tuple[BacktestResult, dict[str, Any]]:
    result = replay()
    return result, result.document()


def backtest_spec(
    settings: Settings,
    first: date,
    last: date,
    *,
    refit_every: int,
    workers: int,
    as_published: bool = False,
) -> BacktestSpec:
    """What to replay of the settings' first symbol, by processes (0: one a core).

    Finished refits are kept.
    """
    own = settings.for_symbol(settings.symbols[0])
    folder = settings.data_dir.absolute() / BACKTESTS
    workers = workers or cpu_count()
    return BacktestSpec(
        own.symbols[0],
        first,
        last,
        refit_every,
        own,
        workers,
        folder,
        MIN_PAIRS,
        as_published,
    )


def load_series(
    settings: Settings, *, last: date | None, now: Clock
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """All checked bars of the first symbol up to `last`, its events and the series' title.

    Nothing is stored.
    """
    symbol = settings.symbols[0]
    exchange = settings.exchange
    source = source_of(settings.source, cache_dir=settings.yahoo_cache, exchange=exchange)
    newest = last or newest_session(source, symbol) or last_completed(now(), exchange)
    fetched = fetched_from(
        source,
        symbol,
        OLDEST_DAY,
        newest,
    )
    nothing = NOTHING_STORED
    fetched = on_one_basis(
        fetched,
        known=nothing.bars,
        known_actions=nothing.actions,
        exchange=exchange,
    )
    bars, _ = check_bars(fetched, exchange=exchange, known=None)
    asking = asking_of(
        settings,
        symbol,
        source,
        newest,
        stored=nothing_stored(),
    )
    return bars, events_of_backtest(asking, volume=bars["volume"]), fetched.title


def market_series(settings: Settings, *, now: Clock) -> MarketSeries | None:
    """All checked closes of the market series in the settings.

    None for none, and for the first symbol itself.
    """
    choice = settings.market_choice
    if choice is None or choice.symbol == settings.symbols[0]:
        return None
    source = source_of(
        choice.source, cache_dir=settings.yahoo_cache, one_series=choice.has_own_file
    )
    newest = newest_session(source, choice.symbol) or last_completed(now(), choice.exchange)
    fetched = prices_alone(
        fetched_from(
            source,
            choice.symbol,
            OLDEST_DAY,
            newest,
        )
    )
    bars, _ = check_bars(
        fetched,
        exchange=choice.exchange,
        known=None,
        of_index=True,
    )
    return MarketSeries(bars["close"], choice.exchange)


def add_metrics(result: BacktestResult, settings: Settings, *, now: Clock) -> None:
    """Add the result's figures to the table metrics, under a model row that names the backtest.

    Twice adds nothing.
    """
    spec = result.spec
    about = [
        spec.symbol,
        settings.target,
        str(spec.first),
        str(spec.last),
        str(spec.refit_every),
        settings.hash,
    ]
    about += ["as published"] if spec.as_published else []
    model_id = short_id("backtest", *about)
    model: Row = {
        "id": model_id,
        "name": "backtest",
        "version": f"every {spec.refit_every}",
        "method": "backtest",
    }
    model |= {
        "symbol": spec.symbol,
        "target": settings.target,
        "scope": "symbol",
        "seed": settings.seed,
    }
    model |= {"settings_hash": settings.hash, "code_version": code_version()}
    model |= {"seconds": result.seconds, "created_at": now()}
    metrics = [{**row, "model_id": model_id, "run_id": model_id} for row in result.metric_rows()]
    with connect.transaction(settings.url) as connection:
        write.add(connection, "models", model)
        write.add(connection, "metrics", *metrics)


def article_experiment(
    settings: Settings, *, as_of: date | None, seed: int, now: Clock, bar: Bar = no_bar, out: Path
) -> ArticleResult:
    """The article's experiment on the newest rows of the source, our medians beside it.

    Its figure written to `out`.
    """
    settings = settings.for_symbol(only_symbol(settings, "article"))
    check_writable(out)
    bars, events, title = load_series(settings, last=as_of, now=now)
    try:
        ours = our_medians(
            bars,
            events,
            settings,
            market=market_series(settings, now=now),
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
    """Our medians of the volume of the article's test sessions, each made at the newest session before with a bar."""
    sessions = unseen_sessions(bars)
    origins = bars.index[bars.index.searchsorted(sessions) - 1]
    settings = settings.model_copy(update={"target": "volume"})
    first = origins[0].date()
    last = origins[-1].date()
    spec = BacktestSpec(
        settings.symbols[0],
        first,
        last,
        refit_every=21,
        settings=settings,
    )
    with bar("ours") as advance:
        made = forecast_frame(
            backtest(
                bars,
                events,
                spec=spec,
                market=market,
                progress=advance,
            )
        )
    ours = made[made["model"] == LSTM].set_index(["origin_session", "target_session"])["q50"]
    medians = ours.reindex(pd.MultiIndex.from_arrays([origins, sessions])).to_numpy()
    if np.isnan(medians).any():
        raise HistoryError(
            f"{len(HORIZONS)} or more sessions without a bar come before a test session."
        )
    return pd.Series(medians, index=sessions)


def draw(result: ArticleResult) -> str:
    """The experiment as one SVG: all rows, forecasts as printed and without leaks, and the article's red line."""
    volume = result.volume
    shown = {variant.name: variant.forecast for variant in result.variants}
    tested = {
        name: shown[name].iloc[TRAIN_ROWS - ROWS :]
        for name in ("Next session", "Ours")
        if name in shown
    }
    lines = {"Actual": volume, "As printed": shown["As printed"]} | tested
    top = max(float(values.max()) for values in lines.values())
    x = np.linspace(10.0, 990.0, len(volume))
    drawn = []
    for (name, values), colour in zip(
        lines.items(), ("#777", "#1668a7", "#c4871b", "#111"), strict=False
    ):
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
