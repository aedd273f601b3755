from dataclasses import replace

import numpy as np
import pandas as pd

from forecasting.preprocess.features import STEP_NAMES
from forecasting.preprocess.future_covariates import EVENT_NAMES
from forecasting.preprocess.windows import Windows, make_windows
from forecasting.train.linear import (
    _close_features,
    fit_effect,
    linear_forecast,
    linear_quantiles,
    log_volatility,
    squared_moves,
)
from forecasting.vocabulary import HORIZONS
from tests.builders import random_bars
from tests.train.windows import some_events, some_windows

ROWS = 900


def windows_with_gaps(gap: float) -> Windows:
    """Closes of a symbol that opens with `gap`, up and down in turn, on the sessions that react to earnings."""
    bars = random_bars(days=ROWS + 260, seed=5)
    events = some_events(bars)
    jumps = pd.Series(0.0, bars.index)
    jumps[events["session"]] = gap * np.where(np.arange(len(events)) % 2, 1.0, -1.0)
    prices = ["open", "high", "low", "close", "adj_close"]
    bars[prices] = bars[prices].mul(np.exp(jumps.cumsum()), axis=0)  # no range of a session changes
    origin = bars.index[-1].date()
    return make_windows(bars, events, origin=origin, target="close", exchange="XNYS", train_sessions=ROWS)


def widths(windows: Windows) -> tuple[float, float]:
    """Log width of the 80 % interval of the next close: mean over targets that react to earnings, and over all."""
    rows = np.arange(ROWS - 300, ROWS - 1)
    width = np.log(np.divide(*linear_quantiles(windows, rows)[:, 0, [5, 1]].T))
    reacts = windows.future_flags[rows, 0, windows.flag_names.index(EVENT_NAMES[3])] > 0.0
    return float(width[reacts].mean()), float(width.mean())


def test_the_interval_of_a_close_is_wider_where_earnings_have_caused_opening_gaps_that_no_range_includes():
    at_earnings, usual = widths(windows_with_gaps(0.08))
    assert at_earnings > 1.5 * usual
    at_earnings, usual = widths(windows_with_gaps(0.0))
    assert at_earnings < 1.3 * usual


def test_the_features_of_a_close_do_not_depend_on_later_sessions():
    windows, row = windows_with_gaps(0.08), 400
    effect, steps = fit_effect(windows), windows.steps.copy()
    steps[windows.warm_up + row + 1 :] += 1.0
    before, after = _close_features(windows, effect), _close_features(replace(windows, steps=steps), effect)
    assert np.isfinite(before).all()
    np.testing.assert_array_equal(before[: row + 1], after[: row + 1])
    assert (before[row + 1 :] != after[row + 1 :]).any(axis=1).all()


def test_the_squared_move_of_a_session_counts_its_range_and_its_gap():
    steps = np.zeros((2, len(STEP_NAMES)))
    steps[:, STEP_NAMES.index("log_range")] = np.log([0.02, 0.02])
    steps[:, STEP_NAMES.index("gap")] = [0.0, -0.03]
    np.testing.assert_allclose(squared_moves(steps), [0.0004, 0.0004 + 4 * np.log(2) * 0.0009])


def test_the_volatility_of_a_row_is_that_of_the_sessions_after_it_alone():
    windows = some_windows("close")
    squared = squared_moves(windows.steps)[windows.warm_up :]
    for h, horizon in enumerate(HORIZONS):
        expected = [
            0.5 * np.log(sum(squared[n + 1 : n + 1 + horizon])) if n + horizon < len(windows) else np.nan
            for n in range(len(windows))
        ]
        np.testing.assert_allclose(log_volatility(windows, h), expected)


def test_a_report_that_made_the_intervals_of_a_close_wide_is_a_part_of_the_next_one_of_its_session_alone():
    windows = windows_with_gaps(0.08)
    flags = windows.future_flags.copy()
    flags[-1, :, -len(EVENT_NAMES) :] = 0.0
    flags[-1, 2, windows.flag_names.index("earnings+0")] = 1.0
    report = linear_forecast(replace(windows, future_flags=flags)).effects["report"]
    assert report[2] > 0.3
    np.testing.assert_allclose(report[:2], report[0], atol=0.1)
