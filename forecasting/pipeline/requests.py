"""The bars of many symbols requested, in batches; nothing more from a source that has refused one of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from forecasting.errors import RateLimitedError
from forecasting.pipeline.night_run import NightRun, NightSpec
from forecasting.pipeline.night_shard import INGEST_SIZE, in_batches
from forecasting.pipeline.night_steps import RunStep, bring_up_to_date
from forecasting.pipeline.retry import Attempt, Refused, clock_time, waited_note, waiting_note
from forecasting.pipeline.run_row import mark_waiting, note_wait
from forecasting.pipeline.unexpected import explained
from forecasting.pipeline.without_bar import RunOf
from forecasting.settings import Settings
from forecasting.vocabulary import Clock

logger = logging.getLogger("forecasting.night")


@dataclass
class Fetch:
    """The bars of many symbols.

    Attributes:
        attempts: Due now, of one source.
        settings: The settings in force.
        run_of: Makes the run of a night.
        switch_source: Allow bars of another source for a symbol that has some.
        step: How a step is run.
        now: The clock.
        refused: The attempts whose bars did not come, once `nights` has ended.
    """

    attempts: Sequence[Attempt]
    settings: Settings
    run_of: RunOf
    switch_source: bool
    step: RunStep
    now: Clock
    refused: list[Refused] = field(default_factory=list, init=False)

    def nights(self) -> Iterator[Sequence[NightSpec]]:
        """The nights of each attempt whose bars come; a batch is requested when those before it have been taken."""
        for batch in in_batches(self.attempts, lambda attempt: attempt.nights[0].session, INGEST_SIZE):
            refusal = next((one.error for one in self.refused if isinstance(one.error, RateLimitedError)), None)
            if refusal is not None:  # requested on, the source would refuse again, and for longer
                self.refused += [Refused(attempt, refusal.without_request()) for attempt in batch]
                continue
            yield from self._come(batch)

    def _come(self, batch: list[Attempt]) -> Iterator[Sequence[NightSpec]]:
        runs, oldest = [self.run_of(attempt.night) for attempt in batch], batch[0].nights[0].session
        fetched = bring_up_to_date(runs, oldest=oldest, switch_source=self.switch_source, step=self.step)
        for attempt, outcome in zip(batch, fetched, strict=True):
            if outcome.error is not None:
                error = explained(outcome.error, now=self.now, settings=self.settings)
                self.refused.append(Refused(attempt, error))
                continue
            if attempt.failures and attempt.unattended:
                note_wait(outcome.run, waited_note(attempt, self.settings, now=self.now()))
            yield attempt.nights


def report_wait(attempt: Attempt, run: NightRun) -> None:
    """Record that a night waits: in its row and in the log."""
    if not attempt.unattended:
        return
    mark_waiting(run, waiting_note(attempt, run.settings))
    due = clock_time(attempt.due, run.settings)
    logger.warning("%s: next request at %s: %s", attempt.night.symbol, due, attempt.error)
