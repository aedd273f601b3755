"""Run a span of missed sessions in one flow run, oldest first, from bars as known at each."""

from datetime import date
from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from flows import clock
from flows.nightly import run_nights
from flows.reporting import (
    add_tags,
    flow_run_name,
    last_state,
    publish_outcomes,
    readable_errors,
    send_failed,
)
from forecasting.night.parameters import narrowed
from forecasting.night.plan import planned_span
from forecasting.night.run import ledger
from forecasting.report.prefect import guide, subject_tags
from forecasting.store import lock
from forecasting.vocabulary import Target


@flow(
    name="catch-up",
    description=guide("catch_up"),
    flow_run_name=flow_run_name,
    on_failure=[send_failed],
    retries=0,
)
def catch_up(
    first: date,
    last: date,
    symbols: list[str] | None = None,
    target: Target | list[Target] | None = None,
    source: str | None = None,
    events: str | None = None,
    market: str | None = None,
    refit_every: Annotated[int, Field(ge=1)] = 5,
) -> Any:
    """Forecast from each session of a span that has no finished run yet; score closed sessions.

    Args:
        first: Oldest session.
        last: Newest session.
        symbols: As for nightly.
        target: As for nightly.
        source: As for nightly.
        events: As for nightly.
        market: As for nightly.
        refit_every: Sessions between fits; in between the newest fit forecasts.
    """
    with readable_errors():
        settings = narrowed(
            symbols=symbols,
            target=target,
            source=source,
            events=events,
            market=market,
        )
        add_tags(subject_tags(settings.symbols, settings.targets))
        with lock.night_lock(settings.url), ledger(settings):
            planned = planned_span(
                settings,
                first,
                last,
                refit_every=refit_every,
                now=clock.now,
            )
            nights = run_nights(planned, settings)
    nothing = f"Every session from {first} to {last} was already done."
    return last_state(
        nights,
        settings,
        done=publish_outcomes(settings, nights),
        nothing=lambda: nothing,
    )
