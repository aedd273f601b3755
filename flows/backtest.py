"""The backtest as a Prefect flow, started from a form in the UI.

Its figures are kept in table metrics.
"""

from datetime import date
from typing import Annotated

from prefect import flow
from pydantic import Field

from flows import clock
from flows.parameters import narrowed
from flows.reporting import add_artifact, add_tags, flow_run_name, readable_errors, send_failed_run
from forecasting.audit.run_backtest import backtest_spec, run_backtest
from forecasting.report.documents import backtest_document
from forecasting.report.prefect import backtest_artifact, guide, subject_tags
from forecasting.vocabulary import Target


@flow(
    name="backtest",
    description=guide("backtest"),
    flow_run_name=flow_run_name,
    on_failure=[send_failed_run],
    retries=0,
)
def backtest(
    first: date | None = None,
    last: date | None = None,
    symbol: str | None = None,
    target: Target | None = None,
    source: str | None = None,
    events: str | None = None,
    market: str | None = None,
    refit_every: Annotated[int, Field(ge=1)] = 21,
) -> dict[str, object]:
    """Work off past nights, score them against every baseline, keep the figures in table metrics.

    Args:
        first: First origin session; without it that of the newest 250 up to the last.
        last: Last origin session; without it the newest.
        symbol: As Yahoo writes it; without it the first of FORECASTING_SYMBOLS.
        target: volume or range; without it the first of FORECASTING_TARGETS.
        source: yahoo, sample, an installed NAME or a file in FORECASTING_FILES; without it
            FORECASTING_SOURCE.
        events: yahoo, or a .csv file in FORECASTING_FILES; without it FORECASTING_EVENTS or a
            night's.
        market: A symbol of the source, none, or a file inside FORECASTING_FILES; without it
            FORECASTING_MARKET.
        refit_every: Sessions between fits; 1: as nights are published.
    """
    with readable_errors():
        settings = narrowed(
            symbols=symbol and (symbol,),
            targets=target,
            source=source,
            events=events,
            market=market,
        )
        spec = backtest_spec(settings, first, last, refit_every=refit_every)
        add_tags(subject_tags([spec.symbol], spec.settings.targets))
        found = run_backtest(spec, now=clock.now)
    # The table metrics has them too
    add_artifact(backtest_artifact(found), f"the figures of {spec.symbol}")
    return backtest_document(found)
