"""What is fetched before the symbols of a night: the market series, then the companion series."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from forecasting.pipeline.companions import fetch_companions
from forecasting.pipeline.market import fetch_market
from forecasting.pipeline.night_run import NightRun


def fetch_other_series(runs: Sequence[NightRun], *, oldest: date | None = None, switch_source: bool = False) -> None:
    """Bring the series that the nights use beside their own up to date; nothing of it fails a night.

    Args:
        runs: The nights, one a symbol.
        oldest: As for `fetch_and_store`.
        switch_source: Allow bars of another source, or another history, for a series that has some.
    """
    fetch_market(runs, oldest=oldest, switch_source=switch_source)
    fetch_companions(runs, oldest=oldest, switch_source=switch_source)
