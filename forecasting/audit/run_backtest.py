"""Backtests of the symbols of a command: their series are requested, their figures may be kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from joblib import Parallel, cpu_count, delayed

from forecasting.audit.backtest import BacktestSpec, Bar, backtest, no_bar
from forecasting.audit.series import load_series, market_series
from forecasting.evaluate.figures import MIN_PAIRS, BacktestResult
from forecasting.ingest.event_files import check_events
from forecasting.night.run_log import code_version
from forecasting.report.documents import json_text
from forecasting.settings import Outcomes, Settings, each_symbol
from forecasting.store import connect, migrate, write
from forecasting.store.files import check_writable, write_whole
from forecasting.store.rows import ModelRow
from forecasting.train.checkpoint import SEED
from forecasting.vocabulary import Clock, short_id

SpecOf = Callable[[Settings], BacktestSpec]  # What is worked off of a symbol, by its settings
Run = Callable[..., BacktestResult]  # The backtest of a series that has been requested
Documented = tuple[BacktestResult, dict[str, Any]]


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


def loaded(spec: BacktestSpec, *, now: Clock) -> Run:
    """The backtest on the whole series of its symbol and the market, which are requested."""
    bars, events, _ = load_series(spec.settings, last=None, now=now)
    market = market_series(spec.settings, now=now)
    return partial(backtest, bars, events, spec=spec, market=market)


def run_backtest(spec: BacktestSpec, *, now: Clock) -> dict[str, Any]:
    """The result document of a backtest, whose figures are then in table metrics."""
    migrate.check_ready(spec.settings.url)
    result = loaded(spec, now=now)()
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
    """The result document of each symbol, of all of which `out` is written as JSON.

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
    requested = each_symbol(settings, lambda one: loaded(spec_of(one), now=now))
    outcomes = Outcomes[dict[str, Any]](errors=requested.errors)
    for name, of_one in _ended(settings, requested.values, workers=workers, bar=bar):
        for error in of_one.errors.values():
            outcomes.errors[name] = error
        for result, document in of_one.values.values():
            outcomes.values[name] = document
            if store:
                add_metrics(result, spec_of(settings.series[name]), now=now)
    if out is not None and outcomes.values:
        _write_documents(out, settings, list(outcomes.values.values()))
    return outcomes


def _ended(
    settings: Settings, runs: dict[str, Run], *, workers: int, bar: Bar
) -> Iterator[tuple[str, Outcomes[Documented]]]:
    """What came of each run, by name, in processes side by side or in this one."""
    processes = min(workers or cpu_count(), len(settings.series))
    show: Bar = no_bar
    of_one = bar
    if processes > 1:
        show = bar
        of_one = no_bar
    tasks = [
        delayed(each_symbol)(settings.series[name], partial(_documented, run, of_one))
        for name, run in runs.items()
    ]
    with show(f"{len(settings.series)} backtests") as advance:
        ended = Parallel(n_jobs=processes, return_as="generator")(tasks)
        for done, (name, outcomes) in enumerate(zip(runs, ended, strict=True), start=1):
            yield name, outcomes
            advance(done, len(tasks))


def _write_documents(out: Path, settings: Settings, documents: list[dict[str, Any]]) -> None:
    text = json_text(documents[0] if len(settings.series) == 1 else documents) + "\n"
    write_whole(out, lambda draft: draft.write_text(text, encoding="utf-8"))


def _documented(run: Run, bar: Bar, own: Settings) -> Documented:
    with bar(own.full_name) as advance:
        result = run(progress=advance)
    return result, result.document()


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
    metrics = [{**row, "model_id": model_id, "run_id": model_id} for row in result.metric_rows()]
    with connect.transaction(settings.url) as connection:
        write.add(connection, "models", asdict(model))
        write.add(connection, "metrics", *metrics)
