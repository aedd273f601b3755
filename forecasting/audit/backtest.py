"""The backtest: the nights of a catch-up in a ledger of their own.

Each night takes the steps that it takes live, with a fit every `refit_every` sessions, and in
between with the newest fit; with a fit every session it publishes what nights on time would
have, bit for bit.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from forecasting.errors import HistoryError, UsageError
from forecasting.evaluate.figures import BacktestResult
from forecasting.evaluate.scores import dollar_volumes
from forecasting.ingest.actions import make_actions
from forecasting.ingest.bar_rules import PRICES
from forecasting.ingest.earnings import KEY
from forecasting.ingest.revisions import Revision
from forecasting.ingest.sources import Request, Response
from forecasting.losses import Floats
from forecasting.night.night import Night, RunOptions, nights_of
from forecasting.night.run import ledger, work_off
from forecasting.night.steps.preprocess import first_session
from forecasting.predict.totals import LONG
from forecasting.preprocess.windows import NETWORK_SESSIONS, MarketSeries, actual_of
from forecasting.sessions import closes_at, next_sessions, sessions_index
from forecasting.settings import Settings
from forecasting.store import connect, migrate, read, write
from forecasting.targets import TARGETS
from forecasting.values import NO_MARKET, source_name
from forecasting.vocabulary import (
    FITS,
    HORIZONS,
    LSTM,
    PUBLISHED,
    QUANTILE_COLUMNS,
    Progress,
    short_id,
)

NEWEST_NIGHTS = 250
"""Origins of a backtest without a first one: a year."""

# After the newest bar: when the nights are worked off, so that each is a replay
_LATER = timedelta(days=30)

Bar = Callable[[str, int], AbstractContextManager[Progress]]
"""Shows the progress of work, by its unit and how much there is in all."""


def unseen(words: str, ended: int) -> None:
    """Shows no progress."""


def no_bar(unit: str, total: int) -> AbstractContextManager[Progress]:
    """Shows nothing."""
    return nullcontext(unseen)


@dataclass(frozen=True)
class BacktestSpec:
    """Which nights to work off."""

    settings: Settings  # of one symbol and target
    # First and last origin, both included; None: NEWEST_NIGHTS up to the last, up to the newest
    first: date | None = None
    last: date | None = None
    refit_every: int = 21  # sessions between fits; 1: as nights are published
    # Least number of origins with a known value at every horizon; figures need `MIN_PAIRS`
    min_origins: int = 0

    @property
    def symbol(self) -> str:
        """Its symbol."""
        return self.settings.symbol


def backtest(
    bars: pd.DataFrame,
    events: pd.DataFrame,
    *,
    spec: BacktestSpec,
    market: MarketSeries | None = None,
    progress: Progress = unseen,
) -> BacktestResult:
    """What the nights of `spec` publish, of the sessions with a bar and a value after it.

    A session without a bar is no origin: its night has no forecast. Bars after the last origin are
    used as actuals alone.

    Args:
        bars: All of the symbol's, checked, on one share basis: index session, columns open, high,
            low, close, volume.
        events: Its earnings dates as `load_series` has them, a withdrawal after the date
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
    with throw_away_ledger(spec.settings) as settings:
        if market is None:
            settings = settings.model_copy(update={"market": NO_MARKET})
        # All of 34 years would slow each night
        first = pd.Timestamp(first_session(origins[0], settings))
        _store_series(settings, bars[bars.index >= first], events, market, at=at)
        options = RunOptions(refit_every=spec.refit_every, trigger="catch-up")
        nights = nights_of(origins, settings, options, now=lambda: at)
        for night in nights:
            make_past_night(night)
            progress(f"{night.series} {night.session}", 1)
        return _result(settings, bars, events, origins, started=started)


@contextmanager
def throw_away_ledger(settings: Settings) -> Iterator[Settings]:
    """The settings on an empty ledger of their own, which is deleted at the end of the block."""
    with TemporaryDirectory(prefix="forecasting-") as folder, _quiet():
        update = {"data_dir": Path(folder), "database_url": None}
        own = settings.model_copy(update=update)
        migrate.upgrade(own.url)
        with ledger(own):
            yield own


def make_past_night(night: Night) -> None:
    """Take a night whose bars are stored through its steps; what stopped it is raised."""
    (ended,) = work_off([night])
    if ended.error is not None:
        raise ended.error


def origins_of(bars: pd.DataFrame, spec: BacktestSpec) -> list[date]:
    """The sessions of the span with a bar, and with a known value after it."""
    sessions = sessions_index(bars.index[0].date(), bars.index[-1].date(), spec.settings.exchange)
    least = NETWORK_SESSIONS  # a baseline alone has no reference to be compared with
    if len(sessions) <= least:
        raise HistoryError(
            f"Expected {least} sessions of {spec.symbol} up to the first origin, and one after it; "
            f"found {len(sessions)} in all."
        )
    values = actual_of(spec.settings.target, bars).reindex(sessions)
    known = pd.DataFrame({ahead: values.shift(-ahead).notna() for ahead in HORIZONS})
    oldest = sessions[least - 1]
    first = pd.Timestamp(spec.first or oldest)
    last = pd.Timestamp(spec.last or sessions[-2])
    if first > last:
        raise UsageError(
            f"Expected a span that begins before it ends; found {first.date()} to {last.date()}."
        )
    inside = (sessions >= first) & (sessions <= last)
    of_origins = known[inside & sessions.isin(bars.index) & known.any(axis=1)]
    if of_origins.empty or of_origins.index[0] < oldest:
        raise HistoryError(
            f"Expected origins of {spec.symbol} from {oldest.date()}, before which are sessions "
            f"enough, to {sessions[-2].date()}; found {first.date()} to {last.date()}. "
            "Choose another span, or ingest more bars."
        )
    if spec.first is None:
        of_origins = of_origins.iloc[-NEWEST_NIGHTS:]
    pairs = of_origins.sum().min()
    if pairs < spec.min_origins:
        raise HistoryError(
            f"Expected {spec.min_origins} or more origins of {spec.symbol} from {first.date()} to "
            f"{last.date()}, each before {len(HORIZONS)} closed sessions, for the test against "
            f"baselines; found {pairs}. Choose a longer span."
        )
    return pd.DatetimeIndex(of_origins.index).date.tolist()


@contextmanager
def _quiet() -> Iterator[None]:
    """A block in which the library logs warnings alone, not the thousands of lines of nights."""
    library = logging.getLogger("forecasting")
    level = library.level
    library.setLevel(logging.WARNING)
    try:
        yield
    finally:
        library.setLevel(level)


def _store_series(
    settings: Settings,
    bars: pd.DataFrame,
    events: pd.DataFrame,
    market: MarketSeries | None,
    *,
    at: datetime,
) -> None:
    """Store what the nights read: known from before `at` on, used up to each night's session."""
    symbol = settings.symbol
    choice = settings.market_choice
    fetched_at = at - timedelta(seconds=1)
    with connect.transaction(settings.url) as connection:
        if market is not None and choice is not None:
            closes = market.closes.dropna()
            flat = pd.DataFrame(dict.fromkeys(PRICES, closes)).assign(volume=np.nan)
            _store_bars(connection, choice.symbol, flat, choice.source, fetched_at=fetched_at)
        _store_bars(connection, symbol, bars, settings.source, fetched_at=fetched_at)
        nth = events.groupby(KEY).cumcount()  # a withdrawal is seen after what it withdraws
        seen_at = fetched_at - timedelta(minutes=1) + pd.to_timedelta(nth, unit="s")
        seen = events.assign(symbol=symbol, first_seen_at=seen_at)
        write.add_frame(connection, "events", seen)


def _store_bars(
    connection: connect.Connection,
    symbol: str,
    bars: pd.DataFrame,
    source: str,
    *,
    fetched_at: datetime,
) -> None:
    no_actions = make_actions([])
    span = (bars.index[0].date(), bars.index[-1].date())
    request = Request(source_name(source), symbol, *span)
    versions = bars.rename_axis("session").reset_index().assign(version=1)
    revision = Revision("first", "", versions, settled=[], new_actions=no_actions, findings=[])
    write.add_fetch(
        connection,
        Response(request, bars.assign(adj_close=np.nan)),
        revision,
        fetch_id=short_id("fetch", symbol),
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
    symbol = settings.symbol
    rules = TARGETS[settings.target]
    series = {"symbol": symbol, "target": settings.target}
    with connect.reading(settings.url) as connection:
        models, runs, forecasts, totals = (
            read.view(connection, table, series)
            for table in ("models", "runs", "forecasts", "total_forecasts")
        )
    names = models.set_index("id")["name"]
    forecaster = forecasts["model_id"].map(names)
    published = forecasts[forecasts["role"] == PUBLISHED]
    days = np.array(origins, dtype="datetime64[D]")
    ahead = [next_sessions(origin, len(HORIZONS), settings.exchange) for origin in origins]
    target_sessions = np.array(ahead, dtype="datetime64[D]")
    known = actual_of(settings.target, bars).reindex(pd.DatetimeIndex(target_sessions.ravel()))
    dollars = None
    of_totals = None
    if rules.has_totals:
        dollars = dollar_volumes(bars, days, target_sessions)
        is_reference = totals["model_id"].map(names) == rules.reference
        of_totals = (
            _quantiles(totals[totals["role"] == PUBLISHED], origins, (*HORIZONS, *LONG)),
            _quantiles(totals[is_reference], origins, (*HORIZONS, *LONG)),
        )
    if settings.rivals and runs["note"].iloc[-1]:
        logging.getLogger("forecasting").warning("Newest night: %s", runs["note"].iloc[-1])
    return BacktestResult(
        symbol=symbol,
        target=settings.target,
        origins=days,
        target_sessions=target_sessions,
        actual=np.asarray(known, dtype=np.float64).reshape(target_sessions.shape),
        issued=_quantiles(published, origins),
        baselines={
            name: _quantiles(forecasts[forecaster == name], origins) for name in rules.baselines
        },
        nights=_counts(published, models, runs),
        seconds=time.perf_counter() - started,
        dollars=dollars,
        totals=of_totals,
        rivals={
            name: _quantiles(forecasts[forecaster == name], origins)
            for name in settings.rivals
            if (forecaster == name).any()
        },
        earnings_dates=_dates_by_list(events, bars),
    )


def _quantiles(
    forecasts: pd.DataFrame, origins: Sequence[date], horizons: Sequence[int] = HORIZONS
) -> Floats:
    """(n, H, Q) the quantiles of rows of table forecasts, NaN where there is none."""
    quantiles = forecasts.set_index(["origin_session", "horizon"])[list(QUANTILE_COLUMNS)]
    each = pd.MultiIndex.from_product([pd.to_datetime([*origins]), pd.Index(horizons)])
    shape = (len(origins), len(horizons), len(QUANTILE_COLUMNS))
    return quantiles.reindex(each).to_numpy(dtype=np.float64).reshape(shape)


def _counts(published: pd.DataFrame, models: pd.DataFrame, runs: pd.DataFrame) -> dict[str, int]:
    """How many nights published the network or a baseline, and how many fits were made how."""
    fallbacks = int((published["status"] == "fallback").sum()) // len(HORIZONS)
    fits: dict[str, int] = {mode: int((runs["mode"] == mode).sum()) for mode in FITS}
    passed = (models["name"] == LSTM) & (models["refused"] == "")
    return {
        "network": len(runs) - fallbacks,
        "fallback": fallbacks,
        **fits,
        "refused": sum(fits.values()) - int(passed.sum()),
    }


def _dates_by_list(events: pd.DataFrame, bars: pd.DataFrame) -> dict[str, int]:
    """How many earnings dates up to the newest bar come from which list, the most first."""
    if events.empty:
        return {}
    counts = events.loc[events["session"] <= bars.index[-1], "source"].value_counts()
    return {source_name(str(source)): int(count) for source, count in counts.items()}
