"""Unattended nights whose newest bar did not come: go on with the stored bars, and note what is missing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from forecasting.errors import DataLateError, ForecastingError, RateLimitedError, UnavailableError
from forecasting.pipeline import night_steps
from forecasting.pipeline.night_run import NightRun, NightSpec
from forecasting.pipeline.night_shard import INGEST_SIZE, in_batches
from forecasting.pipeline.night_steps import Publish, RunStep
from forecasting.pipeline.plan import newest_stored, nights_with_bars
from forecasting.pipeline.retry import Refused, missing_bar_note
from forecasting.pipeline.run_row import mark_late, mark_stopped, mark_waiting, note_failure
from forecasting.pipeline.unexpected import explained
from forecasting.settings import Settings
from forecasting.vocabulary import Clock

logger = logging.getLogger("forecasting.night")

RunOf = Callable[[NightSpec], NightRun]
"""Makes the run of a night under the settings in force."""

Failure = tuple[NightSpec, ForecastingError]
"""A night, and the error that stopped it."""


@dataclass(frozen=True)
class Continued:
    """What became of the nights without a bar.

    Attributes:
        nights: Of each symbol, oldest first: those to run, whose bars are stored.
        notes: Of the missing nights.
        failed: The nights that cannot go on, and why.
        unanswered: The nights that go on without a response of their source, and its error.
    """

    nights: Sequence[Sequence[NightSpec]]
    notes: Sequence[str]
    failed: Sequence[Failure]
    unanswered: Sequence[Failure]


@dataclass(frozen=True)
class _Left:
    """What is left of a symbol's nights: those whose bars are stored, up to the session `newest`."""

    refused: Refused
    newest: date
    kept: Sequence[NightSpec]

    @property
    def missing(self) -> NightSpec:
        return self.refused.attempt.night

    @property
    def is_late(self) -> bool:
        return isinstance(self.refused.error, DataLateError)

    @property
    def oldest(self) -> date | None:
        return self.kept[0].session if self.kept else None


def go_on(
    stopped: Sequence[Refused], settings: Settings, *, run_of: RunOf, step: RunStep, publish: Publish, now: Clock
) -> Continued:
    """The nights to run without a retry: unattended those whose bars are stored, of any other none.

    Args:
        stopped: The nights whose bar does not come, and why.
        settings: The settings in force.
        run_of: See `RunOf`.
        step: How a step is run.
        publish: Called with the page of each night that only scores, since none of its bars is new.
        now: The clock.
    """
    looked_at = [_left(refused, settings, run_of) for refused in stopped]
    left = [one for one in looked_at if isinstance(one, _Left)]
    fetched = _fetched([one for one in left if one.is_late], settings, run_of=run_of, step=step, now=now)
    unanswered = [one for one in left if not one.is_late]
    going = [*(one for one in fetched if isinstance(one, _Left)), *unanswered]
    failed = [one for one in [*looked_at, *fetched] if not isinstance(one, _Left)]
    notes = [_noted(one, settings, run_of, now=now) for one in going]
    scored = [run_of(one.missing) for one in going if not one.kept]
    for outcome in night_steps.score_only(scored, step=step, publish=publish):
        if outcome.error is not None:
            error = explained(outcome.error, now=now, settings=outcome.run.settings)
            note_failure(outcome.run, error)
            failed.append((outcome.run.spec, error))
    kept = [one.kept for one in going if one.kept]
    return Continued(kept, notes, failed, [(one.missing, one.refused.error) for one in unanswered])


def _noted(one: _Left, settings: Settings, run_of: RunOf, *, now: Clock) -> str:
    """What the row of the missing night now says of it."""
    note = missing_bar_note(one.refused.attempt, one.refused.error, one.newest, settings, now=now())
    if one.is_late:
        mark_late(run_of(one.missing), note)
    else:
        mark_waiting(run_of(one.missing), note, status="failed")
    logger.warning("%s: %s", one.missing.symbol, note)
    return note


def _left(refused: Refused, settings: Settings, run_of: RunOf) -> _Left | Failure:
    attempt, error = refused.attempt, refused.error
    passing = attempt.unattended and isinstance(error, DataLateError | UnavailableError | RateLimitedError)
    newest = None
    if passing:
        newest = error.newest if isinstance(error, DataLateError) else newest_stored(attempt.night, settings)
    if newest is not None:
        return _Left(refused, newest, nights_with_bars(attempt.nights, newest, settings))
    if passing:  # there is no bar at all to go on with
        mark_waiting(run_of(attempt.night), str(error), status="failed")
    else:
        mark_stopped(run_of(attempt.night), error)
    return attempt.night, error


def _fetched(
    late: Sequence[_Left], settings: Settings, *, run_of: RunOf, step: RunStep, now: Clock
) -> list[_Left | Failure]:
    """Those of a late source whose older bars are stored now, and the errors of the others.

    Where a bar is held that now is the newest one, the bars before it are requested.
    """
    found: list[_Left | Failure] = []
    older: list[_Left] = []
    for batch in in_batches(late, lambda one: (one.newest, one.oldest), INGEST_SIZE):
        runs = [run_of(one.kept[-1] if one.kept else one.missing) for one in batch]
        fetched = night_steps.bring_up_to_date(runs, last=batch[0].newest, oldest=batch[0].oldest, step=step)
        for one, outcome in zip(batch, fetched, strict=True):
            before = outcome.error.newest if isinstance(outcome.error, DataLateError) else None
            if outcome.error is None:
                found.append(one)
            elif before is not None and before < one.newest:
                kept = nights_with_bars(one.refused.attempt.nights, before, settings)
                older.append(replace(one, newest=before, kept=kept))
            else:
                error = explained(outcome.error, now=now, settings=outcome.run.settings)
                mark_waiting(run_of(one.missing), str(error), status="failed")
                found.append((one.missing, error))
    return [*found, *(_fetched(older, settings, run_of=run_of, step=step, now=now) if older else [])]
