"""Dividends that Adj Close implies, and those that it does not explain."""

import numpy as np
import pandas as pd
import pytest

from forecasting.ingest.actions import adjustment_mismatch, implied_dividends, make_actions
from tests.builders import adjusted_close, random_bars, scaled


def priced(close, adjusted):
    days = pd.date_range("2024-01-01", periods=len(adjusted))
    return pd.DataFrame({"close": close, "adj_close": np.asarray(adjusted, float)}, days)


def implied(bars):
    """Place and value of each dividend."""
    found = implied_dividends(bars)
    return list(zip(bars.index.get_indexer(found["session"]), found["value"], strict=True))


# Steps of an eighth are the noise: half of them are, so that a dividend is more than one half.
RISE = [0.875**3 / 2, 0.875**2 / 2, 0.875 / 2, 0.5]
NOISE = np.array([1.0, 0.875, 1.0, 0.875, 1.0])
RAGGED = [0.875**4 * 0.75, 0.875**3 * 0.75, 0.875**2 * 0.75]


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ([*RISE, *NOISE], []),  # a step of four times the noise
        ([*RISE, *NOISE * 1.01], [(4, 4.0396)]),
        ([*RISE, *NOISE * 1.49], [(4, 5.3154)]),
        ([*RISE, *NOISE * 1.5], []),  # Adj Close is over Close by the noise
        ([*RAGGED, 0.75 * 0.875, 0.25, 0.875, 1.0, 0.875, 1.0], []),  # and a wrong close before it
        ([*RAGGED, 0.65, 0.25, 0.875, 1.0, 0.875, 1.0], [(5, 5.7143)]),
        ([0.9] * 5 + [0.9005] * 5, [(5, 0.0044)]),
        ([0.9] * 5 + [0.9004] * 5, []),
        ([0.9, 1.0], []),
        ([1.0], []),
        ([], []),
    ],
)
def test_a_dividend_is_a_step_past_the_noise_of_the_steps_that_lasts(factors, expected):
    found = implied(priced(8.0, np.multiply(8.0, factors)))
    assert found == [(row, pytest.approx(value)) for row, value in expected]


@pytest.mark.parametrize(
    ("close", "adjusted", "rows"),
    [(2e-12, 1e-12, []), (3e-12, 1.5e-12, [2]), (9e11, 6e11, [2]), (1e12, 6e11, [])],
)
def test_a_price_outside_all_prices_is_unknown(close, adjusted, rows):
    bars = priced([close, close, 1.0, 1.0, 1.0], [adjusted, adjusted, 1.0, 1.0, 1.0])
    assert [row for row, _ in implied(bars)] == rows


def test_the_mismatch_of_a_session_is_the_step_that_its_dividends_leave():
    bars = priced([10.0, 8.0, 5.0, 4.0], [9.0, 7.2, 5.0, 4.0])
    paid = make_actions([(bars.index[place], "dividend", 2.0) for place in (2, 2, 3)])
    found = adjustment_mismatch(bars, paid)
    assert found.tolist() == pytest.approx([0.0, 0.0, 0.5 - 0.9, 0.6 - 1.0])


def dividends(bars, *at, value=0.5):
    return make_actions([(bars.index[i], "dividend", value) for i in at])


def test_implied_dividends_are_the_ones_that_made_adj_close():
    bars = random_bars(300, seed=5)
    paid = dividends(bars, 40, 103, 166, 229, value=0.57)
    bars["adj_close"] = adjusted_close(bars, paid).round(6)
    found = implied_dividends(bars)
    pd.testing.assert_frame_equal(found[["session", "kind"]], paid[["session", "kind"]])
    assert np.abs(found["value"] - 0.57).max() < 1e-3


def test_one_wrong_close_is_no_dividend():
    bars = random_bars(60, seed=2)
    for place, factor in ((30, 0.1), (30, 10.0), (30, 0.0), (59, 0.998), (1, 0.5)):
        assert implied_dividends(scaled(bars, factor, place, "close")).empty
    assert implied_dividends(bars.assign(adj_close=np.nan)).empty
