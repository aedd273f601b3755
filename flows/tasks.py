"""The five tasks of a night, as Prefect sees them. What each does stands in `flows/steps`, in the file of its name.

Only ids, paths and counts travel between them. Retries are on ingest alone: it is the only one that asks the world
outside, and everything after it would fail the same way again.
"""

from prefect import runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State

from flows.events import tell_night, telling_late
from flows.night import Night
from flows.steps import evaluate as evaluate_step
from flows.steps import ingest as ingest_step
from flows.steps import predict as predict_step
from flows.steps import preprocess as preprocess_step
from flows.steps import train as train_step
from flows.steps.run_row import stage
from forecasting.errors import DataLateError, RateLimitedError, UnavailableError

PATIENT_DELAYS_S = [60.0, 300.0, 900.0, 1800.0, 1800.0, 1800.0, 3600.0, 3600.0]
"""Pauses between attempts of an unattended ingest: a rate limit wants half an hour, a late bar wants hours."""

HASTY_DELAYS_S = [2.0]
"""The same for a person who waits at a terminal."""


def may_help(_task: object, _run: object, state: State[object]) -> bool:
    """Whether trying the ingest again can help: not for a malformed file or an unknown symbol."""
    return isinstance(state.result(raise_on_failure=False), RateLimitedError | UnavailableError | DataLateError)


def may_help_soon(_task: object, _run: object, state: State[object]) -> bool:
    """The same for a person who waits: a late bar will not come within seconds."""
    return isinstance(state.result(raise_on_failure=False), UnavailableError)


@task(
    task_run_name="ingest-{night.symbol}-{night.session}",
    retries=len(HASTY_DELAYS_S),
    retry_delay_seconds=HASTY_DELAYS_S,
    retry_condition_fn=may_help_soon,
    cache_policy=NO_CACHE,
)
def ingest(night: Night, *, switch_source: bool = False) -> str:
    """Bring the stored bars up to the night's session; the id of the fetch that did it."""
    settings = night.settings()
    with stage(night, settings, "ingest"), telling_late(night):
        return ingest_step.fetch_and_store(
            night, settings, switch_source=switch_source, flow_run_id=runtime.flow_run.id
        )


patient_ingest = ingest.with_options(
    retries=len(PATIENT_DELAYS_S), retry_delay_seconds=PATIENT_DELAYS_S, retry_condition_fn=may_help
)


@task(task_run_name="preprocess-{night.symbol}-{night.session}", cache_policy=NO_CACHE)
def preprocess(night: Night) -> str:
    """Write what may be known at the night's session into the run's folder; the path of the windows."""
    settings = night.settings()
    with stage(night, settings, "preprocess"):
        return preprocess_step.write_windows(night, settings, flow_run_id=runtime.flow_run.id)


@task(task_run_name="train-{night.symbol}-{night.session}", cache_policy=NO_CACHE)
def train(night: Night, windows_path: str) -> str:
    """Fit tonight's challenger; its model id, or an empty text when the night fits none."""
    settings = night.settings()
    with stage(night, settings, "train"):
        return train_step.fit_challenger(night, settings, windows_path)


@task(task_run_name="predict-{night.symbol}-{night.session}", cache_policy=NO_CACHE)
def predict(night: Night, windows_path: str, challenger_id: str) -> int:
    """Write the forecasts of champion, challenger and baselines; the number of rows."""
    settings = night.settings()
    with stage(night, settings, "predict"):
        return predict_step.write_forecasts(night, settings, windows_path, challenger_id=challenger_id)


@task(task_run_name="score-{night.symbol}-{night.session}", cache_policy=NO_CACHE)
def score(night: Night) -> int:
    """Score what has closed on a night that could not forecast; the number of scores."""
    return evaluate_step.score_and_decide(night, night.settings())


@task(task_run_name="evaluate-{night.symbol}-{night.session}", cache_policy=NO_CACHE)
def evaluate(night: Night) -> int:
    """Score what has closed, decide who speaks next, write the report; the number of scores."""
    settings = night.settings()
    with stage(night, settings, "evaluate"):
        scored = evaluate_step.score_and_decide(night, settings)
        evaluate_step.publish(night, settings)
    tell_night(night, settings)
    evaluate_step.close_night(night, settings)
    return scored
