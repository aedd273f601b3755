"""The backtest: the nights of a catch-up in a ledger of their own, and their figures.

The article's experiment.

Each night takes the steps that it takes live, with a fit every `refit_every` sessions, and in
between with the champion alone; with a fit every session it publishes what nights on time would
have, bit for bit.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import pandas as pd
from joblib import Parallel, cpu_count, delayed
from numpy.typing import NDArray

from forecasting.audit.article import ROWS, TRAIN_ROWS, ArticleResult, run_article, unseen_sessions
from forecasting.errors import HistoryError, UsageError
from forecasting.evaluate.figures import MIN_PAIRS, BacktestResult, forecast_frame
from forecasting.evaluate.scores import dollar_volumes
from forecasting.ingest.actions import make_actions
from forecasting.ingest.announced_days import BY_HAND, new_days
from forecasting.ingest.bars import check_bars
from forecasting.ingest.earnings import (
    KEY,
    VALUES,
    check_events,
    events_of_backtest,
    nothing_stored,
)
from forecasting.ingest.revisions import NOTHING_STORED, Revision, prices_alone
from forecasting.ingest.sources import Fetched
from forecasting.ingest.sources.plugins import fetched_from, newest_session, source_of
from forecasting.ingest.splits import on_one_basis
from forecasting.night.folders import check_writable, write_whole
from forecasting.night.night import Night, make_night
from forecasting.night.run import Caller, ledger, run_shard
from forecasting.night.run_log import code_version
from forecasting.night.steps.ingest import asking_of
from forecasting.night.symbols import Outcomes, each_symbol, only_symbol
from forecasting.preprocess.windows import MIN_ROWS, WARM_UP, MarketSeries, actual_of
from forecasting.report.documents import json_text
from forecasting.report.page import environment
from forecasting.sessions import (
    OLDEST_DAY,
    closes_at,
    days_of,
    last_completed,
    next_sessions,
    sessions_index,
    today,
)
from forecasting.settings import Settings
from forecasting.store import connect, migrate, read, write
from forecasting.store.frames import Row
from forecasting.targets import TARGETS
from forecasting.values import NO_MARKET, source_name
from forecasting.vocabulary import (
    CHAMPION,
    HORIZONS,
    LSTM,
    QUANTILE_COLUMNS,
    Clock,
    Mode,
    Progress,
    short_id,
)

# After the newest bar: when the nights are worked off, so that each is a replay
_LATER = timedelta(days=30)

Bar = Callable[[str], AbstractContextManager[Progress]]
"""Shows the progress of the work that a text names."""


def no_bar(what: str) -> AbstractContextManager[Progress]:
    """Shows nothing."""
    return nullcontext(lambda done, total: None)


@dataclass(frozen=True)
class BacktestSpec:
    """Which nights to work off."""

    settings: Settings  # of one symbol and target
    first: date  # first and last origin, both included
    last: date
    refit_every: int = 21  # sessions between fits; 1: as nights are published
    # Least number of origins with a known value at every horizon; figures need `MIN_PAIRS`
    min_origins: int = 0

    @property
    def symbol(self) -> str:
        """Its symbol."""
        return self.settings.symbols[0]


def backtest(
    bars: pd.DataFrame,
    events: pd.DataFrame,
    *,
    spec: BacktestSpec,
    market: MarketSeries | None = None,
    progress: Progress = lambda done, total: None,
) -> BacktestResult:
    """What the nights from `spec.first` to `spec.last` publish that have a bar, and a value after it.

    A session without a bar is no origin: a night waits for its bar, and one that never comes leaves
    no forecast. Bars after the last origin are used as actuals alone.

    Args:
        bars: All of the symbol's, checked, on one share basis: index session, columns open, high,
            low, close, volume.
        events: Its earnings dates as `events_of_backtest` has them, a withdrawal after the date
            that it withdraws.
        spec: Which nights.
        market: The market series of the settings; None for none.
        progress: Counts nights.

    Raises:
        UsageError: The span ends before it begins.
        HistoryError: Too few sessions before its first origin, or too few origins.
    """
    started = time.perf_counter()
    origins = origins_of(bars, spec)
    at = closes_at(bars.index[-1].date(), spec.settings.exchange) + _LATER
    with TemporaryDirectory(prefix="forecasting-") as folder, _quiet():
        own: dict[str, Any] = {"data_dir": Path(folder), "database_url": None}
        if market is None:
            own["market"] = NO_MARKET
        settings = spec.settings.model_copy(update=own)
        migrate.upgrade(settings.url)
        with ledger(settings):
            _store_series(
                settings,
                bars,
                events,
                market,
                at=at,
            )
            run_shard(
                _nights(
                    origins,
                    spec,
                    settings,
                    at=at,
                ),
                Caller(after=_counting(progress, len(origins))),
            )
            return _result(
                settings,
                bars,
                events,
                origins,
                started=started,
            )


def origins_of(bars: pd.DataFrame, spec: BacktestSpec) -> list[date]:
    """The sessions of the span with a bar, and with a known value after it."""
    if spec.first > spec.last:
        raise UsageError(
            f"Expected a span that begins before it ends; found {spec.first} to {spec.last}."
        )
    known = np.isfinite(_values_ahead(bars, spec))
    sessions = sessions_index(bars.index[0].date(), bars.index[-1].date(), spec.settings.exchange)
    least = WARM_UP + MIN_ROWS
    if len(sessions) <= least:
        raise HistoryError(
            f"Expected {least} sessions of {spec.symbol} up to the first origin, and one after it; "
            "found "
            f"{len(sessions)} in all."
        )
    inside = (sessions >= pd.Timestamp(spec.first)) & (sessions <= pd.Timestamp(spec.last))
    rows = np.flatnonzero(inside & sessions.isin(bars.index) & known.any(axis=1))
    if len(rows) == 0 or rows[0] < least - 1:
        raise HistoryError(
            f"Expected origins of {spec.symbol} from {sessions[least - 1].date()}, before which "
            "are sessions enough, "
            f"to {sessions[-2].date()}; found {spec.first} to {spec.last}. Choose another span, or "
            "ingest more bars."
        )
    pairs = known[rows].sum(axis=0)
    if pairs.min() < spec.min_origins:
        raise HistoryError(
            f"Expected {spec.min_origins} or more origins of {spec.symbol} from {spec.first} to "
            f"{spec.last}, each "
            f"before {len(HORIZONS)} closed sessions, for the test against baselines; found "
            f"{pairs.min()}. Choose a "
            "longer span."
        )
    return [session.date() for session in sessions[rows]]


def _values_ahead(bars: pd.DataFrame, spec: BacktestSpec) -> NDArray[np.float64]:
    """(D, H) the values of the sessions after each from the first bar to the last.

    NaN where unknown.
    """
    sessions = sessions_index(bars.index[0].date(), bars.index[-1].date(), spec.settings.exchange)
    values = actual_of(spec.settings.target, bars).reindex(sessions)
    return np.column_stack(
        [values.shift(-horizon).to_numpy(dtype=np.float64) for horizon in HORIZONS]
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """A block in which the library logs warnings alone.

    Hundreds of nights have thousands of lines.
    """
    library = logging.getLogger("forecasting")
    level = library.level
    library.setLevel(logging.WARNING)
    try:
        yield
    finally:
        library.setLevel(level)


def _nights(
    origins: Sequence[date], spec: BacktestSpec, settings: Settings, *, at: datetime
) -> list[Night]:
    """A night an origin, every `refit_every`-th with a fit."""
    modes: list[Mode] = ["auto", *cast(list[Mode], ["skip"]) * (spec.refit_every - 1)]
    made = partial(
        make_night,
        spec.symbol,
        settings=settings,
        now=lambda: at,
        trigger="catch-up",
    )
    each = zip(origins, cycle(modes), strict=False)
    return [made(session=session, mode=mode) for session, mode in each]


def _counting(progress: Progress, total: int) -> Callable[[Sequence[Night]], None]:
    """What follows a night: it is counted; the error of one that failed is raised."""
    done = 0

    def after(nights: Sequence[Night]) -> None:
        nonlocal done
        for night in nights:
            if night.error is not None:
                raise night.error
        done += len(nights)
        progress(done, total)

    return after


def _store_series(
    settings: Settings,
    bars: pd.DataFrame,
    events: pd.DataFrame,
    market: MarketSeries | None,
    *,
    at: datetime,
) -> None:
    """Store what the nights read: everything is known from before `at` on, and used up to each night's session."""
    symbol = settings.symbols[0]
    choice = settings.market_choice
    fetched_at = at - timedelta(seconds=1)
    with connect.transaction(settings.url) as connection:
        if market is not None and choice is not None:
            closes = pd.DataFrame(
                dict.fromkeys(("open", "high", "low", "close"), market.closes.dropna())
            )
            _store_bars(
                connection,
                choice.symbol,
                closes.assign(volume=np.nan),
                choice.source,
                fetched_at=fetched_at,
            )
        _store_bars(
            connection,
            symbol,
            bars,
            settings.source,
            fetched_at=fetched_at,
        )
        days = new_days({}, days_of(settings.exchange), session=bars.index[0].date())
        write.add_events(
            connection,
            symbol,
            days,
            source=settings.events or BY_HAND,
            first_seen_at=fetched_at,
        )
        if events.empty:
            return
        nth = events.groupby(KEY).cumcount()  # a withdrawal is seen after what it withdraws
        for seen in range(int(nth.max()) + 1):
            first_seen_at = fetched_at - timedelta(minutes=1) + timedelta(seconds=seen)
            for source, rows in events[nth == seen].groupby("source"):
                added = rows[[*KEY, *VALUES]]
                write.add_events(
                    connection,
                    symbol,
                    added,
                    source=str(source),
                    first_seen_at=first_seen_at,
                )


def _store_bars(
    connection: connect.Connection,
    symbol: str,
    bars: pd.DataFrame,
    source: str,
    *,
    fetched_at: datetime,
) -> None:
    named = bars.rename_axis("session")
    days = named.index[0].date(), named.index[-1].date()
    with_adjusted = named.assign(adj_close=np.nan)
    actions = make_actions([])
    fetched = Fetched(
        source_name(source),
        symbol,
        *days,
        with_adjusted,
        actions,
        library_version="",
        title="",
    )
    versions = named.reset_index().assign(version=1)
    revision = Revision(
        "first",
        "",
        versions,
        settled=[],
        new_actions=actions,
        findings=[],
    )
    fetch_id = short_id("fetch", symbol)
    write.add_fetch(
        connection,
        fetched,
        revision,
        fetch_id=fetch_id,
        fetched_at=fetched_at,
        run_id="",
    )


def _result(
    settings: Settings,
    bars: pd.DataFrame,
    events: pd.DataFrame,
    origins: Sequence[date],
    *,
    started: float,
) -> BacktestResult:
    """What the ledger holds of the nights, and what came."""
    symbol = settings.symbols[0]
    target = settings.target
    series = {"symbol": symbol, "target": target}
    with connect.reading(settings.url) as connection:
        models = {row["id"]: row for row in read.table_rows(connection, "models", series)}
        forecasts = read.table_rows(connection, "forecasts", series)
        modes = [row["mode"] for row in read.table_rows(connection, "runs", series)]
    shape = (len(origins), len(HORIZONS), len(QUANTILE_COLUMNS))
    issued = np.full(shape, np.nan)
    baselines = {name: np.full(shape, np.nan) for name in TARGETS[target].baselines}
    place = {origin: at for at, origin in enumerate(origins)}
    published = []
    for row in forecasts:
        at = place[row["origin_session"]], row["horizon"] - 1
        quantiles = [row[name] for name in QUANTILE_COLUMNS]
        name = models[row["model_id"]]["name"]
        if name in baselines:
            baselines[name][at] = quantiles
        if row["role"] == CHAMPION:
            issued[at] = quantiles
            published.append(row["status"])
    passed = [row for row in models.values() if row["name"] == LSTM and not row["refused"]]
    fallbacks = published.count("fallback") // len(HORIZONS)
    nights = {"network": len(origins) - fallbacks, "fallback": fallbacks}
    nights |= {"warm": modes.count("warm"), "scratch": modes.count("scratch")}
    nights["refused"] = nights["warm"] + nights["scratch"] - len(passed)
    ahead = [next_sessions(origin, len(HORIZONS), settings.exchange) for origin in origins]
    target_sessions = np.array(ahead, dtype="datetime64[D]")
    known = actual_of(target, bars).reindex(pd.DatetimeIndex(target_sessions.ravel()))
    actual = np.asarray(known, dtype=np.float64).reshape(target_sessions.shape)
    days = np.array(origins, dtype="datetime64[D]")
    dollars = (
        dollar_volumes(bars, days, target_sessions) if TARGETS[target].unit == "shares" else None
    )
    return BacktestResult(
        symbol=symbol,
        target=target,
        origins=days,
        target_sessions=target_sessions,
        actual=actual,
        issued=issued,
        baselines=baselines,
        nights=nights,
        seconds=time.perf_counter() - started,
        dollars=dollars,
        earnings_dates=_dates_by_list(events, bars),
    )


def _dates_by_list(events: pd.DataFrame, bars: pd.DataFrame) -> dict[str, int]:
    """How many earnings dates up to the newest bar come from which list, the most first."""
    if events.empty:
        return {}
    counts = events.loc[events["session"] <= bars.index[-1], "source"].value_counts()
    return {source_name(str(source)): int(count) for source, count in counts.items()}


SpecOf = Callable[[Settings], BacktestSpec]  # What is worked off of a symbol, by its settings


def backtest_spec(settings: Settings, first: date, last: date, *, refit_every: int) -> BacktestSpec:
    """Which nights of the settings' first symbol: enough for the figures."""
    own = settings.for_symbol(settings.symbols[0])
    return BacktestSpec(
        own,
        first,
        last,
        refit_every,
        min_origins=MIN_PAIRS,
    )


def loaded(spec: BacktestSpec, *, now: Clock) -> Callable[..., BacktestResult]:
    """The backtest on the whole series of its symbol and the market, which are requested.

    Nothing is stored.
    """
    bars, events, _ = load_series(spec.settings, last=None, now=now)
    return partial(
        backtest,
        bars,
        events,
        spec=spec,
        market=market_series(spec.settings, now=now),
    )


def run_backtest(
    spec: BacktestSpec, *, store: bool, now: Clock, bar: Bar = no_bar
) -> dict[str, Any]:
    """The result document of a backtest, its figures kept in table metrics where `store` asks for it."""
    if store:
        migrate.check_ready(spec.settings.url)
    run = loaded(spec, now=now)
    with bar(f"{spec.symbol} {spec.settings.target}") as advance:
        result = run(progress=advance)
    if store:
        add_metrics(result, spec, now=now)
    return result.document()


def run_each(  # noqa: PLR0913 - as the command's options
    settings: Settings,
    spec_of: SpecOf,
    *,
    store: bool,
    workers: int,
    now: Clock,
    bar: Bar = no_bar,
    out: Path | None = None,
) -> Outcomes[dict[str, Any]]:
    """What came of `run_backtest` for each symbol, by so many processes (0: one a core).

    Written to `out` as JSON.
    """
    check_events(settings.events, settings.symbols)
    if out is not None:
        check_writable(out)
    processes = min(workers or cpu_count(), len(settings.symbols))
    if processes > 1:
        outcomes = _each_in_a_worker(
            settings,
            spec_of,
            workers=processes,
            store=store,
            now=now,
            bar=bar,
        )
    else:
        outcomes = each_symbol(
            settings,
            lambda own: run_backtest(
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
    series = each_symbol(settings, lambda own: loaded(spec_of(own), now=now), now=now)
    outcomes = Outcomes[dict[str, Any]](errors=series.errors)
    works = (
        (settings.for_symbol(symbol), partial(_documented, run))
        for symbol, run in series.values.items()
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
                    add_metrics(result, spec_of(settings.for_symbol(symbol)), now=now)
            advance(done, len(series.values))
    return outcomes


def _documented(
    run: Callable[[], BacktestResult], own: Settings
) -> tuple[BacktestResult, dict[str, Any]]:
    result = run()
    return result, result.document()


def load_series(
    settings: Settings, *, last: date | None, now: Clock
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """All checked bars of the first symbol up to `last`, its events and the series' title.

    Nothing is stored.
    """
    symbol = settings.symbols[0]
    exchange = settings.exchange
    source = source_of(
        settings.source,
        cache_dir=settings.yahoo_cache,
        exchange=exchange,
        today=today(now(), exchange),
    )
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
        choice.source,
        cache_dir=settings.yahoo_cache,
        one_series=choice.has_own_file,
        today=today(now(), choice.exchange),
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


def add_metrics(result: BacktestResult, spec: BacktestSpec, *, now: Clock) -> None:
    """Add the result's figures to the table metrics, under a model row that names the backtest.

    Twice adds nothing.
    """
    settings = spec.settings
    about = [
        spec.symbol,
        settings.target,
        str(spec.first),
        str(spec.last),
        str(spec.refit_every),
        settings.hash,
    ]
    model_id = short_id("backtest", *about, "published")
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
    spec = BacktestSpec(settings, first, last)
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
