"""The bars of many symbols requested, in batches; nothing more from a source that has refused one of them."""

from __future__ import annotations

from collections.abc import Sequence

from forecasting.errors import RateLimitedError
from forecasting.pipeline.night_shard import INGEST_SIZE, in_batches
from forecasting.pipeline.night_steps import RunStep, bring_up_to_date
from forecasting.pipeline.retry import Attempt, Refused, waited_note
from forecasting.pipeline.run_row import note_wait
from forecasting.pipeline.unexpected import explained
from forecasting.pipeline.without_bar import RunOf
from forecasting.settings import Settings
from forecasting.vocabulary import Clock


def fetch(
    attempts: Sequence[Attempt], settings: Settings, *, run_of: RunOf, switch_source: bool, step: RunStep, now: Clock
) -> tuple[list[Attempt], list[Refused]]:
    """The attempts whose bars came, and those whose bars did not.

    Args:
        attempts: Due now, of one source.
        settings: The settings in force.
        run_of: Makes the run of a night.
        switch_source: Allow bars of another source for a symbol that has some.
        step: How a step is run.
        now: The clock.
    """
    ready, refused = list[Attempt](), list[Refused]()
    for batch in in_batches(attempts, lambda attempt: attempt.nights[0].session, INGEST_SIZE):
        refusal = next((one.error for one in refused if isinstance(one.error, RateLimitedError)), None)
        if refusal is not None:  # requested on, the source would refuse again, and for longer
            refused += [Refused(attempt, refusal.without_request()) for attempt in batch]
            continue
        runs, oldest = [run_of(attempt.night) for attempt in batch], batch[0].nights[0].session
        for attempt, outcome in zip(
            batch, bring_up_to_date(runs, oldest=oldest, switch_source=switch_source, step=step), strict=True
        ):
            if outcome.error is not None:
                refused.append(Refused(attempt, explained(outcome.error, now=now, settings=settings)))
                continue
            ready.append(attempt)
            if attempt.failures and attempt.unattended:
                note_wait(outcome.run, waited_note(attempt, settings, now=now()))
    return ready, refused
