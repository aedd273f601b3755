from dataclasses import replace

import numpy as np
import pytest

from forecasting.preprocess.features import STEP_NAMES
from forecasting.preprocess.future_covariates import EVENT_NAMES
from forecasting.preprocess.windows import Windows
from forecasting.train.linear import (
    _close_features,
    adjust,
    fit_effect,
    linear_forecast,
    linear_quantiles,
    squared_moves,
)
from tests.train.windows import some_windows, windows_with_gaps

ROWS = 900


def widths(windows: Windows) -> tuple[float, float]:
    """Log width of the 80% interval of the next close: mean over targets that react to earnings, and over all."""
    rows = np.arange(ROWS - 300, ROWS - 1)
    width = np.log(np.divide(*linear_quantiles(windows, rows)[:, 0, [5, 1]].T))
    reacts = windows.future_flags[rows, 0, windows.flag_names.index(EVENT_NAMES[3])] > 0.0
    return float(width[reacts].mean()), float(width.mean())


def test_the_interval_of_a_close_is_wider_where_earnings_have_caused_opening_gaps_that_no_range_includes():
    at_earnings, usual = widths(windows_with_gaps(0.08, ROWS))
    assert at_earnings > 1.5 * usual
    at_earnings, usual = widths(windows_with_gaps(0.0, ROWS))
    assert at_earnings < 1.3 * usual


def test_the_features_of_a_close_do_not_depend_on_later_sessions():
    windows, row = windows_with_gaps(0.08, ROWS), 400
    effect, steps = fit_effect(windows), windows.steps.copy()
    steps[windows.warm_up + row + 1 :] += 1.0
    before, after = _close_features(windows, effect), _close_features(replace(windows, steps=steps), effect)
    assert np.isfinite(before).all()
    np.testing.assert_array_equal(before[: row + 1], after[: row + 1])
    assert (before[row + 1 :] != after[row + 1 :]).any(axis=1).all()


def test_a_report_that_made_the_intervals_of_a_close_wide_is_a_part_of_the_next_one_of_its_session_alone():
    windows = windows_with_gaps(0.08, ROWS)
    flags = windows.future_flags.copy()
    flags[-1, :, -len(EVENT_NAMES) :] = 0.0
    flags[-1, 2, windows.flag_names.index("earnings+0")] = 1.0
    report = linear_forecast(replace(windows, future_flags=flags)).effects["report"]
    assert report[2] > 0.3
    np.testing.assert_allclose(report[:2], report[0], atol=0.1)


def test_the_effect_of_a_flag_that_doubles_volume_is_estimated():
    windows = some_windows()
    friday = windows.flag_names.index("weekday_fri")
    steps = windows.steps.copy()
    steps[:, 0] += np.log(2.0) * windows.flags[:, friday]
    busier = replace(windows, steps=steps)
    gained = fit_effect(busier).coefficients[friday] - fit_effect(windows).coefficients[friday]
    assert gained == pytest.approx(np.log(2.0), rel=0.2)  # the penalty shrinks it


def test_an_effect_is_estimated_on_learnable_sessions_alone():
    windows = some_windows()
    known = windows.cut(0, len(windows), known_to=250)
    steps, values = known.steps.copy(), known.values.copy()
    steps[known.warm_up + 251 :] += 1.0
    values[known.warm_up + 251 :] *= 3.0
    altered = replace(known, steps=steps, values=values)
    np.testing.assert_array_equal(fit_effect(known).coefficients, fit_effect(altered).coefficients)


@pytest.mark.parametrize("target", ["volume", "close", "range"])
def test_an_adjusted_row_does_not_depend_on_later_sessions(target):
    windows = some_windows(target)
    effect = fit_effect(windows)
    steps, row = windows.steps.copy(), 200
    steps[windows.warm_up + row + 1 :] += 1.0
    before, after = adjust(windows, effect), adjust(replace(windows, steps=steps), effect)
    for name in ("past", "future", "centre", "width"):
        np.testing.assert_array_equal(getattr(before, name)[: row + 1], getattr(after, name)[: row + 1], err_msg=name)
    sessions = windows.warm_up + row + 1
    np.testing.assert_array_equal(before.steps[:sessions], after.steps[:sessions])


@pytest.mark.parametrize("target", ["volume", "close", "range"])
def test_every_input_of_the_network_is_finite(target):
    windows = some_windows(target)
    adjusted = adjust(windows, fit_effect(windows))
    assert np.isfinite(adjusted.steps[windows.warm_up - 66 :]).all()
    assert all(np.isfinite(part).all() for part in (adjusted.past, adjusted.future, adjusted.centre, adjusted.width))
    np.testing.assert_allclose(adjusted.centre + adjusted.width * adjusted.truth, windows.scaled)


def test_the_quarterly_volume_feature_is_the_unusual_volume_thirteen_weeks_before_the_target():
    windows = replace(some_windows(), flags=np.zeros_like(some_windows().flags))
    row, horizon = 250, 3
    target = windows.target_sessions[row, horizon - 1]
    at = int(np.searchsorted(windows.sessions, target - np.timedelta64(91, "D")))
    steps = windows.steps.copy()
    steps[at, 0] += 1.0
    effect = fit_effect(windows)
    before, after = adjust(windows, effect), adjust(replace(windows, steps=steps), effect)
    gained = after.future[row, horizon - 1, 1:6] - before.future[row, horizon - 1, 1:6]
    np.testing.assert_allclose(gained[0], 1.0, atol=0.3)
    assert gained[2] > 0.0
    np.testing.assert_allclose(gained[3:], 0.0, atol=0.1)  # the level of the sessions after it has risen a little


def test_the_squared_move_of_a_session_counts_its_range_and_its_gap():
    steps = np.zeros((2, len(STEP_NAMES)))
    steps[:, STEP_NAMES.index("log_range")] = np.log([0.02, 0.02])
    steps[:, STEP_NAMES.index("gap")] = [0.0, -0.03]
    np.testing.assert_allclose(squared_moves(steps), [0.0004, 0.0004 + 4 * np.log(2) * 0.0009])
