"""The assessment of a market series' fetch: an index has prices alone, and its jumps are news.

The VIX doubled on 2018-02-05 and rose by half on 2020-02-24 and again in March. So no split is searched, no jump held
and no volume judged; an impossible row is still refused, and a history of another series is not stored.
"""

from dataclasses import replace

import numpy as np

from forecasting.ingest.actions import make_actions
from forecasting.ingest.assessment import Assessment, Request, StoredBars
from forecasting.ingest.bars import check_index_bars
from forecasting.ingest.revisions import explain
from forecasting.ingest.sources import Fetched


def prices_alone(fetched: Fetched) -> Fetched:
    """The fetch without volume, Adj Close, dividends and splits, which an index does not have."""
    return replace(fetched, bars=fetched.bars.assign(volume=np.nan, adj_close=np.nan), actions=make_actions([]))


def assess_market(fetched: Fetched, request: Request, stored: StoredBars) -> Assessment:
    """What the fetched bars change about the stored ones; never an error: older bars are stored without the newest.

    Args:
        fetched: As `prices_alone` returns it.
        request: Its `session` is the newest that had closed; `sessions_needed` is not looked at.
        stored: The stored bars of the series.

    Raises:
        BadDataError: The source returned bars of another shape than the canonical one.
    """
    bars, findings = check_index_bars(fetched, exchange=request.exchange, known=stored.bars)
    revision = explain(stored.bars, bars, actions=None, known_actions=stored.actions, accept=request.accept)
    return Assessment(replace(revision, findings=[*findings, *revision.findings]))
