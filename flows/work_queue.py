"""Run every symbol's nights in shards; retry those whose bar is missing; at the deadline go on with the stored bars."""

import math
from collections.abc import Iterable, Sequence
from functools import partial

from flows import clock
from flows.operations.artifacts import publish_artifacts
from flows.operations.events import LATE, emit, name_state
from flows.progress import show_done, show_nights
from flows.runners import run_shards
from flows.tasks import as_task, runs_under
from forecasting.pipeline import retry
from forecasting.pipeline.night_run import NightSpec
from forecasting.pipeline.night_shard import in_turn, shards_of, size_of
from forecasting.pipeline.plan import is_done
from forecasting.pipeline.publish import update_index
from forecasting.pipeline.requests import Fetch, report_wait
from forecasting.pipeline.retry import Attempt
from forecasting.pipeline.run_outcomes import Outcomes
from forecasting.pipeline.without_bar import RunOf, go_on
from forecasting.settings import Settings

Nights = Sequence[NightSpec]
"""One symbol's, oldest first."""


def run_all(
    symbols: Sequence[Nights], settings: Settings, *, unattended: bool = False, switch_source: bool = False
) -> Outcomes:
    """Run each symbol's nights, oldest first, on one fetch; one symbol's error or wait does not affect the others.

    Args:
        symbols: The nights of each symbol; those already done are left out.
        settings: The settings in force.
        unattended: Retry a late or unresponsive source, then continue with the stored bars.
        switch_source: Allow bars of another source for a symbol that has some.
    """
    outcomes, run_of = Outcomes(), runs_under(settings)
    publish = partial(publish_artifacts, symbols=len(settings.symbols))
    open_nights = [[night for night in nights if not is_done(run_of(night))] for nights in symbols]
    attempts = [
        retry.first_attempt(nights, settings.for_symbol(nights[0].symbol), now=clock.now(), unattended=unattended)
        for nights in open_nights
        if nights
    ]
    show_nights([night for some in in_turn([attempt.nights for attempt in attempts]) for night in some])
    while attempts:
        wait_for_first(attempts, settings)
        due, attempts = retry.due_first(attempts, now=clock.now())
        asked = Fetch(due, settings, run_of=run_of, switch_source=switch_source, step=as_task, now=clock.now)
        run_nights(asked.nights(), len(due), settings, run_of, outcomes)
        found = retry.retries(asked.refused, now=clock.now())
        for attempt in found.waiting:
            attempts = [retry.after_refusal(other, attempt) for other in attempts]
            report_wait(attempt, run_of(attempt.night))
        emit(retry.late_alerts(found.waiting))
        attempts += [*found.waiting, *found.put_off]
        left = go_on(found.stopped, settings, run_of=run_of, step=as_task, publish=publish, now=clock.now)
        outcomes.add_without_bar(left)
        run_nights(left.nights, len(left.nights), settings, run_of, outcomes)
        outcomes.add_unanswered(left, run_of)
        update_index(settings, now=clock.now)
    return outcomes


def wait_for_first(attempts: Sequence[Attempt], settings: Settings) -> None:
    """Wait until an attempt is due, in a state that names the reasons and the hours."""
    first = min(attempts, key=lambda attempt: attempt.due)
    if first.due <= clock.now():
        return
    if first.unattended:
        name_state(LATE, retry.waiting_message(attempts, settings))
    clock.wait_until(first.due)
    name_state("Running", "", only=LATE)


def run_nights(symbols: Iterable[Nights], at_most: int, settings: Settings, run_of: RunOf, outcomes: Outcomes) -> None:
    """Run the nights whose bars are stored, of `at_most` so many symbols, in shards."""
    size = size_of(at_most, settings)
    shards = shards_of(([run_of(night) for night in nights] for nights in symbols), settings, size=size)
    for one in run_shards(shards, settings, math.ceil(at_most / size)):
        outcomes.add(one, run_of)
        show_done(len(outcomes.done))  # where other processes run them, they move no bar of this one
