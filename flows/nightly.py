"""The night as a Prefect flow: ingest, preprocess, train, predict, evaluate, for every missed session, oldest first."""

from datetime import date
from functools import partial
from typing import Any

from prefect import flow

from flows import clock
from flows.operations.artifacts import add_tags, publish_outcomes
from flows.operations.events import emit_failed
from flows.operations.logs import readable_errors
from flows.operations.states import last_state
from flows.run_names import night_run_name
from flows.work_queue import run_all
from forecasting.pipeline.nothing_new import nothing_new
from forecasting.pipeline.parameters import narrowed
from forecasting.pipeline.plan import planned_nights
from forecasting.report.run_guides import NIGHTLY
from forecasting.report.run_outcome import subject_tags
from forecasting.store import database
from forecasting.vocabulary import Mode, Target


@flow(name="nightly", description=NIGHTLY, flow_run_name=night_run_name, on_failure=[emit_failed], retries=0)
def nightly(
    symbols: list[str] | None = None,
    target: Target | None = None,
    source: str | None = None,
    events: str | None = None,
    market: str | None = None,
    as_of: date | None = None,
    mode: Mode = "auto",
    patient: bool = False,
    switch_source: bool = False,
) -> Any:
    """Bring bars up to date, fit a challenger, forecast five sessions, score closed ones.

    Args:
        symbols: Symbols as Yahoo writes them; without it those of FORECASTING_SYMBOLS.
        target: volume, close or range; without it FORECASTING_TARGET.
        source: yahoo, sample, an installed NAME or a file in FORECASTING_FILES; without it FORECASTING_SOURCE.
        events: Earnings dates as csv:PATH inside FORECASTING_FILES; without it FORECASTING_EVENTS, else the source's.
        market: A symbol of the source, none, or a file inside FORECASTING_FILES; without it FORECASTING_MARKET.
        as_of: The newest session whose bar may be used; without it the newest completed one and all missed before it.
        mode: auto, scratch, warm or skip.
        patient: Retry a late or unresponsive source until FORECASTING_LATE_UNTIL, then continue with the stored bars;
            for unattended runs.
        switch_source: Allow bars of another source for a symbol that has some.

    Returns:
        As `last_state`.
    """
    with readable_errors():
        settings = narrowed(symbols=symbols, target=target, source=source, events=events, market=market)
        add_tags(subject_tags(settings.symbols, settings.target))
        with database.night_lock(settings.url, "night"), database.kept_open(settings.url):
            trigger = "schedule" if patient else "run"
            nights, failed = planned_nights(settings, as_of=as_of, mode=mode, now=clock.now, trigger=trigger)
            outcomes = run_all(nights, settings, unattended=patient, switch_source=switch_source)
    done = publish_outcomes(settings, outcomes.done)
    nothing = partial(nothing_new, settings, as_of=as_of, now=clock.now)
    return last_state(outcomes, failed, of=len(settings.symbols), done=done, nothing=nothing)
