"""The night as a Prefect flow: ingest, preprocess, train, predict, evaluate, for every missed session, oldest first."""

from datetime import date
from typing import Any

from prefect import flow
from prefect.states import Completed

from flows import clock
from flows.operations.artifacts import publish_outcomes
from flows.operations.events import emit_failed
from flows.operations.logs import readable_errors
from flows.run_names import night_run_name
from flows.work_queue import run_all
from forecasting.pipeline.each_symbol import combined
from forecasting.pipeline.parameters import narrowed
from forecasting.pipeline.plan import nothing_new, planned_nights
from forecasting.store import database
from forecasting.vocabulary import Mode, Target


@flow(name="nightly", flow_run_name=night_run_name, on_failure=[emit_failed])
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
        source: yahoo, sample, an installed NAME, or a file inside FORECASTING_FILES; without it FORECASTING_SOURCE.
        events: Earnings dates as csv:PATH inside FORECASTING_FILES; without it FORECASTING_EVENTS or the bundled ones.
        market: A symbol of the source, none, or a file inside FORECASTING_FILES; without it FORECASTING_MARKET.
        as_of: The newest session whose bar may be used; without it the newest completed one and all missed before it.
        mode: auto, scratch, warm or skip.
        patient: Retry a late or unresponsive source until FORECASTING_LATE_UNTIL, then continue with the stored bars;
            for unattended runs.
        switch_source: Allow bars of another source for a symbol that has some.

    Returns:
        The run ids, oldest night first; a state named WithoutBar when the newest bar did not come and there was nothing
        else to do, or Skipped when there was nothing to do at all.
    """
    settings = narrowed(symbols=symbols, target=target, source=source, events=events, market=market)
    with readable_errors(), database.night_lock(settings.url, "night"), database.kept_open(settings.url):
        trigger = "schedule" if patient else "run"
        nights, failed = planned_nights(settings, as_of=as_of, mode=mode, now=clock.now, trigger=trigger)
        outcomes = run_all(nights, settings, unattended=patient, switch_source=switch_source)
    publish_outcomes(settings)
    if stopped := [*failed, *outcomes.failed]:
        raise combined(stopped, of=len(settings.symbols))
    if outcomes.done:
        return outcomes.done
    if outcomes.without_bar:
        return Completed(name="WithoutBar", message=" ".join(outcomes.without_bar))
    return Completed(name="Skipped", message=nothing_new(settings, as_of=as_of, now=clock.now))
