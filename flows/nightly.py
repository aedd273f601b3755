"""The night as a Prefect flow: its five tasks, for every missed session, oldest first."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any

from prefect import flow, runtime, task
from prefect.cache_policies import NO_CACHE

from flows import clock, reporting
from flows.progress import nights_bar
from forecasting.errors import DataLateError, ForecastingError, LockedError, NoBarError, explained
from forecasting.night.health import nothing_new
from forecasting.night.night import Night
from forecasting.night.parameters import narrowed
from forecasting.night.plan import planned_nights
from forecasting.night.run import Caller, Step, call_step, ledger
from forecasting.publish.runs import run_published
from forecasting.report.prefect import guide, subject_tags
from forecasting.settings import Settings
from forecasting.store import lock
from forecasting.vocabulary import Mode, Target

step = partial(
    task,
    cache_policy=NO_CACHE,
    retries=0,
    task_run_name=reporting.step_run_name,
)


@step
def ingest(nights: list[Night], targets: tuple[Target, ...], switch_source: bool) -> list[Night]:
    """The nights, the bars of their symbols brought up to date."""
    return run_step(
        "ingest",
        nights,
        targets,
        switch_source,
    )


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
    """The nights, their forecasts written."""
    return run_step("predict", nights)


@step
def evaluate(nights: list[Night], publish: Callable[[Night], Night]) -> list[Night]:
    """The nights, closed sessions scored, the decision made and the page written."""
    return run_step("evaluate", nights, publish)


@flow(
    name="nightly",
    description=guide("nightly"),
    flow_run_name=reporting.flow_run_name,
    on_failure=[reporting.send_failed],
    retries=0,
)
def nightly(
    symbols: list[str] | None = None,
    target: Target | list[Target] | None = None,
    source: str | None = None,
    events: str | None = None,
    market: str | None = None,
    as_of: date | None = None,
    mode: Mode = "auto",
    switch_source: bool = False,
) -> Any:
    """Bring bars up to date, fit a network, forecast five sessions, score closed ones.

    Args:
        symbols: Symbols as Yahoo writes them; without it those of FORECASTING_SYMBOLS.
        target: volume or range, or a list of them; without it FORECASTING_TARGETS.
        source: yahoo, sample, an installed NAME or a file in FORECASTING_FILES; without it
            FORECASTING_SOURCE.
        events: yahoo, or dates as csv:PATH in FORECASTING_FILES; without it FORECASTING_EVENTS,
            else the source's.
        market: A symbol of the source, none, or a file inside FORECASTING_FILES; without it
            FORECASTING_MARKET.
        as_of: The newest session whose bar may be used; without it the newest completed one and all
            missed before it.
        mode: auto, scratch, warm or skip.
        switch_source: Allow bars of another source for a symbol that has some.
    """
    with reporting.readable_errors():
        settings = narrowed(
            symbols=symbols,
            target=target,
            source=source,
            events=events,
            market=market,
        )
        reporting.add_tags(subject_tags(settings.symbols, settings.targets))
        try:
            with lock.night_lock(settings.url), ledger(settings):
                planned = planned_nights(
                    settings,
                    as_of=as_of,
                    mode=mode,
                    now=clock.now,
                    trigger=reporting.trigger(),
                )
                nights = run_nights(planned, settings, switch_source=switch_source)
        except LockedError as refusal:
            if reporting.trigger() != "schedule":
                raise
            return reporting.skipped(refusal)
    return reporting.last_state(
        nights,
        settings,
        done=reporting.publish_outcomes(settings, nights),
        nothing=partial(
            nothing_new,
            settings,
            as_of=as_of,
            now=clock.now,
        ),
    )


def run_nights(
    planned: list[Night], settings: Settings, *, switch_source: bool = False
) -> list[Night]:
    """The nights as they ended, each step a task."""
    begun = nights_bar().begun(
        [replace(night, flow_run_id=runtime.flow_run.id) for night in planned]
    )
    return run_published(
        begun,
        settings,
        Caller(call=call_task, after=after_nights),
        now=clock.now,
        switch_source=switch_source,
    )


def after_nights(nights: Sequence[Night]) -> None:
    """Show that nights have ended, and what they found."""
    nights_bar().end(nights)
    reporting.publish_artifacts(nights)


class NightsFailedError(ForecastingError):
    """Every night of a task failed, and so does the task in Prefect's list; the flow goes on."""

    def __init__(self, nights: list[Night]) -> None:
        """Carry the nights, each with its error; the message is that of the first."""
        super().__init__(str(nights[0].error))
        self.nights = nights


def run_step(name: Step, nights: list[Night], *more: Any) -> list[Night]:
    """The nights of a task; a NightsFailedError where all failed, and none for a missing bar."""
    done = call_step(name, nights, *more)
    if not any(isinstance(night.error, DataLateError | NoBarError | None) for night in done):
        raise NightsFailedError(done)
    return done


def call_task(name: Step, nights: list[Night], *more: Any) -> list[Night]:
    """The nights after one of the five tasks."""
    if name != "evaluate" and all(night.error for night in nights):  # also without any
        return nights
    nights_bar().step(nights, name)
    tasks: dict[Step, Callable[..., Any]] = {
        "ingest": ingest,
        "preprocess": preprocess,
        "train": train,
        "predict": predict,
        "evaluate": evaluate,
    }
    try:
        return tasks[name](nights, *more)
    except NightsFailedError as failed:
        return failed.nights
    except Exception as error:  # of Prefect's server
        return [replace(night, error=night.error or explained(error)) for night in nights]
