"""The Prefect tasks of a night: each step of a shard, and a shard as a whole where another process runs it.

Only ids, paths and counts travel between processes. None is retried by Prefect, whatever PREFECT_TASKS_DEFAULT_RETRIES
says: the pause before the next request depends on the response (`forecasting/pipeline/retry.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from prefect import context, runtime, task
from prefect.cache_policies import NO_CACHE

from flows import clock
from flows.operations.artifacts import publish_artifacts
from flows.operations.logs import readable_errors
from flows.progress import show_stage
from forecasting.pipeline import night_steps
from forecasting.pipeline.night_run import NightRun, night_run
from forecasting.pipeline.night_shard import Finished, Shard, every_night_failed, finished, name_of, runs_of
from forecasting.pipeline.shard import Outcome
from forecasting.pipeline.unexpected import explained, explained_errors
from forecasting.pipeline.without_bar import RunOf
from forecasting.settings import Settings, read_settings
from forecasting.store import database

Value = TypeVar("Value")


@task(task_run_name="shard-{shard.name}", cache_policy=NO_CACHE, retries=0)
def shard_of_nights(shard: Shard) -> list[Finished]:
    """Run a shard in a worker's process, under the settings that it finds there."""
    with readable_errors(), context.TagsContext():  # it has the slot of a limited tag, for which steps would wait
        return run_shard(shard)


def run_shard(shard: Shard) -> list[Finished]:
    """Run the nights of a shard, whose bars are stored, each step as a Prefect task; how each one ended."""
    try:
        settings = read_settings()
        with database.kept_open(settings.url):
            nights = runs_of(shard, settings, now=clock.now, flow_run_id=runtime.flow_run.id)
            publish = partial(publish_artifacts, symbols=shard.symbols)
            return finished(night_steps.run_shard(nights, step=as_task, publish=publish), now=clock.now)
    except Exception as error:  # as a database that cannot be reached
        return every_night_failed(shard, explained(error, now=clock.now))


@task(cache_policy=NO_CACHE, retries=0)
def step(work: Callable[[], None]) -> None:
    """Do the work of a step."""
    work()


def as_task(stage: str, runs: Sequence[NightRun], work: Callable[[], list[Outcome[Value]]]) -> list[Outcome[Value]]:
    """Run a step as a Prefect task, which fails where all of its nights do; an error of each in one paragraph."""
    nights, outcomes = [run.spec for run in runs], list[Outcome[Value]]()

    def explained_work() -> None:
        with explained_errors(clock.now):
            outcomes.extend(work())
        outcomes[:] = [replace(one, error=one.error and explained(one.error, now=clock.now)) for one in outcomes]
        if all(one.error for one in outcomes):
            outcomes[0].get()

    show_stage(nights, stage)
    named = step.with_options(name=stage, task_run_name=f"{stage}-{name_of(nights)}")
    try:
        named(explained_work)
    except Exception:
        if not outcomes:  # the database, or Prefect, stopped all of them
            raise
    return outcomes


def runs_under(settings: Settings) -> RunOf:
    """Makes the run of a night under the settings, with the real clock and the id of this flow run."""
    return lambda night: night_run(night, settings, now=clock.now, flow_run_id=runtime.flow_run.id)
