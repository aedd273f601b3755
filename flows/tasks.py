"""The Prefect tasks of a night: the five steps, and two that only score; each gives settings and clock to the pipeline.

A task works on a shard of one night. Only ids, paths and counts travel between tasks. None is retried by Prefect:
only ingest makes requests, and the pause before the next one depends on the response (`forecasting/pipeline/retry.py`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from prefect import runtime, task
from prefect.cache_policies import NO_CACHE

from flows import clock
from flows.operations.artifacts import publish_artifacts
from flows.operations.events import emit_outcomes
from flows.progress import show_stage
from forecasting.pipeline import evaluate as evaluate_step
from forecasting.pipeline import ingest as ingest_step
from forecasting.pipeline import predict as predict_step
from forecasting.pipeline import preprocess as preprocess_step
from forecasting.pipeline import publish as publish_step
from forecasting.pipeline import train as train_step
from forecasting.pipeline.night_run import NightInputs, NightRun, NightSpec, night_run
from forecasting.pipeline.other_series import fetch_other_series
from forecasting.pipeline.run_row import close_nights, timed
from forecasting.pipeline.shard import only
from forecasting.pipeline.unexpected import explained_errors
from forecasting.settings import read_settings


@task(task_run_name="ingest-{night.symbol}-{night.session}", cache_policy=NO_CACHE)
def ingest(
    night: NightSpec, *, newest: date | None = None, oldest: date | None = None, switch_source: bool = False
) -> str:
    """Bring the stored bars up to the night's session, or to the older `newest`; the id of the fetch.

    With `oldest`, the session of the oldest night that works on the same bars, they reach as far back as it needs.
    """
    with stage(night, "ingest") as run:
        fetch_other_series([run], oldest=oldest, switch_source=switch_source)
        return only(ingest_step.fetch_and_store([run], last=newest, oldest=oldest, switch_source=switch_source))


@task(task_run_name="preprocess-{night.symbol}-{night.session}", cache_policy=NO_CACHE)
def preprocess(night: NightSpec) -> NightInputs:
    """Write the windows as known at the night's session; their path and the fetch they are made of."""
    with stage(night, "preprocess") as run:
        return only(preprocess_step.write_windows([run]))


@task(task_run_name="train-{night.symbol}-{night.session}", cache_policy=NO_CACHE)
def train(night: NightSpec, inputs: NightInputs) -> str:
    """Fit tonight's challenger; its model id, or an empty text when the night fits none."""
    with stage(night, "train") as run:
        return only(train_step.fit_challengers([run], [inputs]))


@task(task_run_name="predict-{night.symbol}-{night.session}", cache_policy=NO_CACHE)
def predict(night: NightSpec, inputs: NightInputs, challenger_id: str) -> int:
    """Write the forecasts of champion, challenger and baselines; the number of rows."""
    with stage(night, "predict") as run:
        return only(predict_step.write_forecasts([run], [inputs], [challenger_id]))


@task(task_run_name="evaluate-{night.symbol}-{night.session}", cache_policy=NO_CACHE)
def evaluate(night: NightSpec, inputs: NightInputs) -> int:
    """Score closed sessions, decide on the champion, write the report; the number of scores."""
    with stage(night, "evaluate") as run:
        scored = only(evaluate_step.score_and_decide([run], [inputs]))
        publish(run)
    emit_outcomes(run)
    close_nights([run])
    return scored


@task(task_run_name="score-{night.symbol}-{night.session}", cache_policy=NO_CACHE)
def score(night: NightSpec) -> int:
    """Score closed sessions on a night that could not forecast; the number of scores."""
    return only(evaluate_step.score_and_decide([run_of(night)], [None]))


@task(task_run_name="score-only-{night.symbol}-{night.session}", cache_policy=NO_CACHE)
def score_only(night: NightSpec) -> int:
    """Score closed sessions and write the report, on a night whose bar did not come; the number of scores."""
    run = run_of(night)
    scored = only(evaluate_step.score_and_decide([run], [None]))
    publish(run)
    return scored


def run_of(night: NightSpec) -> NightRun:
    """The night under the settings in force, with the real clock and the id of this flow run."""
    return night_run(night, read_settings(), now=clock.now, flow_run_id=runtime.flow_run.id)


@contextmanager
def stage(night: NightSpec, name: str) -> Iterator[NightRun]:
    """Show and time the block as a stage of the night.

    Raises:
        ForecastingError: Of the block; any other exception in one paragraph, so that other symbols' nights go on.
    """
    show_stage(night, name)
    run = run_of(night)
    with explained_errors(clock.now), timed([run], name):
        yield run


def publish(run: NightRun) -> None:
    """Write the report page and, on a Prefect run, its artifacts."""
    page = only(publish_step.publish_pages([run]))
    publish_artifacts(page.data, page.path)
