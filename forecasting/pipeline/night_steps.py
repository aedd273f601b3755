"""The steps of a shard's nights in their order, and all nights of a shard, oldest first.

How a step is run is the caller's: `flows` makes a Prefect task of each, a notebook calls it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import date
from typing import Protocol, TypeVar

from forecasting.pipeline import shard
from forecasting.pipeline.evaluate import score_and_decide
from forecasting.pipeline.ingest import fetch_and_store
from forecasting.pipeline.night_run import NightInputs, NightRun
from forecasting.pipeline.night_shard import in_turn
from forecasting.pipeline.other_series import fetch_other_series
from forecasting.pipeline.predict import write_forecasts
from forecasting.pipeline.preprocess import write_windows
from forecasting.pipeline.publish import PublishedPage, publish_pages
from forecasting.pipeline.run_row import close_nights, mark_failed, timed
from forecasting.pipeline.shard import Outcome
from forecasting.pipeline.witness import compare_with_witness
from forecasting.store.frames import python_strings

logger = logging.getLogger("forecasting.night")

Value = TypeVar("Value")
Result = TypeVar("Result")


class RunStep(Protocol):
    """How a step is run: its stage, its nights, and the work that gives an outcome for each."""

    def __call__(
        self, stage: str, runs: Sequence[NightRun], work: Callable[[], list[Outcome[Value]]]
    ) -> list[Outcome[Value]]:
        """The outcomes of `work`."""
        ...


Publish = Callable[[NightRun, PublishedPage], object]
"""Called with each night whose page is written, before the night is closed."""


def directly(stage: str, runs: Sequence[NightRun], work: Callable[[], list[Outcome[Value]]]) -> list[Outcome[Value]]:
    """The outcomes of a step, run as the function it is."""
    return work()


def bring_up_to_date(
    runs: Sequence[NightRun],
    *,
    last: date | None = None,
    oldest: date | None = None,
    switch_source: bool = False,
    step: RunStep = directly,
) -> list[Outcome[str]]:
    """The id of the fetch that brought each night's bars up to its session; market series and companions come before.

    The stored bars are then compared with a witness (FORECASTING_WITNESS).

    The arguments are those of `fetch_and_store`.
    """

    def work() -> list[Outcome[str]]:
        fetch_other_series(runs, oldest=oldest, switch_source=switch_source)
        fetched = fetch_and_store(runs, last=last, oldest=oldest, switch_source=switch_source)
        compare_with_witness(fetched)
        return fetched

    return _run("ingest", runs, work, step)


def run_shard(
    nights: Sequence[Sequence[NightRun]], *, step: RunStep = directly, publish: Publish = lambda run, page: None
) -> list[Outcome[str]]:
    """The outcome of every night whose bars are stored: the first of each symbol, then the second, and so on.

    A night that fails does not hold up the later ones, tonight or on any night after.

    Args:
        nights: Of each symbol, oldest first.
        step: How a step is run.
        publish: See `Publish`.
    """
    return [outcome for some in in_turn(nights) for outcome in finish_nights(some, step=step, publish=publish)]


def finish_nights(
    runs: Sequence[NightRun], *, step: RunStep = directly, publish: Publish = lambda run, page: None
) -> list[Outcome[str]]:
    """The run's id of each night that is done, one a symbol, or the error that stopped it: the steps after ingest.

    Scoring needs the store alone, so a failed fit or forecast does not stop it.
    """
    inputs = _run("preprocess", runs, lambda: write_windows(runs), step)
    fitted = _next("train", inputs, _fit, step)
    issued = _next("predict", fitted, _forecast, step)
    shown = _next("evaluate", issued, lambda some, given: _evaluate(some, given, publish), step)
    done = _closed(shown)
    for one in done:
        if one.error is not None:
            mark_failed(one.run, one.error)
    cut_off = [one.run for one in issued if one.error is not None]
    for scored in _step("score", cut_off, lambda: score_and_decide(cut_off, [None] * len(cut_off)), step):
        if scored.error is not None:  # beside the error that stopped the night, which is the outcome
            spec = scored.run.spec
            logger.error("%s %s: its closed sessions were not scored: %s", spec.symbol, spec.session, scored.error)
    return done


def score_only(runs: Sequence[NightRun], *, step: RunStep, publish: Publish) -> list[Outcome[NightRun]]:
    """Closed sessions scored and the report written, on nights whose bar did not come."""
    return _step("score", runs, lambda: _evaluate(runs, [None] * len(runs), publish), step)


def _fit(runs: list[NightRun], inputs: list[NightInputs]) -> list[Outcome[tuple[NightInputs, str]]]:
    from forecasting.pipeline.train import fit_challengers  # takes torch: a process that waits for nights needs none

    made = dict(zip([run.id for run in runs], inputs, strict=True))
    return shard.compute_each(fit_challengers(runs, inputs), lambda run, model_id: (made[run.id], model_id))


def _forecast(runs: list[NightRun], fitted: list[tuple[NightInputs, str]]) -> list[Outcome[NightInputs]]:
    inputs, challengers = [one for one, _ in fitted], [model_id for _, model_id in fitted]
    made = dict(zip([run.id for run in runs], inputs, strict=True))
    return shard.compute_each(write_forecasts(runs, inputs, challengers), lambda run, _: made[run.id])


def _evaluate(
    runs: Sequence[NightRun], inputs: Sequence[NightInputs | None], publish: Publish
) -> list[Outcome[NightRun]]:
    """Scores, the decision and the page; what cannot be scored has no page either."""
    scored = score_and_decide(runs, inputs)
    pages = shard.pass_on(scored, lambda some, _: publish_pages(some))
    published = shard.compute_each(pages, publish)
    return shard.compute_each(published, lambda run, _: run)


def _closed(nights: list[Outcome[NightRun]]) -> list[Outcome[str]]:
    def close(runs: list[NightRun], _: list[NightRun]) -> list[Outcome[str]]:
        close_nights(runs)
        return [Outcome(run, run.id) for run in runs]

    try:
        return shard.pass_on(nights, close)
    except Exception as error:  # of the database, or of a file that cannot be deleted
        return [Outcome(one.run, error=one.error or error) for one in nights]


def _run(
    stage: str, runs: Sequence[NightRun], work: Callable[[], list[Outcome[Value]]], step: RunStep
) -> list[Outcome[Value]]:
    """The outcomes of a timed step."""

    def timed_work() -> list[Outcome[Value]]:
        with timed(runs, stage):
            return work()

    return _step(stage, runs, timed_work, step)


def _step(
    stage: str, runs: Sequence[NightRun], work: Callable[[], list[Outcome[Value]]], step: RunStep
) -> list[Outcome[Value]]:
    """The outcomes of a step, none without nights; an error of the database or of Prefect is every night's."""

    def plain_work() -> list[Outcome[Value]]:
        with python_strings():
            return work()

    try:
        return step(stage, runs, plain_work) if runs else []
    except Exception as error:
        return [Outcome(run, error=error) for run in runs]


def _next(
    stage: str,
    nights: list[Outcome[Value]],
    work: Callable[[list[NightRun], list[Value]], list[Outcome[Result]]],
    step: RunStep,
) -> list[Outcome[Result]]:
    """The outcomes of the next step, which the nights that failed before it pass by."""
    return shard.pass_on(nights, lambda runs, values: _run(stage, runs, lambda: work(runs, values), step))
