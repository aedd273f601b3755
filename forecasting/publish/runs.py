"""A run whose nights are published: pages as they end, one index, one message, one error."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from itertools import chain

from forecasting.errors import explained
from forecasting.night import plan
from forecasting.night.night import Night
from forecasting.night.run import PLAINLY, Caller, ledger, outcome_of, run_nights
from forecasting.night.run_log import mark_cut_off
from forecasting.night.symbols import combined
from forecasting.publish.messages import send_digest, send_failed
from forecasting.publish.pages import publish_page, update_index
from forecasting.settings import Settings
from forecasting.store import connect, lock, read
from forecasting.values import source_name
from forecasting.vocabulary import Clock, Mode


def run_published(
    nights: Sequence[Night],
    settings: Settings,
    caller: Caller = PLAINLY,
    *,
    now: Clock,
    switch_source: bool = False,
) -> list[Night]:
    """The nights of `run_nights` as they ended, each with its page, and the index of all."""
    ended = run_nights(
        nights,
        settings,
        replace(caller, publish=publish_page),
        switch_source=switch_source,
    )
    failed = [night for night in ended if night.error is not None]
    update_index(settings, failed)
    return ended


def run_missed(settings: Settings, *, as_of: date | None, mode: Mode, now: Clock) -> list[str]:
    """The ids of the nights of the session `as_of`, or of all missing ones, once they are run.

    Where all are finished, with whatever settings but another source, theirs, and none is run.
    """
    asked = plan.check_nights(
        settings,
        as_of=as_of,
        mode=mode,
        now=now,
    )
    finished = _finished(settings, asked)
    if finished and all(finished):
        return list(chain(*finished))
    planned = partial(
        plan.planned_nights,
        settings,
        as_of=as_of,
        mode=mode,
        now=now,
    )
    nights = run_here(planned, settings, now=now)
    return [night.id for night in nights if night.is_done]


def _finished(settings: Settings, nights: Sequence[Night]) -> list[list[str]]:
    """Of each night the ids of the finished ones of its series, session and source."""
    with connect.reading(settings.url) as connection:
        return [
            read.values(
                connection,
                "runs",
                "id",
                {
                    "symbol": night.symbol,
                    "target": night.target,
                    "as_of": night.session,
                    "source": source_name(night.source),
                    "status": "done",
                },
            )
            for night in nights
        ]


def run_here(
    planned: Callable[[], list[Night]],
    settings: Settings,
    caller: Caller = PLAINLY,
    *,
    now: Clock,
    switch_source: bool = False,
) -> list[Night]:
    """The nights as they ended, planned and run without Prefect under their lock.

    The digest is sent, then failures raise one error; what stops all is sent.
    """
    try:
        with lock.night_lock(settings.url), ledger(settings):
            try:
                nights = run_published(
                    planned(),
                    settings,
                    caller,
                    now=now,
                    switch_source=switch_source,
                )
            except KeyboardInterrupt:
                mark_cut_off(settings)
                raise
    except Exception as error:
        failure = explained(error)
        send_failed(settings, failure)
        raise failure from None
    send_digest(settings, nights, now=now)
    _, failed = outcome_of(nights, settings)
    if failed:
        raise combined(failed, of=len(settings.series))
    return nights
