"""A symbol's nights without a scheduler: the steps of `flows`, in their order, without its retries and events."""

from __future__ import annotations

import logging
from datetime import date

from forecasting.errors import NoBarError
from forecasting.pipeline import plan
from forecasting.pipeline.night_run import night_run
from forecasting.pipeline.night_steps import bring_up_to_date, finish_nights
from forecasting.pipeline.publish import update_index
from forecasting.pipeline.shard import only
from forecasting.settings import Settings
from forecasting.store import database
from forecasting.vocabulary import Clock, Mode

logger = logging.getLogger("forecasting.night")


def run_nights(settings: Settings, *, as_of: date | None, mode: Mode, now: Clock) -> list[str]:
    """The ids of the one symbol's nights, done: of the session `as_of`, or all that are missing, oldest first.

    A past session without a bar has no night; its row in `runs` has the reason.

    Raises:
        ForecastingError: A check failed, and nothing is written; or the bar is late, or a night failed, and the nights
            after it are left to the next call.
    """
    plan.check_nights(settings, as_of=as_of, mode=mode, now=now)
    with database.night_lock(settings.url, "night"), database.kept_open(settings.url):
        nights, failed = plan.planned_nights(settings, as_of=as_of, mode=mode, now=now)
        for _, error in failed:
            raise error
        runs = [night_run(spec, settings, now=now) for spec in nights[0]]
        done = [plan.done_before(run) for run in runs]
        to_do = [run for run, before in zip(runs, done, strict=True) if before is None]
        if to_do:
            only(bring_up_to_date(to_do[-1:], oldest=to_do[0].spec.session))
        without: set[str] = set()
        try:
            for run in to_do:
                try:
                    only(finish_nights([run]))
                except NoBarError as error:  # it will not come: raised, it would stop the newer nights for ever
                    logger.warning("%s %s: %s", run.spec.symbol, run.spec.session, error)
                    without.add(run.id)
        finally:
            if to_do:
                update_index(settings, now=now)
    return [before or run.id for run, before in zip(runs, done, strict=True) if run.id not in without]
