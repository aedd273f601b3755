"""A symbol's nights without a scheduler: the steps of `flows`, in their order, without its retries and events."""

from __future__ import annotations

from datetime import date

from forecasting.pipeline import plan
from forecasting.pipeline.evaluate import score_and_decide
from forecasting.pipeline.ingest import fetch_and_store
from forecasting.pipeline.night_run import NightRun, night_run
from forecasting.pipeline.other_series import fetch_other_series
from forecasting.pipeline.predict import write_forecasts
from forecasting.pipeline.preprocess import write_windows
from forecasting.pipeline.publish import publish_pages
from forecasting.pipeline.run_row import close_nights, mark_failed, timed
from forecasting.pipeline.shard import only
from forecasting.pipeline.train import fit_challengers
from forecasting.settings import Settings
from forecasting.store import database
from forecasting.vocabulary import Clock, Mode


def run_nights(settings: Settings, *, as_of: date | None, mode: Mode, now: Clock) -> list[NightRun]:
    """The nights of the first symbol, done: that of the session `as_of`, or all that are missing, oldest first.

    Raises:
        ForecastingError: A check failed, and nothing is written; or the bar is late, or a night failed, and the nights
            after it are left to the next call.
    """
    plan.check_nights(settings, as_of=as_of, mode=mode, now=now)
    symbol = settings.symbols[0]
    with database.night_lock(settings.url, "night"), database.kept_open(settings.url):
        specs = plan.missed_nights(symbol, settings.for_symbol(symbol), as_of=as_of, mode=mode, now=now)
        runs = [night_run(spec, settings, now=now) for spec in specs]
        to_do = [run for run in runs if not plan.is_done(run)]
        if to_do:
            _bring_up_to_date(to_do[-1], oldest=to_do[0].spec.session)
        for run in to_do:
            _run_night(run)
    return runs


def _bring_up_to_date(run: NightRun, *, oldest: date) -> None:
    """One fetch for all nights; it reaches as far back as the oldest one needs."""
    with timed([run], "ingest"):
        fetch_other_series([run], oldest=oldest)
        only(fetch_and_store([run], oldest=oldest))


def _run_night(run: NightRun) -> None:
    try:
        with timed([run], "preprocess"):
            inputs = only(write_windows([run]))
        with timed([run], "train"):
            challenger_id = only(fit_challengers([run], [inputs]))
        with timed([run], "predict"):
            only(write_forecasts([run], [inputs], [challenger_id]))
        with timed([run], "evaluate"):
            only(score_and_decide([run], [inputs]))
            only(publish_pages([run]))
    except Exception as error:
        mark_failed(run, error)
        raise
    close_nights([run])
