from datetime import date

import numpy as np
import pandas as pd

from forecasting.ingest.actions import changed_actions, implied_dividends, make_actions
from tests.builders import adjusted_close, random_bars


def dividends(bars, *at, value=0.5):
    return make_actions([(bars.index[i], "dividend", value) for i in at])


def test_implied_dividends_are_the_ones_that_made_adj_close():
    bars = random_bars(300, seed=5)
    paid = dividends(bars, 40, 103, 166, 229, value=0.57)
    bars["adj_close"] = adjusted_close(bars, paid).round(6)
    found = implied_dividends(bars)
    pd.testing.assert_frame_equal(found[["session", "kind"]], paid[["session", "kind"]])
    assert np.abs(found["value"] - 0.57).max() < 1e-3


def test_prices_rounded_to_cents_do_not_look_like_dividends():
    bars = random_bars(300, seed=6)
    bars["close"] /= 10.0
    paid = dividends(bars, 103, value=0.1)
    bars["adj_close"] = (adjusted_close(bars, paid) * 0.93).round(2)
    found = implied_dividends(bars)
    assert found["session"].tolist() == paid["session"].tolist()


def test_changed_actions_are_the_new_ones_and_those_with_another_value():
    days = [date(2024, 1, 3), date(2024, 2, 1), date(2024, 3, 1)]
    known = make_actions([(days[0], "dividend", 0.57), (days[1], "dividend", 0.5)])
    rows = [(days[0], "dividend", 0.5701), (days[1], "dividend", 0.25), (days[1], "split", 2.0)]
    fetched = make_actions([*rows, (days[2], "dividend", 0.3)])
    pd.testing.assert_frame_equal(changed_actions(known, fetched), fetched.iloc[1:].reset_index(drop=True))
    pd.testing.assert_frame_equal(changed_actions(make_actions([]), fetched), fetched)
    assert changed_actions(known, known).empty


def test_one_wrong_close_is_no_dividend():
    bars = random_bars(60, seed=2)
    for place, factor in ((30, 0.1), (30, 10.0), (30, 0.0), (59, 0.998), (1, 0.5)):
        damaged = bars.copy()
        damaged.iloc[place, damaged.columns.get_loc("close")] *= factor
        assert implied_dividends(damaged).empty
    assert implied_dividends(bars.assign(adj_close=np.nan)).empty
