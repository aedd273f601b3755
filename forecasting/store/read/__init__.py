"""Read queries on an open connection: `read.NAME` is a function of one of these modules."""

from forecasting.store.frames import all_stored, newest, row, stored, values, view
from forecasting.store.read.forecasts import (
    answer,
    bars_of_nights,
    in_fallback,
    issued_before,
    newest_of_model,
    newest_published,
    parts,
    past_forecasts,
    published,
    totals_of,
    totals_since_newest,
)
from forecasting.store.read.inputs import (
    actions,
    all_event_rows,
    bars,
    event_rows,
    events,
    fetch_as_of,
    findings,
    newest_fetch,
    newest_flag,
    paused_until,
    report_days,
    symbol_with,
    unannounced_symbols,
)
from forecasting.store.read.runs import (
    IssuedNight,
    Lead,
    Lineage,
    done_before,
    due_scores,
    ended_series,
    issued_by_run,
    leads,
    lineage,
    market_of_run,
    models_beginning,
    networks,
    newest_network,
    newest_run,
    newest_runs,
    newest_scratch,
    rows_of_runs,
    running,
    skills,
)
from forecasting.store.read.scores import (
    counted_scores,
    last_results,
    losses,
    scored,
    standing_scores,
)
from forecasting.store.read.unscored import unscored_forecasts, unscored_totals
