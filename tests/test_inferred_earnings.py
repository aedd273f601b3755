"""benchmarks/inferred_earnings.py infers from bars the earnings dates that the shipped weights are trained with."""

from __future__ import annotations

import numpy as np
import pandas as pd
from inferred_earnings import inferred_earnings, quarterly_positions

from forecasting.ingest.earnings import bundled_events, reacting
from tests.builders import random_bars

REACTIONS = np.cumsum([70, 63, 60, 66, 62, 65, 63, 61, 64, 63, 62, 66, 63, 64, 61, 63, 65])


def bars_with_reactions() -> pd.DataFrame:
    """Seeded bars with high volume and a gap on REACTIONS."""
    bars = random_bars(days=1200, seed=4)
    bars.iloc[REACTIONS, bars.columns.get_loc("volume")] *= 2.5
    bars.iloc[REACTIONS, bars.columns.get_loc("open")] *= 1.04
    return bars


def test_reactions_about_a_quarter_apart_are_found():
    bars = bars_with_reactions()
    found = inferred_earnings(bars)
    assert set(bars.index[REACTIONS]) <= set(found["session"])
    assert len(found) <= len(REACTIONS) + 2  # one before the first and one after the last, at the most
    at = bars.index.get_indexer(pd.DatetimeIndex(found["session"]))
    assert (bars.index[np.maximum(at - 21, 0)] == found["known_from"]).all()


def test_a_stock_without_reactions_has_no_dates():
    assert inferred_earnings(random_bars(days=1200, seed=4)).empty


def test_positions_have_the_highest_scores_among_those_a_quarter_apart():
    scores = np.zeros(260)
    scores[[60, 123, 190, 253]] = 1.0
    scores[150] = 1.5  # nothing a quarter before or after it
    assert quarterly_positions(scores).tolist() == [60, 123, 190, 253]


def test_most_dates_of_a_real_calendar_of_earnings_are_found_to_the_day():
    bars = random_bars(days=3700, seed=5)
    dates = pd.DatetimeIndex(reacting(bundled_events("SBUX"))["session"]).intersection(bars.index)
    bars.loc[dates, "volume"] *= 2.5
    bars.loc[dates, "open"] *= 1.04
    assert len(dates) > 50
    assert dates.isin(pd.DatetimeIndex(inferred_earnings(bars)["session"])).mean() > 0.8
