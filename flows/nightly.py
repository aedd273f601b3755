"""The night as a Prefect flow: its five tasks, for a batch of symbols at a time."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import partial
from itertools import chain
from typing import Annotated, Any

from prefect import flow, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from pydantic import Field

from flows import clock, reporting
from flows.parameters import narrowed
from flows.progress import Work, shown_nights
from flows.runners import batch_runner
from forecasting.errors import DataLateError, ForecastingError, LockedError, NoBarError, explained
from forecasting.night.health import nothing_new
from forecasting.night.night import Night, RunOptions
from forecasting.night.plan import planned_nights
from forecasting.night.run import Step, batches, begun_nights, ledger, lost, run_batch, workers_of
from forecasting.publish.pages import update_index
from forecasting.publish.runs import published_step
from forecasting.report.prefect import guide, subject_tags
from forecasting.settings import Settings
from forecasting.store import connect, lock
from forecasting.vocabulary import Mode, Target

step = partial(task, cache_policy=NO_CACHE, retries=0, task_run_name=reporting.step_run_name)


@step
def ingest(nights: list[Night]) -> list[Night]:
    """The nights, once the bars of their symbols are up to date."""
    return run_step("ingest", nights)


@step
def preprocess(nights: list[Night]) -> list[Night]:
    """The nights with their features and windows."""
    return run_step("preprocess", nights)


@step
def train(nights: list[Night]) -> list[Night]:
    """The nights with their fits."""
    return run_step("train", nights)


@step
def predict(nights: list[Night]) -> list[Night]:
    """The nights, once their forecasts are written."""
    return run_step("predict", nights)


@step
def evaluate(nights: list[Night]) -> list[Night]:
    """The nights, once closed sessions are scored and the pages are written."""
    return run_step("evaluate", nights)


@step
def batch(nights: list[Night], work: Work, session: int | None) -> list[Night]:
    """The nights of some symbols as they ended.

    Args:
        nights: They share nothing with those of other batches.
        work: That of the run, which shows them.
        session: On Postgres that with the lock of the run.
    """
    with reporting.readable_errors():
        return run_batch(nights, partial(call_task, work), session)


@flow(
    name="nightly",
    description=guide("nightly"),
    flow_run_name=reporting.flow_run_name,
    on_failure=[reporting.send_failed_run],
    retries=0,
)
def nightly(
    symbols: list[str] | None = None,
    target: Target | list[Target] | None = None,
    source: str | None = None,
    events: str | None = None,
    market: str | None = None,
    first: date | None = None,
    last: date | None = None,
    mode: Mode = "auto",
    refit_every: Annotated[int, Field(ge=1)] = 1,
    switch_source: bool = False,
) -> Any:
    """Bring bars up to date, fit a network, forecast five sessions, score closed ones.

    Args:
        symbols: Symbols as Yahoo writes them; without it those of FORECASTING_SYMBOLS.
        target: volume or range, or a list of both; without it FORECASTING_TARGETS.
        source: yahoo, sample, an installed NAME or a file in FORECASTING_FILES; without it
            FORECASTING_SOURCE.
        events: yahoo, or a .csv file in FORECASTING_FILES; without it FORECASTING_EVENTS,
            else the source's.
        market: A symbol of the source, none, or a file inside FORECASTING_FILES; without it
            FORECASTING_MARKET.
        first: Oldest session of a span; without it the one after the newest finished night.
        last: Newest session, after which no bar is used; without it the newest completed one.
        mode: auto, scratch, warm or skip.
        refit_every: Sessions of a span between fits.
        switch_source: Allow bars of another source for a symbol that has some.
    """
    with reporting.readable_errors():
        settings = narrowed(
            symbols=symbols, targets=target, source=source, events=events, market=market
        )
        trigger = reporting.trigger(is_span=first != last)
        options = RunOptions(first, last, mode, refit_every, switch_source, trigger)
        reporting.add_tags(subject_tags(settings.symbols, settings.targets))
        try:
            with lock.night_lock(settings.url), ledger(settings):
                planned = planned_nights(settings, options, now=clock.now)
                nights = run_batches(planned, settings)
        except LockedError as refusal:
            if trigger != "schedule":
                raise
            return reporting.skipped(refusal)
    return reporting.last_state(
        nights,
        settings,
        done=reporting.publish_outcomes(settings, nights),
        nothing=partial(nothing_new, settings, options, now=clock.now),
    )


def run_batches(planned: list[Night], settings: Settings) -> list[Night]:
    """The nights of a plan as they ended; the batches are tasks of Prefect's task runner."""
    named = [replace(night, flow_run_id=runtime.flow_run.id) for night in planned]
    work = shown_nights()
    work.total = len(named)
    begun = begun_nights(named)
    session = connect.lock_of(settings.url)
    workers = workers_of(settings, begun)
    with batch_runner(settings, workers) as runner:
        submitted = [
            (some, runner.submit(batch, {"nights": some, "work": work, "session": session}))
            for some in batches(begun, workers)
        ]
        ended = [ended_batch(some, future) for some, future in submitted]
    nights = [*chain(*ended), *(night for night in planned if night.error is not None)]
    update_index(settings, nights)
    return nights


def ended_batch(nights: list[Night], future: PrefectFuture[list[Night]]) -> list[Night]:
    """The nights of a batch as they ended."""
    try:
        return future.result()
    except Exception as error:  # a night's own is with it
        return lost(nights, error)


class NightsFailedError(ForecastingError):
    """Every night of a task failed, and so does the task in Prefect's list; the flow goes on."""

    def __init__(self, nights: list[Night]) -> None:
        """Carry the nights, each with its error; the message is that of the first."""
        super().__init__(str(nights[0].error))
        self.nights = nights


def run_step(name: Step, nights: list[Night]) -> list[Night]:
    """The nights of a task; a NightsFailedError where all failed, and none for a missing bar."""
    done = published_step(name, nights)
    reporting.publish_artifacts(done)
    if not any(isinstance(night.error, DataLateError | NoBarError | None) for night in done):
        raise NightsFailedError(done)
    return done


def call_task(work: Work, name: Step, nights: list[Night]) -> list[Night]:
    """The nights after one of the five tasks, which `work` shows."""
    if name != "evaluate" and all(night.error for night in nights):
        return nights
    work.step(nights, name)
    tasks: dict[Step, Callable[[list[Night]], list[Night]]] = {
        "ingest": ingest,
        "preprocess": preprocess,
        "train": train,
        "predict": predict,
        "evaluate": evaluate,
    }
    try:
        done = tasks[name](nights)
    except NightsFailedError as failed:
        done = failed.nights
    except Exception as error:  # of Prefect's server
        ours = explained(error)
        done = [replace(night, error=night.error or ours) for night in nights]
    if name == "evaluate":
        work.end(done)
    return done
