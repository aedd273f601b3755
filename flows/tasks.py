"""The five tasks of a night, as Prefect sees them. What each does stands in `flows/steps`, in the file of its name.

Only ids, paths and counts travel between them. None is retried by Prefect: ingest alone asks the world outside, and how
long to wait before it asks again depends on the answer (`flows/work.py`).
"""

from datetime import date

from prefect import runtime, task
from prefect.cache_policies import NO_CACHE

from flows.events import tell_night
from flows.night import Night
from flows.steps import companions as companions_step
from flows.steps import evaluate as evaluate_step
from flows.steps import ingest as ingest_step
from flows.steps import predict as predict_step
from flows.steps import preprocess as preprocess_step
from flows.steps import train as train_step
from flows.steps.run_row import stage


@task(task_run_name="ingest-{night.symbol}-{night.session}", cache_policy=NO_CACHE)
def ingest(night: Night, *, newest: date | None = None, switch_source: bool = False) -> str:
    """Bring the stored bars up to the night's session, or to the older `newest`; the id of the fetch that did it."""
    settings = night.settings()
    with stage(night, settings, "ingest"):
        companions_step.bring(night, settings, switch_source=switch_source)
        return ingest_step.fetch_and_store(
            night, settings, newest=newest, switch_source=switch_source, flow_run_id=runtime.flow_run.id
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


@task(task_run_name="stand-still-{night.symbol}-{night.session}", cache_policy=NO_CACHE)
def stand_still(night: Night) -> int:
    """Score what has closed and show it, on a night whose bar did not come; the number of scores."""
    settings = night.settings()
    scored = evaluate_step.score_and_decide(night, settings)
    evaluate_step.publish(night, settings)
    return scored


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
