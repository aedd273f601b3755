"""Read queries, one module a table.

Frames hold sessions as naive midnights (datetime64[ns]) and instants as aware UTC; rows are plain dicts. Every function
takes an open connection.
"""

from forecasting.store.read.bars import actions, bars, first_prints, newest_session
from forecasting.store.read.events import event_rows, events
from forecasting.store.read.fetches import (
    fetch,
    fetch_as_of,
    fetch_of_run,
    issued_fetch,
    newest_fetch,
    newest_instant,
    newest_request,
)
from forecasting.store.read.findings import findings, findings_of
from forecasting.store.read.forecasts import (
    forecasts,
    has_forecast,
    has_forecasts,
    issued,
    issued_before,
    network_silenced,
    newest_live_origin,
    past_forecasts,
    published,
    view,
)
from forecasting.store.read.models import (
    lineage,
    model,
    model_of_run,
    models,
    models_beginning,
    models_of_newest,
    newest_scratch,
    pretrained,
    pretrained_by,
    pruned,
    with_weights,
)
from forecasting.store.read.overview import bars_of_symbols, events_on, last_results, newest_nights, newest_runs
from forecasting.store.read.promotions import (
    champion,
    champion_before,
    decision_of_run,
    decisions_by_hand,
    newest_decision,
)
from forecasting.store.read.runs import (
    completed_in,
    count_done,
    done_among,
    done_nights,
    durations,
    finished_runs,
    market_of_run,
    newest_finished,
    newest_run,
    run,
    running,
    unfinished_run,
)
from forecasting.store.read.scores import losses, scored
from forecasting.store.read.splits import split_factors
from forecasting.store.read.unscored import unscored_forecasts

__all__ = [
    "actions",
    "bars",
    "bars_of_symbols",
    "champion",
    "champion_before",
    "completed_in",
    "count_done",
    "decision_of_run",
    "decisions_by_hand",
    "done_among",
    "done_nights",
    "durations",
    "event_rows",
    "events",
    "events_on",
    "fetch",
    "fetch_as_of",
    "fetch_of_run",
    "findings",
    "findings_of",
    "finished_runs",
    "first_prints",
    "forecasts",
    "has_forecast",
    "has_forecasts",
    "issued",
    "issued_before",
    "issued_fetch",
    "last_results",
    "lineage",
    "losses",
    "market_of_run",
    "model",
    "model_of_run",
    "models",
    "models_beginning",
    "models_of_newest",
    "network_silenced",
    "newest_decision",
    "newest_fetch",
    "newest_finished",
    "newest_instant",
    "newest_live_origin",
    "newest_nights",
    "newest_request",
    "newest_run",
    "newest_runs",
    "newest_scratch",
    "newest_session",
    "past_forecasts",
    "pretrained",
    "pretrained_by",
    "pruned",
    "published",
    "run",
    "running",
    "scored",
    "split_factors",
    "unfinished_run",
    "unscored_forecasts",
    "view",
    "with_weights",
]
