"""A run whose nights are published: pages as they end, one index, one message, one error."""

from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from itertools import chain

from forecasting.errors import combined, explained
from forecasting.night import plan
from forecasting.night.night import Night, RunOptions
from forecasting.night.run import Call, Step, call_step, ledger, outcome_of, run_nights
from forecasting.night.run_log import mark_cut_off
from forecasting.night.steps.evaluate import evaluate
from forecasting.publish.messages import send_digest, send_failed
from forecasting.publish.pages import newest_nights, publish_page, update_index
from forecasting.settings import Settings
from forecasting.store import connect, lock, migrate, read
from forecasting.values import source_name
from forecasting.vocabulary import Clock, Mode


def published_step(step: Step, nights: list[Night]) -> list[Night]:
    """The nights after a step; one that is evaluated, or has more of a rival, has its page too."""
    if step == "evaluate":
        return evaluate(nights, publish_page)
    done = call_step(step, nights)
    if step != "predict":
        return done
    return [night.then(step, publish_page) if night.is_for_rivals else night for night in done]


def run_missed(settings: Settings, *, as_of: date | None, mode: Mode, now: Clock) -> list[str]:
    """The ids of the nights of the session `as_of`, or of all missing ones, once they are run.

    Where all are finished, with whatever settings but of the same source, none is run again.
    """
    options = RunOptions(as_of, as_of, mode)
    migrate.check_ready(settings.url)
    newest = plan.check_options(settings, options, now=now)
    finished = _finished(settings, newest)
    if finished and all(finished):
        return list(chain(*finished))
    nights = run_here(settings, partial(plan.planned_nights, settings, options, now=now), now=now)
    return [night.id for night in nights if night.is_done]


def _finished(settings: Settings, newest: Mapping[str, date]) -> list[list[str]]:
    """The ids of the finished nights of each series at its symbol's newest session."""
    of_source = {"source": source_name(settings.source), "status": "done"}
    with connect.reading(settings.url) as connection:
        return [
            read.values(
                connection, "runs", "id", own.columns | of_source | {"as_of": newest[own.symbol]}
            )
            if own.symbol in newest
            else []
            for own in settings.series.values()
        ]


def run_here(
    settings: Settings,
    planned: Callable[[], list[Night]],
    call: Call = published_step,
    *,
    now: Clock,
) -> list[Night]:
    """The nights as they ended, planned and run without Prefect under their lock.

    The digest is sent, then failures raise one error; what stops all is sent. `call` is that of
    `run_nights`.
    """
    try:
        with lock.night_lock(settings.url), ledger(settings):
            try:
                nights = run_nights(planned(), settings, call)
                update_index(settings, nights)
            except KeyboardInterrupt:
                mark_cut_off(settings)
                raise
    except Exception as error:
        failure = explained(error)
        send_failed(settings, failure)
        raise failure from None
    send_digest(settings, nights, partial(newest_nights, settings, nights, now=now), now=now)
    _, failed = outcome_of(nights, settings)
    if failed:
        raise combined(failed, of=len(settings.series))
    return nights
