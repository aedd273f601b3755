"""Backtests of the symbols of a command: their series are requested, their figures may be kept."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

from joblib import Parallel, cpu_count, delayed

from forecasting.audit.backtest import BacktestSpec, Bar, backtest, no_bar, origins_of
from forecasting.audit.series import load_series, market_series
from forecasting.errors import ForecastingError, explained
from forecasting.evaluate.figures import MIN_PAIRS, BacktestResult, BacktestSummary, figure_frame
from forecasting.ingest.event_files import check_events
from forecasting.night.run_log import code_version
from forecasting.report.documents import backtest_document, json_text
from forecasting.settings import Outcomes, Settings, each_symbol
from forecasting.store import connect, migrate, write
from forecasting.store.files import check_writable, write_text
from forecasting.store.rows import ModelRow
from forecasting.train.checkpoint import SEED
from forecasting.vocabulary import Clock, Progress, short_id

SpecOf = Callable[[Settings], BacktestSpec]  # What is worked off of a symbol, by its settings


@dataclass(frozen=True)
class Planned:
    """The backtest of a series that has been requested, and how many nights it has."""

    run: Callable[..., BacktestResult]
    nights: int


def backtest_spec(
    settings: Settings, first: date | None, last: date | None, *, refit_every: int
) -> BacktestSpec:
    """Which nights of the settings' first symbol and target: enough for the figures.

    Days as of `BacktestSpec`.
    """
    return BacktestSpec(
        settings.for_symbol(settings.symbol).for_target(settings.target),
        first,
        last,
        refit_every,
        min_origins=MIN_PAIRS,
    )


def planned(spec: BacktestSpec, *, now: Clock) -> Planned:
    """The backtest on the whole series of its symbol and the market, which are requested."""
    bars, events, _ = load_series(spec.settings, last=None, now=now)
    market = market_series(spec.settings, now=now)
    run = partial(backtest, bars, events, spec=spec, market=market)
    return Planned(run, len(origins_of(bars, spec)))


def results(
    each: Mapping[str, Planned], *, workers: int = 0, bar: Bar = no_bar
) -> Iterator[tuple[str, BacktestResult | ForecastingError]]:
    """What came of each backtest, by name, in processes side by side or in this one.

    Args:
        each: The backtests.
        workers: Processes, at most one a backtest; 0 for one a core.
        bar: Shows the progress.
    """
    processes = max(1, min(workers or cpu_count(), len(each)))
    with bar("nights", sum(one.nights for one in each.values())) as advance:
        tasks = (delayed(_result)(one, advance) for one in each.values())
        ended = Parallel(n_jobs=processes, return_as="generator")(tasks)
        yield from zip(each, ended, strict=True)


def _result(one: Planned, advance: Progress) -> BacktestResult | ForecastingError:
    try:
        return one.run(progress=advance)
    except Exception as error:  # whatever it is, it is this one's
        return explained(error)


def run_backtest(spec: BacktestSpec, *, now: Clock) -> BacktestSummary:
    """What is shown of a backtest, whose figures are then in table metrics."""
    migrate.check_ready(spec.settings.url)
    result = planned(spec, now=now).run()
    add_metrics(result, spec, now=now)
    return result.summary()


def run_each(  # noqa: PLR0913 - as the command's options
    settings: Settings,
    spec_of: SpecOf,
    *,
    store: bool,
    workers: int,
    now: Clock,
    bar: Bar = no_bar,
    out: Path | None = None,
) -> Outcomes[BacktestSummary]:
    """What is shown of each symbol's backtest, which `out` then has as JSON.

    Args:
        settings: Their symbols and target.
        spec_of: Which nights of a symbol, by its settings.
        store: Whether the figures go to table metrics.
        workers: Processes; 0 for one a core.
        now: The clock that says which sessions are over.
        bar: Shows the progress.
        out: A path; None for none.
    """
    check_events(settings.events, settings.symbols)
    if out is not None:
        check_writable(out)
    if store:
        migrate.check_ready(settings.url)
    # Requested here, one after the other: a source is asked at the pace of one process.
    requested = each_symbol(settings, lambda one: planned(spec_of(one), now=now))
    outcomes = Outcomes[BacktestSummary](errors=requested.errors)
    for name, result in results(requested.values, workers=workers, bar=bar):
        if isinstance(result, ForecastingError):
            outcomes.errors[name] = result
            continue
        outcomes.values[name] = result.summary()
        if store:
            add_metrics(result, spec_of(settings.series[name]), now=now)
    if out is not None and outcomes.values:
        documents = [backtest_document(summary) for summary in outcomes.values.values()]
        write_text(out, json_text(documents[0] if len(settings.series) == 1 else documents) + "\n")
    return outcomes


def add_metrics(result: BacktestResult, spec: BacktestSpec, *, now: Clock) -> None:
    """Add the figures to table metrics, once, under a row of models that names the backtest."""
    settings = spec.settings
    span = (result.origins[0], result.origins[-1])
    about = [settings.target, *span, spec.refit_every, settings.forecast_key]
    model_id = short_id("backtest", spec.symbol, *map(str, about), "published")
    model = ModelRow(
        id=model_id,
        name="backtest",
        version=f"every {spec.refit_every}",
        method="backtest",
        symbol=spec.symbol,
        target=settings.target,
        scope="symbol",
        seed=SEED,
        code_version=code_version(),
        created_at=now(),
        seconds=result.seconds,
    )
    with connect.transaction(settings.url) as connection:
        write.add(connection, "models", model)
        ids = {"model_id": model_id, "run_id": model_id}
        write.add_frame(connection, "metrics", figure_frame(result), **ids)
