from dataclasses import replace

import numpy as np
import pytest

from forecasting.preprocess.features import own_column
from forecasting.train.linear import adjust, fit_effect
from tests.train.windows import some_windows


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


@pytest.mark.parametrize(("target", "half_the_sessions"), [("volume", 0.65), ("range", 0.5)])
def test_newer_sessions_weigh_more_in_an_effect_on_volume_and_the_same_in_one_on_the_range(target, half_the_sessions):
    windows = some_windows(target, rows=1000)
    friday, own = windows.flag_names.index("weekday_fri"), own_column(target)
    before = fit_effect(windows).coefficients[friday]
    gained = []
    for busier in (
        slice(windows.learnable_sessions),
        slice(windows.learnable_sessions // 2, windows.learnable_sessions),
    ):
        steps = windows.steps.copy()
        steps[busier, own] += windows.flags[busier, friday]
        gained.append(fit_effect(replace(windows, steps=steps)).coefficients[friday] - before)
    assert gained[1] / gained[0] == pytest.approx(half_the_sessions, abs=0.05)


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
